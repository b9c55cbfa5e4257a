import gzip
import struct
import sys
import tracemalloc

import numpy as np
import pytest
import SimpleITK

from mixcl_auto.errors import DataError
from mixcl_auto.io import nifti as module
from mixcl_auto.io import voxel_values
from mixcl_auto.io.images import read_image
from mixcl_auto.io.nifti import compress, decompress, nifti_values
from mixcl_auto.io.voxel_values import image_values, label_values, scaled_values

sitk = SimpleITK
SHAPE = (3, 4, 5)


def nifti_bytes(path, values, *, slope=0.0, intercept=0.0):
    """A file written by ITK whose scaling is then set by hand (bytes 112 and 116 of the NIfTI-1 header)."""
    sitk.WriteImage(sitk.GetImageFromArray(values), str(path))
    data = bytearray(path.read_bytes())
    struct.pack_into("<ff", data, 112, slope, intercept)
    path.write_bytes(data)
    return bytes(data)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
def test_values_equal_those_of_itk(tmp_path, dtype):
    values = np.random.default_rng(0).integers(0, 99, SHAPE).astype(dtype)
    data = nifti_bytes(tmp_path / "x.nii", values)
    np.testing.assert_array_equal(nifti_values(data, 60, tmp_path / "x.nii"), values.ravel())
    assert nifti_values(data, 60, tmp_path / "x.nii").dtype == values.dtype


@pytest.mark.parametrize(("slope", "intercept"), [(0.5, -1024), (1, 3), (0, 7), (0, 0), (-2, 0)])
def test_scaling_equals_itks(tmp_path, slope, intercept):
    values = np.arange(60, dtype=np.int16).reshape(SHAPE)
    data = nifti_bytes(tmp_path / "x.nii", values, slope=slope, intercept=intercept)
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "x.nii")))
    np.testing.assert_allclose(nifti_values(data, 60, tmp_path / "x.nii"), expected.ravel())


def test_whole_scaled_values_become_int16(tmp_path):
    nifti_bytes(tmp_path / "x.nii", np.arange(60, dtype=np.uint16).reshape(SHAPE), slope=1, intercept=-1024)
    image = read_image(tmp_path / "x.nii").array
    assert image.dtype == np.int16
    assert (image.min(), image.max()) == (-1024, -965)


@pytest.mark.parametrize("dtype", ["i2", "u2", "i4", "f4"])
@pytest.mark.parametrize("slope", [1.0, 2.5, 0.0, 0.3])
@pytest.mark.parametrize("intercept", [0.0, -1024.0])
@pytest.mark.parametrize("largest", [99, 32767])
def test_scaled_values_equal_those_of_float64_to_the_bit(
    tmp_path, monkeypatch, dtype, slope, intercept, largest
):
    """A slope of 0 means none. What follows the reading sees what it saw of the whole array in float64."""
    monkeypatch.setattr(voxel_values, "_SLAB_VOXELS", 7)
    values = np.arange(60).reshape(SHAPE).astype(dtype)
    values[-1, -1, -1] = largest
    data = nifti_bytes(tmp_path / "x.nii", values, slope=slope, intercept=intercept)
    float64 = values.ravel().astype(np.float64) * np.float64(np.float32(slope or 1.0)) + intercept
    is_whole = (float64 == np.rint(float64)).all() and np.abs(float64).max() <= 32767
    expected = float64.astype(np.int16 if is_whole else np.float32)
    read = image_values(nifti_values(data, 60, tmp_path / "x.nii"))
    assert read.dtype == expected.dtype
    assert read.tobytes() == expected.tobytes()


def test_scaling_takes_no_float64_of_the_whole_scan(tmp_path):
    """Two bytes per voxel of int16, and a slab; it was 24 for a moment."""
    stored = np.zeros(1 << 22, np.int16)
    tracemalloc.start()
    scaled_values(stored, 1.0, -1024.0)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 5 * stored.size


