"""The plan: the whole recipe of a project, one section per stage."""

import json
import math
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mixcl_auto.errors import PlanError
from mixcl_auto.records.case import Role
from mixcl_auto.records.experiment_plan import ExperimentPlan
from mixcl_auto.records.names import ContentHash, PlainName, PrintableName
from mixcl_auto.records.plan_fields import (
    SUPERVISED,
    Levels,
    Method,
    NonNegative,
    NonNegativeFloat,
    Positive,
    PositiveFloat,
    Probability,
    Side,
    Term,
)
from mixcl_auto.records.record import Record

PLAN_VERSION: Literal[1] = 1


class PreprocessPlan(Record):
    """The grid and the values of the cache. A change here means another cache."""

    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (1.5, 1.5, 2.0)
    window_hu: tuple[float, float] = (-150.0, 250.0)
    """Intensities kept, and mapped to [0, 1]; in the scans' own unit where they are no CT."""
    intensity_step: PositiveFloat = 1.0
    """What one step of the cache's whole numbers (int16) stands for: 1 HU for CT."""
    distance_unit: Literal["voxel", "mm"] = "voxel"
    """Unit of D in Eq. 7 (decision 11)."""
    coordinates_per_class: Positive = 10_000
    """Labelled voxels kept per case and class to centre patches on."""

    @model_validator(mode="after")
    def _window_is_ordered(self) -> Self:
        if self.window_hu[0] >= self.window_hu[1]:
            raise ValueError(f"window_hu must be (low, high) with low < high, got {self.window_hu}")
        return self

    @property
    def window_steps(self) -> tuple[float, float]:
        """The window in the cache's numbers."""
        low, high = self.window_hu
        return (low / self.intensity_step, high / self.intensity_step)


class NetworkPlan(Record):
    """The backbone's size."""

    backbone: Literal["unetr"] = "unetr"
    patch_size: tuple[Side, Side, Side] = (96, 96, 96)
    feature_size: Positive = 16
    hidden_size: Positive = 768
    mlp_size: Positive = 3072
    heads: Positive = 12
    layers: Annotated[int, Field(gt=0, multiple_of=4)] = 12

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> Self:
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of heads {self.heads}")
        return self


class DatasetPlan(Record):
    """A dataset as planned: which cases, which labels, and the files that hold its fingerprint and folds."""

    name: PlainName
    role: Role
    channel_name: str = "CT"
    labels: dict[PrintableName, Positive]
    cases: tuple[PlainName, ...]
    left_out: dict[PlainName, str] = Field(default_factory=dict)
    """Case id to the reason why ``--skip-invalid`` left it out."""
    fingerprint: ContentHash
    """Content hash of ``plans/fingerprints/<name>.json``."""
    split: ContentHash | None = None
    """Content hash of ``plans/splits/<name>.json``, for targets."""

    @property
    def class_count(self) -> int:
        """Output channels of a network for it: the background and every value up to the largest label."""
        return 1 + max(self.labels.values(), default=0)

    @property
    def is_ct(self) -> bool:
        """Whether its intensities are Hounsfield units."""
        return self.channel_name.upper() == "CT"

    @property
    def is_target(self) -> bool:
        """Whether models are fine-tuned on it."""
        return self.role in ("target", "both")

    @property
    def is_pretrain(self) -> bool:
        """Whether it belongs to the pre-training pool."""
        return self.role in ("pretrain", "both")


class TrainerPlan(Record):
    """What both trainers share."""

    iterations: Positive | None = None
    epochs: Positive | None = None
    """Instead of ``iterations``: passes over the cases."""
    batch_size: Positive
    """Global: split over the processes."""
    learning_rate: PositiveFloat = 1e-4
    weight_decay: NonNegativeFloat = 1e-5
    warmup_iterations: NonNegative = 0
    gradient_clip_norm: PositiveFloat | None = None
    seed: NonNegative = 0
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    threads: Annotated[int, Field(gt=0, le=1024)] = 1
    """CPU threads of the process; part of the recipe because sums depend on it."""
    workers: NonNegative = 1
    """Loader processes; results do not depend on it."""
    foreground_fraction: Probability = 0.5
    """Share of patches drawn for a labelled voxel."""
    foreground_placement: Literal["centre", "anywhere"] = "centre"
    """Where in such a patch that voxel is. From ``centre`` a network with a position embedding also learns
    that organs are in the centre."""
    compile: bool = False
    """Whether ``torch.compile`` makes the network's passes: a minute or more at the start. ``tiny`` was
    slower for it on a CPU; compare with ``mixcl_auto benchmark --set``."""
    deterministic: bool = False
    """Whether a GPU computes the same to the bit each time, by slower kernels; a CPU always does."""
    checkpoint_every: Positive = 100
    gradient_every: NonNegative = 0
    """Steps between measurements of each term's share of the encoder's gradient norm; 0 is never."""

    @model_validator(mode="after")
    def _one_unit_of_length(self) -> Self:
        if (self.iterations is None) == (self.epochs is None):
            raise ValueError("give either iterations or epochs, and the other as null")
        return self

    def total_iterations(self, cases: int) -> int:
        """Optimiser steps for a training set of ``cases``."""
        if self.iterations is not None:
            return self.iterations
        return (self.epochs or 0) * max(1, math.ceil(cases / self.batch_size))


