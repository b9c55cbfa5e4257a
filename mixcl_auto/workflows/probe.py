"""Linear probes of a plan's pre-trainings, beside the network that they start from."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mixcl_auto.errors import DataError, RunError
from mixcl_auto.finetuning.initial_weights import Init, find_init, find_pretraining, load_init
from mixcl_auto.io.files import check_writable
from mixcl_auto.io.plans import read_split
from mixcl_auto.io.probes import read_probe, write_probe
from mixcl_auto.io.runs import read_pretrain_run
from mixcl_auto.io.workspace import WEIGHTS_SUFFIXES
from mixcl_auto.networks.backbone import Backbone
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.probing.probe import class_names, probe_encoder
from mixcl_auto.probing.sites import ProbedPatch, draw_patches
from mixcl_auto.progress import Progress, Silent
from mixcl_auto.records.plan import DatasetPlan, Plan
from mixcl_auto.records.plan_fields import MIXCL
from mixcl_auto.records.probe import UNTRAINED, ProbeResult, ProbeSettings, recipe_hash
from mixcl_auto.records.record import content_hash
from mixcl_auto.records.split import Fold
from mixcl_auto.training.cases import count_label_voxels, open_cases
from mixcl_auto.training.device import choose_device
from mixcl_auto.training.networks import IMAGE_CHANNELS, build_network
from mixcl_auto.training.patches import Index
from mixcl_auto.workflows.inputs import Folder, Project, choose_target, open_project

logger = logging.getLogger(__name__)


def probe(
    workspace: Folder = ".",
    *,
    plan: str | Path | None = None,
    inits: Iterable[str | Path] = (),
    dataset: str | None = None,
    fold: int = 0,
    patches: int = 5,
    device: str | None = None,
    progress: Progress | None = None,
) -> tuple[ProbeResult, ...]:
    """Measure what a linear classifier reads out of frozen encoders, level by level.

    It is fitted to voxels of a fold's training cases and tested on those of its held-out cases, the same
    voxels for every encoder. A result that is there already is read.

    Args:
        workspace: the folder of the project.
        plan: a path, or the name of a file under ``plans/``; ``plan.json`` if absent.
        inits: names of pre-trainings, or weights files; all finished pre-trainings of the plan if empty.
        dataset: the target; may be absent where the plan has one.
        fold: counted from 0.
        patches: of a case that show each of its organs, and as many anywhere in the scan.
        device: such as ``cpu`` or ``cuda:1``; a GPU if there is one, if absent.
        progress: told of every patch.

    Returns:
        ``untrained`` first, the network with the random weights of ``pretrain.seed``, then the others.

    Raises:
        PlanError: if there is no such plan, target or fold.
        RunError: if there is no such pre-training, it is not finished, or the cache is not there.
        WeightsError: if a weights file does not fit the network.
    """
    if patches < 1:
        raise RunError(f"patches must be at least 1, got {patches}")
    project = open_project(workspace, plan)
    target = choose_target(project.plan, dataset)
    task = _Task(
        project,
        target,
        fold,
        read_split(project.workspace, target).fold(fold),
        ProbeSettings(seed=project.plan.pretrain.seed, patches_per_class=patches),
    )
    found = [Init(UNTRAINED), *_find_inits(project, [str(init) for init in inits])]
    results = {init.name: kept for init in found if (kept := task.read(init)) is not None}
    if missing := [init for init in found if init.name not in results]:
        results |= _measure(task, missing, choose_device(device), progress or Silent())
    return tuple(results[init.name] for init in found)


@dataclass(frozen=True)
class _Task:
    """A fold of a target, and how encoders are probed on it."""

    project: Project
    target: DatasetPlan
    fold: int
    cases: Fold
    settings: ProbeSettings

    def path(self, init: Init) -> Path:
        """Where an encoder's result is kept."""
        return self.project.workspace.probe(self.project.plan_name, self.target.name, self.fold, init.name)

    def recipe(self, init: Init) -> str:
        """What the result depends on."""
        return recipe_hash(
            self.project.plan,
            self.target.name,
            fold=self.fold,
            settings=self.settings,
            weights_sha256=init.sha256,
        )

    def read(self, init: Init) -> ProbeResult | None:
        """The result of this very encoder, if it is there; a damaged one is measured again."""
        path = self.path(init)
        if not path.is_file():
            return None
        try:
            result = read_probe(path)
        except DataError as problem:
            logger.warning("%s; it is measured again", problem)
            return None
        return result if result.recipe_hash == self.recipe(init) else None

    def draw(self, names: Sequence[str], grids: Sequence[Index]) -> list[ProbedPatch]:
        """The patches of some cases, with the voxels to look at on the levels' grids."""
        plan = self.project.plan
        cases = open_cases(self.project.workspace, plan, self.target.name, names)
        count_label_voxels(cases, self.target.class_count)
        return draw_patches(
            {self.target.cases.index(case.record.id): case for case in cases},
            list(class_names(self.target.labels)),
            patch_size=plan.network.patch_size,
            grids=grids,
            settings=self.settings,
        )


