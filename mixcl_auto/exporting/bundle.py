"""A fine-tuned model as a MONAI bundle, which runs without mixcl_auto."""

import io
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mixcl_auto.exporting.bundle_configs import inference, metadata
from mixcl_auto.exporting.bundle_sources import bundle_sources
from mixcl_auto.exporting.bundle_texts import licence, readme
from mixcl_auto.exporting.config import WeightsFile, segmenter_config
from mixcl_auto.exporting.monai_network import monai_network
from mixcl_auto.io.checkpoints import load_weights
from mixcl_auto.io.files import file_sha256, replacing, write_text
from mixcl_auto.io.runs import read_finetune_run
from mixcl_auto.io.workspace import FinetuneFolder


def write_bundle(folder: FinetuneFolder, output: Path) -> list[Path]:
    """Write a trained run as a bundle: configurations, ``models/model.pt``, a model card, its own code.

    Returns:
        The files.

    Raises:
        WeightsError: if the run's weights are damaged or do not fit MONAI's network.
    """
    run = read_finetune_run(folder)
    classes = run.plan.dataset(run.dataset).class_count
    network = monai_network(run.plan.network, classes, load_weights(folder.weights))
    model = output / "models" / "model.pt"
    with replacing(model) as temporary:
        temporary.write_bytes(_state_bytes(network))
    config = segmenter_config(run, WeightsFile(file="models/model.pt", sha256=file_sha256(model)), "bundle")
    texts = {
        **bundle_sources(),
        Path("configs/inference.json"): _json(inference(run.plan, config)),
        Path("configs/metadata.json"): _json(metadata(run, config)),
        Path("configs/export.json"): config.to_json(),
        Path("docs/README.md"): readme(config),
        Path("LICENSE"): licence(config),
    }
    for path, text in texts.items():
        write_text(output / path, text)
    return [model, *(output / path for path in texts)]


def _state_bytes(network: nn.Module) -> bytes:
    """The same for the same tensors: given a path, torch would write the file's name into the file."""
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    return buffer.getvalue()


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"
