import io
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from mixcl_auto.cli.experiment_view import Lines, LiveTable, describe_change, draw, report_failures, summarise
from mixcl_auto.cli.main import cli
from mixcl_auto.io.workspace import FinetuneFolder, PretrainFolder, Workspace
from mixcl_auto.workflows.experiment_status import Entry, Overview, State
from mixcl_auto.workflows.experiment_units import GridUnit


def entry(init: str, number: int, state: State, **more) -> Entry:
    """A fold of one arm; of the init ``pretrain`` a pre-training."""
    if init == "pretrain":
        name = "pre-training mixcl"
        return Entry(GridUnit(name, PretrainFolder(Path("x")), (), 1000, 1, (name,)), state, **more)
    name = f"HN_Organs, {init}, 5 %, fold {number}, seed 0"
    arm = ("HN_Organs", init, "5 %")
    unit = GridUnit(name, FinetuneFolder(Path("x")), (), 1200, 1, arm, f"fold {number}", "pre-training mixcl")
    return Entry(unit, state, **more)


OVERVIEW = Overview(
    (
        entry("pretrain", 0, "running", step=340, seconds_per_step=0.5),
        entry("scratch", 0, "done", step=1200, seconds_per_step=0.1),
        entry("scratch", 1, "running", step=600, seconds_per_step=0.1),
        entry("scratch", 2, "elsewhere", step=1200, host="n7"),
        entry("scratch-2", 0, "failed", note="it ended with code 1; the end of its log:\nno memory"),
        entry("mixcl", 0, "waiting"),
        entry("mixcl", 1, "waiting"),
    )
)


def drawn(overview: Overview, width: int = 80, most_rows: int | None = None) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(draw(overview, most_rows))
    return console.file.getvalue().splitlines()


def test_the_table_has_a_row_per_arm_within_80_columns() -> None:
    lines = drawn(OVERVIEW)
    assert max(map(len, lines)) <= 80
    rows = [" ".join(line.split()) for line in lines if "/" in line]
    assert rows == [
        "pre-training mixcl 0/1 running 340/1000",
        "HN_Organs scratch 5 % 1/3 fold 1 600/1200, fold 2 scoring…",
        "HN_Organs scratch-2 5 % 0/1 failed",
        "HN_Organs mixcl 5 % 0/2 2 waiting",
    ]


def test_long_states_are_cut_not_wrapped() -> None:
    many = tuple(entry("scratch", number, "running", step=number) for number in range(9))
    lines = drawn(Overview(many))
    assert max(map(len, lines)) <= 80
    assert sum("scratch" in line for line in lines) == 1
    assert "…" in "\n".join(lines)


def test_of_too_many_rows_the_quiet_ones_are_left_out() -> None:
    lines = "\n".join(drawn(OVERVIEW, most_rows=3))
    assert "pre-training mixcl" in lines
    assert "scratch-2" in lines
    assert " mixcl " not in lines.replace("pre-training mixcl", "")
    assert "and 1 more row done or waiting" in lines


def test_the_summary_counts_and_tells_the_time_left() -> None:
    # left: 330 s of pre-training and then, in the same chain, 120 s of fine-tuning
    assert summarise(OVERVIEW) == (
        "1 of 7 done, 2 running, 1 running elsewhere, 1 failed, 2 waiting, about 8 min left"
    )


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (
            entry("mixcl", 0, "done", seconds=180),
            "done: HN_Organs, mixcl, 5 %, fold 0, seed 0 (3 min); 1 of 7 done",
        ),
        (entry("mixcl", 0, "running"), "running: HN_Organs, mixcl, 5 %, fold 0, seed 0"),
        (entry("mixcl", 0, "running", step=7), "running again: HN_Organs, mixcl"),
        (entry("mixcl", 0, "elsewhere", host="n1"), "running elsewhere: HN_Organs, mixcl, 5 %, fold 0, seed"),
        (
            entry("mixcl", 0, "failed", note="X ended; the end of run.log:\nlog"),
            "failed: X ended; see run.log",
        ),
        (entry("mixcl", 0, "waiting", note="X ended\nlog"), "failed, tried again: X ended"),
        (entry("mixcl", 0, "stopped"), "free again: HN_Organs, mixcl"),
        (entry("mixcl", 0, "blocked"), "fold 0, seed 0, since pre-training mixcl failed"),
    ],
)
def test_every_change_is_one_line(changed: Entry, line: str) -> None:
    said: list[str] = []
    Lines(said.append).changed(changed, OVERVIEW)
    assert said == [describe_change(changed, OVERVIEW)]
    assert line in said[0]
    assert "\n" not in said[0]


def test_failures_come_with_the_end_of_their_logs() -> None:
    text = report_failures(OVERVIEW)
    assert text.startswith("1 of 7 runs failed; the same command tries them again")
    assert text.endswith("no memory")
    assert report_failures(Overview(OVERVIEW.entries[:2])) == ""


def test_the_live_table_is_drawn_and_keeps_failures_above_it() -> None:
    console = Console(file=io.StringIO(), width=80, height=30, force_terminal=True)
    with LiveTable(console) as view:
        view.changed(OVERVIEW.entries[4], OVERVIEW)
        view.tick(OVERVIEW)
    text = console.file.getvalue()
    assert "it ended with code 1; see its log" in text
    assert "340/1000" in text


def invoke(workspace: Workspace, *arguments: str):
    return CliRunner().invoke(cli, ["-w", str(workspace.root), "experiment", *arguments])


def test_a_dry_run_prints_the_commands_and_runs_none(planned_workspace: Workspace) -> None:
    result = invoke(planned_workspace, "--dry-run", "--table", "1")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith(f"mixcl_auto -w {planned_workspace.root} pretrain -p")
    assert sum(" finetune " in line for line in lines) == 10
    assert lines[-1] == "# 0 of 12 done, 12 waiting"
    assert not planned_workspace.results.exists()


def test_the_status_is_a_table_on_stdout(planned_workspace: Workspace) -> None:
    result = invoke(planned_workspace, "--status")
    assert result.exit_code == 0, result.output
    assert "pre-training no_reconstruction" in result.output
    assert "0 of 16 done, 16 waiting" in result.output


def test_an_address_without_ray_is_refused(planned_workspace: Workspace) -> None:
    result = invoke(planned_workspace, "--address", "host:1")
    assert result.exit_code == 1
    assert "leave out the address" in result.output
