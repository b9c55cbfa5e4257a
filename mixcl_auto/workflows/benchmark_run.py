"""Measure a short run with the loader, threads and workers of the plan."""

import time
from contextlib import closing
from dataclasses import dataclass

from mixcl_auto.progress import Progress
from mixcl_auto.training.loader import load_batches
from mixcl_auto.training.loop import take_step
from mixcl_auto.workflows.benchmark_stage import Stage, finish_work


@dataclass(frozen=True)
class Run:
    """A short run: its steps, seconds per step, and the share of its time spent on waiting."""

    steps: int
    step_s: float
    waiting_share: float


def run_length(steps: int, workers: int) -> tuple[int, int]:
    """Steps of the short run before measuring begins, and measured ones.

    The workers' first batches come all at once, as many as there are workers; after them, only whole turns
    of the workers give a true rate.
    """
    turn = max(1, workers)
    return 2 + workers, turn * -(-steps // turn)


def short_run(stage: Stage, warm_ups: int, steps: int, progress: Progress) -> Run:
    """Train for some steps with the loader, threads and workers of the plan; only the last are measured."""
    trainer, device = stage.trainer, stage.device
    batches = load_batches(
        stage.source,
        seed=trainer.seed,
        batch_size=trainer.batch_size,
        steps=range(warm_ups + steps),
        workers=trainer.workers,
        device=device,
    )
    waited, began = 0.0, time.perf_counter()
    with closing(batches):
        for step in range(warm_ups + steps):
            if step == warm_ups:
                waited, began = 0.0, time.perf_counter()
            start = time.perf_counter()
            batch = next(batches).to(device)
            waited += time.perf_counter() - start
            take_step(stage.objective, stage.state, batch, gradient_clip_norm=trainer.gradient_clip_norm)
            finish_work(device)  # or a GPU's own work would count as waiting
            progress.advance(note="run")
        seconds = time.perf_counter() - began
    return Run(steps, seconds / steps, waited / seconds)
