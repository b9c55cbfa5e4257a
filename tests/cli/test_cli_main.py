import logging
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mixcl_auto.cli import main as main_module
from mixcl_auto.cli.main import COMMANDS, cli
from mixcl_auto.cli.options import OnceEach
from mixcl_auto.errors import DataError, RunStoppedError

HEAVY = ("torch", "monai", "pandas", "SimpleITK", "numba", "matplotlib", "numpy", "pydantic", "rich")


def run(*arguments: str) -> "click.testing.Result":
    return CliRunner().invoke(cli, list(arguments))


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch):
    """Put a command in place that raises what it is given."""

    def put(error: BaseException) -> None:
        @click.command("doctor")
        def command() -> None:
            raise error

        monkeypatch.setattr(main_module.Commands, "get_command", lambda self, ctx, name: command)

    return put


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from mixcl_auto.cli.main import COMMANDS, cli\n"
        "result = CliRunner().invoke(cli, ['--help'])\n"
        "assert result.exit_code == 0, result.output\n"
        "assert all(command in result.output for command in COMMANDS), result.output\n"
        "for command in COMMANDS:\n"
        "    assert CliRunner().invoke(cli, [command, '--help']).exit_code == 0, command\n"
        f"print(sorted(set(sys.modules) & set({HEAVY!r})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "command",
    [
        *(["pretrain"], ["finetune"], ["probe"], ["benchmark"], ["experiment"], ["report"], ["evaluate"]),
        *(["predict", "-i", ".", "-o", "out"], ["export", "encoder", "-o", "out"]),
    ],
    ids=lambda command: command[0],
)
def test_a_mistyped_plan_is_told_before_torch_is_imported(tmp_path: Path, command: list[str]) -> None:
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from mixcl_auto.cli.main import cli\n"
        f"result = CliRunner().invoke(cli, ['-w', {str(tmp_path)!r}, *{command!r}, '-p', 'nope'])\n"
        "assert result.exit_code == 1, result.output\n"
        "assert \"no plan 'nope'\" in result.output, result.output\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("finetune", "--fold", "0", "--fold", "1"), "--fold is given twice"),
        (("report", "-p", "a", "--plan", "b"), "--plan is given twice"),
        (("predict", "-i", ".", "-i", "..", "-o", "out"), "--input is given twice"),
        (("plan_and_preprocess", "--preset", "tiny", "--preset", "paper"), "--preset is given twice"),
        (("finetune", "--seed", "1", "--set", "finetune.seed=2"), "name the same field"),
    ],
)
def test_an_option_given_twice_is_refused(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_options_that_repeat_may_be_given_twice(tmp_path: Path) -> None:
    result = run("-w", str(tmp_path), "predict", "-i", ".", "-o", "out", "--fold", "0", "--fold", "1")
    assert (result.exit_code, "no plan 'plan'" in result.stderr) == (1, True)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_documented(command: str) -> None:
    context = click.Context(cli)
    found = cli.get_command(context, command)
    assert isinstance(found, OnceEach)
    assert found.name == command
    assert found.help
    assert found.short_help
    for parameter in found.params:
        if isinstance(parameter, click.Argument):  # documented in the text
            assert str(parameter.name).upper() in found.help
            continue
        assert isinstance(parameter, click.Option)
        assert parameter.help, f"{command} {parameter.opts}"
        has_default = isinstance(parameter.default, str | int | float | Path) and not parameter.is_flag
        assert parameter.show_default or not has_default, f"{command} {parameter.opts} hides its default"


def test_help_fits_a_terminal_without_cut_summaries() -> None:
    assert "..." not in run("--help").output.replace("[ARGS]...", "")


def test_python_dash_m_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mixcl_auto", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("mixcl_auto, version ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan-and-preprocess"],
        ["finetune", "--fraction", "0"],
        ["finetune", "--fraction", "1.5"],
        ["finetune", "--fold", "-1"],
        ["pretrain", "--without", "everything"],
        ["plan_and_preprocess", "--preset", "huge"],
        ["plan_and_preprocess", "--jobs", "0"],
        ["predict", "-o", "out"],
        ["evaluate", "--predictions", "."],
        ["evaluate", "--predictions", ".", "--references", ".", "--init", "scratch", "--fold", "1"],
        ["experiment", "--status", "--dry-run"],
        ["experiment", "--dry-run", "--gpus-per-run", "nan"],
        ["experiment", "--dry-run", "--gpus-per-run", "inf"],
        ["demo", "--minutes", "inf"],
        ["report", "--no-such-option"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output


def test_a_missing_plan_is_one_clear_message_and_exit_1(tmp_path: Path) -> None:
    result = run("-w", str(tmp_path), "report")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: no plan 'plan'")
    assert "plan_and_preprocess" in result.stderr
    assert "Traceback" not in result.output


def test_a_message_suggests_commands_for_the_workspace_that_was_given(tmp_path: Path) -> None:
    assert f"`mixcl_auto -w {tmp_path} plan_and_preprocess`" in run("-w", str(tmp_path), "report").stderr


def test_a_warning_suggests_commands_for_the_workspace_that_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @click.command("doctor")
    def command() -> None:
        logging.getLogger("mixcl_auto").warning("old; run `mixcl_auto pretrain`")

    monkeypatch.setattr(main_module.Commands, "get_command", lambda self, ctx, name: command)
    assert run("-w", "elsewhere", "doctor").stderr == "Warning: old; run `mixcl_auto -w elsewhere pretrain`\n"


def test_an_empty_workspace_says_where_datasets_go(tmp_path: Path) -> None:
    result = run("-w", str(tmp_path), "plan_and_preprocess")
    assert result.exit_code == 1
    assert str(tmp_path / "raw_data") in result.stderr


def test_our_errors_are_printed_without_a_traceback(broken) -> None:
    broken(DataError("case x: broken; repair it"))
    result = run("doctor")
    assert (result.exit_code, result.stderr) == (1, "Error: case x: broken; repair it\n")


def test_a_bug_is_named_with_the_way_to_its_traceback(broken) -> None:
    broken(ZeroDivisionError("oh"))
    result = run("doctor")
    assert result.exit_code == 1
    assert "unexpected ZeroDivisionError: oh" in result.stderr
    assert "mixcl_auto --debug doctor" in result.stderr


@pytest.mark.parametrize("error", [ZeroDivisionError("oh"), DataError("oh")])
def test_debug_lets_the_traceback_through(broken, error: Exception) -> None:
    broken(error)
    result = run("--debug", "doctor")
    assert result.exception is error


def test_evaluate_needs_both_folders(tmp_path: Path) -> None:
    result = run("evaluate", "--references", str(tmp_path))
    assert result.exit_code == 2
    assert "go together" in result.output


def test_a_file_that_can_not_be_written_is_named_and_no_bug(broken) -> None:
    broken(PermissionError(13, "Permission denied", "/data/plan.json"))
    result = run("doctor")
    assert result.exit_code == 1
    assert "/data/plan.json: Permission denied; check that" in result.stderr
    assert "bug" not in result.stderr


def test_ctrl_c_says_how_to_go_on(broken) -> None:
    broken(KeyboardInterrupt())
    result = run("doctor")
    assert result.exit_code == 75
    assert "stopped by Ctrl-C; what is finished is kept" in result.stderr


def test_a_training_that_saved_its_state_exits_with_75(broken) -> None:
    broken(RunStoppedError("it is saved; run the same command again"))
    result = run("doctor")
    assert (result.exit_code, result.stderr) == (75, "Error: it is saved; run the same command again\n")


def test_kernels_are_kept_in_a_temporary_folder_where_nothing_else_may_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    assert main_module.can_keep_kernels()
    monkeypatch.setattr(main_module.os, "access", lambda path, mode: False)
    assert not main_module.can_keep_kernels()
    folder = Path(main_module.private_folder())
    assert folder.stat().st_mode & 0o777 == 0o700
