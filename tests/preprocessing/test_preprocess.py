import json
import os
import shutil
import signal

import numpy as np
import pytest
import SimpleITK

from mixcl_auto.errors import DataError, PlanError
from mixcl_auto.io import case_files
from mixcl_auto.io.case_cache import open_case
from mixcl_auto.io.files import write_text
from mixcl_auto.io.images import read_file
from mixcl_auto.io.inspection import inspect_datasets
from mixcl_auto.io.raw_dataset import find_dataset
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.planning.plan import make_plan, save_planned
from mixcl_auto.preprocessing import preprocess
from mixcl_auto.preprocessing.preprocess import cached_cases, preprocess_case, preprocess_datasets
from mixcl_auto.progress import Silent
from mixcl_auto.records.machine import Machine
from mixcl_auto.records.record import content_hash
from mixcl_auto.transforms.weight_map import decode_distance, distance_to_boundary

sitk = SimpleITK
SPACING_MM = (2.0, 1.0, 3.0)


def write(path, values, orientation):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(SPACING_MM)
    sitk.WriteImage(sitk.DICOMOrient(image, orientation), str(path))


def make_arrays(name):
    """A smooth image in (k, j, i) with a labelled block and a second label in its corner."""
    k, j, i = np.meshgrid(np.arange(12), np.arange(24), np.arange(16), indexing="ij")
    image = 100 * np.sin(i / 5 + ord(name)) + 80 * np.cos(j / 6) + 5 * k - 200
    labels = np.zeros(image.shape, np.uint8)
    labels[3:8, 6:15, 4:11] = 1
    labels[3, 6, 4:7] = 2
    return image.astype(np.int16), labels


def write_case_files(folder, name, orientation="LPS"):
    image, labels = make_arrays(name)
    write(folder / "imagesTr" / f"{name}_0000.nii.gz", image, orientation)
    write(folder / "labelsTr" / f"{name}.nii.gz", labels, orientation)


class Project:
    def __init__(self, root):
        self.workspace = Workspace(root)
        self.folder = self.workspace.raw_data / "D"
        for name in "abc":
            write_case_files(self.folder, name)
        document = {"role": "target", "labels": {"background": 0, "liver": 1, "cyst": 2}}
        (self.folder / "dataset.json").write_text(json.dumps(document))
        self.plan = self.make_plan()

    @property
    def dataset(self):
        return find_dataset(self.workspace.raw_data, "D")

    def make_plan(self, *edits):
        machine = Machine(cores=1, physical_cores=1, memory_gb=None)
        found = inspect_datasets([self.dataset])
        edits = ["preprocess.spacing_mm=[1.5, 1.5, 2.0]", *edits]
        planned = make_plan("tiny", [self.dataset], found, machine, edits=edits)
        save_planned(self.workspace, "plan", planned)
        self.plan = planned.plan
        return planned.plan

    def preprocess(self, jobs=1):
        return preprocess_datasets(self.workspace, self.plan, [self.dataset], jobs=jobs)

    def case_folder(self, name):
        return self.workspace.cached_case("D", content_hash(self.plan.preprocess), name)

    def case(self, name):
        return open_case(self.case_folder(name))

    def arrays(self, name):
        case = self.case(name)
        return [getattr(case, what)((0, 0, 0), case.shape) for what in ("image", "labels", "distance")]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_cases_lie_on_the_plans_grid_within_its_window(project):
    assert project.preprocess() == []
    record = project.case("a").record
    assert record.spacing_mm == (1.5, 1.5, 2.0)
    assert record.shape == (round(16 * 2 / 1.5), round(24 / 1.5), round(12 * 3 / 2))
    assert record.source.size == (16, 24, 12)
    image, labels, _ = project.arrays("a")
    assert (image.dtype, labels.dtype) == (np.int16, np.uint8)
    assert image.min() >= -150
    assert record.label_voxels == {
        value: int((labels == value).sum()) for value in np.unique(labels).tolist()
    }


