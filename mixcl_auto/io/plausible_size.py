"""Whether spacing, extent and number of voxels can be those of a scan of a body."""

from mixcl_auto.records.case import Geometry, times

_EXTENT_MM = (10.0, 2500.0)
_SPACING_MM = (0.05, 20.0)
_LEAST_VOXELS = 3
"""Along every axis."""


def implausible_spacing(grid: Geometry) -> str | None:
    """Why a voxel can't have the size that a header gives, and what to do; None where it may."""
    if all(_SPACING_MM[0] <= spacing <= _SPACING_MM[1] for spacing in grid.spacing_mm):
        return None
    return f"a voxel of {times(grid.spacing_mm)} mm is implausible; write the true spacing into the header"


def implausible_extent(grid: Geometry) -> str | None:
    """Why a grid is hardly that of a scan, and what to do; None where it may be."""
    extent_mm = tuple(n * s for n, s in zip(grid.size, grid.spacing_mm, strict=True))
    if max(extent_mm) > _EXTENT_MM[1] or max(extent_mm) < _EXTENT_MM[0]:
        return f"the scan measures {times(extent_mm)} mm: implausible; check the spacing in the header"
    if min(grid.size) < _LEAST_VOXELS:
        return f"the scan has {times(grid.size)} voxels: hardly a volume; give the whole scan"
    return None
