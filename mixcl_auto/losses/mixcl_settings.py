"""What Eq. 2 to 7 are computed with."""

from dataclasses import dataclass

from mixcl_auto.losses.identity_consistency import IdentityReduction
from mixcl_auto.losses.label_consistency import LabelReduction
from mixcl_auto.losses.reconstruction import ReconstructionReduction


@dataclass(frozen=True, kw_only=True)
class MixCLSettings:
    """The objective; the defaults are the paper's, or this project's decision where it prints none.

    Attributes:
        label_weight: alpha of Eq. 2.
        reconstruction_weight: beta of Eq. 2.
        identity_weight: of the first term, 1 in Eq. 2.
        off_diagonal_weight: lambda of Eq. 4.
        identity_reduction: ``sum`` over a level's channels or ``mean_per_channel``; levels are summed either
            way.
        center: centre the channels before Eq. 5.
        temperature: tau of Eq. 6.
        label_reduction: of Eq. 6.
        label_levels: the levels whose embeddings enter Eq. 6, from zero; their losses are summed.
        voxels_per_class: r, per class and patch.
        reconstruction_reduction: ``mean`` over voxels, averaged over the three reconstructions; or ``sum``
            over a patch's voxels and the three reconstructions, averaged over the batch.
        identity: whether the first term is computed (Table 2).
        label: whether the second is.
        reconstruction: whether the third is.
    """

    label_weight: float = 0.01
    reconstruction_weight: float = 0.01
    identity_weight: float = 1.0
    off_diagonal_weight: float = 0.0051
    identity_reduction: IdentityReduction = "sum"
    center: bool = True
    temperature: float = 0.1
    label_reduction: LabelReduction = "global"
    label_levels: tuple[int, ...] = (1,)
    voxels_per_class: int = 256
    reconstruction_reduction: ReconstructionReduction = "mean"
    identity: bool = True
    label: bool = True
    reconstruction: bool = True

    def __post_init__(self) -> None:
        if not (self.identity or self.label or self.reconstruction):
            raise ValueError("at least one of identity, label and reconstruction must be on, got none")