def test_the_distance_is_that_of_the_resampled_labels_in_voxels(project):
    project.preprocess()
    _, labels, codes = project.arrays("a")
    np.testing.assert_allclose(decode_distance(codes), distance_to_boundary(labels), atol=0.126)
    assert decode_distance(codes).min() == 1


def test_the_distance_can_be_in_mm(project):
    project.make_plan("preprocess.distance_unit=mm")
    project.preprocess()
    _, labels, codes = project.arrays("a")
    expected = distance_to_boundary(labels, spacing_mm=(1.5, 1.5, 2.0))
    np.testing.assert_allclose(decode_distance(codes), expected, atol=0.126)


def test_foreground_voxels_carry_their_label(project):
    project.make_plan("preprocess.coordinates_per_class=20")
    project.preprocess()
    _, labels, _ = project.arrays("a")
    foreground = project.case("a").foreground
    assert sorted(foreground) == [value for value in np.unique(labels).tolist() if value > 0]
    assert len(foreground[1]) == 20
    for label, voxels in foreground.items():
        assert (labels[tuple(voxels.T)] == label).all()
        assert len(np.unique(voxels, axis=0)) == len(voxels)


@pytest.mark.parametrize("orientation", ["RAS", "PIR", "SLA"])
def test_orientation_does_not_change_the_cache(tmp_path, orientation):
    plain, turned = Project(tmp_path / "plain"), Project(tmp_path / "turned")
    write_case_files(turned.folder, "a", orientation)
    turned.make_plan()
    assert plain.preprocess() == turned.preprocess() == []
    for one, other in zip(plain.arrays("a"), turned.arrays("a"), strict=True):
        np.testing.assert_array_equal(one, other)


def stamps(project):
    return {name: (project.case_folder(name) / "case.json").stat().st_mtime_ns for name in "abc"}


def test_a_second_run_keeps_what_is_done(project):
    project.preprocess()
    before = stamps(project)
    assert project.preprocess() == []
    assert stamps(project) == before


class Notes(Silent):
    def __init__(self):
        self.seen = []

    def advance(self, units=1, *, note=""):
        self.seen.append(note)


def test_the_largest_scan_is_inspected_and_preprocessed_first(project):
    image, labels = make_arrays("b")
    write(project.folder / "imagesTr" / "b_0000.nii.gz", np.tile(image, (1, 2, 2)), "LPS")
    write(project.folder / "labelsTr" / "b.nii.gz", np.tile(labels, (1, 2, 2)), "LPS")
    project.make_plan()
    notes = Notes(), Notes()
    inspected = inspect_datasets([project.dataset], progress=notes[0])
    preprocess_datasets(project.workspace, project.plan, [project.dataset], progress=notes[1])
    assert [case.case for case in inspected] == ["a", "b", "c"]
    assert notes[0].seen == notes[1].seen == ["D, b", "D, a", "D, c"]


def test_each_stage_decodes_a_file_once_and_what_is_cached_not_at_all(project, monkeypatch):
    decoded = []

    def counted(path, *arguments, **options):
        decoded.append(path.name)
        return read_file(path, *arguments, **options)

    monkeypatch.setattr(case_files, "read_file", counted)
    files = sorted(name for case in "abc" for name in (f"{case}.nii.gz", f"{case}_0000.nii.gz"))
    project.make_plan()
    assert sorted(decoded) == files
    project.preprocess()
    assert sorted(decoded) == sorted(2 * files)
    project.preprocess()
    assert len(decoded) == 2 * len(files)


