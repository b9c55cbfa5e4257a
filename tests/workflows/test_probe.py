"""Probes on a cache of balls: from a plan and its pre-trainings to results that can be kept."""

import shutil
from pathlib import Path

import pytest
import torch
from cached_phantoms import TARGET, edited, make_workspace

from mixcl_auto.errors import PlanError, RunError, WeightsError
from mixcl_auto.io.plans import write_plan
from mixcl_auto.io.probes import read_probe
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.pretraining.pretrain import pretrain
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.probe import ProbeResult
from mixcl_auto.training.networks import build_network
from mixcl_auto.workflows.probe import probe

Cached = tuple[Workspace, Plan]


def run(cached: Cached, *inits: str | Path, patches: int = 1, fold: int = 0) -> tuple[ProbeResult, ...]:
    return probe(cached[0], inits=inits, patches=patches, fold=fold, device="cpu")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Cached:
    """A workspace with a probed pre-training, and another that is not finished; copy it to write to it."""
    workspace, plan = make_workspace(tmp_path_factory.mktemp("probe") / "workspace")
    write_plan(workspace.plan("plan"), plan)
    pretrain(workspace, plan, "plan", device="cpu")
    supervised = edited(plan, "pretrain", method="supervised")
    pretrain(workspace, supervised, "plan", device="cpu", stop_after=1)
    run((workspace, plan))
    return workspace, plan


