"""The faults of raw data, and how each is planted in a small sound dataset.

What ``validate`` says of each stands in docs/validation.md; see ``faults_page``.
"""

import gzip
import json
import os
import shutil
from collections.abc import Callable

import numpy as np
import SimpleITK
from dicom_series import series_geometry, write_series
from sound_raw_data import (
    DIM,
    FORM_CODES,
    ORIGIN_MM,
    PIXDIM,
    QOFFSET,
    SIZE,
    SPACING_MM,
    SROW,
    UNITS,
    RawData,
    keep_bytes,
    organ_map,
    reorient,
    scan,
    spine_replaced,
    write,
)

sitk = SimpleITK
Plant = Callable[[RawData], object]


def write_slice(d: RawData) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(scan()[3]), str(d.image()))


def write_phases(d: RawData) -> None:
    phases = [sitk.GetImageFromArray(scan())] * 3
    sitk.WriteImage(sitk.JoinSeries(phases), str(d.image()))


def write_colour(d: RawData) -> None:
    colours = np.stack([scan().clip(0, 255).astype(np.uint8)] * 3, axis=-1)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(d.image()))


def write_dicom_file(d: RawData) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(scan()[:1]), str(d.folder / "x.dcm"))
    (d.folder / "x.dcm").rename(d.image())


def truncate_nrrd(d: RawData) -> None:
    path = d.image().with_name("a.nrrd")
    write(path, scan())
    keep_bytes(path, 0.8)
    d.image().unlink()
    d.list_case(path)


def damage_mha(d: RawData) -> None:
    path = d.image().with_name("a.mha")
    sitk.WriteImage(sitk.GetImageFromArray(scan()), str(path), useCompression=True)
    data = bytearray(path.read_bytes())
    data[-200] ^= 255
    path.write_bytes(data)
    d.image().unlink()
    d.list_case(path)


def write_pair(d: RawData) -> None:
    path = d.image().with_name("a.hdr")
    write(path, scan())
    d.image().unlink()
    d.list_case(path)


def lose_voxels_of_mhd(d: RawData) -> None:
    path = d.image().with_name("a.mhd")
    write(path, scan())
    path.with_suffix(".raw").unlink()
    d.image().unlink()
    d.list_case(path)


def flatten_mha(d: RawData) -> None:
    path = d.image().with_name("a.mha")
    write(path, scan())
    header = b"TransformMatrix = 1 0 0 0 1 0 0 0 1"
    path.write_bytes(path.read_bytes().replace(header, b"TransformMatrix = 1 0 0 1 0 0 0 0 1"))
    d.image().unlink()
    d.list_case(path)


def write_two_series(d: RawData) -> None:
    folder, grid = d.image().parent / "a", series_geometry(SIZE, spacing_mm=SPACING_MM, origin_mm=ORIGIN_MM)
    write_series(folder / "2", scan().transpose(2, 1, 0), grid, series_uid="1.2.3", number=2)
    small = grid.model_copy(update={"size": (24, 20, 5)})
    write_series(folder / "3", scan()[:5].transpose(2, 1, 0), small, series_uid="1.2.4", number=3)
    d.image().unlink()
    d.list_case(folder)


def list_target_as_series(d: RawData) -> None:
    image = d.image("c", "Target")
    values, folder = sitk.GetArrayFromImage(sitk.ReadImage(str(image))), d.image().parent / "a"
    grid = series_geometry(SIZE, spacing_mm=SPACING_MM, origin_mm=ORIGIN_MM)
    write_series(folder, values.transpose(2, 1, 0), grid)
    for case in "abc":
        reorient(d.image(case, "Target"), "LAS")
        reorient(d.label(case, "Target"), "LAS")
    d.image().unlink()
    d.list_case(folder)


def list_a_patient_twice(d: RawData) -> None:
    list_series(d, "Pool", 0, {"a": "Ann", "b": "Ann", "c": "Cid"})


