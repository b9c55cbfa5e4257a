import io

import pytest
from rich.console import Console

from mixcl_auto.cli.progress_bar import BarProgress, LineProgress, Unheard, duration
from mixcl_auto.progress import Silent


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run_lines(total: int, seconds_each: float, done: int = 0, **options: float) -> list[str]:
    lines: list[str] = []
    clock = Clock()
    progress = LineProgress(lines.append, clock, **options)
    progress.start("training", total, done)
    for step in range(total - done):
        clock.now += seconds_each
        progress.advance(note=f"loss {step}")
    progress.finish()
    return lines


def test_a_log_gets_a_line_per_tenth_with_rate_and_time_left() -> None:
    lines = run_lines(100, 0.5)
    assert len(lines) == 11
    assert lines[0] == "training: 100"
    assert lines[1] == "training: 10/100, 2.0/s, 45 s left, loss 9"
    assert lines[-1] == "training: 100/100, 2.0/s, 50 s in all, loss 99"


def test_quick_work_is_told_of_at_its_start_and_end() -> None:
    assert len(run_lines(100, 0.001)) == 2


def test_slow_work_is_told_of_every_30_seconds() -> None:
    lines = run_lines(1000, 10.0, seconds_between=30.0)[:3]
    assert lines[1] == "training: 3/1000, 10.0 s each, 2 h 46 min left, loss 2"


def test_resumed_work_counts_only_new_units_in_its_rate() -> None:
    lines = run_lines(100, 1.0, done=80)
    assert lines[0] == "training: 100, 80 already done"
    assert lines[1] == "training: 90/100, 1.0/s, 10 s left, loss 9"


def test_work_of_no_units_is_one_line() -> None:
    assert run_lines(0, 1.0) == ["training: 0"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (99, "99 s"), (100, "2 min"), (5400, "90 min"), (7500, "2 h 05 min")]
)
def test_durations_are_in_the_unit_that_suits_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_bar_shows_description_count_and_note() -> None:
    stream = io.StringIO()
    progress = BarProgress(Console(file=stream, force_terminal=True, width=120))
    progress.start("pre-training", 4)
    for _ in range(4):
        progress.advance(note="loss 0.25")
    progress.finish()
    last = stream.getvalue()
    assert "pre-training" in last
    assert "4/4" in last
    assert "loss 0.25" in last


def test_a_second_start_ends_the_first_bar() -> None:
    progress = BarProgress(Console(file=io.StringIO(), force_terminal=True, width=120))
    progress.start("one", 2)
    progress.start("two", 2)
    progress.advance()
    progress.finish()
    progress.advance()


class Broken(Silent):
    """A progress whose terminal is gone."""

    def __init__(self) -> None:
        self.calls = 0

    def advance(self, units: int = 1, note: str = "") -> None:
        self.calls += 1
        raise OSError(5, "Input/output error")


def test_a_terminal_that_is_gone_is_told_nothing_more_and_ends_nothing() -> None:
    broken = Broken()
    progress = Unheard(broken)
    progress.start("work", 3)
    progress.advance()
    progress.advance()
    progress.finish()
    assert broken.calls == 1
