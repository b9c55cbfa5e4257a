"""A small sound ``raw_data`` in real files, and ways to damage it."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import SimpleITK

sitk = SimpleITK
SIZE = (24, 20, 16)
SPACING_MM = (10.0, 10.0, 12.0)
ORIGIN_MM = (5.0, -3.0, 20.0)
PIXDIM, UNITS, FORM_CODES, QOFFSET, SROW, DIM = 76, 123, 252, 268, 280, 40
"""Offsets of fields in a NIfTI-1 header, in bytes."""


class RawData:
    """A folder ``raw_data`` with a pool and a target of three sound cases each, and ways to damage them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def image(self, case: str = "a", dataset: str = "Pool") -> Path:
        return self.folder / dataset / "imagesTr" / f"{case}_0000.nii.gz"

    def label(self, case: str = "a", dataset: str = "Pool") -> Path:
        return self.folder / dataset / "labelsTr" / f"{case}.nii.gz"

    def document(self, dataset: str = "Pool") -> Path:
        return self.folder / dataset / "dataset.json"

    def describe(self, **changes: object) -> None:
        """Change keys of the pool's dataset.json; None removes one."""
        keys = json.loads(self.document().read_text()) | changes
        kept = {key: value for key, value in keys.items() if value is not None}
        self.document().write_text(json.dumps(kept))

    def list_case(self, image: Path, **changes: object) -> None:
        """Describe the pool as one case, with this image and the label map of ``a``."""
        entry = {"id": "a", "image": str(image), "label": str(self.label()), **changes}
        self.describe(cases=[entry])

    def put(self, path: Path, offset: int, form: str, *values: float) -> None:
        """Overwrite bytes of a NIfTI header."""
        data = bytearray(gzip.decompress(path.read_bytes()))
        struct.pack_into(form, data, offset, *values)
        path.write_bytes(gzip.compress(bytes(data)))

    def put_both(self, offset: int, form: str, *values: float) -> None:
        for path in (self.image(), self.label()):
            self.put(path, offset, form, *values)


def write_sound_raw_data(folder: Path) -> None:
    """Write ``Pool`` (liver) and ``Target`` (liver, spleen), cases a, b and c, of 24 x 20 x 16 voxels."""
    for seed, dataset in ((0, "Pool"), (10, "Target")):
        organs = {"liver": 1} if dataset == "Pool" else {"liver": 1, "spleen": 2}
        raw_data = RawData(folder)
        for number, case in enumerate("abc"):
            write(raw_data.image(case, dataset), scan(seed + number))
            write(raw_data.label(case, dataset), organ_map(seed + number, len(organs)))
        document = {
            "role": "pretrain" if dataset == "Pool" else "target",
            "channel_names": {"0": "CT"},
            "labels": {"background": 0, **organs},
            "file_ending": ".nii.gz",
        }
        raw_data.document(dataset).write_text(json.dumps(document))


def scan(seed: int = 0) -> np.ndarray:
    """HU of a round body in air, with a spine, as ITK lays it out."""
    _, j, i = np.indices(SIZE[::-1])
    body = ((j - 10) / 8) ** 2 + ((i - 12) / 10) ** 2 < 1
    hu = np.where(body, 40, -1000) + np.random.default_rng(seed).integers(-20, 20, SIZE[::-1])
    hu[:, 10:12, 12:14] = 700
    hu[0, 0, 0] = -1024
    return hu.astype(np.int16)


def organ_map(seed: int = 0, organs: int = 1) -> np.ndarray:
    labels = np.zeros(SIZE[::-1], np.uint8)
    for value in range(1, organs + 1):
        labels[4:10, 5 * value : 5 * value + 4, 5 : 8 + seed % 7] = value
    return labels


def write(path: Path, values: np.ndarray, spacing_mm=SPACING_MM, origin_mm=ORIGIN_MM, direction=None) -> None:
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(spacing_mm)
    image.SetOrigin(origin_mm)
    if direction is not None:
        image.SetDirection(direction)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def reorient(path: Path, orientation: str) -> None:
    sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), orientation), str(path))


def keep_bytes(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def spine_replaced(values: np.ndarray, value: float) -> np.ndarray:
    """As floats, the spine replaced."""
    return np.where(values == 700, value, values).astype(np.float32)
