"""All stages on tiny phantoms, through the public functions."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from processes import held_elsewhere

import mixcl_auto
from mixcl_auto.errors import PlanError, RunError
from mixcl_auto.io.images import read_image, read_labels
from mixcl_auto.io.plans import read_plan
from mixcl_auto.io.runs import read_finetune_run
from mixcl_auto.io.workspace import Workspace


@pytest.fixture(scope="module")
def project(planned_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Pre-trained, and fine-tuned from scratch and from the encoder."""
    import shutil

    root = tmp_path_factory.mktemp("project") / "workspace"
    shutil.copytree(planned_workspace.root, root, symlinks=True)
    mixcl_auto.pretrain(root, device="cpu")
    for init in ("scratch", "mixcl"):
        mixcl_auto.finetune(root, fold=0, fraction=0.25, init=init, device="cpu")
    return Workspace(root)


def test_every_stage_leaves_its_files(project: Workspace) -> None:
    folder = project.pretrain("plan", "mixcl")
    assert all(
        path.is_file() for path in (folder.encoder, folder.log, folder.timing, folder.run, folder.plan)
    )
    for init in ("scratch", "mixcl"):
        run = project.finetune("plan", "Target_Abdomen", init, 0.25, 0, 0)
        assert all(path.is_file() for path in (run.weights, run.log, run.scores))
        record = read_finetune_run(run)
        assert record.status == "finished"
        assert all(run.prediction(case).is_file() for case in record.held_out_cases)


def test_both_arms_train_on_the_same_cases_and_are_scored_on_the_same(project: Workspace) -> None:
    scratch, mixcl = (
        read_finetune_run(project.finetune("plan", "Target_Abdomen", init, 0.25, 0, 0))
        for init in ("scratch", "mixcl")
    )
    assert scratch.training_cases == mixcl.training_cases
    assert len(scratch.training_cases) == 1
    assert scratch.held_out_cases == mixcl.held_out_cases
    assert scratch.weights is None
    assert mixcl.weights is not None
    assert mixcl.weights.source == "mixcl"


def test_a_finished_run_is_left_as_it_is_and_summed_up_again(project: Workspace) -> None:
    run = project.finetune("plan", "Target_Abdomen", "mixcl", 0.25, 0, 0)
    before = run.weights.stat().st_mtime_ns, run.scores.stat().st_mtime_ns
    summary = mixcl_auto.finetune(project, fold=0, fraction=0.25, device="cpu")
    assert (run.weights.stat().st_mtime_ns, run.scores.stat().st_mtime_ns) == before
    assert list(summary.dice_per_organ) == ["spleen", "liver", "aorta"]
    assert summary.cases == 1


@pytest.mark.parametrize(
    ("edits", "told"),
    [
        ([], False),
        (["finetune.seed=0", "finetune.workers=0"], False),
        (["finetune.seed=0", "finetune.learning_rate=0.5"], True),
    ],
)
def test_a_run_that_reports_would_not_count_is_told_at_once(
    project: Workspace, caplog: pytest.LogCaptureFixture, edits: list[str], told: bool
) -> None:
    with pytest.raises(RunError, match="of another plan") if told else nullcontext():
        mixcl_auto.finetune(project, fold=0, fraction=0.25, edits=edits, device="cpu")
    assert ("won't count it" in caplog.text) == told


