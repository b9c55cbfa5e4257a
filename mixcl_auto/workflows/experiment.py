"""The whole grid of a plan's experiment, on an engine."""

import math
import shlex
from pathlib import Path

from mixcl_auto.engines.command import PARENT, PYTHON, Command
from mixcl_auto.engines.engine import Engine, Resources
from mixcl_auto.engines.open_engine import EngineName, check_engine, open_engine
from mixcl_auto.engines.ray_engine import RayEngine
from mixcl_auto.engines.shared_folder import check_shared
from mixcl_auto.errors import RunError, RunStoppedError
from mixcl_auto.records.experiment import TableChoice
from mixcl_auto.training.event_file import check_tensorboard
from mixcl_auto.training.interruption import Interruption
from mixcl_auto.workflows.experiment_checks import (
    check_before_start,
    check_device,
    check_gpus,
    mark_refused,
)
from mixcl_auto.workflows.experiment_scheduler import Scheduler, Watcher
from mixcl_auto.workflows.experiment_status import TO_DO, Overview, read_overview
from mixcl_auto.workflows.experiment_units import GridUnit, open_experiment
from mixcl_auto.workflows.inputs import Folder

CLOSING_S = 60.0
"""How long runs may take to save their state when the experiment is stopped."""


def experiment(
    workspace: Folder = ".",
    *,
    plan: str | Path | None = None,
    table: TableChoice = "all",
    engine: EngineName = "local",
    address: str | None = None,
    jobs: int | None = None,
    gpus_per_run: float | None = None,
    retries: int = 2,
    device: str | None = None,
    tensorboard: bool = False,
    watcher: Watcher | None = None,
) -> Overview:
    """Pre-train and fine-tune everything that the plan's experiment asks for and that is not done.

    Every run is a command in a process of its own, with its output in ``run.log`` of its folder. The same
    call goes on with an experiment that was stopped; several at once on one folder share the work.

    Args:
        workspace: the folder of the project; on a cluster all nodes see it under the same path.
        plan: a path, or the name of a file under ``plans/``; ``plan.json`` if absent.
        table: the runs of Table ``1``, of Table ``2``, or ``all``.
        engine: ``local`` or ``ray``.
        address: of a running Ray cluster.
        jobs: runs at once at most; as many as cores (or GPUs) allow, if absent.
        gpus_per_run: 0.5 for two runs on one GPU, 2 for data-parallel runs on two; 1 if there are GPUs, if
            absent.
        retries: how often a run that failed is tried again.
        device: ``cpu`` or ``cuda``, for every run; each takes a GPU if there is one, if absent.
        tensorboard: every run also writes TensorBoard's events, see ``pretrain``.
        watcher: told of every change.

    Returns:
        The state of every run; some may have failed.

    Raises:
        PlanError: if the plan or its experiment can't be used.
        RunError: if an initialisation or the cache is not there, a finished run is not what the plan asks
            for, the engine can't be opened, or TensorBoard is wanted and not installed.
        RunStoppedError: after a signal, see ``Interruption``, once the runs have saved their state.
    """
    check_engine(engine, address)
    check_device(device)
    if tensorboard:
        check_tensorboard()
    asked = open_experiment(workspace, plan, table, device, tensorboard=tensorboard)
    check_before_start(asked)
    check_gpus(asked.project.plan, gpus_per_run)
    units = asked.units()
    if not read_overview(units).of(*TO_DO, "elsewhere", "failed", "blocked"):
        return read_overview(units)
    root = asked.project.workspace.root
    with open_engine(engine, jobs=jobs, address=address) as opened, Interruption() as interruption:
        try:
            if isinstance(opened, RayEngine):
                check_shared(opened, root)
            gpus = choose_gpus(opened, gpus_per_run, device)
            scheduler = Scheduler(
                units,
                opened,
                task_of=lambda unit: unit_command(root, unit, gpus),
                resources_of=lambda unit: unit_resources(unit, gpus),
                retries=retries,
                watcher=watcher,
            )
            overview = scheduler.run(lambda: interruption.requested is not None)
        finally:
            opened.close(CLOSING_S)
        if interruption.requested is None:
            return overview
    overview = read_overview(units)
    if watcher is not None:
        watcher.tick(overview)
    raise RunStoppedError(
        f"{interruption.requested} stopped the experiment with {len(overview.of('done'))} of {len(units)} "
        "runs done; the others have saved their state: run the same command again to go on"
    )


def experiment_status(
    workspace: Folder = ".", *, plan: str | Path | None = None, table: TableChoice = "all"
) -> Overview:
    """How far an experiment is that runs here or elsewhere, from its files.

    Raises:
        PlanError: if there is no such plan.
    """
    asked = open_experiment(workspace, plan, table)
    return mark_refused(asked, read_overview(asked.units()))


def experiment_commands(
    workspace: Folder = ".",
    *,
    plan: str | Path | None = None,
    table: TableChoice = "all",
    gpus_per_run: float | None = None,
    device: str | None = None,
    tensorboard: bool = False,
) -> tuple[Overview, tuple[str, ...]]:
    """The state of every run, and the commands by which a shell would do those that are not done, in order.

    Raises:
        PlanError: if the plan or its experiment can't be used.
        RunError: if an initialisation or the cache is not there.
    """
    asked = open_experiment(workspace, plan, table, device, tensorboard=tensorboard)
    check_before_start(asked)
    check_gpus(asked.project.plan, gpus_per_run)
    overview = read_overview(asked.units())
    program: tuple[str, ...] = ("mixcl_auto",)
    if gpus_per_run is not None and gpus_per_run > 1:
        program = ("torchrun", *_ranks(gpus_per_run))
    root = asked.project.workspace.root
    return overview, tuple(
        shlex.join([*program, "-w", str(root), *entry.unit.arguments])
        for entry in overview.entries
        if entry.state != "done"
    )


def unit_command(root: Path, unit: GridUnit, gpus: float) -> Command:
    """The process that carries out a unit: it ends, its state saved, if whoever started it is gone."""
    program: tuple[str, ...] = (PYTHON, "-m", "mixcl_auto", "--tethered", PARENT)
    if gpus > 1:
        program = (PYTHON, "-m", "mixcl_auto.workflows.tethered_torchrun", PARENT, *_ranks(gpus))
    return Command((*program, "-w", str(root), *unit.arguments), log=unit.folder.output, name=unit.name)


def unit_resources(unit: GridUnit, gpus: float) -> Resources:
    """What a unit takes up: its threads on a CPU; with GPUs a core per process, so that they decide alone."""
    return Resources(cpus=math.ceil(gpus) if gpus > 0 else unit.threads, gpus=gpus)


def choose_gpus(engine: Engine, wish: float | None, device: str | None) -> float:
    """GPUs per run: as wished, else one where the engine has any and the runs are not told to use the CPU."""
    if wish is not None:
        return wish
    if device is not None and device.startswith("cpu"):
        return 0.0
    try:
        engine.capacity(Resources(cpus=1, gpus=1.0))
    except RunError:
        return 0.0
    return 1.0


def _ranks(gpus: float) -> tuple[str, ...]:
    return ("--standalone", "--nproc-per-node", f"{gpus:g}", "-m", "mixcl_auto")
