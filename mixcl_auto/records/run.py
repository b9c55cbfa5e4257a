"""What a training run was: written at its start, completed at its end."""

import shlex
from typing import Literal

from mixcl_auto.records.names import PlainName
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.record import Record


class Environment(Record):
    """The software and the machine that a run used."""

    mixcl_auto: str
    torch: str
    python: str
    device: str
    precision: str
    threads: int
    processes: int = 1
    """That trained together."""


class LoadedWeights(Record):
    """Which of the network's encoder parameters came from a file, exactly."""

    source: str
    """A pre-training's name or a file."""
    sha256: str
    loaded: tuple[str, ...]
    interpolated: tuple[str, ...] = ()
    """Loaded after interpolation to another patch size."""
    ignored: tuple[str, ...] = ()
    """In the file, but not a part of the encoder, or not handed on."""
    dataset: str | None = None
    """What a file's weights were fine-tuned on, if it says so."""
    pool: tuple[str, ...] = ()
    """The datasets that the weights were pre-trained on, as far as that is known."""

    @property
    def seen(self) -> tuple[str, ...]:
        """Every dataset whose labels the weights are known to have seen."""
        return tuple(dict.fromkeys([*self.pool, *filter(None, [self.dataset])]))


class PretrainRun(Record):
    """``run.json`` of a pre-training."""

    name: PlainName
    plan: Plan
    status: Literal["running", "finished"]
    environment: Environment
    parameters: int
    iterations: int
    encoder_sha256: str | None = None
    """Of ``encoder.safetensors``, once finished."""


class FinetuneRun(Record):
    """``run.json`` of a fine-tuning."""

    dataset: PlainName
    init: PlainName
    """``scratch``, a pre-training's name, or the stem of a weights file."""
    without: tuple[str, ...] = ()
    """Terms that the pre-training behind ``init`` left out, for Table 2."""
    method: Literal["mixcl", "supervised", "unknown"] = "mixcl"
    """Of the pre-training behind ``init``; ``unknown`` for weights from elsewhere. Of no meaning for
    ``scratch``."""
    fraction: float
    fold: int
    seed: int
    plan: Plan
    status: Literal["running", "trained", "finished"]
    """``trained``: weights are final, prediction or scoring is not; ``finished``: ``scores.csv`` is there."""
    environment: Environment
    weights: LoadedWeights | None
    """Absent for ``scratch``."""
    training_cases: tuple[PlainName, ...]
    held_out_cases: tuple[PlainName, ...]
    parameters: int
    iterations: int

    @property
    def again(self) -> str:
        """What to do to go on with the run; -p and --set are not known here."""
        init = self.weights.source if self.weights else self.init
        return (
            f"run `mixcl_auto finetune -d {shlex.quote(self.dataset)} --fold {self.fold} "
            f"--fraction {self.fraction:g} --init {shlex.quote(init)} --seed {self.seed}` again, with its "
            "-p and --set"
        )
