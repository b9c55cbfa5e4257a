import math
import subprocess
import sys

import pytest
import torch

from mixcl_auto.errors import PlanError, RunError
from mixcl_auto.finetuning.finetune import patch_source
from mixcl_auto.io.plans import read_plan
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.networks.backbone import Backbone
from mixcl_auto.pretraining.pool import open_pool, pair_source
from mixcl_auto.records.plan import Plan
from mixcl_auto.training.cases import open_cases
from mixcl_auto.training.networks import build_network
from mixcl_auto.training.samples import Batch, SampleDataset, SampleSource, collate
from mixcl_auto.workflows import random_step, step_memory
from mixcl_auto.workflows.plan_and_preprocess import plan_and_preprocess
from mixcl_auto.workflows.random_step import random_pairs, random_patches, take_random_step
from mixcl_auto.workflows.step_memory import Step, limited_peak_gb, step_measure

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
GB = 2**30


@pytest.fixture(scope="module")
def plan(planned_workspace: Workspace) -> Plan:
    return read_plan(planned_workspace.plan("plan"))


class Notes:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def start(self, description: str, total: int, done: int = 0) -> None:
        self.started.append(description)

    def advance(self, units: int = 1, note: str = "") -> None: ...

    def finish(self) -> None: ...


def form(batch: Batch) -> dict[str, tuple]:
    """Names, shapes and types of a batch."""
    return {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in batch.tensors.items()}


def drawn(source: SampleSource) -> Batch:
    samples = SampleDataset(source, seed=0, batch_size=2)
    batch = collate([samples[0], samples[1]])
    assert isinstance(batch, Batch)
    return batch


def backbone(plan: Plan) -> Backbone:
    return build_network(plan.network, out_channels=1)


@pytest.mark.parametrize("with_targets", [True, False])
def test_random_pairs_have_the_form_of_drawn_ones(
    with_targets: bool, planned_workspace: Workspace, plan: Plan
) -> None:
    grid = backbone(plan).levels[min(plan.pretrain.label_level)].grid
    pool = open_pool(planned_workspace, plan)
    real = drawn(pair_source(pool, plan, grid, with_targets=with_targets))
    random = random_pairs(plan, 2, grid, with_targets=with_targets)
    assert form(random) == form(real)
    assert set(random.numbers) == set(real.numbers)


def test_random_patches_have_the_form_of_drawn_ones(planned_workspace: Workspace, plan: Plan) -> None:
    target = plan.dataset("Target_Abdomen")
    cases = open_cases(planned_workspace, plan, target.name, target.cases)
    assert form(random_patches(plan, 2)) == form(drawn(patch_source(cases, plan)))


