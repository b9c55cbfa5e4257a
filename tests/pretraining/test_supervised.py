import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from cached_phantoms import TARGET, edited

from mixcl_auto.errors import PlanError, RunError
from mixcl_auto.finetuning.finetune import finetune
from mixcl_auto.io.checkpoints import load_weights, weights_metadata
from mixcl_auto.io.runs import read_finetune_run, read_pretrain_run
from mixcl_auto.io.workspace import PretrainFolder, Workspace
from mixcl_auto.networks.transfer import load_encoder
from mixcl_auto.pretraining.methods import planned_method
from mixcl_auto.pretraining.pairs import PoolDataset
from mixcl_auto.pretraining.pool import open_pool, pair_source
from mixcl_auto.pretraining.pretrain import pretrain
from mixcl_auto.pretraining.supervised import SupervisedMethod, class_shares
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.plan_edits import edit_plan
from mixcl_auto.training.networks import build_network
from mixcl_auto.training.samples import Batch, SampleDataset, collate
from mixcl_auto.training.state import start_state

Cached = tuple[Workspace, Plan]
CPU = torch.device("cpu")
LIVER, KIDNEY = slice(0, 3), slice(3, 5)
"""The heads' channels: background, liver, tumour; background, kidney."""


@pytest.fixture
def supervised(shared_cache: Cached) -> Cached:
    workspace, plan = shared_cache
    return workspace, edited(plan, "pretrain", method="supervised")


@pytest.fixture(scope="module")
def finished(shared_cache: Cached) -> tuple[Workspace, Plan, PretrainFolder]:
    """One finished run that several tests look at."""
    workspace, plan = shared_cache
    plan = edited(plan, "pretrain", method="supervised")
    return workspace, plan, pretrain(workspace, plan, "plan", device="cpu")


def read_log(folder: PretrainFolder) -> list[dict[str, str]]:
    with folder.log.open() as file:
        return list(csv.DictReader(file))


def batches(workspace: Workspace, plan: Plan, steps: int, seed: int = 0) -> list[Batch]:
    """The first batches of two samples of a run."""
    pool = open_pool(workspace, plan)
    method = planned_method(plan, pool)
    source = pair_source(pool, plan, method.label_grid, with_targets=method.with_targets)
    samples = SampleDataset(source, seed=seed, batch_size=2)
    drawn = [collate([samples[2 * step], samples[2 * step + 1]]) for step in range(steps)]
    assert all(isinstance(batch, Batch) for batch in drawn)
    return [batch for batch in drawn if isinstance(batch, Batch)]


def test_batches_are_those_of_mixcl_bit_for_bit(shared_cache: Cached, supervised: Cached) -> None:
    pairs = zip(batches(*shared_cache, 5), batches(*supervised, 5), strict=True)
    for ours, theirs in pairs:
        for view in ("view_1", "view_1_prime", "view_2"):
            assert torch.equal(ours.tensors[view], theirs.tensors[view])
        assert (ours.cases, ours.numbers) == (theirs.cases, theirs.numbers)
        assert theirs.tensors["labels_1"].shape == (2, 32, 32, 32)
        # Level 1 has half the patch's grid, and takes the lower of two voxels.
        assert torch.equal(theirs.tensors["labels_2"][:, ::2, ::2, ::2], ours.tensors["labels_2"])
        assert not any(name.startswith(("patch", "weights")) for name in theirs.tensors)


def test_labels_belong_to_the_dataset_that_the_sample_names(supervised: Cached) -> None:
    for batch in batches(*supervised, 8):
        for sample, dataset in enumerate(batch.numbers["dataset"]):
            name, classes = [("Liver", 3), ("Kidney", 2)][dataset]
            assert batch.cases[2 * sample].startswith(f"{name}/")
            assert batch.numbers["class_count"][sample] == classes
            assert batch.tensors["labels_1"][sample].max() < classes