@pytest.fixture
def cached(pretrained: Cached, tmp_path: Path) -> Cached:
    shutil.copytree(pretrained[0].root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace"), pretrained[1]


def random_encoder(plan: Plan, seed: int, path: Path) -> Path:
    network = initialise(lambda: build_network(plan.network, out_channels=1), seed)
    torch.save(network.encoder_state_dict(), path)
    return path


def test_random_weights_and_every_finished_pretraining_are_probed_at_every_level(cached: Cached) -> None:
    results = run(cached)
    assert [result.init for result in results] == ["untrained", "mixcl"]
    for result in results:
        assert [level.level for level in result.levels] == [0, 1, 2, 3, 4]
        assert [one.name for one in result.level(0).classes] == ["background", "spleen", "liver", "aorta"]
        assert (len(result.training_cases), len(result.held_out_cases)) == (4, 1)
        assert result.level(4).training_voxels > 0
    # The balls differ in their HU, which the convolutions of level 0 see whatever their weights.
    assert all((result.level(0).balanced_accuracy or 0) > 0.4 for result in results)


def test_all_encoders_are_tested_on_the_same_voxels(cached: Cached) -> None:
    untrained, mixcl = run(cached)
    for one, other in zip(untrained.levels, mixcl.levels, strict=True):
        assert [kind.held_out_voxels for kind in one.classes] == [
            kind.held_out_voxels for kind in other.classes
        ]
    assert untrained.levels != mixcl.levels


def test_results_are_kept_and_read_back(cached: Cached) -> None:
    results = run(cached)
    for result in results:
        path = cached[0].probe("plan", TARGET, 0, result.init)
        assert read_probe(path) == result
    assert cached[0].probes("plan") == [cached[0].probe("plan", TARGET, 0, i) for i in ("mixcl", "untrained")]
    shutil.rmtree(cached[0].preprocessed)
    assert run(cached) == results


def test_a_repeated_measurement_is_the_same_to_the_bit(cached: Cached) -> None:
    before = run(cached)
    shutil.rmtree(cached[0].plan_results("plan") / "probe")
    assert run(cached) == before


def test_other_settings_weights_or_plans_are_measured_anew(cached: Cached, tmp_path: Path) -> None:
    workspace, plan = cached
    file = random_encoder(plan, 1, tmp_path / "lab.pt")
    untrained, one = run(cached, file)
    assert one.weights_sha256 is not None
    assert untrained.weights_sha256 is None
    _, more = run(cached, file, patches=2)
    assert more.training_patches > one.training_patches
    random_encoder(plan, 2, file)
    _, other = run(cached, file)
    assert other.levels != one.levels
    write_plan(workspace.plan("plan"), edited(plan, "pretrain", seed=3))
    assert run(cached, file)[0].levels != untrained.levels


def test_a_plan_edited_where_no_figure_depends_on_it_keeps_its_results(cached: Cached) -> None:
    workspace, plan = cached
    before = run(cached)
    write_plan(workspace.plan("plan"), edited(plan, "finetune", iterations=99))
    shutil.rmtree(workspace.preprocessed)
    assert run(cached) == before


def test_random_weights_in_a_file_are_the_untrained_ones(cached: Cached, tmp_path: Path) -> None:
    file = random_encoder(cached[1], cached[1].pretrain.seed, tmp_path / "same.pt")
    untrained, same = run(cached, file)
    assert same.levels == untrained.levels


def test_a_damaged_result_is_measured_again_and_that_is_said(
    cached: Cached, caplog: pytest.LogCaptureFixture
) -> None:
    before = run(cached)
    path = cached[0].probe("plan", TARGET, 0, "mixcl")
    path.write_text(path.read_text()[:100])
    assert run(cached) == before
    assert "it is measured again" in caplog.text


def test_another_fold_has_other_cases(cached: Cached) -> None:
    assert run(cached)[0].held_out_cases != run(cached, fold=1)[0].held_out_cases
    with pytest.raises(PlanError, match="has folds 0 to 1; got fold 7"):
        run(cached, fold=7)


def test_what_is_not_there_is_refused_before_anything_is_measured(cached: Cached, tmp_path: Path) -> None:
    workspace, plan = cached
    shutil.rmtree(workspace.plan_results("plan") / "probe")
    with pytest.raises(RunError, match=r"has no pre-training 'nope' \(there: mixcl, supervised\)"):
        run(cached, "mixcl", "nope")
    with pytest.raises(RunError, match="the pre-training is not finished"):
        run(cached, "supervised")
    with pytest.raises(RunError, match="no such weights file"):
        run(cached, tmp_path / "nope.pt")
    with pytest.raises(RunError, match="taken for that of random weights"):
        run(cached, random_encoder(plan, 1, tmp_path / "untrained.pt"))
    with pytest.raises(RunError, match="patches must be at least 1, got 0"):
        run(cached, patches=0)
    assert workspace.probes("plan") == []


def test_two_files_of_one_name_are_refused(cached: Cached, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    files = [tmp_path / "lab.pt", tmp_path / "other" / "lab.pt"]
    for seed, file in enumerate(files):
        random_encoder(cached[1], seed, file)
    with pytest.raises(RunError, match="'lab' names other weights too"):
        run(cached, *files)


def test_without_any_pretraining_the_command_for_one_is_given(cached: Cached) -> None:
    shutil.rmtree(cached[0].plan_results("plan") / "pretrain")
    with pytest.raises(RunError, match=r"no pre-training 'mixcl' \(there: none\); run `mixcl_auto pretrain"):
        run(cached)


def test_a_pretraining_kept_without_its_encoder_is_left_out_and_that_is_said(
    cached: Cached, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    cached[0].pretrain("plan", "mixcl").encoder.unlink()
    with pytest.raises(RunError, match=r"holds no encoder\.safetensors"):
        run(cached)
    assert "it is not probed" in caplog.text


def test_weights_of_another_network_and_a_missing_cache_are_refused(cached: Cached, tmp_path: Path) -> None:
    workspace, plan = cached
    larger = plan.network.model_copy(update={"feature_size": 8})
    network = build_network(larger, out_channels=1)
    torch.save(network.encoder_state_dict(), tmp_path / "larger.pt")
    with pytest.raises(WeightsError, match="do not fit this encoder"):
        run(cached, tmp_path / "larger.pt")
    shutil.rmtree(workspace.preprocessed)
    with pytest.raises(RunError, match="are not in the cache"):
        run(cached, random_encoder(plan, 4, tmp_path / "lab.pt"))
