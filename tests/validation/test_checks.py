import re

import pytest

from mixcl_auto.records.case import Geometry, RawDataset
from mixcl_auto.records.fingerprint import Intensities
from mixcl_auto.records.inspection import CaseInspection, FileFacts
from mixcl_auto.validation.validate import invalid_cases, judge, judge_case

DATASET = RawDataset(name="D", role="target", labels={"liver": 1, "spleen": 2}, cases=())
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def grid(**changes):
    values = {
        "size": (100, 100, 50),
        "spacing_mm": (1.0, 1.0, 2.0),
        "origin_mm": (0.0, 0.0, 0.0),
        "direction": IDENTITY,
        "orientation": "LPS",
    }
    return Geometry(**(values | changes))


def file(name, content="c", **changes):
    return FileFacts(path=name, sha256=content, content_sha256=content, geometry=grid(**changes))


def intensities(minimum=-1000.0, maximum=1500.0, high=400.0):
    return Intensities(
        voxels=9,
        mean=0,
        std=1,
        minimum=minimum,
        percentile_00_5=minimum,
        median=0,
        percentile_99_5=high,
        maximum=maximum,
    )


def case(name="a", dataset="D", **changes):
    values = {
        "dataset": dataset,
        "case": name,
        "patient": name,
        "image": file(f"{name}_i", content=f"{dataset}{name}"),
        "label": file(f"{name}_l", content=f"{dataset}{name} labels"),
        "problems": {},
        "intensities": intensities(),
        "label_voxels": {0: 5, 1: 2, 2: 1},
    }
    return CaseInspection(**(values | changes))


def test_a_sound_case_has_no_findings():
    assert judge([DATASET], [case()]) == []


@pytest.mark.parametrize(
    ("changes", "severity", "message"),
    [
        ({"problems": {"i": "the file is empty"}, "image": None}, "error", "the file is empty"),
        (
            {"label": file("l", size=(100, 100, 49))},
            "error",
            "has 100 x 100 x 49 voxels, its image 100 x 100 x 50",
        ),
        (
            {"label": file("l", spacing_mm=(1.01, 1, 2))},
            "error",
            r"spacings \(1\.01 x 1 x 2 and 1 x 1 x 2 mm\)",
        ),
        (
            {"label": file("l", spacing_mm=(1.001, 1, 2))},
            "warning",
            "spacings .* by up to 0.1 voxels .*rounding",
        ),
        ({"label": file("l", origin_mm=(0, 5, 0))}, "error", "origins .*0, 5, 0 and 0, 0, 0 mm.* 5 voxels"),
        ({"label": file("l", origin_mm=(0, 0.05, 0))}, "warning", "origins .* 0.05 voxels"),
        ({"label": file("l", direction=(-1.0, *IDENTITY[1:]))}, "error", "directions .* 200 voxels"),
        ({"non_finite_voxels": 3}, "error", "3 of 500000 voxels are NaN or infinite"),
        ({"intensities": intensities(7, 7, 7)}, "error", "all voxels are 7"),
        ({"intensities": intensities(0, 1, 1)}, "warning", "normalised, not HU"),
        ({"intensities": intensities(-3, 9)}, "warning", "normalised, not HU"),
        ({"intensities": intensities(0, 255)}, "warning", "the grey values of a picture"),
        ({"intensities": intensities(0, 4000)}, "warning", "no HU below 0; perhaps 1024 was added"),
        (
            {"intensities": intensities(-150, 250)},
            "warning",
            r"no air \(about -1000 HU\); perhaps the scan was clipped",
        ),
        ({"intensities": intensities(-2048, 400, -900)}, "warning", "hardly any tissue"),
        ({"intensities": intensities(-1000, 30000, 9000)}, "warning", "too high for HU"),
        (
            {"image": file("i", spacing_mm=(0.001, 1, 1)), "label": None},
            "error",
            "a voxel of 0.001 x 1 x 1 mm is implausible",
        ),
        (
            {"image": file("i", size=(4, 4, 4)), "label": None},
            "warning",
            "measures 4 x 4 x 8 mm: implausible",
        ),
        (
            {"image": file("i", size=(100, 100, 2), spacing_mm=(1, 1, 9)), "label": None},
            "warning",
            "100 x 100 x 2 voxels: hardly a volume",
        ),
        ({"notes": {"x/i.nii": "series 3 of 5 is taken"}}, "warning", r"i\.nii: series 3 of 5 is taken"),
        ({"label_voxels": {0: 1, 1: 1, 7: 1, 9: 2}}, "error", "label values 7, 9 are not in dataset.json"),
        ({"label_voxels": {0: 9}}, "warning", "nothing is labelled"),
    ],
)
def test_each_fault_is_found_once_and_named(changes, severity, message):
    (finding,) = judge_case(DATASET, case(**changes))
    assert (finding.severity, finding.dataset, finding.case) == (severity, "D", "a")
    assert re.search(message, finding.message), finding.message


