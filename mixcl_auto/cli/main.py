"""The command ``mixcl_auto``: the group, its errors, and where its commands live."""

import atexit
import importlib
import logging
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import click

from mixcl_auto import __version__
from mixcl_auto.cli.options import Settings
from mixcl_auto.cli.stopping import StopRequest, ignore_further_stops, stop_in_order
from mixcl_auto.cli.suggestions import HERE, name_workspace
from mixcl_auto.engines.tether import end_with_parent
from mixcl_auto.errors import RESUME_CODE, MixCLError, RunStoppedError

COMMANDS = (
    "convert",
    "validate",
    "plan_and_preprocess",
    "pretrain",
    "probe",
    "finetune",
    "predict",
    "evaluate",
    "experiment",
    "report",
    "export",
    "benchmark",
    "demo",
    "doctor",
)
"""In the order of use; each in the module of its name."""


TETHERED_PATIENCE_S = 5.0
"""How long a run that an engine started waits for an earlier start of it, which may still save its state."""


class Problem(click.ClickException):
    """One clear message on stderr and exit code 1."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it; where the terminal is gone, the exit code alone must say it."""
        try:
            super().show(file)
        except OSError:
            sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115


class Unfinished(Problem):
    """A message, and the exit code of what the same command goes on with."""

    exit_code = RESUME_CODE


class Commands(click.Group):
    """Imports a command's module when that command is asked for, and turns errors into messages."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"mixcl_auto.cli.{cmd_name}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; without ``--debug`` no traceback reaches the user."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except RunStoppedError as problem:
            raise Unfinished(describe(problem, ctx)) from problem
        except MixCLError as problem:
            if ctx.params["debug"]:
                raise
            raise Problem(describe(problem, ctx)) from problem
        except BrokenPipeError:
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
            raise click.exceptions.Exit(1) from None
        except KeyboardInterrupt as problem:
            what = problem.what if isinstance(problem, StopRequest) else "Ctrl-C"
            raise Unfinished(
                f"stopped by {what}; what is finished is kept: run the same command again for the rest"
            ) from None
        except OSError as problem:
            if ctx.params["debug"]:
                raise
            raise Problem(
                f"{problem.filename or 'a file'}: {problem.strerror or problem}; check that the file and its "
                "folder are there, that you may read and write them, and that the disk is not full"
            ) from problem
        except Exception as problem:
            if ctx.params["debug"]:
                raise
            kind = type(problem).__name__
            raise Problem(
                f"unexpected {kind}: {problem}\nThis is a bug; run again with --debug for its traceback:"
                f" mixcl_auto --debug {ctx.invoked_subcommand or ''} ..."
            ) from problem


class EchoHandler(logging.Handler):
    """Log lines on stderr, above a progress bar if there is one."""

    def __init__(self, workspace: Path = HERE) -> None:
        super().__init__()
        self._workspace = workspace

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; where nobody can read it, as when the terminal is gone, the work goes on."""
        prefix = {logging.WARNING: "Warning: ", logging.ERROR: "Error: "}.get(record.levelno, "")
        with suppress(OSError):
            click.echo(prefix + name_workspace(record.getMessage(), self._workspace), err=True)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done, 1 a problem of the data, the plan or the machine, 2 wrong usage, 75 stopped: "
    "the same command goes on.",
)
@click.option(
    "-w",
    "--workspace",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    help="The folder that holds raw_data/, plans/, preprocessed/ and results/.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error, and more of what goes on.")
@click.option("--tethered", metavar="PROCESS", type=int, hidden=True, help="End when this parent is gone.")
@click.version_option(__version__, prog_name="mixcl_auto")
@click.pass_context
def cli(context: click.Context, workspace: Path, debug: bool, tethered: int | None) -> None:
    """MixCL pre-training and few-label fine-tuning for CT segmentation, configured by itself.

    On your own data: put datasets under raw_data/, then plan_and_preprocess, pretrain, finetune, report.
    """
    if tethered is None and "RANK" in os.environ:
        tethered = os.getppid()  # torchrun starts its processes in sessions of their own
    if tethered is not None:
        end_with_parent(tethered)
    if not can_keep_kernels():
        os.environ.setdefault("NUMBA_CACHE_DIR", private_folder())
    # Threads that wait by spinning slow a shared machine down by a factor of five; read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Needed where a plan says deterministic, and nowhere a disadvantage; read at the first use of a GPU.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    context.call_on_close(stop_in_order())
    context.obj = Settings(workspace, debug, patience_s=0.0 if tethered is None else TETHERED_PATIENCE_S)
    logger = logging.getLogger("mixcl_auto")
    follows = os.environ.get("RANK", "0") != "0"
    logger.setLevel(logging.DEBUG if debug else logging.WARNING if follows else logging.INFO)
    logger.handlers = [EchoHandler(workspace)]


def describe(problem: MixCLError, context: click.Context) -> str:
    """The message, with what only the command line knows: the process and the workspace."""
    return which_process() + name_workspace(str(problem), context.params["workspace"])


def which_process() -> str:
    """What to begin a message with where torchrun started several processes, whose output is mixed."""
    count = os.environ.get("WORLD_SIZE", "1")
    return "" if count == "1" else f"process {os.environ.get('RANK', '?')} of {count}: "


def can_keep_kernels() -> bool:
    """Whether numba can keep compiled kernels beside the package or in the user's cache folder.

    In a container that runs as a user without a home it can do neither, and refuses to work.
    """
    beside = Path(__file__).parents[1]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path(os.path.expanduser("~")) / ".cache")  # noqa: PTH111
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return os.access(beside, os.W_OK) or os.access(existing, os.W_OK)


def private_folder() -> str:
    """A new temporary folder of this user alone, removed at the end."""
    folder = tempfile.mkdtemp(prefix="mixcl_auto_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def main() -> None:
    """Entry point of the console script."""
    stop_in_order()
    try:
        cli(prog_name="mixcl_auto")
    finally:
        ignore_further_stops()