def test_encoder_starts_from_the_weights_that_mixcl_starts_from(
    shared_cache: Cached, supervised: Cached
) -> None:
    ours, theirs = (
        planned_method(plan, open_pool(workspace, plan)).backbone.encoder_state_dict()
        for workspace, plan in (shared_cache, supervised)
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_each_head_starts_at_the_frequencies_of_its_dataset(supervised: Cached) -> None:
    workspace, plan = supervised
    pool = open_pool(workspace, plan)
    bias = SupervisedMethod(plan, pool).network.output_bias()
    assert bias.shape == (5,)
    for head, dataset in zip((LIVER, KIDNEY), pool, strict=True):
        voxels = sum(math.prod(case.shape) for case in dataset.cases)
        organ = sum(case.record.label_voxels[1] for case in dataset.cases)
        share = torch.softmax(bias[head], 0)[1].item()
        assert share == pytest.approx((organ + 1) / (voxels + dataset.class_count), rel=1e-4)


def test_shares_without_any_case_are_equal() -> None:
    assert class_shares(PoolDataset("Nothing", 4, ())) == [0.25] * 4


def test_a_head_without_a_sample_has_a_gradient_of_exactly_zero(supervised: Cached) -> None:
    workspace, plan = supervised
    pool = open_pool(workspace, plan)
    method = SupervisedMethod(plan, pool)
    state = start_state(method.network, plan.pretrain, device=CPU, precision="fp32")
    objective = method.objective(state, device=CPU, precision="fp32")
    batch = next(b for b in batches(workspace, plan, 12) if b.numbers["dataset"] == [0, 0])
    loss, _ = objective(batch, measure_gradients=False)
    torch.autograd.backward(loss)
    for parameter in method.network.parameters():
        assert (parameter.grad is not None) == parameter.requires_grad
    gradient = method.network.output_bias().grad
    assert gradient is not None
    assert (gradient[KIDNEY] == 0).all()
    assert (gradient[LIVER] != 0).all()


def test_the_loss_of_a_step_is_that_of_all_three_views(supervised: Cached) -> None:
    workspace, plan = supervised
    method = SupervisedMethod(plan, open_pool(workspace, plan))
    state = start_state(method.network, plan.pretrain, device=CPU, precision="fp32")
    objective = method.objective(state, device=CPU, precision="fp32")
    (batch,) = batches(workspace, plan, 1)
    _, row = objective(batch, measure_gradients=True)
    tensors, cross_entropy = batch.tensors, []
    pairs = (("view_1", "labels_1"), ("view_1_prime", "labels_1"), ("view_2", "labels_2"))
    for sample, dataset in enumerate(batch.numbers["dataset"]):
        for view, labels in pairs:
            logits = method.network(tensors[view][sample : sample + 1])[:, (LIVER, KIDNEY)[dataset]]
            reference = tensors[labels][sample : sample + 1].long()
            cross_entropy.append(torch.nn.functional.cross_entropy(logits, reference).item())
    assert list(row) == ["loss", "dice_loss", "cross_entropy"]
    value = row["cross_entropy"]
    assert isinstance(value, torch.Tensor)
    assert value.item() == pytest.approx(np.mean(cross_entropy), rel=1e-5)


def test_finished_run_says_how_it_was_made(finished: tuple[Workspace, Plan, PretrainFolder]) -> None:
    _, plan, folder = finished
    assert folder.path.name == "supervised"
    run = read_pretrain_run(folder)
    assert (run.name, run.status, run.plan.pretrain.method) == ("supervised", "finished", "supervised")
    rows = read_log(folder)
    columns = ["step", "learning_rate", "loss", "dice_loss", "cross_entropy", "gradient_norm"]
    assert list(rows[0]) == columns
    for row in rows:
        parts = float(row["dice_loss"]) + float(row["cross_entropy"])
        assert float(row["loss"]) == pytest.approx(parts, rel=1e-6)
    assert folder.curves.is_file()
    metadata = weights_metadata(folder.encoder)
    assert metadata["method"] == "supervised"
    assert json.loads(metadata["patch_size"]) == list(plan.network.patch_size)


def test_stopped_and_resumed_run_equals_the_uninterrupted_one(
    finished: tuple[Workspace, Plan, PretrainFolder],
) -> None:
    workspace, plan, folder = finished
    pretrain(workspace, plan, "plan", name="supervised_parts", device="cpu", stop_after=2)
    parts = pretrain(workspace, plan, "plan", name="supervised_parts", device="cpu")
    assert folder.log.read_bytes() == parts.log.read_bytes()
    one, two = load_weights(folder.encoder), load_weights(parts.encoder)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_loss_goes_down(shared_cache: Cached) -> None:
    workspace, plan = shared_cache
    longer = edited(plan, "pretrain", method="supervised", iterations=24, learning_rate=5e-3)
    rows = read_log(pretrain(workspace, longer, "plan", name="supervised_longer", device="cpu"))
    losses = [float(row["loss"]) for row in rows]
    assert sum(losses[-6:]) < 0.9 * sum(losses[:6])


def test_encoder_starts_a_fine_tuning_that_knows_the_method(
    finished: tuple[Workspace, Plan, PretrainFolder],
) -> None:
    workspace, plan, pretrained = finished
    folder = finetune(
        workspace,
        plan,
        "plan",
        dataset=TARGET,
        fold=0,
        fraction=1.0,
        init="supervised",
        device="cpu",
        stop_at=1,
    )
    run = read_finetune_run(folder)
    assert (run.init, run.method) == ("supervised", "supervised")
    encoder = load_weights(pretrained.encoder)
    network = build_network(plan.network, out_channels=4)
    assert run.weights is not None
    assert set(run.weights.loaded) == set(load_encoder(network, encoder).loaded) == set(encoder)


def test_encoder_file_tells_its_method_and_weights_from_elsewhere_have_none(
    finished: tuple[Workspace, Plan, PretrainFolder], tmp_path: Path
) -> None:
    workspace, plan, pretrained = finished
    ours, bare = tmp_path / "ours.safetensors", tmp_path / "bare.pt"
    ours.write_bytes(pretrained.encoder.read_bytes())
    torch.save(load_weights(pretrained.encoder), bare)
    for file, method in ((ours, "supervised"), (bare, "unknown")):
        folder = finetune(
            workspace,
            plan,
            "plan",
            dataset=TARGET,
            fold=0,
            fraction=1.0,
            init=str(file),
            device="cpu",
            stop_at=1,
        )
        assert read_finetune_run(folder).method == method


def test_a_run_of_the_other_method_is_refused(finished: tuple[Workspace, Plan, PretrainFolder]) -> None:
    workspace, plan, _ = finished
    pretrain(workspace, plan, "plan", name="supervised_taken", device="cpu", stop_after=1)
    with pytest.raises(RunError, match=r"pretrain.method: supervised and mixcl"):
        pretrain(workspace, edited(plan, "pretrain", method="mixcl"), "plan", name="supervised_taken")


def test_a_run_is_not_called_after_the_other_method(shared_cache: Cached, supervised: Cached) -> None:
    with pytest.raises(RunError, match=r"method mixcl can't be called 'supervised'.*--method supervised"):
        pretrain(*shared_cache, "plan", name="supervised")
    with pytest.raises(RunError, match=r"method supervised can't be called 'mixcl'.*another --name"):
        pretrain(*supervised, "plan", name="mixcl")


def test_a_plan_can_not_leave_terms_out_that_the_method_does_not_have() -> None:
    edits = ["pretrain.method=supervised", 'pretrain.without=["label"]']
    with pytest.raises(PlanError, match="without names terms of MixCL's loss; leave it empty"):
        edit_plan(Plan(), edits)
