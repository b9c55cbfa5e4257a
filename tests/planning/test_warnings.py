from mixcl_auto.planning.warnings import finding_warnings, label_warnings, window_warnings
from mixcl_auto.records.finding import Finding
from mixcl_auto.records.plan import DatasetPlan, Plan, PreprocessPlan


def planned(name="D", **changes):
    values = {"role": "pretrain", "labels": {"liver": 1, "cyst": 2}, "cases": ("a",), "fingerprint": ""}
    return DatasetPlan(name=name, **(values | changes))


def finding(case=None, message="odd", check="check_a", severity="warning", dataset="D"):
    return Finding(severity=severity, dataset=dataset, case=case, message=message, check=check)


def test_findings_are_folded_by_dataset_check_and_advice():
    plan = Plan(datasets=(planned(), planned("E")))
    found = [finding("a"), finding("b", "odder"), finding("c"), finding("a", check="check_b")]
    found += [finding("b", "odd; look at b"), finding("c", "odd; mend it")]
    found += [finding(message="mixed", check="check_c"), finding("a", dataset="E")]
    assert list(finding_warnings(plan, found)) == [
        "D, case a: odd (and 2 more of this kind)",
        "D, case a: odd",
        "D, case b: odd; look at b",
        "D, case c: odd; mend it",
        "D: mixed",
        "E, case a: odd",
    ]


def test_errors_and_what_is_not_planned_are_no_warnings_of_the_plan():
    plan = Plan(datasets=(planned(left_out={"b": "broken"}),))
    found = [finding("b"), finding("a", severity="error"), finding(dataset="Elsewhere"), finding(dataset="")]
    assert list(finding_warnings(plan, found)) == []


def test_an_organ_counts_as_small_by_its_median_volume_on_the_grid(make):
    """Voxels of 3 mm^3 onto 4.5 mm^3: 96 are 64; of cysts of 30, 60 and 90 voxels the median is 40 there."""
    cases = [
        make.case(n, label_voxels={0: 9, 1: 96, 2: cyst}) for n, cyst in zip("abc", (30, 60, 90), strict=True)
    ]
    cases.append(make.case("d", label_voxels={0: 9, 1: 96}))
    data = make.fingerprint(cases).model_copy(update={"foreground": cases[0].foreground})
    (text,) = label_warnings(planned(), data, (1.5, 1.5, 2.0))
    assert text.startswith(
        "D: few voxels are left at 1.5 x 1.5 x 2 mm of cyst (some 40), the median over cases"
    )
    assert list(label_warnings(planned(), data, (1.0, 1.0, 1.0))) == []


def test_an_organ_that_the_grid_may_lose_in_some_cases_is_told_of_with_their_names(make):
    """Voxels of 3 mm^3 onto 12 mm^3: 3 are less than one, 4 are one."""
    cases = [make.case(name, label_voxels={0: 9, 1: 999, 2: 3}) for name in "abcd"]
    cases += [make.case("e", label_voxels={0: 9, 1: 999, 2: 4}), make.case("f", label_voxels={0: 9, 1: 999})]
    data = make.fingerprint(cases).model_copy(update={"foreground": cases[0].foreground})
    few, lost = label_warnings(planned(), data, (2.0, 2.0, 3.0))
    assert "of cyst (some 0.75), the median" in few
    assert lost.startswith(
        "D: cyst has less than one voxel at 2 x 2 x 3 mm in 4 of 5 cases (a, b, c ...) and may be lost there"
    )


def test_a_dataset_without_labels_is_told_of(make):
    (text,) = label_warnings(planned(), make.fingerprint([make.case("a", ())]), (1.5, 1.5, 2.0))
    assert text.startswith("D: no case has a labelled voxel, so it plays no part in the label loss")


def test_a_window_of_few_steps_is_told_of():
    (text,) = window_warnings(Plan(preprocess=PreprocessPlan(window_hu=(0, 31))))
    assert text.startswith("the window from 0 to 31 has 31 steps of 1 in the cache")
    assert (
        list(window_warnings(Plan(preprocess=PreprocessPlan(window_hu=(0, 1), intensity_step=1 / 32)))) == []
    )
