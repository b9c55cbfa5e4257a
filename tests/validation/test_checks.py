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
    ("order", "moved_mm", "count"), [("LAS", 0.0, 0), ("LAS", 0.01, 0), ("LAS", 3.0, 1), ("LPS", 3.0, 1)]
)
def test_the_order_of_a_label_maps_axes_is_free_its_place_is_not(order, moved_mm, count):
    """As between a DICOM series and the NIfTI that dcm2niix made of it: rows upside down."""
    changes = {"origin_mm": (0.0, moved_mm, 0.0)}
    if order == "LAS":
        direction = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
        changes = {"origin_mm": (0.0, 99.0 + moved_mm, 0.0), "direction": direction, "orientation": "LAS"}
    found = judge_case(DATASET, case(label=file("l", **changes)))
    assert len([one for one in found if one.severity == "error"]) == (count if order == "LPS" else 2 * count)


@pytest.mark.parametrize("extent", [(0, 1), (-1, 1), (-3, 9)])
def test_shares_and_standard_deviations_are_told_from_hounsfield_units(extent):
    (finding,) = judge_case(DATASET, case(intensities=intensities(*extent, extent[1])))
    assert (finding.severity, finding.check) == ("warning", "hounsfield_units_are_plausible")
    assert "normalised, not HU" in finding.message


@pytest.mark.parametrize(
    ("moved_mm", "severities"), [(0.009, []), (0.011, ["warning"]), (0.249, ["warning"]), (0.251, ["error"])]
)
def test_a_misfit_is_judged_in_voxels(moved_mm, severities):
    found = judge_case(DATASET, case(label=file("l", content="l", origin_mm=(0, moved_mm, 0))))
    assert [finding.severity for finding in found] == severities


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
    ("roles", "severity", "surplus", "kept"),
    [
        (("pretrain", "target"), "error", "D", "E"),
        (("both", "target"), "error", "D", "E"),
        (("both", "pretrain"), "error", "E", "D"),
        (("target", "pretrain"), "error", "E", "D"),
        (("pretrain", "pretrain"), "warning", "E", "D"),
        (("target", "target"), "warning", "E", "D"),
    ],
)
def test_the_same_scan_in_two_datasets_is_an_error_where_it_leaks(roles, severity, surplus, kept):
    datasets = [dataset("D", roles[0]), dataset("E", roles[1])]
    (finding,) = judge(datasets, [same_scan("a", "D"), same_scan("a", "E")])
    assert (finding.severity, finding.dataset, finding.case) == (severity, surplus, "a")
    assert f"the same scan as {kept}, a" in finding.message


@pytest.mark.parametrize(
    ("role", "patients", "severity"),
    [("target", "pq", "error"), ("target", "pp", "warning"), ("pretrain", "pq", "warning")],
)
def test_the_same_scan_twice_in_a_target_is_an_error_under_two_patients(role, patients, severity):
    cases = [same_scan("a", "D", patient=patients[0]), same_scan("b", "D", patient=patients[1])]
    (finding,) = judge([dataset("D", role)], cases)
    assert finding.severity == severity


def test_a_scan_in_two_targets_does_not_count_twice():
    datasets = [dataset("T", "target"), dataset("U", "target")]
    (finding,) = judge(datasets, [same_scan("a", "T"), same_scan("a", "U")])
    assert finding.severity == "warning"
    assert "the same scan as T, a: two targets have it; nothing to do" in finding.message


def test_what_is_not_given_is_blamed_on_no_file():
    (finding,) = judge([DATASET], [case(label=None, label_voxels={}, problems={"label": "no label map"})])
    assert (finding.file, finding.message) == (None, "no label map")
    (finding,) = judge([DATASET], [case(label=None, label_voxels={}, problems={"a/b.nii": "empty"})])
    assert (finding.file, finding.message) == ("a/b.nii", "a/b.nii: empty")


def test_a_target_patient_named_in_the_pool_is_an_error():
    datasets = [dataset("P", "pretrain"), dataset("T", "target")]
    found = judge(datasets, [case("a", "P", patient="Ann"), case("b", "T", patient="Ann")])
    assert [(item.severity, item.dataset) for item in found] == [("error", "P")]
    assert "the same patient as T, b" in found[0].message
    assert "Ann" not in found[0].message


@pytest.mark.parametrize(
    ("pool", "target", "told"),
    [
        ({"P1_followup": "P1"}, {"P1": "P1"}, ["P1_followup"]),
        ({"P1": "P1"}, {"P1_followup": "P1"}, ["P1"]),
        ({"P1": "P1", "P1_followup": "P1"}, {"P1": "P1"}, ["P1", "P1_followup"]),
        ({"P1": "P1"}, {"P1": "P1"}, []),
        ({"P1_followup": "P1"}, {"P2": "P2"}, []),
    ],
)
def test_a_patient_called_as_one_of_its_cases_is_found_in_pool_and_target(pool, target, told):
    datasets = [dataset("P", "pretrain"), dataset("T", "target")]
    cases = [case(name, "P", patient=patient) for name, patient in pool.items()]
    cases += [case(name, "T", patient=patient) for name, patient in target.items()]
    found = judge(datasets, cases)
    assert [(item.severity, item.dataset, item.case) for item in found] == [
        ("error", "P", name) for name in told
    ]


