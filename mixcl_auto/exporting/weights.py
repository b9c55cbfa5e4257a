"""An encoder or a segmenter as safetensors under MONAI's names, with ``config.json``."""

import json
from pathlib import Path

from mixcl_auto.exporting.config import WeightsFile, encoder_config, segmenter_config
from mixcl_auto.exporting.monai_network import monai_network
from mixcl_auto.io.checkpoints import load_weights, save_weights, weights_metadata
from mixcl_auto.io.files import file_sha256, write_text
from mixcl_auto.io.runs import read_finetune_run, read_pretrain_run
from mixcl_auto.io.workspace import FinetuneFolder, PretrainFolder
from mixcl_auto.records.plan import Plan
from mixcl_auto.training.networks import build_network

CONFIG_NAME = "config.json"


def write_encoder_export(folder: PretrainFolder, output: Path) -> list[Path]:
    """Write a finished pre-training's ``encoder.safetensors`` and ``config.json``.

    Returns:
        The files.

    Raises:
        WeightsError: if the encoder's file is damaged.
    """
    run = read_pretrain_run(folder)
    weights = _copy_weights(folder.encoder, output / folder.encoder.name, run.plan)
    write_text(output / CONFIG_NAME, encoder_config(run, weights).to_json())
    return [output / weights.file, output / CONFIG_NAME]


def write_segmenter_export(folder: FinetuneFolder, output: Path) -> list[Path]:
    """Write a trained run's ``model.safetensors`` and ``config.json``.

    Returns:
        The files.

    Raises:
        WeightsError: if the run's file is damaged or does not fit MONAI's network.
    """
    run = read_finetune_run(folder)
    classes = run.plan.dataset(run.dataset).class_count
    monai_network(run.plan.network, classes, load_weights(folder.weights))
    weights = _copy_weights(folder.weights, output / folder.weights.name, run.plan)
    write_text(output / CONFIG_NAME, segmenter_config(run, weights, "segmenter").to_json())
    return [output / weights.file, output / CONFIG_NAME]


def _copy_weights(source: Path, target: Path, plan: Plan) -> WeightsFile:
    """The same tensors; the metadata also say what ``finetune --init`` asks of a file."""
    metadata = {**_input_metadata(plan), **weights_metadata(source)}
    save_weights(target, load_weights(source), metadata)
    return WeightsFile(file=target.name, sha256=file_sha256(target))


def _input_metadata(plan: Plan) -> dict[str, str]:
    """In the form of a pre-training's own file, whose tensors and metadata so stay the same byte by byte."""
    return {
        "spacing_mm": json.dumps(plan.preprocess.spacing_mm),
        "window_hu": json.dumps(plan.preprocess.window_hu),
        "patch_size": json.dumps(plan.network.patch_size),
        "position_grids": json.dumps(dict(build_network(plan.network, out_channels=1).position_grids)),
    }
