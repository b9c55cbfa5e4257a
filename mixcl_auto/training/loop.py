"""The loop that pre-training and fine-tuning share: one batch, one step, one row of the log."""

import logging
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol, Self

import torch
from torch import Tensor

from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.engines.host_memory import keep_freed_memory
from mixcl_auto.errors import RunStoppedError
from mixcl_auto.io.workspace import RunFolder
from mixcl_auto.progress import Progress
from mixcl_auto.records.plan import Plan, TrainerPlan
from mixcl_auto.training.curves import Panel, draw_curves
from mixcl_auto.training.device import Precision, deterministic, limited_threads
from mixcl_auto.training.failed_step import keeping_failed_step
from mixcl_auto.training.interruption import Interruption
from mixcl_auto.training.loader import load_batches
from mixcl_auto.training.loader_workers import StoppedWaitingError
from mixcl_auto.training.optimiser import gradient_norm, learning_rate, set_learning_rate
from mixcl_auto.training.run_log import RunLog, Value
from mixcl_auto.training.samples import Batch, SampleSource
from mixcl_auto.training.state import TrainingState, hold_if_not_finite, save_state, scaled_loss
from mixcl_auto.training.timing import Timing

logger = logging.getLogger(__name__)

TIMING_EVERY = 10
"""Steps per row of ``timing.csv``; also how often values come back from a GPU."""

SECONDS_BETWEEN_PICTURES = 60.0


