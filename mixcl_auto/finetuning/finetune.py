"""Fine-tuning on a share of a target's labels: from the cache to ``model.safetensors``."""

import json
import logging
from collections.abc import Collection, Sequence

import torch

from mixcl_auto.augmentation.intensity import FinetuneSettings
from mixcl_auto.augmentation.orientation import OrientationSettings
from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.errors import RunError
from mixcl_auto.finetuning.initial_weights import Init, find_init, start_network
from mixcl_auto.finetuning.objective import PANELS, SegmentationObjective
from mixcl_auto.finetuning.patch_source import PatchSettings, PatchSource
from mixcl_auto.io.case_cache import CaseReader
from mixcl_auto.io.checkpoints import save_weights
from mixcl_auto.io.files import write_text
from mixcl_auto.io.plans import read_split
from mixcl_auto.io.workspace import FinetuneFolder, Workspace, previous_checkpoint
from mixcl_auto.networks.backbone import Backbone
from mixcl_auto.progress import Progress, Silent
from mixcl_auto.records.plan import DatasetPlan, Plan
from mixcl_auto.records.plan_fields import SCRATCH_SLOW
from mixcl_auto.records.record import content_hash
from mixcl_auto.records.run import FinetuneRun
from mixcl_auto.training.cases import count_label_voxels, open_cases
from mixcl_auto.training.device import Precision, choose_device, resolve_precision
from mixcl_auto.training.earlier_runs import begun_precision, read_run, refuse_other_finetuning
from mixcl_auto.training.environment import describe_environment
from mixcl_auto.training.loop import Job, train
from mixcl_auto.training.state import resume_state, start_state

logger = logging.getLogger(__name__)

_MUST_BE_FINITE = ("loss", "dice_loss", "cross_entropy")


def finetune(
    workspace: Workspace,
    plan: Plan,
    plan_name: str,
    *,
    dataset: str,
    fold: int,
    fraction: float,
    init: str = "mixcl",
    device: str | torch.device | None = None,
    progress: Progress | None = None,
    stop_at: int | None = None,
    ranks: Ranks = ALONE,
) -> FinetuneFolder:
    """Train a segmenter, or go on with one; a run that is trained or finished is left as it is.

    Args:
        workspace: with the plan's cache and folds.
        plan: with all edits; the seed is ``plan.finetune.seed``.
        plan_name: stem of the plan's file, which names the results.
        dataset: a target of the plan.
        fold: counted from 0; its held-out cases are never seen.
        fraction: of the fold's training cases, above 0 and at most 1.
        init: ``scratch``, ``scratch-2`` (another random initialisation), ``scratch-slow`` (that of
            ``scratch``, at the rate of transferred weights), the name of a pre-training, or a weights file.
        device: as torch spells it; the first GPU, or the CPU, where absent.
        progress: told of every step; of several processes give one to the first alone.
        stop_at: stop cleanly once that many steps of the run are done, to be resumed by another call; a run
            that has as many is left as it is.
        ranks: the processes that train together; the first one writes.

    Returns:
        The folder; its ``run.json`` says ``trained`` once ``model.safetensors`` is there.

    Raises:
        PlanError: if the plan has no such target, fold or fraction.
        RunError: if weights or cache are not there, the folder holds another run, or training can't go on.
        WeightsError: if the weights do not fit the network.
    """
    planned = plan.dataset(dataset)
    split = read_split(workspace, planned)
    training_ids = split.training_cases(fold, fraction)
    start = find_init(workspace, plan_name, init)
    folder = workspace.finetune(plan_name, dataset, start.name, fraction, fold, plan.finetune.seed)
    before = read_run(folder.run, FinetuneRun)
    if before is not None and _is_trained(folder, before, plan, start):
        logger.info("%s: already trained", folder.path)
        return folder
    cases = open_cases(workspace, plan, dataset, training_ids)
    open_cases(workspace, plan, dataset, split.fold(fold).held_out)  # predicted at the end; missed now
    chosen = choose_device(device)
    wanted = begun_precision(before, folder.checkpoint, plan.finetune.precision, chosen.type)
    precision = resolve_precision(wanted, chosen, plan.network.patch_size)
    label_voxels = count_label_voxels(cases, planned.class_count)
    if ranks.is_first:
        _warn_of_unseen(planned, label_voxels)
        _warn_of_seen(start, dataset)
    network, loaded = start_network(
        plan, start, fold=fold, class_count=planned.class_count, label_voxels=label_voxels
    )
    record = FinetuneRun(
        dataset=dataset,
        init=start.name,
        without=start.without,
        method=start.method,
        fraction=fraction,
        fold=fold,
        seed=plan.finetune.seed,
        plan=plan,
        status="running",
        environment=describe_environment(chosen, precision, plan.finetune.threads, ranks.count),
        weights=loaded,
        training_cases=training_ids,
        held_out_cases=split.fold(fold).held_out,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        iterations=plan.finetune.total_iterations(len(cases)),
    )
    done = _train(network, cases, record, folder, chosen, precision, progress or Silent(), stop_at, ranks)
    if done and ranks.is_first:
        save_weights(folder.weights, network.state_dict(), _metadata(record))
        previous_checkpoint(folder.checkpoint).unlink(missing_ok=True)
        write_text(folder.run, record.model_copy(update={"status": "trained"}).to_json())
    return folder