def test_several_datasets_are_done_in_one_go(project):
    shutil.copytree(project.folder, project.workspace.raw_data / "E")
    datasets = [project.dataset, find_dataset(project.workspace.raw_data, "E")]
    machine = Machine(cores=1, physical_cores=1, memory_gb=None)
    planned = make_plan("tiny", datasets, inspect_datasets(datasets), machine)
    save_planned(project.workspace, "plan", planned)
    change_image(project)
    failures = preprocess_datasets(project.workspace, planned.plan, datasets)
    assert [(failure.dataset, failure.case) for failure in failures] == [("D", "b")]
    cached = sorted(path.parent.name for path in project.workspace.preprocessed.rglob("case.json"))
    assert cached == ["a", "a", "b", "c", "c"]


def test_only_the_case_whose_file_changed_is_done_again(project):
    project.preprocess()
    before, old = stamps(project), project.arrays("a")[0]
    write(project.folder / "imagesTr" / "a_0000.nii.gz", make_arrays("z")[0], "LPS")
    project.make_plan()
    project.preprocess()
    assert [name for name in "abc" if stamps(project)[name] != before[name]] == ["a"]
    assert (project.arrays("a")[0] != old).any()


def test_a_missing_or_damaged_case_is_done_again(project):
    project.preprocess()
    before = stamps(project)
    shutil.rmtree(project.case_folder("a"))
    (project.case_folder("b") / "case.json").write_text("{")
    assert project.preprocess() == []
    assert [name for name in "abc" if stamps(project)[name] != before[name]] == ["a", "b"]


def test_another_recipe_has_another_cache(project):
    project.preprocess()
    first = project.case_folder("a")
    project.make_plan("preprocess.window_hu=[-100, 100]")
    project.preprocess()
    assert project.case_folder("a") != first
    assert first.is_dir()
    assert project.arrays("a")[0].max() <= 100


def test_jobs_do_not_change_the_cache(tmp_path):
    one, two = Project(tmp_path / "one"), Project(tmp_path / "two")
    assert one.preprocess(jobs=1) == two.preprocess(jobs=2) == []
    for name in "abc":
        files = [sorted(project.case_folder(name).iterdir()) for project in (one, two)]
        for first, second in zip(*files, strict=True):
            assert first.name == second.name
            assert first.read_bytes() == second.read_bytes()


def break_image(project):
    path = project.folder / "imagesTr" / "b_0000.nii.gz"
    path.write_bytes(path.read_bytes()[:500])


def change_image(project):
    write(project.folder / "imagesTr" / "b_0000.nii.gz", make_arrays("y")[0], "LPS")


def change_label(project):
    write(project.folder / "labelsTr" / "b.nii.gz", make_arrays("b")[1][::-1].copy(), "LPS")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (break_image, "b_0000.nii.gz: "),
        (change_image, "b_0000.nii.gz: the file changed after it was planned"),
        (change_label, "b.nii.gz: the file changed after it was planned"),
        (lambda project: (project.folder / "labelsTr" / "b.nii.gz").unlink(), "no such file"),
    ],
)
def test_a_failed_case_is_named_with_its_cause_and_the_others_are_done(project, spoil, message):
    spoil(project)
    (failure,) = project.preprocess()
    assert (failure.severity, failure.dataset, failure.case) == ("error", "D", "b")
    assert message in failure.message
    assert [project.case_folder(name).is_dir() for name in "abc"] == [True, False, True]


def die_at_b(task):
    """Be killed in the middle of a case, as by the system when memory runs out."""
    if task.case.id == "b":
        os.kill(os.getpid(), signal.SIGKILL)
    return preprocess_case(task)


def test_a_killed_worker_names_its_case_and_the_others_are_done(project, monkeypatch):
    monkeypatch.setattr(preprocess, "preprocess_case", die_at_b)
    (failure,) = project.preprocess(jobs=2)
    assert (failure.dataset, failure.case) == ("D", "b")
    assert (
        "D, b: the worker process died twice, the second time alone: it was killed by SIGKILL"
        in failure.message
    )
    assert [project.case_folder(name).is_dir() for name in "abc"] == [True, False, True]
    monkeypatch.undo()
    assert project.preprocess() == []


