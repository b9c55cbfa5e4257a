"""What the runs say in one plain sentence per target, share of labels and comparison."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from mixcl_auto.metrics.averaging import Interval
from mixcl_auto.reporting.arms import Difference, difference
from mixcl_auto.reporting.grid import SCRATCH, Grid
from mixcl_auto.reporting.roles import (
    Comparison,
    Question,
    comparisons,
    fine_tuned_before,
    fresh_level_0,
    has_seen,
)
from mixcl_auto.reporting.tables import table_cells

Outcome = Literal["higher", "lower", "no difference shown", "too few runs", "nothing found"]

_LEAST_DECIMALS, _MOST_DECIMALS = 3, 6


@dataclass(frozen=True)
class Verdict:
    """One comparison of two arms by Dice, a fold being the unit."""

    target: str
    fraction: float
    question: Question
    init: str
    baseline: str
    difference: float
    """Mean over folds of init minus baseline, unrounded."""
    interval: Interval | None
    """95 % Student-t over folds; none below two pairs, and none where both arms found nothing."""
    pairs: int
    expected: int
    outcome: Outcome
    sentence: str
    caution: str = ""
    """What speaks against the outcome, such as the control; empty if nothing."""


@dataclass(frozen=True)
class _Compared:
    comparison: Comparison
    found: Difference
    mean: float


def headline(grid: Grid) -> list[Verdict]:
    """The verdicts on every target and share of labels, MixCL first and the controls last.

    Comparisons without a pair of runs of one fold and seed have none, nor have shares of labels of Table 2
    alone any but of ablations. No difference is called one unless its interval leaves out 0; several seeds of
    a single fold show nothing beyond that fold.
    """
    verdicts: list[Verdict] = []
    for target, fraction in table_cells(grid):
        compared = list(_compare(grid, target, fraction))
        controls = [each for each in compared if each.comparison.question == "control"]
        for each in compared:
            cautions = " ".join(_cautions(grid, target, each, controls))
            verdicts.append(_verdict(target, fraction, each, cautions))
    return verdicts


def outcome_of(found: Difference) -> Outcome:
    """What a difference shows; the ends of its interval count as inside."""
    if found.nothing_found:
        return "nothing found"
    if found.interval is None or _is_of_one_fold(found):
        return "too few runs"
    if found.interval.low > 0:
        return "higher"
    return "lower" if found.interval.high < 0 else "no difference shown"


def _is_of_one_fold(found: Difference) -> bool:
    """Several runs that share training and held-out cases, whose spread leaves out what other cases do."""
    return found.interval is not None and found.folds == 1


def _compare(grid: Grid, target: str, fraction: float) -> Iterator[_Compared]:
    """The comparisons that have a pair of runs; a share of labels of Table 2 alone is there for ablations."""
    ablations_alone = grid.is_table_2_alone(target, fraction)
    for each in comparisons(grid):
        if ablations_alone and each.question != "ablation":
            continue
        found = difference(grid, target, each.init, fraction, baseline=each.baseline)
        if found.mean is not None:
            yield _Compared(each, found, found.mean)


def _verdict(target: str, fraction: float, compared: _Compared, caution: str) -> Verdict:
    found = compared.found
    outcome = outcome_of(found)
    return Verdict(
        target=target,
        fraction=fraction,
        question=compared.comparison.question,
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
    runs = _runs(found)
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
    over = _over(found)
    return f"{place}: {said} (95 % interval {_ends(interval, decimals)} over {over}): {ending}."


def _ends(interval: Interval, decimals: int) -> str:
    return f"{interval.low:+.{decimals}f} to {interval.high:+.{decimals}f}"


def _beside(mean: float, decimals: int) -> str:
    if mean == 0:
        return "level in Dice with"
    return f"{abs(mean):.{decimals}f} Dice {'above' if mean > 0 else 'below'}"


def _over(found: Difference) -> str:
    """What an interval is over: runs, or where folds have several seeds the folds."""
    return _runs(found) if found.folds == found.pairs else f"{found.folds} folds, {_runs(found)}"


def _runs(found: Difference) -> str:
    if found.pairs != found.expected:
        return f"{found.pairs} of {found.expected} runs"
    return "1 run" if found.pairs == 1 else f"{found.pairs} runs"


def _decimals(values: Iterable[float]) -> int:
    """Three, or as many more as it takes that no figure but 0 is printed as 0."""
    least = min((abs(value) for value in values if value), default=1.0)
    wanted = range(_LEAST_DECIMALS, _MOST_DECIMALS)
    return next((n for n in wanted if round(least, n) > 0), _MOST_DECIMALS)


def _cautions(grid: Grid, target: str, compared: _Compared, controls: Sequence[_Compared]) -> Iterator[str]:
    """What speaks against a comparison's outcome, or against what it is taken for."""
    names, outcome = compared.comparison, outcome_of(compared.found)
    if seen := [init for init in (names.init, names.baseline) if has_seen(grid, init, target)]:
        yield (
            f"{target} was in the pool that {' and '.join(seen)} {'was' if len(seen) == 1 else 'were'} "
            "pre-trained on (role both): held-out cases were seen with their labels, so this is not to be "
            "trusted; pre-train without it."
        )
    for init in (names.init, names.baseline):
        if fine_tuned_before(grid, init, target):
            yield (
                f"The weights {init} were fine-tuned on {target} before: held-out cases may have been seen "
                "with their labels, so this is not to be trusted."
            )
    if names.question == "weights" and fresh_level_0(grid, names.init) != fresh_level_0(grid, names.baseline):
        yield (
            f"At level 0 the two differ in rate too: {_level_0_rate(grid, names.init)} and "
            f"{_level_0_rate(grid, names.baseline)}."
        )
    if outcome not in ("higher", "lower"):
        return
    if names.question == "control":
        yield _control_caution(names)
    elif names.baseline == SCRATCH and (held := _against_chance(compared.mean, outcome, controls)):
        yield held


def _level_0_rate(grid: Grid, init: str) -> str:
    return f"{init} has the {'full' if fresh_level_0(grid, init) else 'low'} one"


def _control_caution(names: Comparison) -> str:
    return (
        f"{names.init} and {names.baseline} differ in nothing but the random weights they start from, so "
        "chance alone makes such a difference here: trust no other of this size, and add seeds."
    )


def _against_chance(mean: float, outcome: Outcome, controls: Sequence[_Compared]) -> str:
    """Whether other weights than scratch drew do as much: the farthest end of the controls' intervals from 0.

    It speaks of scratch alone: of two pre-trained arms neither starts from such a draw.
    """
    gain = "gain" if outcome == "higher" else "loss"
    reaches = [(reach, each) for each in controls if (reach := _reach(each.found)) is not None]
    if not reaches:
        return (
            f"No control of other random weights has two folds, so the {gain} can't be held against chance."
        )
    reach, control = max(reaches, key=lambda each: each[0])
    if abs(mean) > reach:
        return ""
    return (
        f"The {gain} is not larger than what other random weights alone may do: the interval of "
        f"{control.comparison.init} minus {control.comparison.baseline} over {_over(control.found)} reaches "
        f"{reach:.{_decimals([reach])}f} from 0."
    )


def _reach(found: Difference) -> float | None:
    """How far from 0 the farther end of a control's interval lies; nothing for a control of one fold."""
    if found.folds < 2:
        return None
    if found.nothing_found:
        return 0.0
    return None if found.interval is None else max(abs(found.interval.low), abs(found.interval.high))
