"""All stages on scans that no clinic would send: of air, of one voxel's thickness, of 0.3 to 10 mm."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from raw_arrays import HardCase, air, labels_with, tissue, write_hard_dataset

import mixcl_auto
from mixcl_auto.io.case_cache import open_case
from mixcl_auto.io.images import read_image, read_labels
from mixcl_auto.io.plans import read_plan, read_split
from mixcl_auto.io.runs import read_finetune_run
from mixcl_auto.io.scores import read_scores
from mixcl_auto.io.workspace import FinetuneFolder, Workspace
from mixcl_auto.records.record import content_hash

GRID_MM = (3.0, 3.0, 3.0)
FRACTION = 0.25
EDITS = (
    "network.feature_size=4",
    "network.hidden_size=24",
    "network.mlp_size=48",
    "network.heads=2",
    "pretrain.iterations=2",
    "pretrain.batch_size=1",
    "pretrain.voxels_per_class=4",
    "pretrain.gradient_every=2",
    "pretrain.threads=1",
    "pretrain.workers=0",
    "finetune.iterations=2",
    "finetune.threads=1",
    "finetune.workers=0",
    f"experiment.fractions=[{FRACTION},1.0]",
    'experiment.inits=["scratch","mixcl","supervised"]',
)
EVERYWHERE = (slice(None),) * 3


def cases_of_the_target() -> dict[str, HardCase]:
    """Organ 1 in most of them; organ 2 in two, each time as one voxel."""

    def scan(
        seed: int,
        shape: tuple[int, int, int],
        spacing_mm: tuple[float, float, float],
        voxels: dict[int, tuple[slice | int, ...]],
        orientation: str = "LPS",
    ) -> HardCase:
        labels = labels_with(shape, voxels)
        return HardCase(tissue(labels, seed), labels, spacing_mm, orientation)

    middle = slice(10, 40)
    labels_in_air = labels_with((20, 20, 20), {1: (19, 0, 19)})
    return {
        "air": HardCase(air(labels_in_air.shape, 9), labels_in_air, GRID_MM),
        "coarse": scan(1, (12, 11, 9), (10.0, 10.0, 10.0), {1: (0, 0, 0), 2: (11, 10, 8)}),
        "fine": scan(2, (30, 30, 30), (0.3, 0.3, 0.3), {1: (middle, middle, middle)}),
        "one_label": scan(3, (20, 20, 20), GRID_MM, {1: EVERYWHERE}),
        "thin_x": scan(4, (1, 40, 36), (2.0, 2.0, 2.0), {1: (0, middle, middle)}),
        "thin_z": scan(5, (60, 60, 1), (0.3, 0.3, 10.0), {1: (middle, middle, 0)}, "PIR"),
        "two_voxels": scan(6, (2, 1, 1), (10.0, 10.0, 10.0), {1: (0, 0, 0)}),
        "unlabelled": scan(7, (20, 9, 20), GRID_MM, {}),
        "vanishing": scan(8, (60, 60, 4), (0.3, 0.3, 10.0), {1: (middle, middle, 0), 2: (31, 31, 2)}),
    }


def write_raw_data(raw_data: Path) -> None:
    """The target, a pool of one scan of nothing but air, and one of a scan labelled in two corners."""
    write_hard_dataset(raw_data, "Target", "target", ("liver", "duct"), cases_of_the_target())
    labels = labels_with((14, 20, 6))
    only = HardCase(air(labels.shape, 10), labels, GRID_MM)
    write_hard_dataset(raw_data, "Pool_Air", "pretrain", ("liver",), {"only": only})
    corners = labels_with((40, 20, 20), {1: (slice(36, 40), 0, slice(0, 4)), 2: (0, 19, 19)})
    cornered = HardCase(tissue(corners, 11), corners, GRID_MM)
    write_hard_dataset(raw_data, "Pool_Corner", "pretrain", ("spleen", "duct"), {"only": cornered})


def fold_without_duct(workspace: Workspace) -> int:
    """A fold whose fraction of training cases lacks organ 2, which a held-out case or none may have."""
    split = read_split(workspace, read_plan(workspace.plan("plan")).dataset("Target"))
    lacking = [
        fold
        for fold in range(len(split.folds))
        if not {"coarse", "vanishing"} & set(split.training_cases(fold, FRACTION))
    ]
    return lacking[0]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Planned, pre-trained on air by both methods, fine-tuned without one of the two organs."""
    workspace = Workspace(tmp_path_factory.mktemp("hard"))
    write_raw_data(workspace.raw_data)
    done = mixcl_auto.plan_and_preprocess(
        workspace, datasets=["Pool_Air", "Target"], preset="tiny", spacing=GRID_MM, edits=EDITS, jobs=1
    )
    assert done.failures == ()
    for method in ("mixcl", "supervised"):
        mixcl_auto.pretrain(workspace, method=method, device="cpu")
    for init in ("scratch", "mixcl"):
        mixcl_auto.finetune(
            workspace, fold=fold_without_duct(workspace), fraction=FRACTION, init=init, device="cpu"
        )
    return workspace


def run_of(workspace: Workspace, init: str) -> FinetuneFolder:
    return workspace.finetune("plan", "Target", init, FRACTION, fold_without_duct(workspace), 0)


