"""From raw data to a plan and a cache."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mixcl_auto.engines.cores import available_cores
from mixcl_auto.engines.engine import Engine
from mixcl_auto.engines.open_engine import EngineName, check_engine
from mixcl_auto.engines.shared_folder import check_shared
from mixcl_auto.errors import PlanError
from mixcl_auto.io.files import check_writable, write_text
from mixcl_auto.io.inspection import inspect_datasets
from mixcl_auto.io.run_lock import output_lock
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.planning.machine import describe_machine
from mixcl_auto.planning.plan import Planned, check_wishes, make_plan, save_planned
from mixcl_auto.planning.roles import resolve_roles
from mixcl_auto.preprocessing.preprocess import cached_cases, preprocess_datasets
from mixcl_auto.progress import Progress
from mixcl_auto.records.case import RawDataset
from mixcl_auto.records.finding import Finding
from mixcl_auto.records.machine import Machine
from mixcl_auto.records.plan import Plan
from mixcl_auto.validation.resources import largest_case_bytes
from mixcl_auto.validation.validate import invalid_cases, judge
from mixcl_auto.workflows.inputs import Folder, is_plan_name, link_raw_data, open_workspace
from mixcl_auto.workflows.readiness import judge_resources, refuse_errors, refuse_hopeless
from mixcl_auto.workflows.step_memory import step_measure
from mixcl_auto.workflows.validate import findings_json, inspection_jobs, read_datasets

logger = logging.getLogger(__name__)

_FOR_A_CPU = "tiny"

_PATIENCE_S = 60.0
"""Another planning holds the plans while it writes them, which takes an instant."""

Wish = Sequence[float] | Literal["auto"] | None


@dataclass(frozen=True)
class Preparation:
    """What planning and preprocessing left."""

    plan: Plan
    path: Path
    kept: Path | None
    """Where another plan of that name was kept."""
    findings: tuple[Finding, ...]
    failures: tuple[Finding, ...]
    """Cases that could not be preprocessed."""


def plan_and_preprocess(
    workspace: Folder = ".",
    *,
    raw_data: str | Path | None = None,
    datasets: Iterable[str] = (),
    preset: str = "paper",
    name: str = "plan",
    spacing: Wish = None,
    window: Wish = None,
    pretrain: Iterable[str] = (),
    target: Iterable[str] = (),
    memory_gb: float | None = None,
    edits: Iterable[str] = (),
    jobs: int | None = None,
    engine: EngineName = "local",
    address: str | None = None,
    plan_only: bool = False,
    skip_invalid: bool = False,
    on_findings: Callable[[Sequence[Finding]], None] | None = None,
    on_plan: Callable[[Plan], None] | None = None,
    progress: Progress | None = None,
) -> Preparation:
    """Check and measure the raw data, write the plan, and fill the cache; cases done before are kept.

    Args:
        workspace: the folder of the project.
        raw_data: a folder of datasets elsewhere, or one dataset; linked into the workspace's ``raw_data``.
        datasets: the names of those to plan with; all if none is given.
        preset: ``paper``, ``balanced`` or ``tiny``.
        name: the plan is written to ``plans/<name>.json``.
        spacing: x, y, z in mm, or ``auto``; the preset's if absent.
        window: low and high in HU, or ``auto``; the preset's if absent.
        pretrain: datasets to pre-train on, whatever their ``role``.
        target: datasets to fine-tune on, whatever their ``role``.
        memory_gb: of the device to plan for; that of the smallest GPU, or of this machine, if absent.
        edits: ``section.key=value``, applied to the plan.
        jobs: cases at once; as many as cores and memory allow if absent.
        engine: what preprocesses: ``local``, processes of this machine, or ``ray``.
        address: of a running Ray cluster whose machines share the workspace, ``host:port`` or ``auto``; a Ray
            of this machine alone if absent.
        plan_only: leave the cache as it is.
        skip_invalid: leave cases with errors out instead of stopping; the plan says so.
        on_findings: told of the checks' findings, before an error stops the work.
        on_plan: told of the plan, before preprocessing.
        progress: told of every case.

    Raises:
        DataError: if the raw data have errors (unless of cases that are left out), can't be linked, or if the
            machine can't preprocess them.
        PlanError: if a wish, an edit or the name can't be used.
        RunError: if the engine can't be opened, or if one of its machines does not share the workspace.
    """
    if not is_plan_name(name):
        raise PlanError(f"a plan can't be called {name!r}: use letters, digits, - and _")
    edits = list(edits)
    check_wishes(preset, edits, spacing=spacing, window=window, memory_gb=memory_gb)  # before data are read
    check_engine(engine, address)
    space, machine, names = _opened(workspace, engine), describe_machine(), list(datasets)
    with _workers(space, "local" if plan_only else engine, jobs=jobs, address=address) as workers:
        if raw_data is not None:
            link_raw_data(space, raw_data, names)
        read, unreadable = read_datasets(space, names)
        chosen = resolve_roles(read, pretrain=pretrain, target=target)
        inspections = inspect_datasets(chosen, jobs=jobs or inspection_jobs(chosen), progress=progress)
        findings = [*unreadable, *judge(chosen, inspections)]
        _keep_findings(space, chosen, findings, on_findings)
        left_out = invalid_cases(findings) if skip_invalid else {}
        refuse_errors(space, [found for found in findings if (found.dataset, found.case) not in left_out])
        _tell_without_gpu(preset, machine)
        planned = make_plan(
            preset,
            chosen,
            inspections,
            machine,
            spacing=spacing,
            window=window,
            edits=edits,
            left_out=left_out,
            memory_gb=memory_gb,
            measure=step_measure(progress),
            findings=findings,
        )
        path, kept = space.plan(name), _save(space, name, planned)
        if on_plan is not None:
            on_plan(planned.plan)
        memory = machine.memory_gb if address is None else None
        resources, jobs = judge_resources(space, planned, chosen, memory, jobs if workers is None else 1)
        if resources:
            _keep_findings(space, chosen, resources, on_findings, before=findings)
        if not plan_only:
            refuse_hopeless(path, resources)
        failures = [] if plan_only else _fill_cache(space, planned, chosen, jobs, workers, progress)
        return Preparation(planned.plan, path, kept, (*findings, *resources), tuple(failures))


def _keep_findings(
    workspace: Workspace,
    datasets: Sequence[RawDataset],
    new: Sequence[Finding],
    on_findings: Callable[[Sequence[Finding]], None] | None,
    *,
    before: Sequence[Finding] = (),
) -> None:
    """Write all of them and tell the new ones."""
    write_text(workspace.validation, findings_json([*before, *new], datasets))
    if on_findings is not None:
        on_findings(new)


def _save(workspace: Workspace, name: str, planned: Planned) -> Path | None:
    """Write the plan; where another one of that name was kept."""
    with output_lock(workspace.plans / "plans.lock", workspace.plans, patience_s=_PATIENCE_S):
        kept = save_planned(workspace, name, planned)
    if kept is not None:
        logger.info("another plan was there; it is kept as %s", kept)
        _warn_of_earlier_runs(workspace, name, kept)
    return kept


def _tell_without_gpu(preset: str, machine: Machine) -> None:
    """Name the preset for a CPU before anything is measured."""
    if preset != _FOR_A_CPU and not machine.accelerators:
        logger.info(
            "no GPU was found: measuring a step of the preset %s takes minutes, and training far longer; "
            "--preset %s is made for a CPU",
            preset,
            _FOR_A_CPU,
        )


def _warn_of_earlier_runs(workspace: Workspace, name: str, kept: Path) -> None:
    """Say what becomes of the results of the plan that was there."""
    runs = [*workspace.pretrain_runs(name), *workspace.finetune_runs(name)]
    if runs:
        logger.warning(
            "%s holds %d run(s) of the plan before; where it differs they do not count under this one and "
            "stand in the way of its own: to go back, move %s to %s; to have both, do that and plan with "
            "--name NEW",
            workspace.plan_results(name),
            len(runs),
            kept,
            workspace.plan(name),
        )


def _opened(workspace: Folder, engine: EngineName) -> Workspace:
    """The workspace, which may be written to; for tasks on other machines by its absolute path."""
    space = open_workspace(workspace)
    for folder in (space.root, space.plans, space.preprocessed):
        check_writable(folder)
    return space if engine == "local" else Workspace(space.root.absolute())


@contextmanager
def _workers(
    workspace: Workspace, engine: EngineName, *, jobs: int | None, address: str | None
) -> Iterator[Engine | None]:
    """What runs the cases if not this machine's processes; opened first, since it may be out of reach.

    Raises:
        RunError: if it can't be opened, or if a machine of it does not share the workspace.
    """
    if engine == "local":
        yield None
        return
    from mixcl_auto.engines.ray_engine import RayEngine

    with RayEngine(address, available_cores() if address is None else None, jobs=jobs) as workers:
        check_shared(workers, workspace.root)
        yield workers


def _fill_cache(
    workspace: Workspace,
    planned: Planned,
    datasets: Sequence[RawDataset],
    jobs: int,
    workers: Engine | None,
    progress: Progress | None,
) -> list[Finding]:
    """Preprocess here, or on the engine's machines, where every case may take as much as the largest."""
    plan = planned.plan
    if workers is None:
        return preprocess_datasets(workspace, plan, datasets, jobs=jobs, progress=progress)
    largest = largest_case_bytes(plan, planned.fingerprints, cached_cases(workspace, plan, datasets))
    return preprocess_datasets(
        workspace,
        plan,
        datasets,
        jobs=available_cores(),
        engine=workers,
        memory_bytes=largest,
        progress=progress,
    )
