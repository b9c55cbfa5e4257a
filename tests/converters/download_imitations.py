"""Public datasets in their true layouts, with phantoms in place of patients."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from dicom_series import write_series

from mixcl_auto.io.images import write_image, write_labels
from mixcl_auto.io.orientation import from_ras, ras_geometry
from mixcl_auto.phantoms.anatomy import EXTENT_MM, LABELS
from mixcl_auto.phantoms.ct import make_patient
from mixcl_auto.workflows.phantom_datasets import grid_geometry

SPACING_MM = (8.0, 8.0, 8.0)
TALLER_MM = (368.0, 320.0, 224.0)
BTCV_ORGANS = (
    "spleen",
    "right_kidney",
    "left_kidney",
    "gallbladder",
    "oesophagus",
    "liver",
    "stomach",
    "aorta",
    "vena_cava",
    "portal_vein",
    "pancreas",
    "right_adrenal",
    "left_adrenal",
)
"""In BTCV's order, as phantoms call them; phantoms lack four."""
Drawn = tuple[Any, Any]
"""HU and labels in RAS."""


def draw(seed: Sequence[int], extent_mm: tuple[float, float, float] = EXTENT_MM) -> Drawn:
    image, labels, _ = make_patient(
        np.random.default_rng(seed), spacing_mm=SPACING_MM, extent_mm=extent_mm, noise_hu=5.0
    )
    return image, labels


def draw_pancreas_patient(number: int) -> Drawn:
    return draw([82, number])


def organs(labels: Any, **values: int) -> Any:
    """A label map with these organs only."""
    table = np.zeros(256, np.uint8)
    for organ, value in values.items():
        table[LABELS[organ]] = value
    return table[labels]