def list_a_patient_in_both(d: RawData) -> None:
    list_series(d, "Pool", 0, {"a": "Ann", "b": "Bea", "c": "Cid"})
    list_series(d, "Target", 10, {"a": "Dan", "b": "Eva", "c": "Ann"})


def list_series(d: RawData, dataset: str, seed: int, patient_ids: dict[str, str]) -> None:
    """Turn a dataset's scans into DICOM series with these PatientIDs by case."""
    grid = series_geometry(SIZE, spacing_mm=SPACING_MM, origin_mm=ORIGIN_MM)
    document = json.loads(d.document(dataset).read_text()) | {"cases": []}
    for number, (case, patient_id) in enumerate(patient_ids.items()):
        image = d.image(case, dataset)
        folder = image.parent / case
        write_series(folder, scan(seed + number).transpose(2, 1, 0), grid, patient_id=patient_id)
        image.unlink()
        entry = {"id": case, "image": str(folder), "label": str(d.label(case, dataset))}
        document["cases"].append(entry)
    d.document(dataset).write_text(json.dumps(document))


def lie_in_a_folder(d: RawData) -> None:
    d.image().unlink()
    d.image().mkdir()


def break_link(d: RawData) -> None:
    d.image().unlink()
    d.image().symlink_to("/nowhere/scan.nii.gz")


def become_a_pipe(d: RawData) -> None:
    d.image().unlink()
    os.mkfifo(d.image())


def nest(d: RawData) -> None:
    (d.image().parent / "old").mkdir()
    d.image().rename(d.image().parent / "old" / d.image().name)


def nest_dataset(d: RawData) -> None:
    (d.folder / "Download").mkdir()
    (d.folder / "Pool").rename(d.folder / "Download" / "Pool")


def share_a_patient(d: RawData) -> None:
    for dataset, case in (("Pool", "b"), ("Target", "c")):
        document = json.loads(d.document(dataset).read_text())
        document["cases"] = [
            {
                "id": name,
                "image": str(d.image(name, dataset)),
                "label": str(d.label(name, dataset)),
                "patient": "Doe" if name == case else name,
            }
            for name in "abc"
        ]
        d.document(dataset).write_text(json.dumps(document))


def shift_label(d: RawData, mm: float) -> None:
    write(d.label(), organ_map(), origin_mm=(ORIGIN_MM[0] + mm, *ORIGIN_MM[1:]))


def resize(d: RawData, spacing_mm: tuple[float, float, float]) -> None:
    write(d.image(), scan(), spacing_mm)
    write(d.label(), organ_map(), spacing_mm)


