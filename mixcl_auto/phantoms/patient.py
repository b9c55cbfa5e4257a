"""One phantom patient: a draw of the anatomy that can be sampled on any grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.phantoms.anatomy import (
    LABELS,
    TEMPLATES,
    TRUNK_RADII_MM,
    BlobTemplate,
    Template,
    TubeTemplate,
)
from mixcl_auto.phantoms.grid import Axes, Grid, Vector
from mixcl_auto.phantoms.shapes import Blob, Roughness, Tube
from mixcl_auto.phantoms.smooth_field import Field, SmoothField

AIR_HU, SKIN_HU, FAT_HU, MUSCLE_HU, VISCERAL_FAT_HU = -1000.0, 25.0, -105.0, 55.0, -78.0
SKIN_MM, MUSCLE_MM, EDGE_MM = 3.0, 13.0, 2.5


@dataclass(frozen=True)
class Tissue:
    """A structure with its outline and density."""

    label: int
    """0 for what no dataset annotates."""
    shape: Blob | Tube
    hu: float
    texture_hu: float


@dataclass(frozen=True)
class Patient:
    """Everything that was drawn for one patient; sampling it involves no more chance."""

    trunk: Blob
    fat_mm: float
    """Thickness of the subcutaneous fat."""
    texture: SmoothField
    tissues: tuple[Tissue, ...]

    def sample(self, grid: Grid) -> tuple[Field, NDArray[np.uint8]]:
        """Noise-free HU (float32) and labels (uint8) at the voxel centres of a grid, (X, Y, Z).

        Edges are blended over 2.5 mm; the label is the structure whose outline encloses the voxel's centre.
        """
        axes = grid.axes()
        texture = self.texture.on(axes)
        depth = self.trunk.distance_mm(axes)
        image = self._body(depth, texture)
        labels = np.zeros(grid.shape, dtype=np.uint8)
        for tissue in self.tissues:
            box = tissue.shape.box(grid)
            if any(part.start >= part.stop for part in box):
                continue
            inner: Axes = (axes[0][box[0]], axes[1][box[1]], axes[2][box[2]])
            inside = np.minimum(tissue.shape.distance_mm(inner), depth[box] - np.float32(self._reach(tissue)))
            _blend(image[box], inside, tissue.hu + tissue.texture_hu * texture[box])
            labels[box][inside > 0] = tissue.label
        return image, labels

    def _reach(self, tissue: Tissue) -> float:
        """How near to the skin a tissue may come, in mm: organs stay inside the wall, the spine does not."""
        within_wall = isinstance(tissue.shape, Blob)
        return SKIN_MM + 4 + (self.fat_mm + 0.6 * MUSCLE_MM if within_wall else 0)

    def _body(self, depth: Field, texture: Field) -> Field:
        """Air, skin, fat, the muscle wall and the fat among the organs, by depth below the skin in mm."""
        image = np.full(depth.shape, AIR_HU, dtype=np.float32)
        wall = SKIN_MM + self.fat_mm
        _blend(image, depth, np.full_like(depth, SKIN_HU))
        _blend(image, depth - np.float32(SKIN_MM), FAT_HU + 6 * texture)
        _blend(image, depth - np.float32(wall), MUSCLE_HU + 12 * texture)
        _blend(image, depth - np.float32(wall + MUSCLE_MM), VISCERAL_FAT_HU + 22 * texture)
        return image


def _blend(image: Field, inside_mm: Field, hu: Field) -> None:
    """Mix a tissue into the image in place, by smoothstep over the width of an edge."""
    share = np.clip(0.5 + inside_mm / np.float32(EDGE_MM), 0, 1)
    share = share * share * (3 - 2 * share)
    image += share * (hu - image)


@dataclass(frozen=True)
class Pose:
    """How the standard patient is scaled, turned and shifted."""

    scale: float
    rotation: NDArray[np.float64]
    shift_mm: NDArray[np.float64]

    def point(self, standard_mm: NDArray[np.float64]) -> Vector:
        """Where a point of the standard patient lies in this one."""
        x, y, z = (float(value) for value in self.rotation @ (self.scale * standard_mm) + self.shift_mm)
        return x, y, z


def draw_patient(generator: np.random.Generator, *, contrast: float = 1.0) -> Patient:
    """Draw a patient: pose, size, fat, and every organ's place, size, outline and density.

    Args:
        generator: the only source of chance.
        contrast: factor of what vessels and kidneys have above muscle's density: the contrast phase.
    """
    pose = Pose(
        scale=float(np.exp(generator.normal(0, 0.06))),
        rotation=rotation_matrix(_angles(generator, (3.0, 3.0, 6.0))),
        shift_mm=generator.uniform(-8, 8, size=3),
    )
    width, thickness = TRUNK_RADII_MM
    rough = Roughness(SmoothField.draw(generator, (120, 260), 8), 2.5)
    radii = (width * pose.scale, thickness * pose.scale, 4000.0)
    trunk = Blob(pose.point(np.zeros(3)), radii, pose.rotation, 0.0, rough)
    fat_mm = float(generator.uniform(6, 18))
    texture = SmoothField.draw(generator, (8, 30), 24)
    return Patient(trunk, fat_mm, texture, tuple(_draw_tissues(generator, pose, contrast)))


def _draw_tissues(generator: np.random.Generator, pose: Pose, contrast: float) -> list[Tissue]:
    tissues: list[Tissue] = []
    tubes: dict[str, Tube] = {}
    for template in TEMPLATES:
        shape: Blob | Tube
        if isinstance(template, TubeTemplate):
            shape = tubes[template.name] = _draw_tube(generator, template, pose, tubes)
        else:
            shape = _draw_blob(generator, template, pose)
        hu = _density(template, contrast) + generator.normal(0, template.hu_deviation)
        tissues.append(Tissue(LABELS.get(template.name, 0), shape, float(hu), template.texture_hu))
    return tissues


def _density(template: Template, contrast: float) -> float:
    enhances = template.name in ("aorta", "vena_cava", "right_kidney", "left_kidney")
    return MUSCLE_HU + contrast * (template.hu - MUSCLE_HU) if enhances else template.hu


def _draw_blob(generator: np.random.Generator, template: BlobTemplate, pose: Pose) -> Blob:
    centre = np.array(template.centre_mm) + generator.normal(0, 5, size=3)
    a, b, c = np.array(template.radii_mm) * pose.scale * np.exp(generator.normal(0, 0.09, size=3))
    jitter = _angles(generator, (8.0, 8.0, 8.0))
    turn = pose.rotation @ rotation_matrix(np.radians(template.angles_degrees) + jitter)
    smallest = float(min(a, b, c))
    field = SmoothField.draw(generator, (1.6 * smallest, 5 * smallest), 10)
    bend = template.bend_per_mm * float(generator.uniform(0.6, 1.4)) / pose.scale
    rough = Roughness(field, template.roughness * smallest)
    return Blob(pose.point(centre), (float(a), float(b), float(c)), turn, bend, rough)


def _draw_tube(
    generator: np.random.Generator, template: TubeTemplate, pose: Pose, others: dict[str, Tube]
) -> Tube:
    x, y, _ = pose.point(np.array([*template.centre_mm, 0.0]) + np.array([*generator.normal(0, 2, 2), 0.0]))
    axis = pose.rotation[:, 2]
    drift, sway_mm, wavelength, phase = generator.uniform((-0.03, 1, 150, 0), (0.03, 5, 400, 2 * np.pi))
    centre, slope = (x, y), (float(axis[0] / axis[2] + drift), float(axis[1] / axis[2]))
    if template.follows is not None:
        guide = others[template.follows]
        centre, slope = guide.centre_mm, guide.slope
        sway_mm, wavelength, phase = guide.sway_mm, guide.sway_wavelength_mm, guide.sway_phase
    return Tube(
        centre_mm=centre,
        slope=slope,
        sway_mm=float(sway_mm),
        sway_wavelength_mm=float(wavelength),
        sway_phase=float(phase),
        radius_mm=template.radius_mm * pose.scale * float(np.exp(generator.normal(0, 0.07))),
        bulge_mm=template.bulge_mm,
        bulge_wavelength_mm=34.0 * pose.scale,
        roughness=Roughness(SmoothField.draw(generator, (30, 90), 8), 0.05 * template.radius_mm),
    )


def _angles(generator: np.random.Generator, deviations_degrees: Vector) -> NDArray[np.float64]:
    return np.radians(generator.normal(0, deviations_degrees))


def rotation_matrix(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation about x, then y, then z by angles in radians, 3 x 3."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x, dtype=np.float64)
