"""How scores are shown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixcl_auto.cli.tables import print_table

if TYPE_CHECKING:
    from mixcl_auto.records.score import OrganScore


def print_scores(scores: "Sequence[OrganScore]") -> None:
    """Means over cases per organ, each over the cases where the figure is defined."""
    from mixcl_auto.workflows.score_means import mean_defined

    columns = ("organ", "cases", "Dice", "HD95 (mm)", "surface Dice")
    organs = list(dict.fromkeys(score.organ for score in scores))
    rows = []
    for organ in organs:
        own = [score for score in scores if score.organ == organ]
        counted = sum(score.dice is not None for score in own)
        dice = mean_defined(score.dice for score in own)
        distance = mean_defined(score.hd95_mm for score in own)
        rows.append((organ, counted, dice, distance, mean_defined(score.surface_dice for score in own)))
    print_table("Scores, mean over cases", columns, rows)
