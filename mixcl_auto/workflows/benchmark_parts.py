"""Measure the loader alone and the parts of a training step, in turn."""

import statistics
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import torch

from mixcl_auto.errors import RunError
from mixcl_auto.progress import Progress
from mixcl_auto.training.device import autocast, limited_threads
from mixcl_auto.training.loader import load_batches
from mixcl_auto.training.optimiser import gradient_norm
from mixcl_auto.training.samples import Batch, Failure, SampleDataset
from mixcl_auto.workflows.benchmark_stage import Stage, finish_work

DRAWS, WARM_UP_DRAWS = 24, 4
GRADIENT_ROUNDS = 2
"""Rounds that also measure the gradient's shares: slow, and rare in a run."""


@dataclass(frozen=True)
class Round:
    """Seconds of a step's parts on one batch, and how many patches it has for the network."""

    network_s: float
    step_s: float
    optimiser_s: float
    patches: int


def sample_seconds(stage: Stage, progress: Progress) -> tuple[float, float]:
    """What a sample takes in this process, as a loader worker draws it.

    Returns:
        Medians of the seconds that passed, and of those that were spent on computing.

    Raises:
        RunError: if a sample can't be drawn.
    """
    samples = SampleDataset(stage.source, seed=stage.trainer.seed, batch_size=stage.trainer.batch_size)
    stage.source.warm()
    passed, computed = [], []
    with limited_threads(1):
        for number in range(WARM_UP_DRAWS + DRAWS):
            start, cpu_start = time.perf_counter(), time.process_time()
            sample = samples[number]
            if isinstance(sample, Failure):
                raise RunError(sample.message)
            if number >= WARM_UP_DRAWS:
                passed.append(time.perf_counter() - start)
                computed.append(time.process_time() - cpu_start)
                progress.advance(note="loader")
    return statistics.median(passed), statistics.median(computed)


def measure_rounds(stage: Stage, count: int, progress: Progress) -> tuple[list[Round], float]:
    """Measure the parts of a step in turn, on a batch each; one round more, the first, is not counted.

    In turn, since shared machines drift: what runs within a round drifts together.

    Returns:
        The rounds, and the seconds that measuring the gradient's shares adds to a step; 0 where the plan
        never does.
    """
    trainer = stage.trainer
    batches = load_batches(
        stage.source,
        seed=trainer.seed,
        batch_size=trainer.batch_size,
        steps=range(1 + count),
        workers=0,
        device=stage.device,
    )
    rounds, gradients_s = [], [0.0]
    with closing(batches):
        measure_round(stage, next(batches).to(stage.device))
        for number, batch in enumerate(batches):
            rounds.append(measure_round(stage, batch.to(stage.device)))
            if trainer.gradient_every and number < GRADIENT_ROUNDS:
                gradients_s.append(_gradient_seconds(stage, batch.to(stage.device)) - rounds[-1].step_s)
            progress.advance(note="parts of a step")
    return rounds, max(0.0, statistics.median(gradients_s[1:] or gradients_s))


def measure_round(stage: Stage, batch: Batch) -> Round:
    """Measure the bare backbone, the step and the optimiser on one batch."""
    images = stage.images(batch)
    network_s = _seconds(lambda: _pass_bare_network(stage, images), stage.device)
    stage.state.optimiser.zero_grad(set_to_none=True)
    step_s = _seconds(lambda: _pass_step(stage, batch, measure_gradients=False), stage.device)
    optimiser_s = _seconds(lambda: _change_weights(stage), stage.device)
    stage.state.optimiser.zero_grad(set_to_none=True)
    return Round(network_s, step_s, optimiser_s, len(images))


def _gradient_seconds(stage: Stage, batch: Batch) -> float:
    """Seconds of a step, without its optimiser, that measures the gradient's shares."""
    seconds = _seconds(lambda: _pass_step(stage, batch, measure_gradients=True), stage.device)
    stage.state.optimiser.zero_grad(set_to_none=True)
    return seconds


def _pass_bare_network(stage: Stage, images: torch.Tensor) -> None:
    """Forward and backward with a gradient that costs nothing to compute."""
    with autocast(stage.device, stage.precision):
        outputs = stage.outputs(images)
    torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])


def _pass_step(stage: Stage, batch: Batch, *, measure_gradients: bool) -> None:
    """Forward, losses and backward as the trainer has them."""
    loss, _ = stage.objective(batch, measure_gradients=measure_gradients)
    torch.autograd.backward(stage.state.scaler.scale(loss))


def _change_weights(stage: Stage) -> None:
    """What ``take_step`` does with the gradients."""
    state = stage.state
    state.scaler.unscale_(state.optimiser)
    gradient_norm(state.network.parameters(), clip_norm=stage.trainer.gradient_clip_norm)
    state.scaler.step(state.optimiser)
    state.scaler.update()


def _seconds(run: Callable[[], None], device: torch.device) -> float:
    finish_work(device)
    start = time.perf_counter()
    run()
    finish_work(device)
    return time.perf_counter() - start
