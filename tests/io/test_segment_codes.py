import pytest
from pydicom.sr._cid_dict import name_for_cid
from pydicom.sr._concepts_dict import concepts

from mixcl_auto.io.segment_codes import (
    ABNORMAL,
    ANATOMY,
    LESIONS,
    PAIRED,
    SIDES,
    SINGLE,
    SYNONYMS,
    TISSUE,
    segment_codes,
)

CATEGORIES, LESION_TYPES, PROPERTY_TYPES, ANATOMIC_STRUCTURES, LATERALITY = 7150, 7159, 7151, 8134, 244


def context_groups(code):
    """The context groups in which pydicom's copy of PS3.16 lists a code with that meaning."""
    return {
        group
        for entry in concepts["SCT"].values()
        for value, (meaning, groups) in entry.items()
        if (value, meaning) == (code.value, code.meaning)
        for group in groups
    }


def test_the_context_groups_are_those_meant():
    assert name_for_cid[PROPERTY_TYPES] == "SegmentationPropertyType"
    assert name_for_cid[CATEGORIES] == "SegmentationPropertyCategory"
    assert name_for_cid[LATERALITY] == "Laterality"


@pytest.mark.parametrize(
    "code", sorted({*SINGLE.values(), *PAIRED.values()}, key=str), ids=lambda c: c.meaning
)
def test_an_organs_code_and_meaning_are_the_standards(code):
    assert context_groups(code) & {PROPERTY_TYPES, ANATOMIC_STRUCTURES}


@pytest.mark.parametrize("code", sorted(set(LESIONS.values()), key=str), ids=lambda c: c.meaning)
def test_a_lesions_code_and_meaning_are_the_standards(code):
    assert LESION_TYPES in context_groups(code)


@pytest.mark.parametrize("code", [TISSUE, ANATOMY, ABNORMAL], ids=lambda c: c.meaning)
def test_a_categorys_code_and_meaning_are_the_standards(code):
    assert CATEGORIES in context_groups(code)


@pytest.mark.parametrize("code", sorted(set(SIDES.values()), key=str), ids=lambda c: c.meaning)
def test_a_sides_code_and_meaning_are_the_standards(code):
    assert LATERALITY in context_groups(code)


def test_every_organ_is_found_by_its_own_name_and_every_synonym_leads_to_one():
    for name, code in {**SINGLE, **PAIRED}.items():
        assert segment_codes(name).property_type == code
    for synonym, name in SYNONYMS.items():
        assert segment_codes(synonym).property_type == {**SINGLE, **PAIRED}[name]


@pytest.mark.parametrize(
    ("name", "meaning", "side"),
    [
        ("kidney right", "Kidney", "Right"),
        ("right_kidney", "Kidney", "Right"),
        ("LeftKidney", "Kidney", "Left"),
        ("Parotid_L", "Parotid gland", "Left"),
        ("adrenal gland left", "Adrenal gland", "Left"),
        ("kidneys", "Kidney", None),
        ("SpinalCord", "Spinal cord", None),
        ("BRAINSTEM", "Brain Stem", None),
        ("oesophagus", "Esophagus", None),
        ("portal vein and splenic vein", "Vein", None),
    ],
)
def test_spelling_and_the_place_of_the_side_do_not_matter(name, meaning, side):
    codes = segment_codes(name)
    assert codes.category == ANATOMY
    assert codes.property_type.meaning == meaning
    assert (codes.side and codes.side.meaning) == side


@pytest.mark.parametrize(
    ("name", "meaning", "region", "side"),
    [
        ("tumour", "Neoplasm", None, None),
        ("sarcoma", "Neoplasm", None, None),
        ("kidney tumor", "Neoplasm", "Kidney", None),
        ("left kidney cyst", "Cyst", "Kidney", "Left"),
        ("liver metastases", "Neoplasm, Secondary", "Liver", None),
        ("colon cancer primaries", "Neoplasm", "Colon", None),
    ],
)
def test_lesions_are_abnormal_structures_in_their_organ(name, meaning, region, side):
    codes = segment_codes(name)
    assert codes.category == ABNORMAL
    assert codes.property_type.meaning == meaning
    assert (codes.region and codes.region.meaning) == region
    assert (codes.side and codes.side.meaning) == side


@pytest.mark.parametrize(
    "name",
    ["organ", "left ventricle", "left liver", "left and right lung", "tumour bed", "left tumour", "食道", ""],
)
def test_a_name_that_is_not_surely_known_gets_the_general_code(name):
    codes = segment_codes(name)
    assert (codes.category, codes.property_type, codes.side, codes.region) == (TISSUE, TISSUE, None, None)