class PretrainPlan(TrainerPlan):
    """The method, MixCL's objective (Eq. 2-7), the sampling of patches and their augmentation."""

    iterations: Positive | None = 1000
    batch_size: Positive = 6
    method: Method = "mixcl"
    """``supervised``: segmentation of the pool's own labels on the same batches, the baseline; it has no use
    for the fields of MixCL's objective."""
    without: tuple[Term, ...] = ()
    """Terms left out, for Table 2."""
    label_weight: NonNegativeFloat = 0.01
    reconstruction_weight: NonNegativeFloat = 0.01
    identity_reduction: Literal["sum", "mean_per_channel"] = "sum"
    off_diagonal_weight: NonNegativeFloat = 0.0051
    center: bool = True
    reconstruction_reduction: Literal["mean", "sum"] = "mean"
    temperature: Annotated[float, Field(ge=0.003)] = 0.1
    """tau of Eq. 6. Below 0.003 the exponentials of two scores span more than float64 does."""
    label_reduction: Literal["global", "per_anchor"] = "global"
    label_level: Levels = (1,)
    """The level whose embeddings enter Eq. 6, or several, finest first, whose losses are summed."""
    hand_on_level_0: bool = True
    """Whether what MixCL taught to the weights of level 0 alone (UNETR's ``encoder1``, which sees the image
    and no token) goes into a fine-tuning; if not, they start random and learn at the full rate."""
    recompute_level_0: bool = False
    """Whether level 0's projector is computed twice rather than kept for the gradient; spares memory."""
    voxels_per_class: Positive = 256
    weight_mu: PositiveFloat = 8.0
    weight_epsilon: PositiveFloat = 0.05
    dataset_sampling: Literal["case", "sqrt", "dataset"] = "case"
    same_image_probability: Probability = 0.5
    """How often P2 comes from P1's own scan."""
    match_classes: bool = True
    """Whether a foreground P2 is drawn for a class present in P1's patch (decision 13)."""
    elastic_probability: Probability = 0.5
    affine_probability: Probability = 0.5
    rotation_degrees: NonNegativeFloat = 15.0
    scale_range: tuple[PositiveFloat, PositiveFloat] = (0.85, 1.25)
    elastic_displacement_voxels: NonNegativeFloat = 6.0
    intensity_probability: Probability = 0.2
    intensity_shift: NonNegativeFloat = 0.1
    gamma_range: tuple[PositiveFloat, PositiveFloat] = (0.7, 1.5)
    smoothing_sigma_voxels: tuple[PositiveFloat, PositiveFloat] = (0.5, 1.0)
    noise_standard_deviation: NonNegativeFloat = 0.1
    gradient_every: NonNegative = 50

    @model_validator(mode="after")
    def _label_levels_ascend(self) -> Self:
        if list(self.label_level) != sorted(set(self.label_level)):
            levels = list(self.label_level)
            raise ValueError(f"label_level must name each level once, finest first, got {levels}")
        return self

    @model_validator(mode="after")
    def _something_is_left_to_learn(self) -> Self:
        if len(set(self.without)) == 3:
            raise ValueError("without names all three terms; leave at least one")
        return self

    @model_validator(mode="after")
    def _only_mixcl_has_terms(self) -> Self:
        if self.without and self.method != "mixcl":
            raise ValueError(f"without names terms of MixCL's loss; leave it empty for method {self.method}")
        return self

    @model_validator(mode="after")
    def _ranges_ascend(self) -> Self:
        for field in ("scale_range", "gamma_range", "smoothing_sigma_voxels"):
            low, high = getattr(self, field)
            if low > high:
                raise ValueError(f"{field} must be (low, high) with low <= high, got {(low, high)}")
        if self.gamma_range[1] < 1:
            raise ValueError(f"gamma_range must reach 1 or more, got {self.gamma_range}")
        return self

    @property
    def hands_on_level_0(self) -> bool:
        """Whether a fine-tuning starts from level 0's weights too; those of the baseline always serve."""
        return self.hand_on_level_0 or self.method == SUPERVISED


