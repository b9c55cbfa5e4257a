"""The planner's rules: each a small pure function of what was measured that gives a value and its reason."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import numpy as np

from mixcl_auto.errors import PlanError
from mixcl_auto.records.fingerprint import DatasetFingerprint
from mixcl_auto.records.machine import Machine
from mixcl_auto.records.plan import NetworkPlan, TrainerPlan
from mixcl_auto.transforms.resampling import resampled_shape

Triple = tuple[float, float, float]

ANISOTROPY = 3.0
"""An axis is strongly anisotropic if its median exceeds this times that of both others (as in nnU-Net)."""
_SIDE_STEP = 16
_MOST_THREADS = 8
_MOST_WORKERS = 8
_GFLOP_PER_SAMPLE = 437.0
"""Forward and backward pass of UNETR at 96^3 with feature size 16."""
_GFLOPS_PER_CORE = 110.0
"""Of a MixCL step, measured in float32 on two AVX-512 cores."""
_SMALL_GFLOP = 25.0
"""Per sample: up to here one thread is faster than several. Measured at 4 (the preset ``tiny``), where two
take 1.5 times as long as one, since they wait for each other after every small operation."""


@dataclass(frozen=True)
class Choice:
    """A value that a rule set, for the plan's table of decisions."""

    value: Any
    rule: str
    reason: str


def choose_spacing(
    preset_mm: Triple,
    request: Literal["auto"] | Sequence[float] | None,
    fingerprints: Sequence[DatasetFingerprint],
) -> Choice:
    """The grid: the preset's, the user's, or the median per axis over all cases.

    On a strongly anisotropic axis ``auto`` takes the 10th percentile instead of the median, but nothing finer
    than the other axes: thick slices would otherwise make every finer scan coarse.

    Args:
        preset_mm: the preset's spacing.
        request: ``--spacing``.
        fingerprints: of the pool; of the targets where there is no pool.
    """
    if request is None:
        return Choice(preset_mm, "preset", "the preset's grid; --spacing auto measures the data instead")
    if request != "auto":
        return Choice(check_spacing(request), "--spacing", "given by the user")
    spacings_mm = np.array([case.spacing_mm for data in fingerprints for case in data.cases])
    medians = np.median(spacings_mm, axis=0)
    chosen = medians.copy()
    notes = ""
    for axis in range(3):
        others = float(np.delete(medians, axis).max())
        if medians[axis] > ANISOTROPY * others:
            chosen[axis] = max(float(np.percentile(spacings_mm[:, axis], 10)), others)
            notes += f"; {'xyz'[axis]} is anisotropic ({medians[axis]:.2f} mm): its 10th percentile"
    value = tuple(round(float(step), 2) for step in chosen)
    return Choice(value, "auto: median per axis", f"median of {len(spacings_mm)} cases{notes}")


def choose_patch_size(
    preset: tuple[int, int, int], spacing_mm: Triple, fingerprints: Sequence[DatasetFingerprint]
) -> Choice:
    """The preset's patch, but along no axis larger than the median resampled scan rounded up to 16.

    Of scans below 16 voxels along every axis the longest axis gets a side of 32: pre-training correlates the
    voxels of a level, and a patch of 16^3 leaves the deepest level one.

    Args:
        preset: voxels.
        spacing_mm: the plan's grid.
        fingerprints: of pool and targets.
    """
    shapes = [
        resampled_shape(case.shape, case.spacing_mm, spacing_mm)
        for data in fingerprints
        for case in data.cases
    ]
    medians = [median(shape[axis] for shape in shapes) for axis in range(3)]
    needed = [max(_SIDE_STEP, math.ceil(side / _SIDE_STEP) * _SIDE_STEP) for side in medians]
    if set(needed) == {_SIDE_STEP}:
        needed[medians.index(max(medians))] = 2 * _SIDE_STEP
    value = tuple(min(side, need) for side, need in zip(preset, needed, strict=True))
    text = " x ".join(f"{side:g}" for side in medians)
    rule = "preset" if value == preset else "no larger than the median scan, in steps of 16"
    return Choice(value, rule, f"median resampled scan {text} voxels")


def choose_threads(machine: Machine, network: NetworkPlan) -> Choice:
    """CPU threads of a training process: the physical cores, at most 8; one for a small network."""
    if (gflop := _gflop_per_sample(network)) <= _SMALL_GFLOP:
        return Choice(1, "one for a small network", f"{gflop:.0f} GFLOP per sample, forward and backward")
    value = max(1, min(_MOST_THREADS, machine.physical_cores))
    return Choice(value, "physical cores, at most 8", f"{machine.physical_cores} physical cores available")


def choose_workers(machine: Machine) -> Choice:
    """Loader processes: a core each, one left to the training itself, at most 8, at least 1."""
    value = max(1, min(_MOST_WORKERS, machine.cores - 1))
    return Choice(value, "cores less one, 1 to 8", f"{machine.cores} cores available")


def choose_folds(preset: Sequence[int], available: Sequence[int]) -> Choice:
    """The preset's folds that exist in some target.

    Args:
        preset: fold indices.
        available: number of folds of each target.
    """
    most = max(available, default=0)
    value = tuple(fold for fold in preset if fold < most) or tuple(preset)
    if not available:
        return Choice(value, "preset", "no target is planned")
    return Choice(
        value, "preset, of the folds there are", f"targets have {', '.join(map(str, available))} folds"
    )


def training_hours(
    network: NetworkPlan, trainer: TrainerPlan, *, cases: int, views: int, cores: int
) -> float:
    """Rough time of a training on CPU cores, from counted operations and a measured rate.

    Args:
        network: operations grow with voxels and with the square of the feature size.
        trainer: iterations and batch.
        cases: training cases, for plans in epochs.
        views: patches per sample (3 in MixCL).
        cores: physical.
    """
    gflop = _gflop_per_sample(network)
    samples = trainer.total_iterations(cases) * trainer.batch_size
    return gflop * views * samples / (_GFLOPS_PER_CORE * cores) / 3600


def _gflop_per_sample(network: NetworkPlan) -> float:
    """Operations of a forward and a backward pass, roughly."""
    return _GFLOP_PER_SAMPLE * math.prod(network.patch_size) / 96**3 * (network.feature_size / 16) ** 2


def check_spacing(values: Sequence[float]) -> Triple:
    """Three lengths in mm.

    Raises:
        PlanError: if they are not three finite ones above 0.
    """
    if len(values) != 3 or not all(math.isfinite(value) and value > 0 for value in values):
        raise PlanError(f"--spacing takes auto or three lengths above 0 in mm, got {list(values)}")
    return (float(values[0]), float(values[1]), float(values[2]))
