"""Means of scores, for a glance; the report has the full statistics."""

from collections.abc import Iterable, Sequence

from mixcl_auto.records.score import OrganScore


def mean_defined(values: Iterable[float | None]) -> float | None:
    """The mean over the values that are defined, or none if none is."""
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def dice_per_organ(scores: Sequence[OrganScore]) -> dict[str, float | None]:
    """Mean Dice over the cases for each organ, in the order of the scores."""
    organs = dict.fromkeys(score.organ for score in scores)
    return {organ: mean_defined(score.dice for score in scores if score.organ == organ) for organ in organs}


def mean_dice(scores: Sequence[OrganScore]) -> float | None:
    """The headline of one fold: mean Dice over the organs of each case, then over the cases."""
    cases = dict.fromkeys(score.case for score in scores)
    return mean_defined(mean_defined(score.dice for score in scores if score.case == case) for case in cases)
