"""What the runs say in one plain sentence per target, share of labels and comparison."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from mixcl_auto.metrics.averaging import Interval
from mixcl_auto.reporting.arms import Difference, difference
from mixcl_auto.reporting.grid import Grid
from mixcl_auto.reporting.roles import Comparison, Question, comparisons
from mixcl_auto.reporting.tables import table_1_cells

Outcome = Literal["higher", "lower", "no difference shown", "too few runs", "nothing found"]

_IN_POOL = (
    "The target is a part of the pool (role both): the pre-training has seen the held-out cases with their "
    "labels, so this is not to be trusted; pre-train without it."
)

_LEAST_DECIMALS, _MOST_DECIMALS = 3, 6


@dataclass(frozen=True)
class Verdict:
    """One comparison of two arms by Dice, a training run (fold and seed) being the unit."""

    target: str
    fraction: float
    question: Question
    init: str
    baseline: str
    difference: float
    """Mean over the pairs of init minus baseline, unrounded."""
    interval: Interval | None
    """95 % Student-t over the pairs; none below two, and none where both arms found nothing."""
    pairs: int
    expected: int
    outcome: Outcome
    sentence: str
    caution: str = ""
    """What the control says against the outcome; empty if nothing."""


@dataclass(frozen=True)
class _Compared:
    comparison: Comparison
    found: Difference
    mean: float


def headline(grid: Grid) -> list[Verdict]:
    """The verdicts on every target and share of labels, MixCL first and the controls last.

    Comparisons without a pair of runs of one fold and seed have none. No difference is called one unless
    its interval leaves out 0, and the interval over folds too where folds have several seeds; several seeds
    of a single fold show nothing beyond that fold.
    """
    verdicts: list[Verdict] = []
    for target, fraction in table_1_cells(grid):
        compared = list(_compare(grid, target, fraction))
        controls = [each for each in compared if each.comparison.question == "control"]
        in_pool = target in {dataset.name for dataset in grid.plan.pool}
        verdicts += [_verdict(target, fraction, each, controls, in_pool=in_pool) for each in compared]
    return verdicts


def outcome_of(found: Difference) -> Outcome:
    """What the intervals of a difference show, together where there are two."""
    if found.nothing_found:
        return "nothing found"
    outcome = _outcome(found.interval)
    if _is_of_one_fold(found):
        return "too few runs"
    agreed = found.over_folds is None or _outcome(found.over_folds) == outcome
    return outcome if agreed else "no difference shown"


def _is_of_one_fold(found: Difference) -> bool:
    """Several runs that share training and held-out cases, whose spread leaves out what other cases do."""
    return found.interval is not None and found.folds == 1


def _compare(grid: Grid, target: str, fraction: float) -> Iterator[_Compared]:
    """The comparisons that have a pair of runs."""
    for each in comparisons(grid):
        found = difference(grid, target, each.init, fraction, baseline=each.baseline)
        if found.mean is not None:
            yield _Compared(each, found, found.mean)


def _outcome(interval: Interval | None) -> Outcome:
    """What an interval shows alone; its ends count as inside."""
    if interval is None:
        return "too few runs"
    if interval.low > 0:
        return "higher"
    return "lower" if interval.high < 0 else "no difference shown"


def _verdict(
    target: str, fraction: float, compared: _Compared, controls: Sequence[_Compared], *, in_pool: bool
) -> Verdict:
    found, question = compared.found, compared.comparison.question
    outcome = outcome_of(found)
    caution = (
        _control_caution(compared.comparison, outcome)
        if question == "control"
        else _caution(compared.mean, outcome, controls)
    )
    if in_pool and question not in ("rate", "control"):
        caution = f"{_IN_POOL} {caution}".rstrip()
    return Verdict(
        target=target,
        fraction=fraction,
        question=question,
        init=compared.comparison.init,
        baseline=compared.comparison.baseline,
        difference=compared.mean,
        interval=found.interval,
        pairs=found.pairs,
        expected=found.expected,
        outcome=outcome,
        sentence=_sentence(target, fraction, compared, outcome),
        caution=caution,
    )


def _sentence(target: str, fraction: float, compared: _Compared, outcome: Outcome) -> str:
    found, names = compared.found, compared.comparison
    mean, interval = compared.mean, found.interval
    decimals = _decimals([mean, *((interval.low, interval.high) if interval else ())])
    place = f"{target}, {100 * fraction:g} % of the labels"
    said = f"{names.init} is {_beside(mean, decimals)} {names.baseline}"
    runs = f"{_of(found)} {'run' if found.pairs == found.expected == 1 else 'runs'}"
    if outcome == "nothing found":
        return (
            f"{place}: {names.init} and {names.baseline}: neither arm found any organ in {runs}: the runs "
            "are too short or failed."
        )
    if interval is None:
        return (
            f"{place}: {said} in {runs}: too few for an interval, so nothing is shown; it takes two runs "
            "(folds or seeds) that both have."
        )
    if _is_of_one_fold(found):
        return (
            f"{place}: {said} (95 % interval {_ends(interval, decimals)} over {runs} of one fold): of that "
            "fold's cases alone, so nothing is shown; it takes other folds."
        )
    ending = {"higher": "a gain", "lower": "a loss"}.get(outcome, "no difference is shown")
    return (
        f"{place}: {said} (95 % interval {_ends(interval, decimals)} over {runs}): {ending}.{_folds(found)}"
    )


def _folds(found: Difference) -> str:
    """That seeds agree and folds do not, where that keeps a difference from being called one."""
    if found.over_folds is None or _outcome(found.interval) in (
        _outcome(found.over_folds),
        "no difference shown",
    ):
        return ""
    ends = _ends(found.over_folds, _decimals([found.over_folds.low, found.over_folds.high]))
    return f" The seeds of a fold agree but the folds do not: over their means the interval is {ends}."


def _ends(interval: Interval, decimals: int) -> str:
    return f"{interval.low:+.{decimals}f} to {interval.high:+.{decimals}f}"


def _beside(mean: float, decimals: int) -> str:
    if mean == 0:
        return "level in Dice with"
    return f"{abs(mean):.{decimals}f} Dice {'above' if mean > 0 else 'below'}"


def _of(found: Difference) -> str:
    complete = found.pairs == found.expected
    return str(found.pairs) if complete else f"{found.pairs} of {found.expected}"


def _decimals(values: Iterable[float]) -> int:
    """Three, or as many more as it takes that no figure but 0 is printed as 0."""
    least = min((abs(value) for value in values if value), default=1.0)
    wanted = range(_LEAST_DECIMALS, _MOST_DECIMALS)
    return next((n for n in wanted if round(least, n) > 0), _MOST_DECIMALS)


def _control_caution(names: Comparison, outcome: Outcome) -> str:
    if outcome not in ("higher", "lower"):
        return ""
    return (
        f"{names.init} and {names.baseline} differ in nothing but the random weights they start from, so "
        "chance alone makes such a difference here: trust no other of this size, and add seeds."
    )


def _caution(mean: float, outcome: Outcome, controls: Sequence[_Compared]) -> str:
    """Whether redrawn weights do as much: the farthest end of the controls' intervals from 0."""
    if outcome not in ("higher", "lower"):
        return ""
    gain = "gain" if outcome == "higher" else "loss"
    reaches = [reach for control in controls for reach in _reaches(control)]
    if not reaches:
        return f"No control of other random weights has two runs, so the {gain} can't be held against chance."
    reach, name = max(reaches)
    if abs(mean) > reach:
        return ""
    return (
        f"The {gain} is not larger than what other random weights alone may do: the interval of {name} "
        f"reaches {reach:.{_decimals([reach])}f} from 0."
    )


def _reaches(control: _Compared) -> Iterator[tuple[float, str]]:
    """How far from 0 the farther end of each of a control's intervals lies, and what they are of."""
    found, name = control.found, f"{control.comparison.init} minus {control.comparison.baseline}"
    if found.nothing_found and found.pairs > 1:
        yield 0.0, name
    for interval, over in ((found.interval, ""), (found.over_folds, " over fold means")):
        if interval is not None:
            yield max(abs(interval.low), abs(interval.high)), f"{name}{over}"
