"""Scans from anybody, damaged at random: an error of ours or voxels, never a crash or made-up memory."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from dicom_series import series_geometry, write_series
from hostile import bounded, mutated_bytes, read_or_refuse
from hypothesis import given, reject
from hypothesis import strategies as st
from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from mixcl_auto.io.dicom import choose_series, read_series
from mixcl_auto.io.images import read_image, read_labels
from mixcl_auto.io.orientation import ras_shape

SITK = SimpleITK
HEADS = {"x.nii": 352, "x.nii.gz": None, "x.nrrd": 420, "x.mha": 330}
"""File to the length of its header, where most of the damage goes."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


def sound_bytes(folder: Path, name: str, *, compressed: bool = False) -> bytes:
    image = SITK.GetImageFromArray(np.random.default_rng(0).integers(0, 99, (5, 6, 7)).astype(np.int16))
    image.SetSpacing((1.5, 0.75, 2.0))
    SITK.WriteImage(image, str(folder / f"sound_{name}"), useCompression=compressed)
    return (folder / f"sound_{name}").read_bytes()


def read_scan(path: Path) -> None:
    """As training and prediction read it; an accepted scan has the shape that its grid says."""
    volume = read_or_refuse(lambda: read_image(path))
    if volume is not None:
        assert volume.array.shape == ras_shape(volume.geometry)
        assert np.isfinite(volume.spacing_mm).all()
        assert min(volume.spacing_mm) > 0
    read_or_refuse(lambda: read_labels(path))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", HEADS)
def test_a_damaged_scan_is_refused_or_read(folder, name, compressed, capfd):
    sound = sound_bytes(folder, name, compressed=compressed)

    @bounded(120)
    @given(data=mutated_bytes(sound, head=HEADS[name]))
    def check(data: bytes) -> None:
        (folder / name).write_bytes(data)
        read_scan(folder / name)

    check()


@bounded(150)
@given(data=st.data())
def test_a_damaged_header_in_a_sound_gzip_stream_is_refused_or_read(folder, data):
    plain = gzip.decompress(sound_bytes(folder, "y.nii.gz"))
    (folder / "y.nii.gz").write_bytes(gzip.compress(data.draw(mutated_bytes(plain, head=352)), 1))
    read_scan(folder / "y.nii.gz")


@pytest.mark.parametrize("name", ["d.mhd", "d.nhdr"])
def test_a_damaged_header_of_other_files_is_refused_or_read(folder, name, capfd):
    sound = sound_bytes(folder, name)
    (folder / name).with_name(f"sound_{name}").unlink()

    @bounded(120)
    @given(data=mutated_bytes(sound))
    def check(data: bytes) -> None:
        (folder / name).write_bytes(data)
        read_scan(folder / name)

    check()


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    geometry = series_geometry((6, 5, 4))
    values = np.random.default_rng(0).integers(-1000, 1000, (6, 5, 4))
    return write_series(tmp_path_factory.mktemp("series"), values, geometry)


def read_scan_of_slices(folder: Path) -> None:
    content = read_or_refuse(lambda: read_series(choose_series(folder)[0], hashed=True))
    if content is not None:
        assert content.values_ijk.shape == content.geometry.size
        assert content.note is None or content.note.isprintable()


def test_a_damaged_slice_is_refused_or_read(series, capfd):
    """Few examples: GDCM asks for as much memory as one element says that it is long, up to 4 GB."""
    target = series[1]
    sound = target.read_bytes()

    @bounded(12)
    @given(data=mutated_bytes(sound, kinds=("flip", "cut")))
    def check(data: bytes) -> None:
        target.write_bytes(data)
        read_scan_of_slices(target.parent)

    try:
        check()
    finally:
        target.write_bytes(sound)


TEXT_TAGS = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "RescaleSlope",
    "RescaleIntercept",
    "Modality",
    "SeriesNumber",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "PatientID",
    "PixelPaddingValue",
)
NUMBER_TAGS = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "SamplesPerPixel")
NUMBERS = st.sampled_from(["0", "-1", "1e308", "1e-320", "nan", "inf", "9" * 16, "1", "0.5", "", " ", "x"])
TEXTS = st.lists(NUMBERS, max_size=6).map("\\".join) | st.binary(max_size=16).map(
    lambda b: b.decode("latin-1")
)


@bounded(40)
@given(
    edits=st.dictionaries(st.sampled_from(TEXT_TAGS), TEXTS, max_size=3),
    numbers=st.dictionaries(
        st.sampled_from(NUMBER_TAGS), st.sampled_from([0, 1, 2, 8, 32, 65535]), max_size=2
    ),
    every=st.booleans(),
)
def test_a_series_with_odd_values_is_refused_or_read(tmp_path_factory, edits, numbers, every):
    folder = tmp_path_factory.mktemp("odd")

    def edit(k: int, header: Dataset) -> None:
        if not (every or k == 1):
            return
        for keyword, number in numbers.items():
            setattr(header, keyword, number)
        for keyword, text in edits.items():
            value = text.encode("latin-1")
            value += b" " * (len(value) % 2)
            tag = Tag(keyword)
            header[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)

    try:
        with config.disable_value_validation():
            write_series(folder, np.zeros((6, 5, 3)), series_geometry((6, 5, 3)), edit=edit)
    except (ArithmeticError, TypeError, ValueError):
        reject()  # pydicom writes no such value
    read_scan_of_slices(folder)
    shutil.rmtree(folder)
