"""Pre-training: from the cached pool to ``encoder.safetensors``, by the method that the plan names."""

import logging
from collections.abc import Sequence

import torch

from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.errors import RunError
from mixcl_auto.io.files import file_sha256, write_text
from mixcl_auto.io.workspace import PretrainFolder, Workspace, previous_checkpoint
from mixcl_auto.pretraining.encoder_file import write_encoder
from mixcl_auto.pretraining.methods import METHODS, PretrainingMethod, planned_method
from mixcl_auto.pretraining.pairs import PoolDataset
from mixcl_auto.pretraining.pool import open_pool, pair_source
from mixcl_auto.progress import Progress, Silent
from mixcl_auto.records.names import is_pretraining_name
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.run import PretrainRun
from mixcl_auto.training.device import Precision, choose_device, resolve_precision
from mixcl_auto.training.earlier_runs import begun_precision, read_run, refuse_other_pretraining
from mixcl_auto.training.environment import describe_environment
from mixcl_auto.training.loop import Job, train
from mixcl_auto.training.state import resume_state, start_state

logger = logging.getLogger(__name__)


def pretrain(
    workspace: Workspace,
    plan: Plan,
    plan_name: str,
    *,
    name: str | None = None,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
    stop_after: int | None = None,
    ranks: Ranks = ALONE,
) -> PretrainFolder:
    """Pre-train an encoder, or go on with one; a finished run is left as it is.

    Args:
        workspace: with the plan's cache.
        plan: with all edits; the seed is ``plan.pretrain.seed``.
        plan_name: stem of the plan's file, which names the results.
        name: of this pre-training under the plan; its method's if absent.
        device: as torch spells it; the first GPU, or the CPU, where absent.
        progress: told of every step; of several processes give one to the first alone.
        stop_after: stop cleanly after that many steps of this call, to be resumed by another.
        ranks: the processes that train together; the first one writes.

    Returns:
        The folder; its ``run.json`` says whether the run is finished.

    Raises:
        RunError: if the pool or its cache is not there, the folder holds a run of another plan, or training
            can't go on.
    """
    folder = find_folder(workspace, plan, plan_name, name)
    before = read_run(folder.run, PretrainRun)
    if before is not None and _is_finished(folder, before, plan):
        logger.info("%s: already finished", folder.path)
        return folder
    pool = open_pool(workspace, plan)
    chosen = choose_device(device)
    wanted = begun_precision(before, folder.checkpoint, plan.pretrain.precision, chosen.type)
    precision = resolve_precision(wanted, chosen, plan.network.patch_size)
    method = planned_method(plan, pool)
    record = PretrainRun(
        name=folder.path.name,
        plan=plan,
        status="running",
        environment=describe_environment(chosen, precision, plan.pretrain.threads, ranks.count),
        parameters=sum(parameter.numel() for parameter in method.network.parameters()),
        iterations=plan.pretrain.total_iterations(sum(len(dataset.cases) for dataset in pool)),
    )
    done = _train(method, pool, record, folder, chosen, precision, progress or Silent(), stop_after, ranks)
    if done and ranks.is_first:
        write_encoder(folder.encoder, method.backbone, plan, name=record.name)
        previous_checkpoint(folder.checkpoint).unlink(missing_ok=True)
        finished = {"status": "finished", "encoder_sha256": file_sha256(folder.encoder)}
        write_text(folder.run, record.model_copy(update=finished).to_json())
    return folder


def _train(
    method: PretrainingMethod,
    pool: Sequence[PoolDataset],
    record: PretrainRun,
    folder: PretrainFolder,
    device: torch.device,
    precision: Precision,
    progress: Progress,
    stop_after: int | None,
    ranks: Ranks,
) -> bool:
    """Write the record and run the steps that are left; whether all are done."""
    plan, section = record.plan, record.plan.pretrain
    state = start_state(method.network, section, device=device, precision=precision, ranks=ranks)
    resume_state(
        folder.checkpoint,
        state,
        ranks,
        check=lambda before: refuse_other_pretraining(folder.path, before, plan),
    )
    if ranks.is_first:
        write_text(folder.plan, plan.to_json())
        write_text(folder.run, record.to_json())
    job = Job(
        description=f"pretrain {record.name}",
        objective=method.objective(state, device=device, precision=precision, ranks=ranks),
        source=pair_source(pool, plan, method.label_grid, with_targets=method.with_targets),
        plan=plan,
        trainer=section,
        steps=record.iterations,
        folder=folder,
        device=device,
        precision=precision,
        panels=method.panels,
        must_be_finite=method.must_be_finite,
        ranks=ranks,
    )
    return train(job, state, progress=progress, stop_after=stop_after)


def find_folder(workspace: Workspace, plan: Plan, plan_name: str, name: str | None = None) -> PretrainFolder:
    """The folder of a pre-training, whether or not it has started; see ``pretrain``.

    Raises:
        RunError: for a name that can't be one, or that says another method than the plan.
    """
    method = plan.pretrain.method
    name = method if name is None else name
    if not is_pretraining_name(name):
        raise RunError(
            f"a pre-training can't be called {name!r}: use letters, digits, _ and -, and no name that "
            "begins with 'scratch', in letters of any case, which --init takes for random weights"
        )
    if name in METHODS and name != method:
        raise RunError(
            f"a pre-training with the method {method} can't be called {name!r}, which is another method; use "
            f"--method {name}, or another --name"
        )
    return workspace.pretrain(plan_name, name)


def _is_finished(folder: PretrainFolder, before: PretrainRun, plan: Plan) -> bool:
    """Whether the folder's run is this very one, done; refuses another run."""
    refuse_other_pretraining(folder.path, before.plan, plan)
    if before.status == "finished" and not folder.encoder.is_file():
        if not folder.checkpoint.is_file():
            raise RunError(
                f"{folder.path}: the run is finished, but {folder.encoder.name} and {folder.checkpoint.name} "
                "are gone; put one of them back, or remove the folder to pre-train again"
            )
        return False  # no step is left: the encoder is written again from the last checkpoint
    return before.status == "finished"
