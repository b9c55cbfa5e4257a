"""Spatial augmentation of a patch: elastic deformation and an affine map, drawn once and applied in one pass.

One convention throughout: a warp maps the patch back to the scan. Voxel j of a patch of n voxels comes from

    source(j) = m + A (j - (n - 1) / 2) + u(j),    m = centre - n // 2 + (n - 1) / 2,

in voxels of the scan, where ``centre`` is the voxel that the patch is centred on, A the affine matrix and u
the elastic displacement. Without A and u the patch is the slice ``[centre - n // 2, centre - n // 2 + n)``.
The scan is taken to go on for ever as padding: image at a given value, label 0, distance 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.augmentation.control_grid import (
    axis_basis,
    control_shape,
    displacement_on_lattice,
    excess_between,
)
from mixcl_auto.augmentation.cropping import crop_padded
from mixcl_auto.augmentation.kernels.warp import warp_patch

# Every how many voxels a displacement field is looked at to find its extremes; what it may do in between is
# bounded by its curvature.
_LATTICE_STEP = 4


@dataclass(frozen=True)
class SpatialSettings:
    """How patches are warped: the paper's probabilities and decision 14's sizes.

    Attributes:
        elastic_probability: Share of patches that are deformed.
        affine_probability: Share of patches that are rotated and scaled, drawn independently.
        rotation_degrees: Largest angle about each of the three axes, both ways.
        scale: Smallest and largest factor by which structures grow in the patch.
        elastic_displacement_voxels: Upper end of a field's largest displacement, which is drawn uniformly
            from 0.
        elastic_control_spacing_voxels: Distance between control points; larger is smoother. At 24 and 6
            voxels of displacement the warp does not fold.
    """

    elastic_probability: float = 0.5
    affine_probability: float = 0.5
    rotation_degrees: float = 15.0
    scale: tuple[float, float] = (0.85, 1.25)
    elastic_displacement_voxels: float = 6.0
    elastic_control_spacing_voxels: float = 24.0

    def always(self) -> "SpatialSettings":
        """Return the same sizes with both warps certain, as one wants to warm up or to look at them."""
        return replace(self, elastic_probability=1.0, affine_probability=1.0)


@dataclass(frozen=True)
class Warp:
    """One draw of the spatial augmentation, for patches of one size.

    Attributes:
        patch_size: Voxels along x, y, z.
        affine: A, (3, 3), from patch to scan; None for the identity.
        control: Control points of u in voxels, (a, b, c, 3); None for no displacement.
        control_spacing_voxels: Distance between control points.
    """

    patch_size: tuple[int, int, int]
    affine: NDArray[np.float64] | None = None
    control: NDArray[np.float64] | None = None
    control_spacing_voxels: float = 24.0

    @property
    def is_identity(self) -> bool:
        """Whether the patch is a plain slice of the scan."""
        return self.affine is None and self.control is None


def draw_warp(
    patch_size: Sequence[int],
    settings: SpatialSettings,
    generator: np.random.Generator,
    *,
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
) -> Warp:
    """Draw a warp.

    Args:
        patch_size: Voxels along x, y, z.
        settings: Probabilities and sizes.
        generator: The only source of chance.
        spacing_mm: Spacing of the grid, so that a rotation turns anatomy and not merely voxels.
    """
    size = (int(patch_size[0]), int(patch_size[1]), int(patch_size[2]))
    control = affine = None
    if generator.random() < settings.elastic_probability:
        control = _draw_control(size, settings, generator)
    if generator.random() < settings.affine_probability:
        affine = _draw_affine(settings, generator, np.asarray(spacing_mm, np.float64))
    return Warp(size, affine, control, settings.elastic_control_spacing_voxels)


def warp_bounds(warp: Warp) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Bound the scan's voxels that a warp reads.

    Args:
        warp: Any warp.

    Returns:
        Lower and upper offsets from the centre voxel, the upper one exclusive: a region
        ``[centre + lower, centre + upper)`` holds every voxel that interpolation touches.
    """
    size = np.array(warp.patch_size)
    if warp.is_identity:
        lower, upper = -(size // 2), size - size // 2
    else:
        source, margin = _lattice_sources(warp)
        middle = (size - 1) / 2 - size // 2
        lower = np.floor(middle + source.min(axis=(0, 1, 2)) - margin).astype(np.int64)
        upper = np.floor(middle + source.max(axis=(0, 1, 2)) + margin).astype(np.int64) + 2
    return (int(lower[0]), int(lower[1]), int(lower[2])), (int(upper[0]), int(upper[1]), int(upper[2]))


def region_to_read(
    warp: Warp, centre: Sequence[int], scan_shape: Sequence[int]
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Cut a warp's bounds at the scan's border.

    Args:
        warp: Any warp.
        centre: The voxel of the scan that the patch is centred on.
        scan_shape: Voxels of the scan along x, y, z.

    Returns:
        First voxel and end (exclusive) of the region, at least one voxel wide along each axis.
    """
    lower, upper = (np.array(bound) + np.asarray(centre) for bound in warp_bounds(warp))
    start = np.clip(lower, 0, np.asarray(scan_shape) - 1)
    stop = np.clip(upper, start + 1, scan_shape)
    return (int(start[0]), int(start[1]), int(start[2])), (int(stop[0]), int(stop[1]), int(stop[2]))


def apply_warp(
    warp: Warp,
    image: NDArray[Any],
    labels: NDArray[Any],
    distance_codes: NDArray[np.uint8],
    distance_table: NDArray[np.float32],
    *,
    centre: Sequence[int],
    region_origin: Sequence[int],
    padding: float,
) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[np.float32]]:
    """Cut a warped patch out of a region of a scan.

    Args:
        warp: The warp, which knows the patch's size.
        image: The region ``region_to_read`` names, (x, y, z); read linearly.
        labels: Its labels; the nearest voxel's is taken.
        distance_codes: Its distances to the nearest boundary, coded as bytes; decoded, then read linearly.
        distance_table: The distance of each of the 256 codes, that of code 0 being 0.
        centre: The voxel of the scan that the patch is centred on.
        region_origin: The region's first voxel in the scan.
        padding: Value of the image outside the scan.

    Returns:
        Image and distance as float32 and labels of their own type, each of the patch's size. An identity warp
        gives exactly the slices.
    """
    size = np.array(warp.patch_size)
    start = np.asarray(centre) - size // 2 - np.asarray(region_origin)
    if warp.is_identity:
        return (
            crop_padded(image.astype(np.float32), start, warp.patch_size, padding),
            crop_padded(labels, start, warp.patch_size, 0),
            distance_table[crop_padded(distance_codes, start, warp.patch_size, 0)],
        )
    out = (
        np.empty(warp.patch_size, np.float32),
        np.empty(warp.patch_size, labels.dtype),
        np.empty(warp.patch_size, np.float32),
    )
    spacing = warp.control_spacing_voxels
    knots_x, basis_x = axis_basis(warp.patch_size[0], spacing)
    knots_y, basis_y = axis_basis(warp.patch_size[1], spacing)
    knots_z, basis_z = axis_basis(warp.patch_size[2], spacing)
    affine = np.eye(3) if warp.affine is None else warp.affine
    control = (
        np.zeros((*control_shape(warp.patch_size, spacing), 3)) if warp.control is None else warp.control
    )
    warp_patch(
        np.ascontiguousarray(image, None if image.dtype in (np.int16, np.float32) else np.float32),
        np.ascontiguousarray(labels),
        np.ascontiguousarray(distance_codes),
        distance_table,
        affine,
        start + (np.eye(3) - affine) @ ((size - 1) / 2),
        np.ascontiguousarray(np.moveaxis(control, 3, 1)),
        (knots_x, knots_y, knots_z),
        (basis_x, basis_y, basis_z),
        np.float32(padding),
        *out,
    )
    return out


def _draw_affine(
    settings: SpatialSettings, generator: np.random.Generator, spacing_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Draw three angles and one scale; return the map from patch to scan, in voxels."""
    limit = np.deg2rad(settings.rotation_degrees)
    rotation = np.eye(3)
    for axis, angle in enumerate(generator.uniform(-limit, limit, 3)):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        rotation = turn @ rotation
    scale = generator.uniform(*settings.scale)
    in_voxels: NDArray[np.float64] = rotation * spacing_mm[None, :] / spacing_mm[:, None] / scale
    return in_voxels


def _draw_control(
    patch_size: tuple[int, int, int], settings: SpatialSettings, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Draw control points whose field's largest displacement is uniform between 0 and the settings' end."""
    spacing = settings.elastic_control_spacing_voxels
    control = generator.standard_normal((*control_shape(patch_size, spacing), 3))
    field = displacement_on_lattice(control, patch_size, spacing, _lattice(patch_size))
    largest = np.sqrt((field**2).sum(axis=-1)).max()
    control *= generator.uniform(0.0, settings.elastic_displacement_voxels) / largest
    return control


def _lattice(patch_size: Sequence[int]) -> list[NDArray[np.int64]]:
    """Return every fourth voxel along each axis, and the last."""
    return [np.unique(np.append(np.arange(0, size, _LATTICE_STEP), size - 1)) for size in patch_size]


def _lattice_sources(warp: Warp) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return A (j - middle) + u(j) on a lattice, (x, y, z, 3), and its excess in between, (3,)."""
    lattice = _lattice(warp.patch_size)
    offsets = [voxels - (size - 1) / 2 for voxels, size in zip(lattice, warp.patch_size, strict=True)]
    source = np.stack(np.meshgrid(*offsets, indexing="ij"), axis=-1)
    if warp.affine is not None:
        source = source @ warp.affine.T
    if warp.control is None:
        return source, np.full(3, 1e-9)
    spacing = warp.control_spacing_voxels
    source = source + displacement_on_lattice(warp.control, warp.patch_size, spacing, lattice)
    return source, excess_between(warp.control, spacing, _LATTICE_STEP) + 1e-9