def test_fractions_that_float32_would_hide_stay_in_float64(tmp_path):
    scaled = scaled_values(np.array([3.0, 4.00000001]), 1.0, 16.0)
    assert scaled.dtype == np.float64
    with pytest.raises(DataError, match="label maps hold whole numbers"):
        label_values(scaled, tmp_path / "x.nii")
    assert image_values(scaled).dtype == np.float32


@pytest.mark.parametrize("odd", [0.5, 40_000.0, -40_000.0, np.nan, np.inf])
@pytest.mark.parametrize("order", ["C", "F"])
def test_one_value_in_any_slab_decides_the_type(monkeypatch, odd, order):
    monkeypatch.setattr(voxel_values, "_SLAB_VOXELS", 6)
    values = np.asarray(np.arange(60.0).reshape(SHAPE), order=order)
    assert image_values(values).dtype == np.int16
    np.testing.assert_array_equal(image_values(values), values)
    values[2, 3, 4] = odd
    assert image_values(values).dtype == np.float32
    np.testing.assert_array_equal(image_values(values), values.astype(np.float32))


def test_big_endian_files_are_read(tmp_path):
    """The header fields that are read, swapped by hand."""
    values = np.arange(60, dtype=np.int16)
    data = bytearray(352)
    struct.pack_into(">i", data, 0, 348)
    struct.pack_into(">h", data, 70, 4)
    struct.pack_into(">f", data, 108, 352.0)
    read = nifti_values(bytes(data) + values.astype(">i2").tobytes(), 60, tmp_path / "x.nii")
    np.testing.assert_array_equal(read, values)


def test_nifti_2_is_read(tmp_path):
    values = np.arange(60, dtype=np.float32)
    data = bytearray(544)
    struct.pack_into("<i", data, 0, 540)
    struct.pack_into("<h", data, 12, 16)
    struct.pack_into("<qdd", data, 168, 544, 2.0, 1.0)
    read = nifti_values(bytes(data) + values.tobytes(), 60, tmp_path / "x.nii")
    np.testing.assert_array_equal(read, values * 2 + 1)


def test_nan_stays_visible_where_itk_hides_it(tmp_path):
    values = np.zeros(SHAPE, np.float32)
    values[1, 2, 3] = np.nan
    data = nifti_bytes(tmp_path / "x.nii", values)
    assert np.isnan(nifti_values(data, 60, tmp_path / "x.nii")).sum() == 1
    assert np.isnan(read_image(tmp_path / "x.nii").array).sum() == 1


def test_other_kinds_of_voxels_are_left_to_itk(tmp_path):
    sitk.WriteImage(sitk.Image([3, 3, 3], sitk.sitkComplexFloat32), str(tmp_path / "x.nii"))
    assert nifti_values((tmp_path / "x.nii").read_bytes(), 27, tmp_path / "x.nii") is None
    with pytest.raises(DataError, match="2 values per voxel"):
        read_image(tmp_path / "x.nii")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_truncated_files_are_errors(tmp_path, suffix, kept):
    values = np.random.default_rng(0).integers(0, 9999, (20, 20, 20)).astype(np.int16)
    path = tmp_path / f"x{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(values), str(path))
    data = path.read_bytes()
    with pytest.raises(DataError, match=rf"x{suffix}: truncated or damaged"):
        nifti_values(data[: int(kept * len(data))], values.size, path)


def test_a_flipped_bit_is_an_error(tmp_path):
    data = bytearray(compress(bytes(range(256)) * 99))
    data[len(data) // 2] ^= 1
    with pytest.raises(DataError, match="truncated or damaged"):
        decompress(bytes(data), tmp_path / "x.nii.gz", 99 * 256)


@pytest.fixture(params=["isal", "zlib"])
def library(request, monkeypatch):
    """Both libraries that decompress, one after the other."""
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)


def scan_with_padding(folder, padding):
    values = np.random.default_rng(0).integers(0, 9999, (20, 20, 20)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(folder / "x.nii"))
    return compress((folder / "x.nii").read_bytes() + bytes(padding)), values