def test_flips_that_prediction_would_refuse_are_refused_before_training(
    project: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixcl_auto.inference.flips.has_side", lambda organ: organ == "spleen")
    edits = ["inference.flips=x", "finetune.flip_probability=0.5"]
    with pytest.raises(RunError, match="left of right, and Target_Abdomen has spleen"):
        mixcl_auto.finetune(project, fold=0, fraction=0.75, init="scratch", edits=edits, device="cpu")
    assert not project.finetune("plan", "Target_Abdomen", "scratch", 0.75, 0, 0).log.exists()


def test_predictions_have_the_scans_own_grid_and_only_declared_labels(
    project: Workspace, tmp_path: Path
) -> None:
    images = sorted((project.raw_data / "Target_Abdomen" / "imagesTr").iterdir())[:2]
    inputs = tmp_path / "scans"
    inputs.mkdir()
    for image in images:
        (inputs / image.name).symlink_to(image)
    written = mixcl_auto.predict(inputs, tmp_path / "out", project, fraction=0.25, device="cpu")
    assert [path.name for path in written] == [image.name.replace("_0000", "") for image in images]
    for image, label_map in zip(images, written, strict=True):
        scan, labels = read_image(image), read_labels(label_map)
        assert labels.geometry.size == scan.geometry.size
        np.testing.assert_allclose(labels.geometry.direction, scan.geometry.direction, atol=1e-6)
        np.testing.assert_allclose(labels.geometry.origin_mm, scan.geometry.origin_mm, atol=1e-3)
        assert set(np.unique(labels.array)) <= {0, 1, 2, 3}


def test_scoring_a_folder_of_the_runs_predictions_gives_the_runs_scores(
    project: Workspace, tmp_path: Path
) -> None:
    run = project.finetune("plan", "Target_Abdomen", "mixcl", 0.25, 0, 0)
    cases = read_finetune_run(run).held_out_cases
    predictions, references = tmp_path / "predictions", tmp_path / "references"
    predictions.mkdir()
    references.mkdir()
    for case in cases:
        (predictions / f"{case}.nii.gz").symlink_to(run.prediction(case))
        (references / f"{case}.nii.gz").symlink_to(
            project.raw_data / "Target_Abdomen" / "labelsTr" / f"{case}.nii.gz"
        )
    scores, path = mixcl_auto.evaluate_folder(predictions, references, project)
    again, _ = mixcl_auto.evaluate_run(project, fraction=0.25)
    assert path == predictions / "scores.csv"
    assert [score.dice for score in scores] == [score.dice for score in again]
    assert [score.surface_dice for score in scores] == [score.surface_dice for score in again]


def test_a_run_that_others_work_on_is_not_scored_meanwhile(project: Workspace) -> None:
    folder = project.finetune("plan", "Target_Abdomen", "mixcl", 0.25, 0, 0)
    with (
        held_elsewhere(folder) as other,
        pytest.raises(RunError, match=f"process {other} on .* has been working on this run"),
    ):
        mixcl_auto.evaluate_run(project, fraction=0.25)


def test_report_has_a_page_and_says_what_is_missing(project: Workspace) -> None:
    folder = mixcl_auto.report(project)
    assert "Target_Abdomen" in folder.page.read_text()
    table = folder.table("table1", "md").read_text()
    assert "missing" in table


def test_an_unknown_run_is_refused_with_those_that_exist(project: Workspace, tmp_path: Path) -> None:
    scan = next((project.raw_data / "Target_Abdomen" / "imagesTr").iterdir())
    with pytest.raises(
        RunError, match=r"no fine-tuning of Target_Abdomen, mixcl, fraction_1, fold 0, seed 0"
    ):
        mixcl_auto.predict(scan, tmp_path, project)
    with pytest.raises(RunError, match=r"mixcl/fraction_0.25/fold_0/seed_0"):
        mixcl_auto.predict(scan, tmp_path, project, fraction=0.25, seed=3)


def test_a_run_without_pre_training_offers_scratch(fresh_planned_workspace: Workspace) -> None:
    with pytest.raises(RunError, match="scratch"):
        mixcl_auto.finetune(fresh_planned_workspace, device="cpu")


@pytest.mark.parametrize("name", ["scratch", "scratch-2", "", "../up", ".hidden", "a b", "x.pt"])
def test_names_that_init_could_not_mean_are_refused(planned_workspace: Workspace, name: str) -> None:
    with pytest.raises(RunError, match="can't be called"):
        mixcl_auto.pretrain(planned_workspace, name=name)


def test_leaving_out_all_terms_is_refused(planned_workspace: Workspace) -> None:
    with pytest.raises(RunError, match="leave at least one"):
        mixcl_auto.pretrain(planned_workspace, without=["identity", "label", "reconstruction"])


def test_an_ablation_is_written_into_its_runs_plan(fresh_planned_workspace: Workspace) -> None:
    folder = mixcl_auto.pretrain(
        fresh_planned_workspace,
        name="no_identity",
        without=["identity"],
        edits=["pretrain.iterations=1"],
        device="cpu",
    )
    used = read_plan(folder.plan).pretrain
    assert used.without == ("identity",)
    assert used.iterations == 1
    assert read_plan(fresh_planned_workspace.plan("plan")).pretrain.without == ()


def test_a_pool_dataset_is_no_target(planned_workspace: Workspace) -> None:
    with pytest.raises(PlanError, match="Pool_Liver has the role pretrain, not target"):
        mixcl_auto.finetune(planned_workspace, dataset="Pool_Liver", init="scratch")