def touch(*paths: Path) -> None:
    """Empty files, for what only looks at names."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def add_fourth_axis(path: Path) -> None:
    SimpleITK.WriteImage(SimpleITK.JoinSeries(SimpleITK.ReadImage(str(path))), str(path))


def write_msd(
    folder: Path,
    stem: str,
    label_names: dict[str, str],
    label_map: Callable[[Any], Any],
    cases: int = 3,
    *,
    name: str | None = None,
    modality: dict[str, str] | None = None,
    orientation: str = "LAS",
    four_axes: bool = False,
) -> dict[str, Any]:
    """A task of the Decathlon; case to its label map in RAS."""
    written = {}
    for number in range(1, cases + 1):
        image, labels = draw([*stem.encode(), number])
        labels = label_map(labels)
        grid = grid_geometry(image.shape, SPACING_MM, orientation)
        case = f"{stem}_{number}"
        image_path = folder / "imagesTr" / f"{case}.nii.gz"
        write_image(image_path, image, SPACING_MM, grid)
        write_labels(folder / "labelsTr" / f"{case}.nii.gz", labels, grid)
        if four_axes:
            add_fourth_axis(image_path)
        for part in ("imagesTr", "labelsTr"):
            (folder / part / f"._{case}.nii.gz").write_bytes(b"\x00\x05\x16\x07")
        written[case] = labels
    write_image(folder / "imagesTs" / f"{stem}_90.nii.gz", image, SPACING_MM, grid)
    document = {
        "name": name or stem.capitalize(),
        "description": f"{stem} segmentation",
        "reference": "an institute",
        "licence": "CC-BY-SA 4.0",
        "release": "1.0 06/08/2018",
        "tensorImageSize": "3D",
        "modality": modality or {"0": "CT"},
        "labels": {"0": "background", **label_names},
        "numTraining": cases,
        "numTest": 1,
        "training": [
            {"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in written
        ],
        "test": [f"./imagesTs/{stem}_90.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps(document))
    return written


def write_spleen(folder: Path, cases: int = 3, **options: Any) -> dict[str, Any]:
    return write_msd(
        folder, "spleen", {"1": "spleen"}, lambda labels: organs(labels, spleen=1), cases, **options
    )


def write_liver(folder: Path, cases: int = 3) -> dict[str, Any]:
    names = {"1": "liver", "2": "cancer"}
    return write_msd(
        folder,
        "liver",
        names,
        lambda labels: organs(labels, liver=1, gallbladder=2),
        cases,
        orientation="RAS",
        four_axes=True,
    )


def write_kits19(repository: Path, numbers: Sequence[int] = (0, 1, 160)) -> dict[str, Any]:
    """The repository after its starter script: slices first, towards the feet; two test cases."""
    written = {}
    for number in (*numbers, 210, 211):
        image, labels = draw([19, number], TALLER_MM if number == 160 else EXTENT_MM)
        labels = organs(labels, right_kidney=1, left_kidney=1)
        middle = int(np.nonzero(labels)[0].mean())
        labels[:middle][labels[:middle] == 1] = 2  # the half on the patient's left is called tumour
        grid = grid_geometry(image.shape, SPACING_MM, "IPL").model_copy(update={"origin_mm": (0.0, 0.0, 0.0)})
        folder = repository / "data" / f"case_{number:05d}"
        write_image(folder / "imaging.nii.gz", image.astype(np.float32), SPACING_MM, grid)
        if number < 210:
            write_labels(folder / "segmentation.nii.gz", labels, grid)
            written[folder.name] = labels
    (repository / "data" / "kits.json").write_text("[]")
    (repository / "starter_code").mkdir()
    (repository / "README.md").write_text("# KiTS19")
    return written


def write_btcv(raw_data: Path, numbers: Sequence[int] = (1, 2, 21)) -> dict[str, Any]:
    """RawData with Training and Testing; the first case has no gallbladder."""
    written = {}
    training, testing = raw_data / "Training", raw_data / "Testing"
    for number in numbers:
        image, labels = draw([13, number])
        drawn = {organ: value for value, organ in enumerate(BTCV_ORGANS, 1) if organ in LABELS}
        labels = organs(labels, **({"vena_cava": 9} | drawn))
        for value, organ in enumerate(BTCV_ORGANS, 1):
            if organ not in LABELS:
                labels[2 * value : 2 * value + 2, 2:4, 2:4] = value
        if number == numbers[0]:
            labels[labels == 4] = 0
        grid = grid_geometry(image.shape, SPACING_MM, "LAS")
        write_image(training / "img" / f"img{number:04d}.nii.gz", image, SPACING_MM, grid)
        write_labels(training / "label" / f"label{number:04d}.nii.gz", labels, grid)
        written[f"img{number:04d}"] = labels
    write_image(testing / "img" / "img0061.nii.gz", image, SPACING_MM, grid)
    return written


def write_nih(
    download: Path,
    numbers: Sequence[int] = (1, 2, 3),
    flips: str | dict[int, str] = "j",
    *,
    withdrawn_labels: bool = True,
    patient: Callable[[int], Drawn] | None = None,
) -> dict[str, Any]:
    """Scans as the archive's downloader leaves them; label maps flipped, with headers of their own."""
    written = {}
    labels_folder = download / "TCIA_pancreas_labels-02-05-2017"
    for number in numbers:
        image, labels = (patient or draw_pancreas_patient)(number)
        labels = organs(labels, pancreas=1)
        grid = grid_geometry(image.shape, SPACING_MM, "LPS")
        case = f"PANCREAS_{number:04d}"
        study = download / "manifest-1599750808610" / "Pancreas-CT" / case
        series = study / f"11-24-2015-PANCREAS{number:04d}-Pancreas-18957" / "Pancreas-63502"
        write_series(series, from_ras(image, grid).transpose(2, 1, 0), grid)
        write_nih_label(labels_folder, number, labels, flips if isinstance(flips, str) else flips[number])
        written[case] = labels
    if withdrawn_labels:
        for number in (25, 70):
            write_nih_label(labels_folder, number, labels, "")
    (download / "manifest-1599750808610" / "Pancreas-CT" / "LICENSE").write_text("CC BY 3.0")
    return written


def write_nih_label(folder: Path, number: int, labels: Any, flips: str) -> None:
    on_grid = from_ras(labels, grid_geometry(labels.shape, SPACING_MM, "LPS")).transpose(2, 1, 0)
    array = np.flip(on_grid, ["ijk".index(axis) for axis in flips])
    plain = ras_geometry(array.shape, SPACING_MM)
    write_labels(folder / f"label{number:04d}.nii.gz", np.ascontiguousarray(array), plain)