@pytest.mark.parametrize("padding", [0, 4000])
def test_a_check_sum_that_does_not_hold_is_an_error_whatever_follows_the_voxels(tmp_path, library, padding):
    data, values = scan_with_padding(tmp_path, padding)
    np.testing.assert_array_equal(nifti_values(data, values.size, tmp_path / "x.nii.gz"), values.ravel())
    damaged = bytearray(data)
    damaged[-8] ^= 1  # of the check sum, so that the stream itself is sound
    with pytest.raises(DataError, match="truncated or damaged"):
        nifti_values(bytes(damaged), values.size, tmp_path / "x.nii.gz")


def test_the_check_sum_is_not_looked_for_beyond_a_limit(tmp_path, library, monkeypatch):
    monkeypatch.setattr(module, "_LARGEST_PIECE_BYTES", 1000)
    data = bytearray(compress(bytes(50_000)))
    data[-8] ^= 1
    assert decompress(bytes(data), tmp_path / "x", 100, checked_bytes=40_000) == bytes(100)
    with pytest.raises(DataError, match="truncated or damaged"):
        decompress(bytes(data), tmp_path / "x", 100, checked_bytes=60_000)


def test_zeros_may_follow_compressed_data_and_nothing_else(tmp_path, library):
    data = compress(b"abc")
    assert decompress(data + bytes(512) + data + bytes(512), tmp_path / "x", 99) == b"abcabc"
    with pytest.raises(DataError, match=r"damaged \(something else follows the compressed data"):
        decompress(data + bytes(512) + b"more", tmp_path / "x", 3)


@pytest.mark.parametrize("window", [1, 3, 50])
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_no_size_of_window_or_piece_changes_the_content(tmp_path, library, monkeypatch, window, piece):
    monkeypatch.setattr(module, "_FIRST_WINDOW_BYTES", window)
    monkeypatch.setattr(module, "_LARGEST_WINDOW_BYTES", window)
    monkeypatch.setattr(module, "_LARGEST_PIECE_BYTES", piece)
    parts = [b"", bytes(2000), np.random.default_rng(0).bytes(300), b"x"]
    data = b"".join(map(compress, parts))
    for wanted in (0, 1999, 2300, 9999):
        assert decompress(data, tmp_path / "x", wanted) == b"".join(parts)[:wanted]
    with pytest.raises(DataError, match="the compressed data end too early"):
        decompress(data[:-1], tmp_path / "x", 9999)


def test_many_members_cost_as_much_as_they_are_long(tmp_path, library, monkeypatch):
    """What a decompressor is given it copies, so it must not be given all that follows each time."""
    given_bytes = 0
    make_stream = module._gzip_stream

    class Counted:
        def __init__(self):
            self._stream = make_stream()

        def __getattr__(self, name):
            return getattr(self._stream, name)

        def decompress(self, data, most_bytes):
            nonlocal given_bytes
            given_bytes += len(data)
            return self._stream.decompress(data, most_bytes)

    monkeypatch.setattr(module, "_gzip_stream", Counted)
    plain = np.random.default_rng(0).bytes(20_000)
    data = compress(plain) * 200
    assert decompress(data, tmp_path / "x", 10**9) == plain * 200
    assert given_bytes < 3 * len(data)


@pytest.mark.parametrize("with_isal", [True, False])
def test_compression_is_gzip_with_and_without_isal(tmp_path, monkeypatch, with_isal):
    if not with_isal:
        monkeypatch.setitem(sys.modules, "isal", None)
    data = np.random.default_rng(0).bytes(1000) * 5
    assert gzip.decompress(compress(data)) == data
    assert decompress(gzip.compress(data), tmp_path / "x", len(data)) == data
    with pytest.raises(DataError, match="truncated or damaged"):
        decompress(gzip.compress(data)[:-9], tmp_path / "x", len(data))
    assert compress(data) == compress(data)
