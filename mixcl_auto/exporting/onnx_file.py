"""A fine-tuned model as ONNX, compared with the network that it was made of."""

import importlib
import importlib.metadata
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mixcl_auto.errors import RunError
from mixcl_auto.exporting.config import OnnxConversion, WeightsFile, segmenter_config
from mixcl_auto.exporting.monai_network import monai_network
from mixcl_auto.exporting.weights import CONFIG_NAME
from mixcl_auto.io.checkpoints import load_weights
from mixcl_auto.io.files import file_sha256, replacing, write_text
from mixcl_auto.io.runs import read_finetune_run
from mixcl_auto.io.workspace import FinetuneFolder

OPSET = 18
INPUT_NAME, OUTPUT_NAME = "image", "logits"
MODEL_NAME = "model.onnx"
TOLERANCE = 1e-4
"""Largest difference between a logit of ONNX Runtime and of torch, as a share of the largest logit or, where
that is smaller, of 1."""

logger = logging.getLogger(__name__)

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def write_onnx_export(folder: FinetuneFolder, output: Path) -> list[Path]:
    """Write a trained run's ``model.onnx`` and ``config.json``.

    The model takes ``image`` (batch, 1, *patch size), any batch, and gives ``logits`` (batch, classes, *patch
    size).

    Returns:
        The files.

    Raises:
        RunError: if the extra is not installed, or ONNX Runtime computes something else than torch.
        WeightsError: if the run's weights are damaged or do not fit.
    """
    refuse_without_onnx()
    run = read_finetune_run(folder)
    classes = run.plan.dataset(run.dataset).class_count
    network = monai_network(run.plan.network, classes, load_weights(folder.weights))
    path = output / MODEL_NAME
    with replacing(path) as temporary:
        write_model(network, run.plan.network.patch_size, temporary)
        difference = compare(network, run.plan.network.patch_size, temporary)
    logger.info("logits of ONNX Runtime and torch differ by at most %.2g", difference)
    weights = WeightsFile(file=path.name, sha256=file_sha256(path))
    config = segmenter_config(run, weights, "onnx", _conversion(difference))
    write_text(output / CONFIG_NAME, config.to_json())
    return [path, output / CONFIG_NAME]


def _conversion(difference: float) -> OnnxConversion:
    versions = {name: importlib.metadata.version(name) for name in ("torch", *_PACKAGES)}
    return OnnxConversion(opset=OPSET, **versions, largest_difference=float(f"{difference:.2g}"))


def refuse_without_onnx() -> None:
    """See that the extra is installed.

    Raises:
        RunError: naming what is missing.
    """
    for package in _PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError:
            raise RunError(
                f"exporting to ONNX needs {package}, which is not installed; run "
                "pip install 'mixcl_auto[export]'"
            ) from None


def write_model(network: nn.Module, patch_size: tuple[int, int, int], path: Path) -> None:
    """Write a network as ONNX, in one file."""
    onnx: Any = importlib.import_module("onnx")
    with _quiet():
        torch.onnx.export(
            network,
            (_windows(2, patch_size),),
            path,
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            verbose=False,
        )
    model = onnx.load(path)
    _remove_notes(model)
    onnx.save(model, path)


def _remove_notes(message: Any) -> None:
    """Take out what torch notes of every operation: lines of source, and where on this machine they lie.

    Args:
        message: a model, or any part of one.
    """
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in value if isinstance(value, Iterable) else (value,):
                _remove_notes(part)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings of torchvision's absence and of torch's own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


def compare(network: nn.Module, patch_size: tuple[int, int, int], path: Path) -> float:
    """Run both on a window; another batch size than the one that was traced.

    Returns:
        The largest difference between two logits.

    Raises:
        RunError: if a logit differs by more than ``TOLERANCE`` allows.
    """
    onnxruntime: Any = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    image = _windows(1, patch_size)
    (found,) = session.run([OUTPUT_NAME], {INPUT_NAME: image.numpy()})
    with torch.inference_mode():
        expected = network(image).numpy()
    largest = float(np.abs(found - expected).max())
    allowed = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if not largest <= allowed:
        raise RunError(
            f"the ONNX model's logits differ from the network's by up to {largest:.2g}, more than "
            f"{allowed:.2g}; use other versions of torch, onnxscript and onnxruntime (constraints.txt names "
            "some that agree), or export the segmenter or a bundle"
        )
    return largest


def _windows(batch: int, patch_size: tuple[int, int, int]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, 1, *patch_size, generator=generator)
