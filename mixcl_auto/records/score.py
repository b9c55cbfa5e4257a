"""How well one organ of one case was segmented."""

from mixcl_auto.records.names import PlainName, PrintableName, PrintableText
from mixcl_auto.records.record import Record


class OrganScore(Record):
    """A row of ``scores.csv``; a figure is absent where the rule of the README leaves it undefined."""

    case: PlainName
    patient: PrintableText
    organ: PrintableName
    label: int
    dice: float | None
    """On the original grid; absent if neither reference nor prediction has the organ."""
    dice_resampled: float | None
    """On the plan's grid."""
    hd95_mm: float | None
    surface_dice: float | None
    reference_voxels: int
    prediction_voxels: int