@pytest.mark.parametrize(
    ("section", "method", "column"),
    [
        ("pretrain", "mixcl", "gradient_share_label"),
        ("pretrain", "supervised", "dice_loss"),
        ("finetune", "mixcl", "dice_loss"),
    ],
)
def test_a_random_step_is_the_trainers_own(
    section: str, method: str, column: str, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its objective gives the columns of the trainer's log, gradient shares included; AdamW has moments."""
    seen = {}

    def spy(objective, state, batch, **options):
        seen["moments"] = {name for values in state.optimiser.state.values() for name in values}
        seen["columns"] = take_step(objective, state, batch, **options)

    take_step = random_step.take_step
    monkeypatch.setattr(random_step, "take_step", spy)
    pretrain = plan.pretrain.model_copy(update={"method": method})
    take_random_step(plan.model_copy(update={"pretrain": pretrain}), section, 2, CPU)
    assert {"exp_avg", "exp_avg_sq"} <= seen["moments"]
    assert math.isfinite(seen["columns"][column].item())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_precision_that_is_meant_for_a_gpu_is_not_emulated(
    precision: str, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixcl_auto.training.device._computes_in_bf16", lambda device: False)
    asked = []
    prepare = random_step._finetuning
    monkeypatch.setattr(random_step, "_finetuning", lambda *given: asked.append(given[-1]) or prepare(*given))
    section = plan.finetune.model_copy(update={"precision": precision})
    take_random_step(plan.model_copy(update={"finetune": section}), "finetune", 1, CPU)
    assert asked == ["fp32"]


def test_a_step_is_measured_in_a_process_of_its_own_and_announced(plan: Plan) -> None:
    """Python, torch and MONAI take 0.5 GB; what this process holds does not count."""
    ballast = torch.ones(5 * GB // 4, dtype=torch.uint8)
    notes = Notes()
    gb = step_measure(notes)(plan, "pretrain", 1, 64.0)
    assert gb is not None
    assert 0.4 < gb < 1.2 < len(ballast) / GB
    assert notes.started == ["Measuring the memory of a pretrain step, 32 x 16 x 16, batch 1"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't limit a process's data")
def test_a_step_that_needs_more_is_stopped_at_the_limit() -> None:
    code = (
        "import torch; from mixcl_auto.workflows.step_memory import *\n"
        "limit_memory(torch.device('cpu'), 1.0)\n"
        "torch.ones(2**27)\n"
        "try: torch.ones(2**29)\n"
        "except RuntimeError as problem: print(is_out_of_memory(problem))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


@pytest.mark.parametrize(("limit_gb", "expected"), [(8.0, math.inf), (32.0, None)])
def test_a_stopped_step_is_too_large_only_if_its_whole_limit_was_free(
    limit_gb: float, expected: float | None, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = []

    def fail(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes")

    monkeypatch.setattr(random_step, "take_random_step", fail)
    monkeypatch.setattr(step_memory, "limit_memory", lambda device, gb: limits.append(gb))
    monkeypatch.setattr(step_memory, "free_memory_gb", lambda device: 16.0)
    assert limited_peak_gb(Step(plan, "pretrain", 1, limit_gb)) == expected
    assert limits == [min(limit_gb, 16.0)]


def test_an_error_that_is_not_of_memory_is_not_hidden(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(random_step, "take_random_step", fail)
    monkeypatch.setattr(step_memory, "limit_memory", lambda device, gb: None)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        limited_peak_gb(Step(plan, "pretrain", 1, 8.0))


def in_this_process(error: Exception | None, value: float | None = None):
    """A stand-in for ``run_tasks``."""
    from mixcl_auto.engines.process_pool import Outcome

    return lambda function, tasks, **_: iter([Outcome(tasks[0], value, error)])


def test_a_killed_step_counts_as_not_measured(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_memory, "run_tasks", in_this_process(RunError("the worker process died")))
    assert step_measure()(plan, "pretrain", 1, 8.0) is None


def test_a_plan_that_no_network_can_follow_is_an_error(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_memory, "run_tasks", in_this_process(PlanError("one voxel at level 4")))
    with pytest.raises(PlanError, match="one voxel"):
        step_measure()(plan, "pretrain", 1, 8.0)


def test_a_gpus_memory_is_what_torch_allocates_there(monkeypatch: pytest.MonkeyPatch) -> None:
    fractions = []
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * GB)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (20 * GB, 24 * GB))
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: type("Device", (), {"total_memory": 24 * GB})
    )
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, device: fractions.append(share)
    )
    assert step_memory.peak_memory_gb(GPU) == 3.5
    assert step_memory.free_memory_gb(GPU) == 20.0
    for limit_gb in (6.0, 80.0):
        step_memory.limit_memory(GPU, limit_gb)
    assert fractions == [0.25, 1.0]


def test_the_command_plans_for_the_memory_that_it_is_given(
    phantom_workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tiny_edits: tuple[str, ...]
) -> None:
    """0.8 x 2 GB hold 0.7 + 3 x 0.3 GB, and not 0.7 + 4 x 0.3."""
    edits = [edit for edit in tiny_edits if not edit.startswith("pretrain.batch")]
    asked = []

    def measure(plan: Plan, section: str, batch_size: int, limit_gb: float) -> float:
        asked.append((section, batch_size, limit_gb))
        return 0.7 + 0.3 * batch_size

    monkeypatch.setattr("mixcl_auto.workflows.plan_and_preprocess.step_measure", lambda progress: measure)
    done = plan_and_preprocess(
        phantom_workspace, preset="tiny", edits=edits, memory_gb=2.0, jobs=1, plan_only=True
    )
    assert done.plan.pretrain.batch_size == 3
    (decision,) = [item for item in done.plan.decisions if item.field == "pretrain.batch_size"]
    assert decision.rule == "lowered from the preset's 8 to fit the memory"
    assert "measured 1.0 GB at batch 1, 1.3 GB at 2; 80% of 2.0 GB (--memory-gb)" in decision.reason
    assert ("pretrain", 1, 2.0) in asked


def test_a_wish_that_is_no_memory_is_refused_before_the_data_are_read(tmp_path) -> None:
    with pytest.raises(PlanError, match="--memory-gb takes a number of GB above 0, got nan"):
        plan_and_preprocess(tmp_path, memory_gb=math.nan)