def _warn_of_unseen(dataset: DatasetPlan, label_voxels: Sequence[int]) -> None:
    """Say which organs a run can't learn, having none of them in its training cases."""
    unseen = [organ for organ, label in dataset.labels.items() if label_voxels[label] == 0]
    if unseen:
        logger.warning(
            "%s: no training case of this run has %s: it can't be learned, and held-out cases that have it "
            "score 0",
            dataset.name,
            ", ".join(unseen),
        )


def _warn_of_seen(init: Init, dataset: str) -> None:
    """Say so if the initial weights have seen what the run will be scored on."""
    if dataset == init.dataset:
        logger.warning(
            "%s: these weights were fine-tuned on %s, perhaps on the cases held out now: scores will be too "
            "good; start from weights that never saw it",
            init.source,
            dataset,
        )
    if dataset in init.pool:
        logger.warning(
            "%s was in the pool of the pre-training %s, which has seen the held-out cases with their labels: "
            "scores will be too good; pre-train without it",
            dataset,
            init.name,
        )


def _train(
    network: Backbone,
    cases: Sequence[CaseReader],
    record: FinetuneRun,
    folder: FinetuneFolder,
    device: torch.device,
    precision: Precision,
    progress: Progress,
    stop_at: int | None,
    ranks: Ranks,
) -> bool:
    """Write the record and run the steps that are left; whether all are done."""
    section = record.plan.finetune
    state = start_state(
        network,
        section,
        device=device,
        precision=precision,
        ranks=ranks,
        careful=_transferred(network, record),
        careful_factor=section.transferred_rate,
    )
    resumed = resume_state(
        folder.checkpoint,
        state,
        ranks,
        check=lambda before: refuse_other_finetuning(
            folder.path, record.model_copy(update={"plan": before}), record.plan
        ),
    )
    if ranks.is_first:
        if not resumed:
            _remove_scores(folder)
        write_text(folder.run, record.to_json())
    what = f"{record.dataset} from {record.init}, {record.fraction:.0%}, fold {record.fold}"
    job = Job(
        description=f"finetune {what}",
        objective=SegmentationObjective(
            state.parallel, section, device=device, precision=precision, ranks=ranks
        ),
        source=patch_source(cases, record.plan),
        plan=record.plan,
        trainer=section,
        steps=record.iterations,
        folder=folder,
        device=device,
        precision=precision,
        dataset=record.dataset,
        panels=PANELS,
        must_be_finite=_MUST_BE_FINITE,
        ranks=ranks,
    )
    steps_wanted = None if stop_at is None else max(0, stop_at - state.step)
    return train(job, state, progress=progress, stop_after=steps_wanted)


def _transferred(network: Backbone, record: FinetuneRun) -> Collection[str]:
    """The parameters that learn at ``finetune.transferred_rate`` times the rate."""
    if record.init == SCRATCH_SLOW:
        level_0 = () if record.plan.pretrain.hand_on_level_0 else network.own_tensors(0)
        return network.encoder_state_dict().keys() - set(level_0)
    return record.weights.loaded if record.weights else ()


def _remove_scores(folder: FinetuneFolder) -> None:
    """Scores that a run finds when it begins are of an earlier one, whose other files were removed."""
    for path in (folder.scores, *folder.scores_on_the_way().values()):
        path.unlink(missing_ok=True)


def patch_source(cases: Sequence[CaseReader], plan: Plan) -> PatchSource:
    """The source of patches that a plan asks for."""
    section = plan.finetune
    settings = PatchSettings(
        patch_size=plan.network.patch_size,
        window_steps=plan.preprocess.window_steps,
        foreground_fraction=section.foreground_fraction,
        foreground_placement=section.foreground_placement,
        orientation=OrientationSettings(
            rotation_probability=section.rotation_probability, flip_probability=section.flip_probability
        ),
        intensity=FinetuneSettings(
            probability=section.intensity_probability,
            scale=section.intensity_scale,
            shift=section.intensity_shift,
        ),
    )
    return PatchSource(cases, settings)


def _is_trained(folder: FinetuneFolder, before: FinetuneRun, plan: Plan, init: Init) -> bool:
    """Whether the folder's run is this very one, trained; refuses another one."""
    refuse_other_finetuning(folder.path, before, plan)
    if init.sha256 != (before.weights.sha256 if before.weights else None):
        raise RunError(
            f"{folder.path} holds a run that started from other weights of the name {init.name!r}; give the "
            "weights another name, or remove that folder to start again"
        )
    if before.status != "running" and not (folder.weights.is_file() or folder.scores.is_file()):
        if not folder.checkpoint.is_file():
            raise RunError(
                f"{folder.path}: the run is trained, but {folder.weights.name} and {folder.checkpoint.name} "
                "are gone; put one of them back, or remove the folder to train again"
            )
        return False  # no step is left: the weights are written again from the last checkpoint
    return before.status != "running"


def _metadata(record: FinetuneRun) -> dict[str, str]:
    """What the weights file says of itself."""
    return {
        "format": "mixcl_auto segmenter 1",
        "mixcl_auto": record.environment.mixcl_auto,
        "plan_hash": content_hash(record.plan),
        "network": record.plan.network.model_dump_json(),
        "dataset": record.dataset,
        "init": record.init,
        "pool": json.dumps(record.weights.seen if record.weights else ()),
    }
