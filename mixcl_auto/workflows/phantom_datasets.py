"""Phantom patients written as raw datasets in nnU-Net's layout, on rotated, flipped and oblique grids."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.io.files import write_text
from mixcl_auto.io.images import write_image, write_labels
from mixcl_auto.phantoms.anatomy import EXTENT_MM
from mixcl_auto.phantoms.ct import keep_organs, make_patient
from mixcl_auto.phantoms.grid import Vector
from mixcl_auto.phantoms.patient import rotation_matrix
from mixcl_auto.progress import Progress, Silent
from mixcl_auto.records.case import Geometry, Role

LPS_DIRECTIONS = {
    "R": (-1, 0, 0),
    "L": (1, 0, 0),
    "A": (0, -1, 0),
    "P": (0, 1, 0),
    "S": (0, 0, 1),
    "I": (0, 0, -1),
}
"""Unit vectors of ITK's physical space (LPS) for where a file's axis points."""

RAS_AXES = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}


@dataclass(frozen=True)
class PhantomDataset:
    """What a phantom dataset annotates and how it was scanned."""

    name: str
    role: Role
    organs: tuple[str, ...]
    cases: int
    orientations: tuple[str, ...] = ("LPS",)
    """Taken in turn by the cases."""
    tilt_degrees: float = 0.0
    """Obliqueness of every grid."""
    contrast: float = 1.0
    noise_hu: float = 12.0


DEMO_DATASETS = (
    PhantomDataset("Phantom_Liver", "pretrain", ("liver",), 8, ("LPS", "RAS")),
    PhantomDataset("Phantom_Kidneys", "pretrain", ("right_kidney", "left_kidney"), 8, ("PIR",), 0.0, 1.15),
    PhantomDataset(
        "Phantom_Vessels", "pretrain", ("aorta", "vena_cava", "spinal_cord"), 8, ("LAS",), 4.0, 0.85
    ),
    PhantomDataset(
        "Phantom_Abdomen",
        "target",
        ("spleen", "right_kidney", "left_kidney", "stomach", "aorta", "gallbladder"),
        20,
        ("LPS", "RAS", "ASL"),
        2.0,
        1.0,
        15.0,
    ),
)
"""A pool of three datasets that annotate different organs, and one target."""


def write_phantom_datasets(
    raw_data: Path,
    datasets: Sequence[PhantomDataset] = DEMO_DATASETS,
    *,
    seed: int = 0,
    spacing_mm: Vector | None = None,
    extent_mm: Vector = EXTENT_MM,
    progress: Progress | None = None,
) -> list[Path]:
    """Write datasets of phantoms; a case depends on the seed and on its place in the lists only.

    Args:
        raw_data: the folder that gets one folder per dataset.
        datasets: what to write.
        seed: of all draws.
        spacing_mm: the same for all cases; drawn per case if not given.
        extent_mm: the field of view.
        progress: told of each case.

    Returns:
        The datasets' folders.
    """
    progress = progress or Silent()
    progress.start("making phantoms", sum(dataset.cases for dataset in datasets))
    for number, dataset in enumerate(datasets):
        folder = raw_data / dataset.name
        for case, image, labels, spacing in _patients(dataset, [seed, number], spacing_mm, extent_mm):
            code = dataset.orientations[case % len(dataset.orientations)]
            geometry = grid_geometry(image.shape, spacing, code, tilt_degrees=dataset.tilt_degrees)
            name = f"{dataset.name.lower()}_{case:03d}"
            write_image(folder / "imagesTr" / f"{name}_0000.nii.gz", image, spacing, geometry)
            write_labels(folder / "labelsTr" / f"{name}.nii.gz", labels, geometry)
            progress.advance()
        write_text(folder / "dataset.json", json.dumps(_description(dataset), indent=2) + "\n")
    progress.finish()
    return [raw_data / dataset.name for dataset in datasets]


def _patients(
    dataset: PhantomDataset, seed: list[int], spacing_mm: Vector | None, extent_mm: Vector
) -> Iterator[tuple[int, NDArray[np.int16], NDArray[np.uint8], Vector]]:
    for case in range(dataset.cases):
        image, labels, spacing = make_patient(
            np.random.default_rng([*seed, case]),
            spacing_mm=spacing_mm,
            extent_mm=extent_mm,
            noise_hu=dataset.noise_hu,
            contrast=dataset.contrast,
        )
        yield case, image, keep_organs(labels, dataset.organs), spacing


def _description(dataset: PhantomDataset) -> dict[str, Any]:
    labels = {"background": 0} | {organ: value for value, organ in enumerate(dataset.organs, start=1)}
    return {
        "description": "Computed phantoms, not patients.",
        "channel_names": {"0": "CT"},
        "labels": labels,
        "numTraining": dataset.cases,
        "file_ending": ".nii.gz",
        "role": dataset.role,
    }


def grid_geometry(
    shape_ras: tuple[int, ...], spacing_ras_mm: Vector, orientation: str, *, tilt_degrees: float = 0.0
) -> Geometry:
    """A file's grid for a RAS array, with axes as ``orientation`` says, tilted about all three.

    Args:
        shape_ras: of the array, (x, y, z).
        spacing_ras_mm: in the same order.
        orientation: three letters, where the file's axes i, j, k point, such as ``PIR``.
        tilt_degrees: rotation of the grid about each physical axis.
    """
    axes = [RAS_AXES[letter] for letter in orientation]
    columns = np.array([LPS_DIRECTIONS[letter] for letter in orientation], dtype=float).T
    direction = rotation_matrix(np.radians(np.full(3, tilt_degrees))) @ columns
    size = [int(shape_ras[axis]) for axis in axes]
    spacing = [float(spacing_ras_mm[axis]) for axis in axes]
    middle = direction @ ((np.array(size) - 1) * np.array(spacing)) / 2
    return Geometry(
        size=(size[0], size[1], size[2]),
        spacing_mm=(spacing[0], spacing[1], spacing[2]),
        origin_mm=(-float(middle[0]), -float(middle[1]), -float(middle[2])),
        direction=tuple(float(value) for value in direction.flat),
        orientation=orientation,
    )
