"""Whether this machine and installation can do the work."""

import importlib.metadata
import importlib.resources
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mixcl_auto.engines.cores import available_cores
from mixcl_auto.planning.machine import memory_gb
from mixcl_auto.planning.presets import PRESETS, load_preset
from mixcl_auto.workflows.inputs import Folder, open_workspace

State = Literal["ok", "warning", "problem"]

PACKAGE = "mixcl_auto"
EXTRAS = ("dicom", "export", "fast", "ray", "tensorboard")
"""What users may install beside; the others are for who works on the package itself."""
SHIPPED = (
    *(f"presets/{name}.json" for name in PRESETS),
    "raw_data_template/README.md",
    "raw_data_template/Example_nnUNet/dataset.json",
    "raw_data_template/Example_Cases/dataset.json",
)
LEAST_FREE_GB, LEAST_MEMORY_GB = 20.0, 8.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    state: State
    name: str
    finding: str


def doctor(workspace: Folder = ".", *, device: str | None = None) -> list[Check]:
    """Look at versions, devices, memory, disk and the installed files; train a small network for two steps.

    A check that breaks is itself a problem, so that one fault never hides the others.
    """
    root = open_workspace(workspace).root
    checks: list[tuple[str, Callable[[], list[Check]]]] = [
        ("libraries", check_libraries),
        ("installed files", check_installed_files),
        ("presets", check_presets),
        ("memory", lambda: [check_memory(memory_gb())]),
        ("cores", lambda: [check_cores()]),
        ("disk", lambda: [check_disk(root)]),
        ("compiled kernels", lambda: [check_kernel_cache()]),
        ("devices", check_devices),
        ("training step", lambda: [check_training_step(device)]),
    ]
    return [found for name, look in checks for found in _guarded(name, look)]


def _guarded(name: str, look: Callable[[], list[Check]]) -> list[Check]:
    try:
        return look()
    except Exception as problem:
        return [Check("problem", name, f"{type(problem).__name__}: {problem}")]


def check_libraries() -> list[Check]:
    """Python, the package and what it requires, with their versions."""
    found = [Check("ok", "Python", f"{platform.python_version()} at {sys.executable}")]
    for library, extra in {PACKAGE: None, **required_libraries()}.items():
        try:
            found.append(Check("ok", library, importlib.metadata.version(library)))
        except importlib.metadata.PackageNotFoundError:
            remedy = f"optional: pip install '{PACKAGE}[{extra}]'" if extra else f"install {PACKAGE} again"
            found.append(Check("ok" if extra else "problem", library, f"not installed; {remedy}"))
    return found


def required_libraries() -> dict[str, str | None]:
    """What the installed package requires: its name to the extra that it belongs to, if any.

    A package that is not installed, but run from its sources, tells of nothing.
    """
    try:
        requirements = importlib.metadata.requires(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found: dict[str, str | None] = {}
    for requirement in requirements:
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        marker = re.search(r"extra == [\"'](\w+)", requirement)
        extra = marker[1] if marker else None
        if extra is None or extra in EXTRAS:
            found.setdefault(name, extra)
    return found


def check_installed_files() -> list[Check]:
    """The files that come with the package."""
    package = importlib.resources.files("mixcl_auto")
    missing = [name for name in SHIPPED if not package.joinpath(name).is_file()]
    if missing:
        return [
            Check("problem", "installed files", f"missing: {', '.join(missing)}; install mixcl_auto again")
        ]
    return [Check("ok", "installed files", f"{len(SHIPPED)} presets and templates in {package}")]


def check_presets() -> list[Check]:
    """Every preset is a plan."""
    for name in PRESETS:
        load_preset(name)
    return [Check("ok", "presets", ", ".join(PRESETS))]


def check_memory(limit_gb: float | None) -> Check:
    """Whether memory suffices for the tiny preset; the full network needs more."""
    if limit_gb is None:
        return Check("warning", "memory", "unknown on this system")
    if limit_gb < LEAST_MEMORY_GB:
        finding = f"{limit_gb:.1f} GB; with less than {LEAST_MEMORY_GB:.0f} GB use --preset tiny and --jobs 1"
        return Check("warning", "memory", finding)
    return Check("ok", "memory", f"{limit_gb:.1f} GB")


def check_cores() -> Check:
    """The cores this process may use."""
    count = available_cores()
    return Check("ok" if count > 1 else "warning", "cores", str(count))


def check_disk(root: Path) -> Check:
    """Free space where the workspace is or will be."""
    existing = next(folder for folder in [root.absolute(), *root.absolute().parents] if folder.exists())
    if not os.access(existing, os.W_OK):
        return Check("problem", "disk", f"{existing} can't be written to; choose another workspace with -w")
    free_gb = shutil.disk_usage(existing).free / 1e9
    state: State = "ok" if free_gb >= LEAST_FREE_GB else "warning"
    return Check(state, "disk", f"{free_gb:.0f} GB free at {existing}")


def check_kernel_cache() -> Check:
    """Whether numba can keep compiled kernels, beside the package or in the user's cache folder."""
    from mixcl_auto.transforms.kernels.label_resampling import resample_labels_linear_argmax

    path = resample_labels_linear_argmax.stats.cache_path
    if path is None:
        return Check("warning", "compiled kernels", "not kept: every start compiles again")
    folder = Path(path)
    existing = next(parent for parent in [folder, *folder.parents] if parent.exists())
    if os.access(existing, os.W_OK):
        return Check("ok", "compiled kernels", f"kept under {folder}")
    finding = f"{folder} can't be written to: every start compiles again; set NUMBA_CACHE_DIR to a folder"
    return Check("warning", "compiled kernels", finding)


def check_devices() -> list[Check]:
    """The GPUs that torch sees."""
    import torch

    if not torch.cuda.is_available():
        return [Check("ok", "GPU", "none: use --preset tiny")]
    found = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        finding = f"{properties.name}, {properties.total_memory / 1e9:.0f} GB"
        found.append(Check("ok", f"GPU cuda:{index}", finding))
    return found


def check_training_step(device: str | None) -> Check:
    """Two optimiser steps of a small network on the device, in the precision that ``auto`` takes there."""
    import torch

    from mixcl_auto.networks.build import build_backbone
    from mixcl_auto.training.device import autocast, choose_device, resolve_precision

    chosen, patch_size = choose_device(device), (32, 32, 32)
    precision = resolve_precision("auto", chosen, patch_size)
    network = build_backbone(
        "unetr",
        in_channels=1,
        out_channels=2,
        patch_size=patch_size,
        feature_size=4,
        hidden_size=24,
        mlp_size=48,
        heads=2,
        layers=4,
    ).to(chosen)
    optimiser = torch.optim.AdamW([item for item in network.parameters() if item.requires_grad], lr=1e-2)
    image = torch.linspace(0, 1, 32**3, device=chosen).reshape(1, 1, *patch_size)
    target = (image[:, 0] > 0.5).long()
    began, losses = time.perf_counter(), []
    for _ in range(2):
        with autocast(chosen, precision):
            logits = network(image)
        loss = torch.nn.functional.cross_entropy(logits.float(), target)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        losses.append(loss.item())
    seconds = time.perf_counter() - began
    finding = f"{chosen}, {precision}: loss {losses[0]:.3f}, then {losses[1]:.3f}, in {seconds:.1f} s"
    healthy = all(value == value and value < 100 for value in losses)
    return Check("ok" if healthy else "problem", "training step", finding)
