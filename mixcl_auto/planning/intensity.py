"""The planner's rules for intensities: which of them are kept, and how finely the cache holds them."""

import math
from collections.abc import Sequence
from typing import Literal

from mixcl_auto.errors import PlanError
from mixcl_auto.planning.mixture import mixture_quantiles
from mixcl_auto.planning.rules import Choice
from mixcl_auto.records.fingerprint import DatasetFingerprint
from mixcl_auto.records.plan import PreprocessPlan
from mixcl_auto.transforms.intensity import fits_int16

Window = tuple[float, float]

_MOST_STEPS = 16384
_BOUND_STEPS = 16
"""Measured bounds are multiples of so many steps: short to read, and whole steps even if the step doubles."""
_LARGEST_INT16 = 32767


def choose_window(
    preset_hu: Window,
    request: Literal["auto"] | Sequence[float] | None,
    channel_names: Sequence[str],
    fingerprints: Sequence[DatasetFingerprint],
) -> Choice:
    """Intensities to keep: the preset's for CT, the user's, or the 0.5-99.5 percentiles of the foreground.

    Args:
        preset_hu: the preset's window.
        request: ``--window``.
        channel_names: of all datasets.
        fingerprints: of all datasets.

    Raises:
        PlanError: if CT is mixed with other modalities, if the given window is no interval, or if percentiles
            are needed and nothing is labelled, or all of one value.
    """
    kinds = _kinds(channel_names)
    if len(kinds) > 1:
        raise PlanError(
            f"one plan has one modality, got {', '.join(sorted(kinds))}; plan them in workspaces apart, or "
            "name the datasets of one of them with -d"
        )
    if request is not None and request != "auto":
        return Choice(check_window(request), "--window", "given by the user")
    if request is None and is_ct(channel_names):
        return Choice(
            preset_hu, "preset", "CT: the preset's window; --window auto measures the labels instead"
        )
    labelled = [data for data in fingerprints if data.foreground_quantiles]
    if not labelled:
        raise PlanError("no case has a labelled voxel to take a window from; give --window LOW HIGH")
    sketches = [data.foreground_quantiles for data in labelled]
    low, high = mixture_quantiles(sketches, [0.005, 0.995], [len(data.cases) for data in labelled])
    why = f"over {sum(len(data.cases) for data in labelled)} cases"
    rule = "auto: 0.5-99.5 percentiles of the labels"
    if is_ct(channel_names):
        return Choice(_multiples_around(low, high, 1.0), rule, why)
    if not low < high:
        raise PlanError(f"all labelled voxels have the value {low:g}: give --window LOW HIGH")
    bounds = _multiples_around(low, high, _BOUND_STEPS * fitting_step((low, high)))
    return Choice(bounds, rule, f"{', '.join(kinds)} has no Hounsfield scale; {why}")


def choose_intensity_step(window: Window, channel_names: Sequence[str]) -> Choice:
    """What a step of the cache stands for: 1 HU for CT, as scans are stored; else what suits the window.

    Args:
        window: as chosen.
        channel_names: of all datasets, of one modality.
    """
    if is_ct(channel_names):
        return Choice(1.0, "CT: whole HU", "as scans are stored")
    step = fitting_step(window)
    steps = f"{(window[1] - window[0]) / step:.0f} steps from {window[0]:g} to {window[1]:g}"
    return Choice(step, f"power of two: at most {_MOST_STEPS} steps in the window, within int16", steps)


def fitting_step(window: Window) -> float:
    """The smallest power of two that divides a window into at most 16384 steps, all within int16."""
    low, high = window
    return max(
        _power_of_two_above((high - low) / _MOST_STEPS),
        _power_of_two_above(max(abs(low), abs(high)) / _LARGEST_INT16),
    )


def check_cache_range(preprocess: PreprocessPlan) -> None:
    """See that the cache can hold the window.

    Raises:
        PlanError: if int16 can't hold it in the plan's steps.
    """
    low, high = preprocess.window_hu
    if not fits_int16(preprocess.window_hu, preprocess.intensity_step):
        raise PlanError(
            f"a window of {low:g} to {high:g} is beyond int16 in steps of {preprocess.intensity_step:g}; "
            "give a narrower --window, or a larger preprocess.intensity_step"
        )


def check_window(values: Sequence[float]) -> Window:
    """Low and high, in HU for CT.

    Raises:
        PlanError: if they are not two finite ones in this order.
    """
    if len(values) != 2 or not all(map(math.isfinite, values)) or not values[0] < values[1]:
        raise PlanError(f"--window takes auto or LOW HIGH with LOW < HIGH, got {list(values)}")
    return (float(values[0]), float(values[1]))


def is_ct(channel_names: Sequence[str]) -> bool:
    """Whether all channels are CT, in any case of letters."""
    return _kinds(channel_names) <= {"CT"}


def _kinds(channel_names: Sequence[str]) -> set[str]:
    return {name.strip().upper() for name in channel_names}


def _multiples_around(low: float, high: float, step: float) -> Window:
    """The smallest interval of whole steps that holds both, forgiving the last digits of a float."""
    start, end = math.floor(round(low / step, 6)), math.ceil(round(high / step, 6))
    return (start * step, max(end, start + 1) * step)


def _power_of_two_above(value: float) -> float:
    return float(2.0 ** math.ceil(math.log2(value))) if value > 0 else 0.0
