"""One run's scores at a glance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mixcl_auto.metrics.averaging import mean_over_organs_then_cases, mean_per_organ
from mixcl_auto.records.score import OrganScore

Figure = Callable[[OrganScore], float | None]


@dataclass(frozen=True)
class OrganSummary:
    """One organ over a run's cases; figures are undefined where no case counts."""

    organ: str
    cases: int
    """Cases whose Dice counts: the organ is in the reference, in the prediction, or both."""
    missed: int
    """Cases of these whose prediction lacks the organ; they count with the worst value."""
    invented: int
    """Cases of these whose reference lacks it; they count so too."""
    dice: float | None
    hd95_mm: float | None
    surface_dice: float | None


@dataclass(frozen=True)
class RunSummary:
    """The headline of a run, mean over organs then cases, and each organ."""

    cases: int
    dice: float | None
    dice_resampled: float | None
    hd95_mm: float | None
    surface_dice: float | None
    organs: tuple[OrganSummary, ...]


def summarise_run(scores: Sequence[OrganScore]) -> RunSummary:
    """Summarise the scores of one run or one folder of predictions."""
    return RunSummary(
        cases=len({score.case for score in scores}),
        dice=_headline(scores, lambda score: score.dice),
        dice_resampled=_headline(scores, lambda score: score.dice_resampled),
        hd95_mm=_headline(scores, lambda score: score.hd95_mm),
        surface_dice=_headline(scores, lambda score: score.surface_dice),
        organs=tuple(_organ(scores, organ) for organ in dict.fromkeys(score.organ for score in scores)),
    )


def _headline(scores: Sequence[OrganScore], figure: Figure) -> float | None:
    return mean_over_organs_then_cases((score.case, score.organ, figure(score)) for score in scores)


def _organ(scores: Sequence[OrganScore], organ: str) -> OrganSummary:
    own = [score for score in scores if score.organ == organ]

    def mean(figure: Figure) -> tuple[float | None, int]:
        return mean_per_organ((score.case, organ, figure(score)) for score in own)[organ]

    dice, cases = mean(lambda score: score.dice)
    counted = [score for score in own if score.dice is not None]
    return OrganSummary(
        organ=organ,
        cases=cases,
        missed=sum(score.prediction_voxels == 0 for score in counted),
        invented=sum(score.reference_voxels == 0 for score in counted),
        dice=dice,
        hd95_mm=mean(lambda score: score.hd95_mm)[0],
        surface_dice=mean(lambda score: score.surface_dice)[0],
    )
