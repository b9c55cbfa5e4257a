"""Trained models for use elsewhere."""

from functools import partial
from pathlib import Path
from typing import get_args

from mixcl_auto.errors import RunError
from mixcl_auto.exporting.bundle import write_bundle
from mixcl_auto.exporting.config import Kind
from mixcl_auto.exporting.onnx_file import write_onnx_export
from mixcl_auto.exporting.output import check_output, lock_of, staged
from mixcl_auto.exporting.weights import write_encoder_export, write_segmenter_export
from mixcl_auto.finetuning.initial_weights import find_pretraining
from mixcl_auto.inference.predictor import refuse_untrained
from mixcl_auto.io.run_lock import output_lock
from mixcl_auto.io.runs import read_finetune_run
from mixcl_auto.records.plan_fields import MIXCL
from mixcl_auto.workflows.inputs import Folder, find_run, open_project

_SEGMENTERS = {"segmenter": write_segmenter_export, "bundle": write_bundle, "onnx": write_onnx_export}


def export(
    kind: Kind,
    output: str | Path,
    workspace: Folder = ".",
    *,
    plan: str | Path | None = None,
    name: str = MIXCL,
    dataset: str | None = None,
    fold: int = 0,
    fraction: float = 1.0,
    init: str | Path = "mixcl",
    seed: int | None = None,
    force: bool = False,
) -> list[Path]:
    """Write a pre-trained encoder or a fine-tuned model in a form that other software reads.

    Args:
        kind: ``encoder`` or ``segmenter`` (safetensors under MONAI's names), ``bundle`` (of MONAI) or
            ``onnx`` (needs the extra ``export``); all say in a JSON what they are.
        output: a new or empty folder, none in which the workspace keeps its data and runs.
        workspace: the folder of the project.
        plan: a path, or the name of a file under ``plans/``; ``plan.json`` if absent.
        name: which pre-training, for ``encoder``; what follows is for the other kinds.
        dataset: the target that the model was trained on; may be absent where the plan has one.
        fold: the model's fold.
        fraction: the model's label fraction.
        init: the model's initialisation.
        seed: the model's seed; the plan's if absent.
        force: whether an export of the same kind in the folder may be replaced.

    Returns:
        The files written.

    Raises:
        PlanError: if there is no such plan or target.
        RunError: if the model was not trained to its end, the folder holds something or is the workspace's
            own, another process writes there, or the extra is missing.
        WeightsError: if the model's file is damaged.
    """
    if kind not in get_args(Kind):
        raise RunError(f"unknown kind {kind!r}; write {', '.join(get_args(Kind))}")
    project, output = open_project(workspace, plan), Path(output)
    if kind == "encoder":
        write = partial(write_encoder_export, find_pretraining(project.workspace, project.plan_name, name))
    else:
        run = find_run(project, dataset=dataset, init=str(init), fraction=fraction, fold=fold, seed=seed)
        refuse_untrained(run, read_finetune_run(run))
        write = partial(_SEGMENTERS[kind], run)
    check_output(output, project.workspace, kind, force=force)
    with output_lock(lock_of(output), output):
        check_output(output, project.workspace, kind, force=force)  # another one may have ended meanwhile
        with staged(output) as stage:
            return [output / path.relative_to(stage) for path in write(stage)]