@pytest.mark.parametrize(
    "changes",
    [
        {"label": file("l", spacing_mm=(1.0000001, 1, 2))},
        {"label": file("l", origin_mm=(1e-5, 0, 0))},
        {"label": file("l", direction=(1.0, 1e-6, *IDENTITY[2:]))},
    ],
)
def test_rounding_of_headers_is_forgiven(changes):
    assert judge_case(DATASET, case(**changes)) == []


def test_other_modalities_need_no_hounsfield_units():
    dataset = DATASET.model_copy(update={"channel_name": "MRI"})
    assert judge_case(dataset, case(intensities=intensities(0, 1, 1))) == []


def test_all_faults_of_all_cases_are_told_at_once():
    cases = [
        case("a", non_finite_voxels=1, label_voxels={0: 1, 9: 1}),
        case("b", problems={"i": "gone"}, image=None),
    ]
    messages = [(found.case, found.severity) for found in judge([DATASET], cases)]
    assert messages.count(("a", "error")) == 2
    assert messages.count(("b", "error")) == 1


def dataset(name, role):
    return DATASET.model_copy(update={"name": name, "role": role})


def same_scan(name, dataset_name, **changes):
    return case(name, dataset_name, image=file("i", content="same"), **changes)


@pytest.mark.parametrize(
    ("roles", "severity"),
    [
        (("pretrain", "target"), "error"),
        (("both", "target"), "error"),
        (("both", "pretrain"), "error"),
        (("pretrain", "pretrain"), "warning"),
        (("target", "target"), "warning"),
    ],
)
def test_the_same_scan_in_two_datasets_is_an_error_where_it_leaks(roles, severity):
    datasets = [dataset("D", roles[0]), dataset("E", roles[1])]
    (finding,) = judge(datasets, [same_scan("a", "D"), same_scan("b", "E")])
    assert (finding.severity, finding.dataset, finding.case) == (severity, "E", "b")
    assert "the same scan as D, a" in finding.message


@pytest.mark.parametrize(
    ("role", "patients", "severity"),
    [("target", "pq", "error"), ("target", "pp", "warning"), ("pretrain", "pq", "warning")],
)
def test_the_same_scan_twice_in_a_target_is_an_error_under_two_patients(role, patients, severity):
    cases = [same_scan("a", "D", patient=patients[0]), same_scan("b", "D", patient=patients[1])]
    (finding,) = judge([dataset("D", role)], cases)
    assert finding.severity == severity


def test_a_target_patient_named_in_the_pool_is_an_error():
    datasets = [dataset("P", "pretrain"), dataset("T", "target")]
    found = judge(datasets, [case("a", "P", patient="Ann"), case("b", "T", patient="Ann")])
    assert [(item.severity, item.dataset) for item in found] == [("error", "P")]
    assert "the same patient as T, b" in found[0].message
    assert "Ann" not in found[0].message


def test_case_ids_that_merely_coincide_are_no_patients():
    datasets = [dataset("P", "pretrain"), dataset("T", "target")]
    assert judge(datasets, [case("case_1", "P"), case("case_1", "T")]) == []


def test_a_label_that_never_occurs_is_named():
    (finding,) = judge([DATASET], [case("a", label_voxels={0: 1, 1: 1}), case("b", label_voxels={1: 1})])
    assert finding.severity == "warning"
    assert "spleen (2) is labelled in no case" in finding.message


def test_mixed_orientations_are_counted():
    other = {"image": file("i", content="z", orientation="RAS"), "label": file("l")}
    (finding,) = judge([DATASET], [case("a"), case("b"), case("c", **other)])
    assert "mixed orientation (LPS in 2, RAS in 1 cases)" in finding.message


def test_only_cases_with_errors_are_left_out_with_the_first_reason():
    cases = [
        case("a", non_finite_voxels=1, label_voxels={0: 1, 1: 1, 2: 1, 9: 1}),
        case("b", label_voxels={0: 1}),
    ]
    invalid = invalid_cases(judge([DATASET], cases))
    assert list(invalid) == [("D", "a")]
    assert "NaN" in invalid["D", "a"]