class FinetunePlan(TrainerPlan):
    """Segmentation with Dice + cross-entropy (decision 17)."""

    iterations: Positive | None = 2000
    batch_size: Positive = 2
    dice_over_batch: bool = False
    dice_includes_background: bool = True
    output_bias: Literal["default", "log_frequency"] = "default"
    """Start of the output layer's bias, in every arm; ``log_frequency`` helps small networks."""
    transferred_rate: PositiveFloat = 1.0
    """What the learning rate of weights that came from a pre-training is multiplied by; the decoder's, and
    all of ``scratch``, learn at the full rate."""
    score_at: tuple[Positive, ...] = ()
    """Steps after which the held-out fold is predicted and scored as well; after the last step it always is.
    The training stays the same to the bit."""
    rotation_probability: Probability = 0.2
    flip_probability: Probability = 0.2
    intensity_probability: Probability = 0.2
    intensity_scale: NonNegativeFloat = 0.1
    intensity_shift: NonNegativeFloat = 0.1
    gradient_every: Literal[0] = 0
    """One loss has no shares to measure; another value is refused rather than ignored."""

    @model_validator(mode="after")
    def _scores_are_on_the_way(self) -> Self:
        if any(later <= step for step, later in pairwise(self.score_at)):
            raise ValueError(f"score_at must ascend, each step once, got {list(self.score_at)}")
        if self.iterations is not None and self.score_at and self.score_at[-1] >= self.iterations:
            raise ValueError(
                f"score_at must stay below the {self.iterations} iterations, after which a run is scored in "
                f"any case, got {list(self.score_at)}"
            )
        return self


class InferencePlan(Record):
    """Sliding-window prediction and scoring."""

    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    windows_per_batch: Positive = 2
    flips: Annotated[str, Field(pattern="^x?y?z?$")] = ""
    """Axes along which each window is also seen flipped, and the outputs averaged: x is right-left, y
    anterior-posterior, z superior-inferior. n axes take 2^n times as long."""
    surface_tolerance_mm: PositiveFloat = 2.0
    """Tolerance of surface Dice."""


class Decision(Record):
    """One planned field with the rule that set it and the measurement behind it."""

    field: str
    value: str
    rule: str
    reason: str


class Plan(Record):
    """Everything that changes a result."""

    version: Literal[1] = PLAN_VERSION
    description: str = ""
    preset: str = ""
    preprocess: PreprocessPlan = PreprocessPlan()
    network: NetworkPlan = NetworkPlan()
    datasets: tuple[DatasetPlan, ...] = ()
    pretrain: PretrainPlan = PretrainPlan()
    finetune: FinetunePlan = FinetunePlan()
    inference: InferencePlan = InferencePlan()
    experiment: ExperimentPlan = ExperimentPlan()
    decisions: tuple[Decision, ...] = ()
    warnings: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _flips_were_learnt(self) -> Self:
        if self.inference.flips and self.finetune.flip_probability == 0:
            raise ValueError(
                "inference.flips needs networks that were fine-tuned with flips: set "
                "finetune.flip_probability above 0, or inference.flips to nothing"
            )
        return self

    def dataset(self, name: str) -> DatasetPlan:
        """The dataset of that name.

        Raises:
            PlanError: if the plan has no such dataset; the message lists those it has.
        """
        for dataset in self.datasets:
            if dataset.name == name:
                return dataset
        known = ", ".join(dataset.name for dataset in self.datasets) or "none"
        raise PlanError(f"the plan has no dataset {name!r}; it has: {known}")

    @property
    def pool(self) -> tuple[DatasetPlan, ...]:
        """The datasets to pre-train on."""
        return tuple(dataset for dataset in self.datasets if dataset.is_pretrain)

    @property
    def targets(self) -> tuple[DatasetPlan, ...]:
        """The datasets to fine-tune on."""
        return tuple(dataset for dataset in self.datasets if dataset.is_target)


def plan_schema() -> str:
    """The JSON schema of a plan, as shipped beside the presets."""
    return json.dumps(Plan.model_json_schema(), indent=2) + "\n"
