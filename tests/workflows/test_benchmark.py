import logging
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cached_phantoms import TARGET, edited, make_workspace

from mixcl_auto.errors import DataError, PlanError, RunError
from mixcl_auto.io.files import write_text
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.progress import Silent
from mixcl_auto.records.plan import Plan
from mixcl_auto.training.samples import Sample, collate
from mixcl_auto.workflows import benchmark_parts, benchmark_run
from mixcl_auto.workflows.benchmark import benchmark
from mixcl_auto.workflows.benchmark_figures import StageFigures
from mixcl_auto.workflows.benchmark_parts import Round, measure_round, measure_rounds, sample_seconds
from mixcl_auto.workflows.benchmark_run import run_length, short_run
from mixcl_auto.workflows.benchmark_stage import Stage, finetuning_stage, pretraining_stage

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Plan]:
    workspace, plan = make_workspace(tmp_path_factory.mktemp("benchmark"))
    write_text(workspace.plan("plan"), plan.to_json())
    return workspace, plan


@pytest.fixture(scope="module")
def measured(made: tuple[Workspace, Plan]) -> list[StageFigures]:
    workspace, _ = made
    before = files_of(workspace.root)
    figures = benchmark(workspace, steps=3, device="cpu", edits=["finetune.workers=1"])
    assert files_of(workspace.root) == before, "a benchmark writes nothing"
    return figures


@pytest.fixture
def pretraining(made: tuple[Workspace, Plan]) -> Stage:
    return pretraining_stage(*made, CPU)


@pytest.fixture
def finetuning(made: tuple[Workspace, Plan]) -> Stage:
    workspace, plan = made
    return finetuning_stage(workspace, plan, plan.dataset(TARGET), CPU)


def files_of(root: Path) -> dict[str, tuple[int, int]]:
    stats = {str(path.relative_to(root)): path.stat() for path in root.rglob("*")}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


def write_plan(workspace: Workspace, name: str, plan: Plan) -> str:
    write_text(workspace.plan(name), plan.to_json())
    return name


def learned(network: torch.nn.Module) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.grad is not None}


class Clock:
    """A ``time`` whose clocks move only when they are told to."""

    def __init__(self) -> None:
        self.now, self.computed = 0.0, 0.0

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.computed

    def takes(self, seconds: float):
        """A stand-in for a function that takes so long."""

        def run(*arguments: object, **options: object) -> None:
            self.now += seconds

        return run


class SlowSource:
    """Draws of a real source that take 3 s of a clock each, and compute for one of them."""

    def __init__(self, stage: Stage, clock: Clock) -> None:
        self.source, self.clock = stage.source, clock

    def draw(self, generator: np.random.Generator, number: int) -> Sample:
        self.clock.now += 3.0
        self.clock.computed += 1.0
        return self.source.draw(generator, number)

    def warm(self) -> None:
        self.clock.now += 100.0


class BrokenSource:
    def draw(self, generator: np.random.Generator, number: int) -> Sample:
        raise DataError("liver_0/image.b2nd: damaged")

    def warm(self) -> None: ...


def test_figures_are_positive_and_describe_the_plan(measured: list[StageFigures]) -> None:
    pretrain, finetune = measured
    for figures in measured:
        seconds = (
            "sample_s",
            "sample_cpu_s",
            "network_s",
            "step_over_network",
            "optimiser_s",
            "run_step_s",
            "planned_s",
        )
        assert all(0 < getattr(figures, name) < math.inf for name in seconds)
        assert 0 <= figures.waiting_share <= 1
        assert all(0 <= share <= 1 for share in figures.shares().values())
        assert figures.peak_memory_mb > 0
        assert (figures.precision, figures.device, figures.threads) == ("fp32", "cpu", 1)
        assert (figures.batch_size, figures.iterations, figures.run_steps) == (2, 5, 3)
    assert (pretrain.stage, pretrain.data, pretrain.cases) == ("pretrain", "the pool", 4)
    assert (finetune.stage, finetune.data, finetune.cases) == ("finetune", "Abdomen, fold 0", 4)
    assert (pretrain.patches, finetune.patches) == (6, 2)
    assert (pretrain.workers, finetune.workers) == (0, 1)
    assert pretrain.gradient_every == 2
    assert (finetune.gradient_every, finetune.gradients_s) == (0, 0.0)


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_a_stage_is_measured_alone(stage: str, made: tuple[Workspace, Plan]) -> None:
    (figures,) = benchmark(made[0], stage=stage, steps=1, device="cpu")
    assert figures.stage == stage