def log_of(path: Path) -> list[dict[str, float | None]]:
    """The rows of a log; a value that is not there is absent."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{name: float(value) if value else None for name, value in row.items()} for row in rows]


def test_the_planned_patch_suits_pre_training_whatever_the_size_of_the_scans(project: Workspace) -> None:
    plan = read_plan(project.plan("plan"))
    assert sorted(plan.network.patch_size) == [16, 16, 32]


def test_scans_are_cached_on_the_rounded_grid_with_at_least_one_voxel(project: Workspace) -> None:
    plan = read_plan(project.plan("plan"))
    for name, case in cases_of_the_target().items():
        cached = open_case(project.cached_case("Target", content_hash(plan.preprocess), name))
        sizes = zip(case.labels.shape, case.spacing_mm, GRID_MM, strict=True)
        assert cached.shape == tuple(max(1, round(n * s / t)) for n, s, t in sizes)
        labels = cached.labels((0, 0, 0), cached.shape)
        assert set(np.unique(labels)) <= set(np.unique(case.labels))
        assert set(cached.foreground) == set(np.unique(labels)) - {0}


def test_what_a_user_has_to_know_is_among_the_plans_warnings(project: Workspace) -> None:
    text = "\n".join(read_plan(project.plan("plan")).warnings)
    for expected in (
        "Pool_Air: no case has a labelled voxel, so it plays no part in the label loss",
        "Pool_Air, case only: values reach from -1020 to -981, but 99.5 % are below -200 HU: hardly",
        "Pool_Air: liver (1) is labelled in no case",
        "Target: duct has less than one voxel at 3 x 3 x 3 mm in 1 of 2 cases (vanishing) and may be lost",
        f"Target, fold {fold_without_duct(project)}, fraction {FRACTION:g}: no training case has duct",
        "Target, case thin_x: the scan has 1 x 40 x 36 voxels: hardly a volume",
        "Target, case unlabelled: nothing is labelled",
        "Target, case air: values reach from",
        "mm: implausible; check the spacing in the header",
    ):
        assert expected in text


@pytest.mark.parametrize("method", ["mixcl", "supervised"])
def test_a_pool_of_one_scan_of_air_is_pre_trained_on_with_finite_values(
    project: Workspace, method: str
) -> None:
    folder = project.pretrain("plan", method)
    assert folder.encoder.is_file()
    rows = log_of(folder.log)
    assert len(rows) == 2
    assert all(math.isfinite(value) for row in rows for value in row.values() if value is not None)
    if method == "mixcl":
        skipped = [f"label_skipped_level_{level}" for level in range(5)]
        assert [(row["label"], row["label_chance"]) for row in rows] == [(0, None)] * 2
        assert [[row[name] for name in skipped] for row in rows] == [[None, 1, 1, 1, None]] * 2


def test_runs_without_an_organ_to_learn_from_are_scored_by_the_rule_for_absent_organs(
    project: Workspace,
) -> None:
    for init in ("scratch", "mixcl"):
        folder = run_of(project, init)
        run = read_finetune_run(folder)
        assert run.status == "finished"
        assert all(math.isfinite(row["loss"]) for row in log_of(folder.log))
        scores = read_scores(folder.scores)
        assert {score.case for score in scores} == set(run.held_out_cases)
        for score in scores:
            total = score.reference_voxels + score.prediction_voxels
            assert (score.dice is None) == (score.hd95_mm is None) == (total == 0)
            if total and not (score.reference_voxels and score.prediction_voxels):
                assert (score.dice, score.surface_dice) == (0, 0)


def test_predictions_have_the_grid_of_each_scan(project: Workspace, tmp_path: Path) -> None:
    written = mixcl_auto.predict(
        project.raw_data / "Target" / "imagesTr",
        tmp_path,
        project,
        folds=[fold_without_duct(project)],
        fraction=FRACTION,
        device="cpu",
        probabilities=True,
        preview=True,
        statistics=True,
    )
    assert [path.name.removesuffix(".nii.gz") for path in written] == sorted(cases_of_the_target())
    for path in written:
        scan = read_image(project.raw_data / "Target" / "imagesTr" / path.name.replace(".nii", "_0000.nii"))
        labels = read_labels(path)
        assert labels.geometry.size == scan.geometry.size
        assert labels.geometry.orientation == scan.geometry.orientation
        np.testing.assert_allclose(labels.geometry.spacing_mm, scan.geometry.spacing_mm, rtol=1e-6)
        np.testing.assert_allclose(labels.geometry.origin_mm, scan.geometry.origin_mm, atol=1e-3)
        assert set(np.unique(labels.array)) <= {0, 1, 2}


def test_the_report_shows_such_runs_and_counts_what_is_missing(project: Workspace) -> None:
    folder = mixcl_auto.report(project)
    page = folder.page.read_text(encoding="utf-8")
    assert "could not be drawn" not in page
    assert "expected runs are missing" in page
    assert "nan" not in folder.table("table1", "md").read_text(encoding="utf-8").lower()


def test_a_pool_labelled_in_corners_alone_takes_part_in_the_label_loss(project: Workspace) -> None:
    done = mixcl_auto.plan_and_preprocess(
        project,
        datasets=["Pool_Corner"],
        preset="tiny",
        name="corner",
        spacing=GRID_MM,
        edits=[*EDITS, "pretrain.foreground_fraction=1.0", "pretrain.iterations=4"],
        jobs=1,
    )
    assert done.failures == ()
    for method in ("mixcl", "supervised"):
        mixcl_auto.pretrain(project, plan="corner", method=method, device="cpu")
    rows = log_of(project.pretrain("corner", "mixcl").log)
    assert {row["label_skipped_level_1"] for row in rows} == {0, 1}
    for row in rows:
        skipped = [row[f"label_skipped_level_{level}"] for level in (1, 2, 3)]
        assert (row["label"] > 0) == (min(skipped) == 0)
    assert all(math.isfinite(value) for row in rows for value in row.values() if value is not None)