class Objective(Protocol):
    """What a trainer minimises."""

    def __call__(self, batch: Batch, *, measure_gradients: bool) -> tuple[Tensor, dict[str, Value]]:
        """The loss (0-d, with its graph) of a batch on the device, and its row of the log.

        Args:
            batch: on the device.
            measure_gradients: whether this step also measures what it only measures now and then.
        """


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run: what to minimise on which samples, for how long, and where to write.

    Attributes:
        description: for the progress.
        objective: gives the loss.
        source: draws the samples.
        plan: as used, for the checkpoint.
        trainer: the section of the plan that this trainer obeys.
        steps: of the whole run.
        folder: where to write.
        device: where the network is.
        panels: of ``progress.png``, besides those of every run.
        precision: of the network's passes.
        dataset: the target of a fine-tuning.
        must_be_finite: columns of the log that stop the run when they are not.
        ranks: the processes that train together; the first one writes.
    """

    description: str
    objective: Objective
    source: SampleSource
    plan: Plan
    trainer: TrainerPlan
    steps: int
    folder: RunFolder
    device: torch.device
    precision: Precision
    dataset: str = ""
    panels: Sequence[Panel] = ()
    must_be_finite: Sequence[str] = field(default=("loss",))
    ranks: Ranks = ALONE


def train(job: Job, state: TrainingState, *, progress: Progress, stop_after: int | None = None) -> bool:
    """Run the steps that are left; saves the state every ``checkpoint_every`` steps and at the end.

    Args:
        job: the run.
        state: fresh or resumed; changed in place.
        progress: told of every step.
        stop_after: leave the rest for another call after that many steps.

    Returns:
        Whether all steps of the run are done.

    Raises:
        RunStoppedError: on a signal, see ``Interruption``, after the state was saved.
        RunError: if a loss is not finite, a sample can't be drawn, or one loader worker after the other died.
    """
    plan, device = job.trainer, job.device
    if device.type == "cpu":
        keep_freed_memory()
    last = job.steps if stop_after is None else min(job.steps, state.step + stop_after)
    interruption = Interruption()
    batches = _batches(job, range(state.step, last), interruption)
    state.network.train()
    with (
        limited_threads(plan.threads),
        interruption,
        closing(batches),
        deterministic(device, wanted=plan.deterministic),
        keeping_failed_step(
            job.folder.failed_step,
            state.network,
            job.source,
            plan=job.plan,
            trainer=plan,
            dataset=job.dataset,
            precision=job.precision,
            writes=job.ranks.is_first,
        ),
        _Writer(job, state, progress) as writer,
    ):
        for step in range(state.step, last):
            try:
                with writer.timing.waiting():
                    batch = next(batches).to(device)  # tensors (B, ...)
            except StoppedWaitingError:
                writer.save(ends=True)
                raise _stopped(job, state, interruption) from None
            rate = learning_rate(
                step, peak=plan.learning_rate, steps=job.steps, warmup_steps=plan.warmup_iterations
            )
            set_learning_rate(state.optimiser, rate)
            measure = plan.gradient_every > 0 and step % plan.gradient_every == 0
            columns = take_step(
                job.objective,
                state,
                batch,
                measure_gradients=measure,
                gradient_clip_norm=plan.gradient_clip_norm,
            )
            state.step = step + 1
            writer.add({"learning_rate": rate, **columns}, batch.cases)
            stops = writer.is_due and job.ranks.any(interruption.requested is not None, device)
            ends = state.step == last or stops
            if ends or state.step % plan.checkpoint_every == 0:
                writer.save(ends=ends)
            if stops:
                raise _stopped(job, state, interruption)
    if interruption.requested is not None:  # while the last state was saved: what follows is not for now
        raise _stopped(job, state, interruption)
    return state.step == job.steps


def _batches(job: Job, steps: range, interruption: Interruption) -> Generator[Batch, None, None]:
    """This process's part of each batch; its share of the machine's workers draws them ahead."""
    return load_batches(
        job.source,
        seed=job.trainer.seed,
        batch_size=job.trainer.batch_size,
        steps=steps,
        workers=-(-job.trainer.workers // job.ranks.local_count),
        device=job.device,
        ranks=job.ranks,
        is_stopped=lambda: interruption.requested is not None,
    )


def _stopped(job: Job, state: TrainingState, interruption: Interruption) -> RunStoppedError:
    return RunStoppedError(
        f"{job.folder.path}: {interruption.requested or 'a signal to another process'} stopped the run after "
        f"step {state.step} of {job.steps}; its state is saved, run the same command again to go on"
    )


def take_step(
    objective: Objective,
    state: TrainingState,
    batch: Batch,
    *,
    measure_gradients: bool = False,
    gradient_clip_norm: float | None = None,
) -> dict[str, Value]:
    """Change the weights once; the optimiser's learning rate is set before.

    Args:
        objective: of ``state``'s network.
        state: changed in place, but for its step.
        batch: on the network's device.
        measure_gradients: see ``Objective``.
        gradient_clip_norm: the gradient's largest norm; unlimited where absent.

    Returns:
        The objective's row of the log and the norm of the gradient before it was clipped.
    """
    loss, columns = objective(batch, measure_gradients=measure_gradients)
    torch.autograd.backward(scaled_loss(state, loss))
    state.scaler.unscale_(state.optimiser)
    norm = gradient_norm(state.network.parameters(), clip_norm=gradient_clip_norm)
    hold_if_not_finite(state, loss, norm)
    state.scaler.step(state.optimiser)
    state.scaler.update()
    state.optimiser.zero_grad(set_to_none=True)
    return {**columns, "gradient_norm": norm}


def rows_per_flush(device: torch.device) -> int:
    """How many rows of the log come back from a device at once: waiting for a GPU costs time."""
    return 1 if device.type == "cpu" else TIMING_EVERY


class _Writer:
    """Log, timings, checkpoints and picture of one run, in the order that a resumed run counts on.

    Of several processes the first one writes; the others look at the same values, and stop with it.
    """

    def __init__(self, job: Job, state: TrainingState, progress: Progress) -> None:
        # Under fp16 single steps overflow by design: the scaler skips them.
        gradient = () if state.scaler.is_enabled() else ("gradient_norm",)
        self.log = RunLog(job.folder.log, must_be_finite=(*job.must_be_finite, *gradient), ranks=job.ranks)
        self.timing = Timing(
            job.folder.timing,
            batch_size=job.trainer.batch_size,
            device=job.device,
            writes=job.ranks.is_first,
        )
        self._job, self._state, self._progress = job, state, progress
        self._flush_every = rows_per_flush(job.device)
        self._flushed = state.step
        self._drawn_at = time.monotonic()

    def __enter__(self) -> Self:
        """Bring the files to the state's step."""
        self.log.table.cut_after(self._state.step)
        self.timing.table.cut_after(self._state.step)
        self._progress.start(self._job.description, self._job.steps, self._state.step)
        return self

    def __exit__(self, *problem: object) -> None:
        self._progress.finish()

    @property
    def is_due(self) -> bool:
        """Whether values just came back from the device, so that nothing more has to be waited for."""
        return self._flushed == self._state.step

    def add(self, values: dict[str, Value], cases: Sequence[str]) -> None:
        """Take in the row of the step just done."""
        step = self._state.step
        self.log.add(step, values, cases)
        self.timing.count_step()
        if step % self._flush_every == 0:
            self._flush()
        if step % TIMING_EVERY == 0:
            self.timing.write(step)

    def save(self, *, ends: bool) -> None:
        """Write a checkpoint; first the rows that it counts on, so that it is never newer than the log."""
        self._flush()
        if not self._job.ranks.is_first:
            return
        self.log.table.sync()
        self.timing.write(self._state.step)
        save_state(self._job.folder.checkpoint, self._state, self._job.plan)
        if ends or time.monotonic() - self._drawn_at > SECONDS_BETWEEN_PICTURES:
            self._draw()
            self._drawn_at = time.monotonic()

    def _draw(self) -> None:
        folder, title = self._job.folder, self._job.description
        try:
            draw_curves(folder.log, folder.curves, self._job.panels, timing=folder.timing, title=title)
        except OSError as problem:  # the state is saved, and what is left to train matters more
            logger.warning("%s can't be written (%s); the run goes on", folder.curves, problem.strerror)

    def _flush(self) -> None:
        row = self.log.flush()
        if not row:
            return
        loss = row.get(self._job.must_be_finite[0])
        note = "" if loss is None else f"loss {loss:.4g}"
        self._progress.advance(self._state.step - self._flushed, note)
        self._flushed = self._state.step