@pytest.mark.parametrize(
    ("role", "left", "note"),
    [
        ("pretrain", "finetune", "no dataset to pre-train on: only fine-tuning is measured"),
        ("target", "pretrain", "no target to fine-tune on: only pre-training is measured"),
    ],
)
def test_what_the_plan_has_no_data_for_is_left_out_and_said(
    role: str, left: str, note: str, made: tuple[Workspace, Plan], caplog: pytest.LogCaptureFixture
) -> None:
    workspace, plan = made
    datasets = tuple(dataset for dataset in plan.datasets if dataset.role != role)
    name = write_plan(workspace, f"no_{role}", plan.model_copy(update={"datasets": datasets}))
    with caplog.at_level(logging.INFO, logger="mixcl_auto"):
        (figures,) = benchmark(workspace, plan=name, steps=1, device="cpu")
    assert figures.stage == left
    assert note in caplog.text


def test_a_plan_without_data_is_refused(made: tuple[Workspace, Plan]) -> None:
    name = write_plan(made[0], "empty", made[1].model_copy(update={"datasets": ()}))
    with pytest.raises(RunError, match="no dataset to measure on"):
        benchmark(made[0], plan=name)
    with pytest.raises(RunError, match="nothing to pre-train on"):
        benchmark(made[0], plan=name, stage="pretrain")


def test_a_missing_cache_is_the_trainers_error(made: tuple[Workspace, Plan]) -> None:
    with pytest.raises(RunError, match=r"4 of 4 cases are not in the cache .* run `mixcl_auto plan_and_pre"):
        benchmark(made[0], stage="finetune", edits=["preprocess.spacing_mm=[3,3,3]"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stage": "pretrain", "dataset": TARGET}, "pre-training takes the whole pool"),
        ({"dataset": "Liver"}, "Liver has the role pretrain, not target"),
        ({"stage": "finetune", "edits": ["pretrain.seed=1"]}, "`benchmark` does not use that section"),
        ({"edits": ["inference.overlap=0.25"]}, "`benchmark` does not use that section"),
    ],
)
def test_what_a_benchmark_would_not_obey_is_refused(
    options: dict, message: str, made: tuple[Workspace, Plan]
) -> None:
    with pytest.raises(PlanError, match=message):
        benchmark(made[0], **options)


def test_no_steps_are_refused(made: tuple[Workspace, Plan]) -> None:
    with pytest.raises(RunError, match="at least 1 step, got 0"):
        benchmark(made[0], steps=0)


@pytest.mark.parametrize(
    ("without", "patches"),
    [
        ((), 6),
        (("reconstruction",), 6),
        (("identity", "reconstruction"), 4),
        (("label", "reconstruction"), 4),
    ],
)
def test_the_bare_network_sees_the_patches_and_learns_the_parameters_of_the_step(
    without: tuple[str, ...], patches: int, made: tuple[Workspace, Plan]
) -> None:
    workspace, plan = made
    stage = pretraining_stage(workspace, edited(plan, "pretrain", without=without), CPU)
    backbone = stage.state.network.backbone
    batch = collate([stage.source.draw(np.random.default_rng(n), n) for n in range(2)])
    images = stage.images(batch)
    assert len(images) == patches
    benchmark_parts._pass_bare_network(stage, images)
    bare = learned(backbone)
    stage.state.optimiser.zero_grad()
    benchmark_parts._pass_step(stage, batch, measure_gradients=False)
    assert bare == learned(backbone)
    assert bare


