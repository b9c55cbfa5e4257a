"""Slices as a volume: their order, their grid, and what keeps them from being one.

Tolerances are those below which no voxel moves noticeably: scanners round positions and directions when they
write them.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixcl_auto.io.dicom_slices import Slice
from mixcl_auto.io.itk import make_geometry
from mixcl_auto.records.case import Geometry

Floats = npt.NDArray[np.float64]

SAME_POSITION_MM = 0.01
OFF_GRID_MM = 0.1
"""Positions are often written with one decimal: two of them are then up to 0.1 mm further apart or nearer."""
DIRECTION_TOLERANCE = 1e-3
"""A quarter of a millimetre at the border of a 500 mm field of view."""
SPACING_TOLERANCE = 1e-3
"""Relative: half a pixel over 512 of them."""
SPACING_DECIMALS = 6
"""A spacing of 13 mm is not 12.999999999999856 because it was computed; a nanometre is no matter."""


def in_order(slices: Sequence[Slice]) -> list[Slice]:
    """Sorted along the normal of the slices (i x j), as ITK stacks them; names settle ties."""
    normal = _axes(slices[0])[2]
    return sorted(slices, key=lambda found: (float(normal @ found.position_mm), found.path))


def stack_geometry(ordered: Sequence[Slice], *, even: bool) -> Geometry:
    """The grid of slices in order.

    Args:
        ordered: all slices of a series.
        even: whether they have no problem; else the grid is what it would be for most of them.
    """
    first, axes = ordered[0], _axes(ordered[0])
    gaps_mm = np.diff([axes[2] @ found.position_mm for found in ordered])
    thickness = float(gaps_mm.mean() if even else np.median(gaps_mm)) if gaps_mm.size else first.thickness_mm
    x, y, z = first.position_mm
    return make_geometry(
        size=(*first.size, len(ordered)),
        spacing_mm=(*first.spacing_mm, round(thickness, SPACING_DECIMALS) or first.thickness_mm),
        origin_mm=(x, y, z),
        direction=tuple(float(value) for value in axes.T.ravel()),
    )


def stack_problem(ordered: Sequence[Slice], root: Path) -> str | None:
    """Why the slices are no volume on an even, rectangular grid, and what to do; None if they are one.

    Args:
        ordered: all slices of a series, in order.
        root: the folder that file names in the text are relative to.
    """
    for found in ordered:
        if found.fault:
            return f"{_name(found, root)}: {found.fault}"
    if len(ordered) == 1:
        return "it has one slice, a volume needs at least two; give the folder that holds the whole series"
    if odd := _odd_slice(ordered, root):
        return odd
    axes = _axes(ordered[0])
    offsets_mm = np.array([found.position_mm for found in ordered]) - ordered[0].position_mm
    along_mm, sideways_mm = offsets_mm @ axes[2], offsets_mm @ axes[:2].T
    return (
        _same_positions(ordered, along_mm, root)
        or _tilt(ordered, along_mm, sideways_mm, root)
        or _unevenness(ordered, along_mm, root)
    )


def _odd_slice(ordered: Sequence[Slice], root: Path) -> str | None:
    """A slice that differs from most others in size, pixel spacing or orientation."""
    checks: tuple[tuple[str, Callable[[Slice], tuple[float, ...]], float], ...] = (
        ("columns and rows", lambda found: found.size, 0),
        (
            "pixel spacing (mm)",
            lambda found: found.spacing_mm,
            SPACING_TOLERANCE * min(ordered[0].spacing_mm),
        ),
        ("orientation", lambda found: found.axes, DIRECTION_TOLERANCE),
    )
    for what, of, tolerance in checks:
        values = [of(found) for found in ordered]
        usual = Counter(values).most_common(1)[0][0]
        odd = np.flatnonzero(np.abs(np.subtract(values, usual)).max(axis=1) > tolerance)
        if odd.size:
            name, value = _name(ordered[odd[0]], root), _values(values[odd[0]])
            return (
                f"its slices differ in {what}: {name} has {value}, most others {_values(usual)}"
                f"{_more(odd.size - 1, 'slice')}; remove what is not of this scan, or export its series again"
            )
    return None


def _same_positions(ordered: Sequence[Slice], along_mm: Floats, root: Path) -> str | None:
    same = np.flatnonzero(np.diff(along_mm) < SAME_POSITION_MM)
    if not same.size:
        return None
    a, b = ordered[same[0]], ordered[same[0] + 1]
    return (
        f"{_name(a, root)} and {_name(b, root)} lie at the same position ({_place(a)})"
        f"{_more(same.size - 1, 'pair')}; remove the copies, or, where the series holds several "
        "acquisitions, give each its own folder"
    )


def _tilt(ordered: Sequence[Slice], along_mm: Floats, sideways_mm: Floats, root: Path) -> str | None:
    """Slices that are shifted sideways by more than half a pixel: all alike (a tilted gantry), or some."""
    limit_mm = 0.5 * min(ordered[0].spacing_mm)
    half = len(ordered) // 2  # over half the stack: rounded positions say little over one step
    steps_mm = (along_mm[half:] - along_mm[:-half])[:, None]
    slope = np.median((sideways_mm[half:] - sideways_mm[:-half]) / steps_mm, axis=0)
    wandering_mm = sideways_mm - np.outer(along_mm, slope)
    off_line_mm = np.linalg.norm(wandering_mm - np.median(wandering_mm, axis=0), axis=1)
    if off_line_mm.max() > limit_mm:
        odd = int(off_line_mm.argmax())
        return (
            f"{_name(ordered[odd], root)} ({_place(ordered[odd])}) lies {off_line_mm[odd]:.3g} mm sideways "
            "of the other slices' line; remove what is not of this scan, or export its series again"
        )
    tilt = float(np.linalg.norm(slope))
    if tilt * along_mm[-1] <= limit_mm:
        return None
    degrees = np.rad2deg(np.arctan(tilt))
    return (
        f"the gantry was tilted: its slices are stacked {degrees:.3g} degrees off their normal, which is no "
        "rectangular grid; convert it with a tool that corrects the tilt (dcm2niix does) and give that file"
    )


def _unevenness(ordered: Sequence[Slice], along_mm: Floats, root: Path) -> str | None:
    gaps_mm = np.diff(along_mm)
    usual_mm = float(np.median(gaps_mm))
    tolerance_mm = min(OFF_GRID_MM, usual_mm / 4)
    off_grid_mm = np.abs(along_mm - np.linspace(0, along_mm[-1], len(along_mm)))
    if off_grid_mm.max() <= tolerance_mm + 1e-6:
        return None
    excess_mm = np.abs(gaps_mm - usual_mm)
    worst = int(excess_mm.argmax())
    a, b, gap_mm = ordered[worst], ordered[worst + 1], gaps_mm[worst]
    where = f"between slices at {_place(a)} and {_place(b)} ({_name(a, root)} and {_name(b, root)})"
    others = _more(int(np.count_nonzero(excess_mm > tolerance_mm)) - 1, "gap")
    missing = round(gap_mm / usual_mm) - 1
    if missing > 0 and abs(gap_mm - (missing + 1) * usual_mm) <= (missing + 1) * OFF_GRID_MM:
        count = "1 slice is" if missing == 1 else f"{missing} slices are"
        return (
            f"{where} {count} missing: spacing {gap_mm:.4g} mm, elsewhere {usual_mm:.4g} mm{others}; copy or "
            "download the series again"
        )
    return (
        f"uneven spacing: {gap_mm:.4g} mm {where}, elsewhere {usual_mm:.4g} mm{others}; export it evenly "
        "spaced, or resample it and give the file"
    )


def _axes(found: Slice) -> Floats:
    """Unit vectors along i, j and the normal, exactly at right angles, as rows."""
    i, j = np.reshape(found.axes, (2, 3)).astype(np.float64)
    normal = np.cross(i, j)
    i, normal = i / np.linalg.norm(i), normal / np.linalg.norm(normal)
    return np.stack([i, np.cross(normal, i), normal])


def _place(found: Slice) -> str:
    """The slice's position along the body axis that is nearest to its normal."""
    axis = int(np.abs(_axes(found)[2]).argmax())
    return f"{'xyz'[axis]} = {found.position_mm[axis]:.6g} mm"


def _name(found: Slice, root: Path) -> str:
    return str(found.path.relative_to(root))


def _values(values: Sequence[float]) -> str:
    return " x ".join(f"{value:.4g}" for value in values)


def _more(count: int, what: str) -> str:
    return "" if count < 1 else f" (and {count} more {what}{'s' if count > 1 else ''})"
