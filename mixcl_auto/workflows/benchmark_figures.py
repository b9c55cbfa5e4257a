"""What a benchmark measured of one trainer, and what follows from it."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

StageName = Literal["pretrain", "finetune"]


@dataclass(frozen=True, kw_only=True)
class StageFigures:
    """Medians of what one trainer's step costs under a plan, on this machine.

    Attributes:
        stage: which trainer, and so which section of the plan.
        data: what was drawn from, in words.
        cases: that it has.
        device: that computed, as torch spells it.
        precision: of the network.
        threads: of the training process.
        workers: loader processes.
        cores: that this process may use.
        batch_size: samples per step.
        patches: that the network sees in a step; three views per sample where all terms are on.
        iterations: steps of the whole run as planned.
        gradient_every: steps between measurements of the gradient's shares; 0 is never.
        sample_s: one sample takes one process of the loader.
        sample_cpu_s: of that it computes; the rest it waits for the disk, or for a core that others use.
        network_s: the bare backbone takes, forward and backward, for all patches of a step.
        step_over_network: forward, losses and backward of a whole step as a multiple of ``network_s``.
        optimiser_s: norm of the gradient and AdamW take.
        gradients_s: measuring the gradient's shares adds to a step that does so.
        run_steps: of the short run.
        run_step_s: one of its steps took, with loader and optimiser.
        waiting_share: of its time, spent on waiting for the loader.
        peak_memory_mb: most so far, of torch on a GPU, of this process on a CPU.
    """

    stage: StageName
    data: str
    cases: int
    device: str
    precision: str
    threads: int
    workers: int
    cores: int
    batch_size: int
    patches: int
    iterations: int
    gradient_every: int
    sample_s: float
    sample_cpu_s: float
    network_s: float
    step_over_network: float
    optimiser_s: float
    gradients_s: float
    run_steps: int
    run_step_s: float
    waiting_share: float
    peak_memory_mb: float

    @property
    def step_s(self) -> float:
        """Seconds of forward, losses and backward."""
        return self.network_s * self.step_over_network

    @property
    def losses_s(self) -> float:
        """Seconds of all in a step that is not the bare backbone: losses, and in pre-training projectors."""
        return max(0.0, self.step_s - self.network_s)

    @property
    def gradients_per_step_s(self) -> float:
        """Seconds that measuring the gradient's shares adds to a step on average."""
        return self.gradients_s / self.gradient_every if self.gradient_every else 0.0

    @property
    def compute_s(self) -> float:
        """Seconds of a step whose batch is there."""
        return self.step_s + self.optimiser_s + self.gradients_per_step_s

    @property
    def slowdown(self) -> float:
        """How many times as long a step of the run was computed as its parts alone, without any waiting."""
        return self.run_step_s * (1 - self.waiting_share) / (self.step_s + self.optimiser_s)

    @property
    def run_samples_per_s(self) -> float:
        """Samples per second of the short run."""
        return self.batch_size / self.run_step_s

    @property
    def loader_samples_per_s(self) -> float:
        """Samples per second that the loader gives at most, where its workers do not hinder each other."""
        return max(1, self.workers) / self.sample_s

    @property
    def workers_needed(self) -> int:
        """Loader processes that draw a batch in no more time than the step before takes."""
        return math.ceil(self.batch_size * self.sample_s / self.compute_s)

    @property
    def cores_needed(self) -> int:
        """Cores that these workers keep busy; fewer than workers where they wait for the disk."""
        return math.ceil(self.batch_size * self.sample_cpu_s / self.compute_s)

    @property
    def planned_s(self) -> float:
        """Seconds of all steps of the run as planned, without checkpoints and prediction."""
        return self.iterations * (self.run_step_s + self.gradients_per_step_s)

    def shares(self) -> dict[str, float]:
        """What a step whose batch is there consists of: shares of ``compute_s`` that add up to 1."""
        parts = {
            "network": min(self.network_s, self.step_s),
            "losses": self.losses_s,
            "optimiser": self.optimiser_s,
            "gradients": self.gradients_per_step_s,
        }
        return {name: seconds / self.compute_s for name, seconds in parts.items()}

    def to_json(self) -> dict[str, Any]:
        """What was measured and what follows, as plain values."""
        derived = (
            "step_s",
            "losses_s",
            "compute_s",
            "slowdown",
            "run_samples_per_s",
            "loader_samples_per_s",
            "workers_needed",
            "cores_needed",
            "planned_s",
        )
        return {
            **asdict(self),
            **{name: getattr(self, name) for name in derived},
            "shares": self.shares(),
        }
