"""Raw datasets written from arrays, for scans that no phantom patient gives."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixcl_auto.io.images import write_image, write_labels
from mixcl_auto.workflows.phantom_datasets import grid_geometry

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]

_ORGAN_HU = np.array([-60.0, 110.0, 60.0])


@dataclass(frozen=True)
class HardCase:
    """A scan and its label map, (x, y, z) in RAS, and how its file lies."""

    image_hu: np.ndarray
    labels: np.ndarray
    spacing_mm: Spacing
    orientation: str = "LPS"


def tissue(labels: np.ndarray, seed: int) -> np.ndarray:
    """HU of noisy tissue whose organs differ, with a corner of air so that the values may be CT."""
    generator = np.random.default_rng(seed)
    image = _ORGAN_HU[labels] + generator.normal(0, 20, labels.shape)
    image.reshape(-1)[:: max(2, image.size // 8)] = -1000
    return np.rint(image).astype(np.int16)


def air(shape: Shape, seed: int) -> np.ndarray:
    """HU of nothing but noisy air."""
    return np.random.default_rng(seed).integers(-1020, -980, shape).astype(np.int16)


def labels_with(shape: Shape, voxels: Mapping[int, tuple[slice | int, ...]] | None = None) -> np.ndarray:
    """A label map of background with boxes or single voxels of some labels."""
    labels = np.zeros(shape, np.uint8)
    for value, place in (voxels or {}).items():
        labels[place] = value
    return labels


def write_hard_dataset(
    raw_data: Path, name: str, role: str, organs: tuple[str, ...], cases: Mapping[str, HardCase]
) -> None:
    """Write a dataset in nnU-Net's layout."""
    folder = raw_data / name
    for case, hard in cases.items():
        geometry = grid_geometry(hard.labels.shape, hard.spacing_mm, hard.orientation)
        write_image(folder / "imagesTr" / f"{case}_0000.nii.gz", hard.image_hu, hard.spacing_mm, geometry)
        write_labels(folder / "labelsTr" / f"{case}.nii.gz", hard.labels, geometry)
    document = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0} | {organ: value for value, organ in enumerate(organs, start=1)},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
        "role": role,
    }
    (folder / "dataset.json").write_text(json.dumps(document))