def test_supervised_pretraining_shows_the_bare_network_all_three_views(made: tuple[Workspace, Plan]) -> None:
    workspace, plan = made
    stage = pretraining_stage(workspace, edited(plan, "pretrain", method="supervised"), CPU)
    batch = collate([stage.source.draw(np.random.default_rng(n), n) for n in range(2)])
    images = stage.images(batch)
    assert len(images) == 6
    assert [output.shape for output in stage.outputs(images)] == [(6, 5, 32, 32, 32)]
    measure_round(stage, batch)


def test_the_optimiser_measured_is_the_one_that_changes_weights(finetuning: Stage) -> None:
    batch = collate([finetuning.source.draw(np.random.default_rng(n), n) for n in range(2)])
    before = [parameter.detach().clone() for parameter in finetuning.state.network.parameters()]
    assert measure_round(finetuning, batch).patches == 2
    after = list(finetuning.state.network.parameters())
    assert any(not torch.equal(one, two) for one, two in zip(before, after, strict=True))
    assert not learned(finetuning.state.network), "gradients would add up"


def test_parts_of_a_step_are_told_apart(pretraining: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(benchmark_parts, "time", clock)
    monkeypatch.setattr(benchmark_parts, "_pass_bare_network", clock.takes(2))
    monkeypatch.setattr(benchmark_parts, "_change_weights", clock.takes(0.5))

    def pass_step(stage: Stage, batch: object, *, measure_gradients: bool) -> None:
        clock.now += 7 if measure_gradients else 3

    monkeypatch.setattr(benchmark_parts, "_pass_step", pass_step)
    stage = replace(pretraining, source=SlowSource(pretraining, clock))
    rounds, gradients_s = measure_rounds(stage, 3, Silent())
    assert rounds == [Round(network_s=2, step_s=3, optimiser_s=0.5, patches=6)] * 3
    assert gradients_s == 4


def test_a_sample_is_timed_without_compiling(finetuning: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(benchmark_parts, "time", clock)
    assert sample_seconds(replace(finetuning, source=SlowSource(finetuning, clock)), Silent()) == (3, 1)


def test_waiting_is_what_the_loader_took_of_the_run(
    finetuning: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two samples of 3 s and a step of 2 s, without workers; warm-up does not count."""
    clock = Clock()
    monkeypatch.setattr(benchmark_run, "time", clock)
    monkeypatch.setattr(benchmark_run, "take_step", clock.takes(2))
    stage = replace(finetuning, source=SlowSource(finetuning, clock))
    run = short_run(stage, warm_ups=2, steps=4, progress=Silent())
    assert (run.steps, run.step_s, run.waiting_share) == (4, 8, 6 / 8)


@pytest.mark.parametrize(
    ("steps", "workers", "expected"), [(10, 0, (2, 10)), (10, 1, (3, 10)), (10, 8, (10, 16)), (1, 4, (6, 4))]
)
def test_a_run_is_whole_turns_of_the_workers(steps: int, workers: int, expected: tuple[int, int]) -> None:
    assert run_length(steps, workers) == expected


def test_a_sample_that_cannot_be_drawn_is_an_error(finetuning: Stage) -> None:
    with pytest.raises(RunError, match=r"image\.b2nd: damaged"):
        sample_seconds(replace(finetuning, source=BrokenSource()), Silent())


def test_every_unit_of_progress_that_is_announced_comes(made: tuple[Workspace, Plan]) -> None:
    told = SimpleNamespace(total=0, done=0, finished=0)

    class Count:
        def start(self, description: str, total: int, done: int = 0) -> None:
            told.total = total

        def advance(self, units: int = 1, note: str = "") -> None:
            told.done += units

        def finish(self) -> None:
            told.finished += 1

    benchmark(made[0], stage="finetune", steps=3, device="cpu", progress=Count())
    assert told.done == told.total > 0
    assert told.finished == 1
