import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from cached_phantoms import TARGET, edited, make_split

from mixcl_auto.errors import PlanError, RunError
from mixcl_auto.finetuning.finetune import finetune
from mixcl_auto.finetuning.initial_weights import find_init, start_network
from mixcl_auto.io.checkpoints import load_weights, weights_metadata
from mixcl_auto.io.runs import mark_finished, read_finetune_run
from mixcl_auto.io.workspace import FinetuneFolder, Workspace
from mixcl_auto.pretraining.encoder_file import write_encoder
from mixcl_auto.pretraining.pretrain import pretrain
from mixcl_auto.records.plan import Plan
from mixcl_auto.training.cases import count_label_voxels, open_cases
from mixcl_auto.training.loop import Job
from mixcl_auto.training.networks import build_network
from mixcl_auto.training.samples import SampleDataset

Cached = tuple[Workspace, Plan]


def run(
    cached: Cached, *, init: str = "scratch", plan_name: str = "plan", **options: object
) -> FinetuneFolder:
    workspace, plan = cached
    settings = {"dataset": TARGET, "fold": 0, "fraction": 0.5, "device": "cpu"} | options
    return finetune(workspace, plan, plan_name, init=init, **settings)


def read_log(folder: FinetuneFolder) -> list[dict[str, str]]:
    with folder.log.open() as file:
        return list(csv.DictReader(file))


def assert_same_result(first: FinetuneFolder, second: FinetuneFolder) -> None:
    assert first.log.read_bytes() == second.log.read_bytes()
    one, two = load_weights(first.weights), load_weights(second.weights)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def scratch(shared_cache: Cached) -> FinetuneFolder:
    """One trained run that several tests look at."""
    return run(shared_cache)


def test_trained_run_leaves_its_record_and_weights(shared_cache: Cached, scratch: FinetuneFolder) -> None:
    workspace, plan = shared_cache
    assert scratch == workspace.finetune("plan", TARGET, "scratch", 0.5, 0, 0)
    record = read_finetune_run(scratch)
    assert (record.status, record.init, record.weights, record.iterations) == ("trained", "scratch", None, 5)
    # Half of four cases, in the order of the split, which holds out the first.
    assert record.training_cases == ("abdomen_1", "abdomen_2")
    assert record.held_out_cases == ("abdomen_0",)
    assert record.plan == plan
    network = build_network(plan.network, out_channels=4)
    network.load_state_dict(load_weights(scratch.weights), strict=True)
    assert weights_metadata(scratch.weights)["dataset"] == TARGET


def test_log_adds_up(scratch: FinetuneFolder) -> None:
    rows = read_log(scratch)
    columns = ["step", "learning_rate", "loss", "dice_loss", "cross_entropy", "gradient_norm"]
    assert list(rows[0]) == columns
    assert len(rows) == 5
    for row in rows:
        parts = float(row["dice_loss"]) + float(row["cross_entropy"])
        assert float(row["loss"]) == pytest.approx(parts, rel=1e-6)


def test_held_out_and_unused_cases_are_never_opened(cached: Cached, scratch: FinetuneFolder) -> None:
    workspace, _ = cached
    for case in ("abdomen_0", "abdomen_3", "abdomen_4"):
        for file in next(workspace.preprocessed.glob(f"{TARGET}/*/{case}")).iterdir():
            if file.name != "case.json":  # that a held-out case is there is seen before hours of training
                file.write_bytes(bytes(100))
    assert_same_result(scratch, run(cached))


@pytest.mark.parametrize("workers", [1, 2])
def test_result_does_not_depend_on_workers(cached: Cached, scratch: FinetuneFolder, workers: int) -> None:
    workspace, plan = cached
    assert_same_result(scratch, run((workspace, edited(plan, "finetune", workers=workers))))


def test_stopped_and_resumed_run_equals_the_uninterrupted_one(
    cached: Cached, scratch: FinetuneFolder
) -> None:
    folder = run(cached, stop_at=2)
    assert read_finetune_run(folder).status == "running"
    assert not folder.weights.exists()
    assert_same_result(scratch, run(cached))


