"""How scores are shown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixcl_auto.cli.tables import print_table

if TYPE_CHECKING:
    from mixcl_auto.records.score import OrganScore


def print_scores(scores: "Sequence[OrganScore]") -> None:
    """Means over cases per organ, each over the cases where the figure is defined."""
    from mixcl_auto.evaluation.summary import summarise_run

    columns = ("organ", "cases", "Dice", "HD95 (mm)", "surface Dice")
    organs = summarise_run(scores).organs
    rows = [(organ.organ, organ.cases, organ.dice, organ.hd95_mm, organ.surface_dice) for organ in organs]
    print_table("Scores, mean over cases", columns, rows)
