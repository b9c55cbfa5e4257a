"""What an encoder's maps tell of the organs, before any fine-tuning."""

from typing import Literal

from mixcl_auto.errors import PlanError
from mixcl_auto.records.names import ContentHash, PlainName, PrintableName
from mixcl_auto.records.plan import DatasetPlan, NetworkPlan, Plan, PreprocessPlan
from mixcl_auto.records.plan_fields import NonNegative, Positive, PositiveFloat
from mixcl_auto.records.record import Record, content_hash

UNTRAINED = "untrained"
"""The plan's network with the random weights that its pre-trainings start from."""


class ProbeSettings(Record):
    """How voxels are drawn, and how the classifier is fitted to them."""

    seed: NonNegative = 0
    patches_per_class: Positive = 5
    """Patches of a case that show each of its organs, and as many anywhere in the scan."""
    voxels_per_patch: Positive = 64
    """At most so many of a class are taken from a patch at a level."""
    voxels_per_class: Positive = 2000
    """And at most so many from all patches, spread evenly over them; bounds memory and time."""
    penalty: PositiveFloat = 0.01
    """Half of it times the squared weights is added to the mean cross-entropy. A tenth of it changes no level
    with thousands of voxels, and has those with hundreds learn them by heart."""
    iterations: Positive = 1000
    """Of L-BFGS at most; it ends before in a few hundred."""


class ProbedClass(Record):
    """The background or an organ at one level."""

    name: PrintableName
    label: NonNegative
    training_voxels: NonNegative
    held_out_voxels: NonNegative
    recall: float | None
    """Share of its held-out voxels that are recognised; absent where there is none, and 0 where the
    training cases had none."""


class LevelProbe(Record):
    """One level of the encoder."""

    level: NonNegative
    channels: Positive
    grid: tuple[Positive, Positive, Positive]
    """Voxels of the map of a patch."""
    balanced_accuracy: float | None
    """Mean recall over the classes that have held-out voxels, the background included; absent where fewer
    than two have any."""
    classes: tuple[ProbedClass, ...]
    """The background first."""
    effective_rank: float
    """Of the channels over the training voxels, see ``losses.collapse``."""
    channel_spread: float
    position_share: float | None
    """Of the maps' variance over the training patches, see ``probing.position_share``; absent for constant
    maps."""

    @property
    def chance(self) -> float:
        """The balanced accuracy of whoever looks at no map."""
        return 1 / max(1, sum(one.recall is not None for one in self.classes))

    @property
    def effective_rank_share(self) -> float:
        """Of the number of channels."""
        return self.effective_rank / self.channels

    @property
    def training_voxels(self) -> int:
        """That the classifier was fitted to."""
        return sum(one.training_voxels for one in self.classes)

    @property
    def held_out_voxels(self) -> int:
        """That it was tested on."""
        return sum(one.held_out_voxels for one in self.classes)

    def recall(self, name: str) -> float | None:
        """Of the class of that name; absent for one that is not there."""
        return next((one.recall for one in self.classes if one.name == name), None)


class ProbeResult(Record):
    """``results/<plan>/probe/<Dataset>/fold_k/<init>.json``."""

    version: Literal[1] = 1
    init: PlainName
    """``untrained``, a pre-training's name, or the stem of a weights file."""
    dataset: PlainName
    fold: NonNegative
    plan_hash: ContentHash
    """Of the whole plan, for the record."""
    recipe_hash: ContentHash
    """Of all that the figures depend on; see ``recipe_hash``."""
    weights_sha256: str | None
    """Of the encoder's file; absent for ``untrained``."""
    settings: ProbeSettings
    device: str
    training_cases: tuple[PlainName, ...]
    held_out_cases: tuple[PlainName, ...]
    training_patches: NonNegative
    held_out_patches: NonNegative
    levels: tuple[LevelProbe, ...]

    def level(self, number: int) -> LevelProbe:
        """That level, counted from the finest, 0.

        Raises:
            PlanError: if the network has no such level.
        """
        for level in self.levels:
            if level.level == number:
                return level
        raise PlanError(f"the network has levels 0 to {len(self.levels) - 1}; got level {number}")


class _Recipe(Record):
    """Whatever changes a figure; the classes and cases stand in the dataset's plan."""

    preprocess: PreprocessPlan
    network: NetworkPlan
    dataset: DatasetPlan
    fold: int
    seed: int
    threads: int
    windows_per_batch: int
    settings: ProbeSettings
    weights_sha256: str | None


def recipe_hash(
    plan: Plan, dataset: str, *, fold: int, settings: ProbeSettings, weights_sha256: str | None
) -> str:
    """What tells a result that can be kept from one to be measured again.

    Args:
        plan: fields that have no part in the figures may change.
        dataset: the target's name.
        fold: counted from 0.
        settings: of the probe.
        weights_sha256: of the encoder's file; absent for the random weights of ``pretrain.seed``.
    """
    recipe = _Recipe(
        preprocess=plan.preprocess,
        network=plan.network,
        dataset=plan.dataset(dataset),
        fold=fold,
        seed=plan.pretrain.seed,
        threads=plan.pretrain.threads,
        windows_per_batch=plan.inference.windows_per_batch,
        settings=settings,
        weights_sha256=weights_sha256,
    )
    return content_hash(recipe)