def test_both_arms_see_the_same_batches_and_differ_in_the_encoder_alone(cached: Cached) -> None:
    workspace, plan = cached
    pretrain(workspace, edited(plan, "pretrain", iterations=1), "plan", device="cpu")
    # With a rate of almost nothing the weights stay what they were at the start.
    still = (workspace, edited(plan, "finetune", learning_rate=1e-30, weight_decay=0.0, iterations=2))
    first, second = run(still), run(still, init="mixcl")
    network = build_network(plan.network, out_channels=4)
    one, two = load_weights(first.weights), load_weights(second.weights)
    differing = {name for name in one if not torch.equal(one[name], two[name])}
    assert differing
    assert all(network.is_encoder_key(name) for name in differing)
    encoder = load_weights(workspace.pretrain("plan", "mixcl").encoder)
    assert all(torch.equal(two[name], encoder[name]) for name in encoder)
    losses = [[row["loss"] for row in read_log(folder)] for folder in (first, second)]
    assert losses[0] != losses[1]
    record = read_finetune_run(second)
    assert record.weights is not None
    assert set(record.weights.loaded) == set(encoder)
    assert record.training_cases == read_finetune_run(first).training_cases


def test_batches_do_not_depend_on_the_initial_weights(
    cached: Cached, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, plan = cached
    file = workspace.root / "lab.pt"
    torch.save(build_network(plan.network, out_channels=1).encoder_state_dict(), file)
    jobs: list[Job] = []
    monkeypatch.setattr(
        "mixcl_auto.finetuning.finetune.train", lambda job, state, **options: bool(jobs.append(job))
    )
    for init in ("scratch", "scratch-2", str(file)):
        run(cached, init=init)
    drawn = []
    for job in jobs:
        dataset = SampleDataset(job.source, seed=job.trainer.seed, batch_size=job.trainer.batch_size)
        drawn.append([dataset[number] for number in range(4)])
    for others in drawn[1:]:
        for one, two in zip(drawn[0], others, strict=True):
            assert one.cases == two.cases
            assert all(np.array_equal(one.arrays[name], two.arrays[name]) for name in one.arrays)
    assert not np.array_equal(drawn[0][0].arrays["image"], drawn[0][1].arrays["image"])


@pytest.mark.parametrize("hand_on", [True, False])
def test_slow_random_weights_learn_as_the_same_weights_from_a_file(cached: Cached, hand_on: bool) -> None:
    workspace, plan = cached
    plan = edited(plan, "pretrain", hand_on_level_0=hand_on)
    slow = (workspace, edited(plan, "finetune", iterations=2, transferred_rate=0.1))
    init = find_init(workspace, "plan", "scratch")
    labels = slow[1].dataset(TARGET).class_count
    network, _ = start_network(slow[1], init, fold=0, class_count=labels, label_voxels=[1] * labels)
    file = workspace.root / "drawn.safetensors"
    write_encoder(file, network, slow[1], name="drawn")
    folders = [run(slow, init=init) for init in ("scratch", "scratch-slow", str(file))]
    scratch, as_slow, from_file = (load_weights(folder.weights) for folder in folders)
    assert all(torch.equal(as_slow[name], from_file[name]) for name in as_slow)
    assert any(not torch.equal(as_slow[name], scratch[name]) for name in as_slow)
    loaded = read_finetune_run(folders[2]).weights
    assert loaded is not None
    assert set(loaded.ignored) == (set() if hand_on else network.own_tensors(0))
    assert read_finetune_run(folders[1]).weights is None


def test_trained_and_finished_runs_are_left_as_they_are(cached: Cached) -> None:
    workspace, plan = cached
    short = (workspace, edited(plan, "finetune", iterations=1))
    folder = run(short)
    before = folder.log.stat().st_mtime_ns
    assert run(short) == folder
    mark_finished(folder)
    folder.scores.touch()
    folder.weights.unlink()
    workspace.preprocessed.rename(workspace.root / "elsewhere")
    assert run((workspace, edited(short[1], "finetune", workers=1))) == folder
    assert folder.log.stat().st_mtime_ns == before
    assert read_finetune_run(folder).status == "finished"


def test_lost_weights_are_written_again_from_the_checkpoint_and_else_asked_for(cached: Cached) -> None:
    workspace, plan = cached
    short = (workspace, edited(plan, "finetune", iterations=1))
    folder = run(short)
    before = folder.weights.read_bytes()
    folder.weights.unlink()
    assert run(short).weights.read_bytes() == before
    folder.weights.unlink()
    folder.checkpoint.unlink()
    with pytest.raises(RunError, match=r"model.safetensors and checkpoint.pt are gone; put one of them"):
        run(short)


def test_held_out_case_without_cache_is_noticed_before_training(cached: Cached) -> None:
    workspace, _ = cached
    (next(workspace.preprocessed.glob(f"{TARGET}/*/abdomen_0")) / "case.json").unlink()
    with pytest.raises(RunError, match=r"1 of 1 cases are not in the cache .*abdomen_0"):
        run(cached)


def test_run_of_another_plan_is_refused_with_the_differing_fields(cached: Cached) -> None:
    workspace, plan = cached
    run(cached, stop_at=1)
    other = edited(plan, "finetune", learning_rate=0.5)
    with pytest.raises(RunError, match=r"finetune\.learning_rate: 0\.001 and 0\.5"):
        run((workspace, other))
    # Its scores are of the windows and the tolerance that they were made with.
    with pytest.raises(RunError, match=r"inference\.overlap: 0\.5 and 0\.75"):
        run((workspace, edited(plan, "inference", overlap=0.75)))
    # The pre-training's section has no effect on a fine-tuning.
    run((workspace, edited(plan, "pretrain", seed=9)))


def test_other_weights_under_the_same_name_are_refused(cached: Cached, tmp_path: Path) -> None:
    workspace, plan = cached
    network = build_network(plan.network, out_channels=1)
    file = tmp_path / "lab.pt"
    torch.save(network.encoder_state_dict(), file)
    short = (workspace, edited(plan, "finetune", iterations=2))
    run(short, init=str(file), stop_at=1)
    torch.save(build_network(plan.network, out_channels=1).encoder_state_dict(), file)
    with pytest.raises(RunError, match="started from other weights of the name 'lab'"):
        run(short, init=str(file))


def test_seed_names_the_folder_and_changes_the_run(cached: Cached, scratch: FinetuneFolder) -> None:
    workspace, plan = cached
    folder = run((workspace, edited(plan, "finetune", seed=4)))
    assert folder.path.name == "seed_4"
    assert folder.log.read_bytes() != scratch.log.read_bytes()


def test_changed_split_is_noticed(cached: Cached) -> None:
    workspace, _ = cached
    path = workspace.split(TARGET)
    split = make_split(TARGET, tuple(f"abdomen_{number}" for number in range(5)))
    path.write_text(split.model_copy(update={"seed": 8}).to_json())
    with pytest.raises(PlanError, match="the file changed after the plan was made"):
        run(cached)


def test_dataset_that_is_no_target_is_refused(shared_cache: Cached) -> None:
    with pytest.raises(PlanError, match="Liver has no folds"):
        run(shared_cache, dataset="Liver")


def test_unknown_fold_and_fraction_are_refused(shared_cache: Cached) -> None:
    with pytest.raises(PlanError, match="folds 0 to 1; got fold 2"):
        run(shared_cache, fold=2)
    with pytest.raises(PlanError, match="fraction must be above 0"):
        run(shared_cache, fraction=5)


def test_label_voxels_are_summed_over_cases(shared_cache: Cached) -> None:
    workspace, plan = shared_cache
    cases = open_cases(workspace, plan, TARGET, ["abdomen_1", "abdomen_2"])
    expected = [sum(case.record.label_voxels.get(label, 0) for case in cases) for label in range(4)]
    assert count_label_voxels(cases, 4) == expected
    assert sum(expected) == 2 * 40 * 44 * 28


def test_label_beyond_the_plan_is_an_error(shared_cache: Cached) -> None:
    workspace, plan = shared_cache
    cases = open_cases(workspace, plan, TARGET, ["abdomen_1"])
    with pytest.raises(
        RunError, match="case abdomen_1: label 3 is in the cache, the plan has labels up to 2"
    ):
        count_label_voxels(cases, 3)


def test_loss_goes_down(cached: Cached) -> None:
    workspace, plan = cached
    longer = edited(plan, "finetune", iterations=25, learning_rate=5e-3)
    losses = [float(row["loss"]) for row in read_log(run((workspace, longer)))]
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])