def test_a_cached_case_whose_file_changed_since_is_not_passed_over(project):
    project.preprocess()
    change_image(project)
    (failure,) = project.preprocess()
    assert "the file changed after it was planned" in failure.message


def test_cached_cases_whose_files_are_gone_or_forbidden_are_named_together(project, monkeypatch):
    project.preprocess()

    def refuse(case):
        raise DataError("half of its slices are missing") if case.id == "a" else PermissionError("no")

    monkeypatch.setattr(preprocess, "image_sha256", refuse)
    (project.folder / "imagesTr" / "b_0000.nii.gz").unlink()
    (failure,) = project.preprocess()
    assert (failure.case, "no such file" in failure.message) == ("b", True)


def test_a_case_said_to_be_of_another_patient_is_cached_again(project):
    project.preprocess()
    before = stamps(project)
    first, *others = project.dataset.cases
    cases = (first.model_copy(update={"patient": "somebody"}), *others)
    dataset = project.dataset.model_copy(update={"cases": cases})
    assert preprocess_datasets(project.workspace, project.plan, [dataset]) == []
    assert project.case("a").record.patient == "somebody"
    assert [name for name in "abc" if stamps(project)[name] != before[name]] == ["a"]


def test_a_planned_case_that_vanished_is_named(project):
    for path in (project.folder / "imagesTr" / "b_0000.nii.gz", project.folder / "labelsTr" / "b.nii.gz"):
        path.unlink()
    (failure,) = project.preprocess()
    assert failure.case == "b"
    assert "in the plan but no longer in raw_data" in failure.message


def test_a_label_that_is_not_declared_is_refused(project):
    write(project.folder / "labelsTr" / "b.nii.gz", make_arrays("b")[1] * 3, "LPS")
    project.make_plan()
    (failure,) = project.preprocess()
    assert "label 6 is not in dataset.json, which has 0 to 2" in failure.message


def test_shapes_that_differ_are_refused(project):
    write(project.folder / "labelsTr" / "b.nii.gz", make_arrays("b")[1][1:].copy(), "LPS")
    project.make_plan()
    (failure,) = project.preprocess()
    assert "the label map has shape (16, 24, 11) in RAS order, its image (16, 24, 12)" in failure.message


def test_a_fingerprint_that_is_not_the_plans_is_refused(project):
    found = inspect_datasets([project.dataset])
    other = make_plan(
        "tiny", [project.dataset], found[:2], Machine(cores=1, physical_cores=1, memory_gb=None)
    )
    write_text(project.workspace.fingerprint("D"), other.fingerprints[0].to_json())
    with pytest.raises(PlanError, match=r"fingerprints/D\.json: the file changed after the plan was made"):
        project.preprocess()


def test_a_case_without_any_label_has_no_boundary(project):
    write(project.folder / "labelsTr" / "b.nii.gz", np.zeros((12, 24, 16), np.uint8), "LPS")
    project.make_plan()
    assert project.preprocess() == []
    assert (project.arrays("b")[2] == 0).all()
    assert project.case("b").foreground == {}


def test_what_is_cached_under_the_plan_is_known_without_reading_the_files(project):
    assert cached_cases(project.workspace, project.plan, [project.dataset]) == frozenset()
    project.preprocess()
    shutil.rmtree(project.case_folder("b"))
    (project.folder / "imagesTr" / "a_0000.nii.gz").write_bytes(b"")
    cached = cached_cases(project.workspace, project.plan, [project.dataset])
    assert cached == {("D", "a"), ("D", "c")}


def test_a_finer_step_is_cached_as_more_levels(project):
    project.preprocess()
    whole = project.arrays("a")[0]
    project.make_plan("preprocess.intensity_step=0.125")
    project.preprocess()
    eighths = project.arrays("a")[0]
    np.testing.assert_allclose(eighths / 8, whole, rtol=0, atol=0.5)
    assert len(np.unique(eighths)) > 4 * len(np.unique(whole))