def _measure(
    task: _Task, inits: Sequence[Init], device: torch.device, progress: Progress
) -> dict[str, ProbeResult]:
    """Probe encoders one after the other, on the same voxels, and write each result."""
    plan, results = task.project.plan, {}
    check_writable(task.path(inits[0]).parent)
    grids = [level.grid for level in _untrained(plan).levels]
    training, held_out = (task.draw(names, grids) for names in (task.cases.training, task.cases.held_out))
    for init in inits:
        network = _untrained(plan)
        load_init(network, init, plan)
        progress.start(f"probe {init.name}", len(training) + len(held_out))
        levels = probe_encoder(
            network,
            training,
            held_out,
            class_names(task.target.labels),
            plan,
            task.settings,
            device=device,
            progress=progress,
        )
        progress.finish()
        results[init.name] = ProbeResult(
            init=init.name,
            dataset=task.target.name,
            fold=task.fold,
            plan_hash=content_hash(plan),
            recipe_hash=task.recipe(init),
            weights_sha256=init.sha256,
            settings=task.settings,
            device=str(device),
            training_cases=task.cases.training,
            held_out_cases=task.cases.held_out,
            training_patches=len(training),
            held_out_patches=len(held_out),
            levels=levels,
        )
        write_probe(task.path(init), results[init.name])
    return results


def _find_inits(project: Project, names: Sequence[str]) -> list[Init]:
    """The pre-trainings and weights files of those names, each once; all finished ones without a name.

    Raises:
        RunError: if one is not there, or would be taken for ``untrained``.
    """
    found: dict[str, Init] = {}
    for name in names or _finished(project):
        if not name.endswith(WEIGHTS_SUFFIXES):
            find_pretraining(project.workspace, project.plan_name, name)
        init = find_init(project.workspace, project.plan_name, name)
        if init.name == UNTRAINED:
            raise RunError(
                f"{name}: its result would be taken for that of random weights, which are probed in any "
                "case; give the weights as a file of another name"
            )
        if found.setdefault(init.name, init).sha256 != init.sha256:
            raise RunError(f"{name}: {init.name!r} names other weights too; rename the file")
    return list(found.values())


def _finished(project: Project) -> list[str]:
    """The names of the plan's finished pre-trainings; the usual one where there is none, to be refused."""
    names = []
    for folder in project.workspace.pretrain_runs(project.plan_name):
        if read_pretrain_run(folder).status != "finished":
            continue
        if folder.encoder.is_file():
            names.append(folder.path.name)
        else:
            logger.warning("%s holds no %s; it is not probed", folder.path, folder.encoder.name)
    return names or [MIXCL]


def _untrained(plan: Plan) -> Backbone:
    """The network that the plan's pre-trainings start from."""
    return initialise(lambda: build_network(plan.network, out_channels=IMAGE_CHANNELS), plan.pretrain.seed)