@pytest.mark.parametrize(
    ("roles", "told"),
    [
        (("pretrain", "target"), [("D", "a")]),
        (("target", "pretrain"), [("E", "d")]),
        (("both", "both"), [("D", "a"), ("E", "d")]),
        (("target", "target"), []),
        (("pretrain", "pretrain"), []),
    ],
)
def test_series_of_one_patient_id_in_pool_and_target_are_told(roles, told):
    datasets = [dataset("D", roles[0]), dataset("E", roles[1])]
    cases = [case(name, "D", dicom_patient=one) for name, one in zip("abc", "XYZ", strict=True)]
    cases.append(case("d", "E", dicom_patient="X"))
    found = judge(datasets, cases)
    assert [(item.dataset, item.case) for item in found] == told
    for item in found:
        assert (item.severity, item.check) == ("warning", "series_of_a_patient_are_in_one_role")
        assert "its series has the PatientID of that of" in item.message
        assert "X" not in item.message


@pytest.mark.parametrize("ids", [("XXX", "XYZ"), ("XYZ", "XXX"), ("XXX", "XXX"), ("XYZ", ("", "", ""))])
def test_a_patient_id_that_a_whole_dataset_shares_or_lacks_tells_nothing(ids):
    datasets = [dataset("P", "pretrain"), dataset("T", "target")]
    cases = [
        case(f"{where}{number}", where, dicom_patient=one)
        for where, of_dataset in zip("PT", ids, strict=True)
        for number, one in enumerate(of_dataset)
    ]
    assert judge(datasets, cases) == []


def test_a_patient_in_both_roles_by_name_is_not_told_again_by_its_series():
    datasets = [dataset("P", "pretrain"), dataset("T", "target")]
    cases = [case(name, where, patient="Ann", dicom_patient="X") for name, where in (("a", "P"), ("b", "T"))]
    assert [item.check for item in judge(datasets, cases)] == ["patients_are_in_one_role"]


def test_patients_with_several_cases_in_a_dataset_are_fine():
    cases = [case("a", patient="Ann"), case("b", patient="Ann")]
    assert judge([dataset("D", "target")], cases) == []


@pytest.mark.parametrize(
    ("patients", "ids", "told"),
    [("pqr", "XXY", ["b"]), ("ppr", "XXY", []), ("pqr", "XYZ", []), ("pqr", "XXX", []), ("pq", "XX", ["b"])],
)
def test_series_of_one_patient_without_a_common_patient_are_told(patients, ids, told):
    cases = [
        case(name, patient=patient, dicom_patient=one)
        for name, patient, one in zip("abc", patients, ids, strict=False)
    ]
    found = judge([dataset("D", "target")], cases)
    assert [item.case for item in found] == told
    assert all("the same patient as that of a" in item.message for item in found)
    assert not any("X" in item.message for item in found)


@pytest.mark.parametrize(
    ("patients", "messages"), [("pp", []), ("pq", ["the same label map as D, a, but another scan"])]
)
def test_one_label_map_for_two_scans_is_told_unless_they_are_of_one_patient(patients, messages):
    label = file("l", content="same labels")
    cases = [case(name, patient=patient, label=label) for name, patient in zip("ab", patients, strict=True)]
    found = judge([DATASET], cases)
    assert [finding.message.partition(";")[0] for finding in found] == messages


def test_empty_label_maps_are_not_taken_for_copies():
    cases = [case(name, label=file("l", content="air"), label_voxels={0: 9}) for name in "ab"]
    assert {finding.check for finding in judge([DATASET], cases)} == {
        "something_is_labelled",
        "every_label_occurs",
    }


def test_each_copy_of_a_scan_is_told_once_and_of_the_one_it_leaks_to():
    datasets = [dataset("P", "pretrain"), dataset("T", "target")]
    found = judge(datasets, [same_scan("a", "P"), same_scan("b", "T"), same_scan("c", "P")])
    assert [(item.severity, item.case, item.message.partition(":")[0]) for item in found] == [
        ("error", "a", "the same scan as T, b"),
        ("error", "c", "the same scan as T, b"),
    ]


def test_what_is_left_out_for_a_scan_and_a_patient_in_both_roles_is_the_pools_case():
    datasets = [dataset("P", "pretrain"), dataset("T", "target")]
    found = judge(datasets, [same_scan("a", "P", patient="Ann"), same_scan("b", "T", patient="Ann")])
    assert [item.check for item in found] == ["scans_differ", "patients_are_in_one_role"]
    assert list(invalid_cases(found)) == [("P", "a")]


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
