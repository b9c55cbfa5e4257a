"""A bundle's ``metadata.json`` and ``inference.json``, in the terms of MONAI's bundle specification."""

import importlib.metadata
from typing import Any

from mixcl_auto.exporting.bundle_sources import SCRIPTS
from mixcl_auto.exporting.config import ExportConfig
from mixcl_auto.exporting.monai_network import unetr_class
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.run import FinetuneRun

SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)

RUN_PACKAGES = {"nibabel": "5.2.0", "pytorch-ignite": "0.4.11", "fire": "0.5.0"}
"""What running a bundle needs beyond our own requirements, in the oldest version that it may do with."""


def metadata(run: FinetuneRun, config: ExportConfig) -> dict[str, Any]:
    """What the bundle is, and what goes into its network and comes out."""
    needed = {name: importlib.metadata.version(name) for name in ("numba", "scipy")}
    organs = ", ".join(organ for organ in config.labels or {} if organ != "background")
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": f"exported by mixcl_auto {config.mixcl_auto}"},
        "monai_version": _version("monai"),
        "pytorch_version": _version("torch"),
        "numpy_version": _version("numpy"),
        "required_packages_version": needed | RUN_PACKAGES,
        "name": f"{run.dataset} segmentation",
        "task": f"segmentation of {organs}",
        "description": f"UNETR fine-tuned on {run.dataset}, initial weights: {run.init}",
        "authors": "the owner of the training data",
        "copyright": "see LICENSE",
        "intended_use": "Research. This is no medical device.",
        "network_data_format": _data_format(config),
    }


def inference(plan: Plan, config: ExportConfig) -> dict[str, Any]:
    """How scans become label maps, by ``python -m monai.bundle run``.

    There is no ``initialize``: outside the bundle's folder MONAI does not find ``scripts`` before ``run``.
    """
    spacing_mm = list(plan.preprocess.spacing_mm)
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/input'",
        "output_dir": "$@bundle_root + '/output'",
        "checkpoint": "$@bundle_root + '/models/model.pt'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "datalist": {
            "_target_": f"{SCRIPTS}.scan_files.find_scans",
            "dataset_dir": "@dataset_dir",
            "output_dir": "@output_dir",
        },
        "network_def": {"_target_": unetr_class(plan.network, SCRIPTS), **config.network.arguments},
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(plan, spacing_mm)},
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': path} for path in @datalist]",
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": _inferer(plan),
        "postprocessing": {"_target_": "Compose", "transforms": _postprocessing(spacing_mm)},
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "@checkpoint",
                "load_dict": {"network": "@network"},
                "map_location": "@device",
            },
            {"_target_": "StatsHandler", "iteration_log": False},
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
            "amp": False,
        },
        "run": ["$@evaluator.run()"],
    }


def _preprocessing(plan: Plan, spacing_mm: list[float]) -> list[dict[str, Any]]:
    recipe = plan.preprocess
    return [
        {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True},
        {
            "_target_": f"{SCRIPTS}.scan_transforms.Standardised",
            "keys": "image",
            "spacing_mm": spacing_mm,
            "window_hu": list(recipe.window_hu),
            "intensity_step": recipe.intensity_step,
        },
    ]


def _inferer(plan: Plan) -> dict[str, Any]:
    return {
        "_target_": "SlidingWindowInferer",
        "roi_size": list(plan.network.patch_size),
        "sw_batch_size": plan.inference.windows_per_batch,
        "overlap": plan.inference.overlap,
        "mode": "gaussian",
        "sigma_scale": 0.125,
        "padding_mode": "constant",
        "cval": 0.0,
    }


def _postprocessing(spacing_mm: list[float]) -> list[dict[str, Any]]:
    return [
        {
            "_target_": f"{SCRIPTS}.scan_transforms.LabelsOnScanGridd",
            "keys": "pred",
            "image_key": "image",
            "spacing_mm": spacing_mm,
        },
        {
            "_target_": "SaveImaged",
            "keys": "pred",
            "output_dir": "@output_dir",
            "output_postfix": "",
            "output_ext": ".nii.gz",
            "output_dtype": "$__import__('numpy').uint8",
            "resample": False,
            "separate_folder": False,
        },
    ]


def _data_format(config: ExportConfig) -> dict[str, Any]:
    shape = list(config.input.patch_size)
    labels = config.labels or {}
    organs = {label: organ for organ, label in labels.items()}
    channels = max(organs) + 1
    return {
        "inputs": {
            "image": {
                "type": "image",
                "format": "hounsfield" if config.input.channel_name.upper() == "CT" else "magnitude",
                "modality": config.input.channel_name,
                "num_channels": config.input.channels,
                "spatial_shape": shape,
                "dtype": "float32",
                "value_range": [0, 1],
                "is_patch_data": True,
                "channel_def": {"0": "image"},
            }
        },
        "outputs": {
            "pred": {
                "type": "image",
                "format": "segmentation",
                "num_channels": channels,
                "spatial_shape": shape,
                "dtype": "float32",
                "value_range": [],
                "is_patch_data": True,
                "channel_def": {str(label): organs.get(label, "unused") for label in range(channels)},
            }
        },
    }


def _version(package: str) -> str:
    """Without the part that names a build, such as ``+cpu``."""
    return importlib.metadata.version(package).partition("+")[0]