FAULTS: dict[str, dict[str, Plant]] = {
    "Files": {
        "image missing (a label map without a scan)": lambda d: d.image().unlink(),
        "label map missing (a scan without a label map)": lambda d: d.label().unlink(),
        "label map not given under `cases`": lambda d: d.list_case(d.image(), label=None),
        "broken symbolic link": break_link,
        "unreadable permissions": lambda d: d.image().chmod(0),
        "a folder where a scan's file is expected": lie_in_a_folder,
        "several DICOM series in a case's folder": write_two_series,
        "a pipe where a file is expected": become_a_pipe,
        "zero-byte file": lambda d: d.image().write_bytes(b""),
        "truncated gzip": lambda d: keep_bytes(d.image(), 0.5),
        "gzip truncated within the header": lambda d: keep_bytes(d.label(), 0.3),
        "truncated voxels in an intact gzip": lambda d: d.image().write_bytes(
            gzip.compress(gzip.decompress(d.image().read_bytes())[:5000])
        ),
        "gzip of something else": lambda d: d.image().write_bytes(gzip.compress(b"no scan " * 99)),
        "text file named .nii.gz": lambda d: d.image().write_text("404: not found"),
        "DICOM file named .nii.gz": write_dicom_file,
        "compressed file named .nii": lambda d: d.list_case(d.image().rename(d.image().with_name("a.nii"))),
        "truncated NRRD": truncate_nrrd,
        "damaged bytes in a compressed MetaImage": damage_mha,
        "a pair of .hdr and .img": write_pair,
        "header without its file of voxels (.mhd)": lose_voxels_of_mhd,
        "two axes": write_slice,
        "four axes": write_phases,
        "five axes": lambda d: d.put(d.image(), DIM, "<8h", 5, 24, 20, 8, 1, 2, 1, 1),
        "several values per voxel (colour)": write_colour,
        "complex values": lambda d: write(d.image(), scan().astype(np.complex64)),
        "several channels (_0001)": lambda d: shutil.copy(d.image("b"), d.image().with_name("a_0001.nii.gz")),
        "scan under a name that is not read": lambda d: shutil.copy(
            d.image(), d.image().with_name("extra.nii.gz")
        ),
        "scan of another format": lambda d: write(d.image("d").with_name("d_0000.nrrd"), scan(9)),
        "stray file": lambda d: (d.label().parent / "notes.txt").write_text("x"),
        "folder within imagesTr": nest,
    },
    "Grids": {
        "shape mismatch": lambda d: write(d.label(), organ_map()[:-1]),
        "spacing mismatch": lambda d: write(d.label(), organ_map(), (10.0, 10.0, 13.0)),
        "spacing rounded in the header": lambda d: write(d.label(), organ_map(), (10.02, 10.0, 12.0)),
        "origin mismatch": lambda d: shift_label(d, 30.0),
        "origin rounded in the header": lambda d: shift_label(d, 0.5),
        "direction mismatch": lambda d: write(d.label(), organ_map(), direction=(-1, 0, 0, 0, 1, 0, 0, 0, 1)),
        "spacing of zero": lambda d: d.put_both(PIXDIM + 4, "<f", 0.0),
        "negative spacing": lambda d: d.put(d.image(), PIXDIM + 8, "<f", -10.0),
        "spacing that is not a number": lambda d: d.put(d.image(), PIXDIM + 12, "<f", float("nan")),
        "absurd spacing": lambda d: resize(d, (0.001, 0.001, 0.001)),
        "spacing in metres": lambda d: d.put_both(UNITS, "<b", 1),
        "absurd size": lambda d: resize(d, (0.1, 0.1, 0.1)),
        "a single slice": lambda d: (write(d.image(), scan()[:1]), write(d.label(), organ_map()[5:6])),
        "size of zero": lambda d: d.put(d.image(), DIM + 2, "<h", 0),
        "sform that is not a number": lambda d: d.put(d.image(), SROW, "<f", float("nan")),
        "sform of zeros": lambda d: d.put(d.image(), SROW, "<12f", *[0.0] * 12),
        "direction without volume (MetaImage)": flatten_mha,
        "sheared axes": lambda d: (
            d.put(d.image(), FORM_CODES, "<hh", 0, 1),
            d.put(d.image(), SROW, "<12f", -10, 5, 0, 0, 0, -10, 0, 0, 0, 0, 12, 0),
        ),
        "no orientation in the header": lambda d: d.put_both(FORM_CODES, "<hh", 0, 0),
        "qform and sform disagree": lambda d: d.put_both(QOFFSET, "<f", 55.0),
        "mixed orientations": lambda d: (reorient(d.image(), "RAS"), reorient(d.label(), "RAS")),
    },
    "Intensities": {
        "NaN or infinite values": lambda d: write(d.image(), spine_replaced(scan(), np.nan)),
        "constant image": lambda d: write(d.image(), np.full_like(scan(), -1000)),
        "1024 was added": lambda d: write(d.image(), scan() + 1024),
        "1024 was subtracted twice": lambda d: write(d.image(), scan() - 1024),
        "normalised": lambda d: write(d.image(), ((scan() + 1024) / 1724).astype(np.float32)),
        "grey values of a picture": lambda d: write(
            d.image(), (scan().clip(-150, 105) + 150).astype(np.uint8)
        ),
        "clipped to a window": lambda d: write(d.image(), scan().clip(-150, 250)),
        "wrong rescale slope": lambda d: write(d.image(), scan() * 10.0),
    },
    "Label maps": {
        "labels that are no integers": lambda d: write(d.label(), organ_map() * 0.5),
        "labels that are no numbers": lambda d: write(
            d.label(), np.where(organ_map() == 1, np.nan, 0.0).astype(np.float32)
        ),
        "negative labels": lambda d: write(d.label(), -organ_map().astype(np.int16)),
        "the scan given as label map": lambda d: d.list_case(d.image(), label=str(d.image())),
        "label values not in dataset.json": lambda d: write(d.label(), organ_map() * 7),
        "declared label never present": lambda d: d.describe(
            labels={"background": 0, "liver": 1, "spleen": 2}
        ),
        "empty label map": lambda d: write(d.label(), organ_map() * 0),
        "one label map for two scans": lambda d: shutil.copy(d.label("a"), d.label("b")),
    },
    "Cases and datasets": {
        "duplicate scan within the pool": lambda d: shutil.copy(d.image("a"), d.image("b")),
        "duplicate scan within a target, under two patients": lambda d: shutil.copy(
            d.image("a", "Target"), d.image("b", "Target")
        ),
        "scan of a target in the pool": lambda d: shutil.copy(d.image("c"), d.image("b", "Target")),
        "scan of a target in the pool, as a DICOM series": list_target_as_series,
        "patient of a target in the pool": share_a_patient,
        "same patient in two cases, by their DICOM series": list_a_patient_twice,
        "patient of a target in the pool, by their DICOM series": list_a_patient_in_both,
    },
    "Descriptions and folders": {
        "dataset.json missing": lambda d: d.document().unlink(),
        "other folder in raw_data": lambda d: (d.folder / "notes").mkdir(),
        "dataset one folder too deep": nest_dataset,
        "no imagesTr": lambda d: d.image().parent.rename(d.folder / "Pool" / "images"),
        "no file of the declared ending": lambda d: d.describe(file_ending=".mha"),
        "images named otherwise": lambda d: [
            d.image(case).rename(d.image().with_name(f"{case}.nii.gz")) for case in "abc"
        ],
        "dataset.json is not JSON": lambda d: d.document().write_text('{\n"labels": }'),
        "dataset.json is empty": lambda d: d.document().write_text(""),
        "dataset.json is no object": lambda d: d.document().write_text("[]"),
        "dataset.json in another encoding than UTF-8": lambda d: d.document().write_bytes(
            '{"labels": {"Gefäß": 1}}'.encode("latin-1")
        ),
        "huge dataset.json": lambda d: os.truncate(d.document(), 60_000_000),
        "keys missing in dataset.json": lambda d: d.describe(labels=None),
        "values of wrong types in dataset.json": lambda d: d.describe(labels=["liver"], role="train"),
        "keys given twice in dataset.json": lambda d: d.document().write_text(
            '{"labels": {"liver": 1, "liver": 2}}'
        ),
        "labels not consecutive": lambda d: d.describe(labels={"background": 0, "liver": 1, "spleen": 3}),
        "regions as labels": lambda d: d.describe(labels={"background": 0, "liver": [1, 2]}),
        "ignore label": lambda d: d.describe(labels={"background": 0, "liver": 1, "ignore": 2}),
        "several channels declared": lambda d: d.describe(channel_names={"0": "CT", "1": "PET"}),
        "case id that leaves the workspace": lambda d: d.list_case(d.image(), id="../a"),
        "case id that is too long": lambda d: d.list_case(d.image(), id="ä" * 101),
        "case id given twice": lambda d: d.describe(cases=[{"id": "a", "image": "x"}] * 2),
        "dataset's name with a backslash": lambda d: (d.folder / "Pool").rename(d.folder / "Po\\ol"),
    },
}
"""By section of the page, what is planted and how."""

UNPRIVILEGED = "unreadable permissions"
"""The fault that is none to the administrator, who reads everything."""
