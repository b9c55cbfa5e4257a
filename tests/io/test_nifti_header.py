import gzip
import struct

import numpy as np
import pytest
import SimpleITK

from mixcl_auto.errors import DataError
from mixcl_auto.io.images import read_geometry
from mixcl_auto.io.nifti_header import NiftiHeader, check_header, header_note

sitk = SimpleITK
SIZE = (5, 4, 3)


@pytest.fixture
def path(tmp_path):
    """An oblique scan as ITK writes it: qform and sform agree."""
    return write(tmp_path / "x.nii")


def write(path, turn_degrees=20.0, orientation="LPS"):
    image = sitk.Image(SIZE, sitk.sitkInt16)
    image.SetSpacing((2.0, 3.0, 4.0))
    image.SetOrigin((7.0, -11.0, 13.0))
    turn = sitk.Euler3DTransform((0, 0, 0), *np.radians([turn_degrees, turn_degrees / 2, -turn_degrees]))
    image.SetDirection(turn.GetMatrix())
    sitk.WriteImage(sitk.DICOMOrient(image, orientation), str(path))
    return path


def put(path, offset, form, *values):
    """Overwrite bytes of the header, by the offsets of the NIfTI-1 standard."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, offset, *values)
    path.write_bytes(data)


PIXDIM, QFORM_CODE, QOFFSET, SROW = 76, 252, 268, 280


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "RAI", "PIR", "ASL"])
def test_both_placements_of_a_file_are_where_itk_puts_it(tmp_path, orientation):
    path = write(tmp_path / "x.nii.gz", orientation=orientation)
    check_header(path)
    header = NiftiHeader.unpack(gzip.decompress(path.read_bytes()))
    assert (header.qform_code > 0, header.sform_code > 0) == (True, True)
    assert header_note(path, read_geometry(path)) is None


def test_the_header_is_read_in_either_byte_order(path):
    little = NiftiHeader.unpack(path.read_bytes())
    swapped = bytearray(348)
    for offset, form in (
        (0, "i"),
        (40, "8h"),
        (70, "h"),
        (76, "8f"),
        (108, "fff"),
        (252, "hh"),
        (256, "18f"),
    ):
        struct.pack_into(
            f">{form}", swapped, offset, *struct.unpack_from(f"<{form}", path.read_bytes(), offset)
        )
    swapped[123] = path.read_bytes()[123]
    big = NiftiHeader.unpack(bytes(swapped))
    assert big.order == ">"
    assert (big.dim, big.pixdim, big.srow, big.units) == (
        little.dim,
        little.pixdim,
        little.srow,
        little.units,
    )


def test_version_2_is_read(path, tmp_path):
    one = NiftiHeader.unpack(path.read_bytes())
    data = bytearray(540)
    struct.pack_into("<i", data, 0, 540)
    struct.pack_into("<h", data, 12, one.datatype)
    struct.pack_into("<8q", data, 16, *one.dim)
    struct.pack_into("<8d", data, 104, *one.pixdim)
    struct.pack_into("<qdd", data, 168, 544, one.slope, one.intercept)
    struct.pack_into("<ii", data, 344, one.qform_code, one.sform_code)
    struct.pack_into("<18d", data, 352, *one.quaternion, *one.qoffset, *one.srow)
    struct.pack_into("<i", data, 500, one.units)
    (tmp_path / "two.nii").write_bytes(data)
    two = NiftiHeader.unpack(bytes(data))
    assert (two.dim, two.srow, two.units, two.vox_offset) == (one.dim, one.srow, one.units, 544)
    assert header_note(tmp_path / "two.nii", read_geometry(path)) is None


@pytest.mark.parametrize(
    ("offset", "form", "values", "message"),
    [
        (PIXDIM + 4, "<f", (0.0,), r"voxel of 0 x 3 x 4 mm \(pixdim\), all must be above 0"),
        (PIXDIM + 8, "<f", (-3.0,), "voxel of 2 x -3 x 4 mm"),
        (PIXDIM + 12, "<f", (float("nan"),), "voxel of 2 x 3 x nan mm"),
        (42, "<h", (0,), "gives 0 x 4 x 3 voxels"),
        (42, "<h", (-5,), "gives -5 x 4 x 3 voxels"),
        (40, "<h", (0,), "gives no voxels"),
        (SROW, "<f", (float("nan"),), "sform puts all voxels into a plane, or nowhere"),
        (SROW, "<12f", (0.0,) * 12, "sform puts all voxels into a plane"),
        (QOFFSET, "<f", (float("inf"),), "qform puts"),
        (0, "<i", (99,), "no NIfTI file, although its name says so"),
    ],
)
def test_headers_that_place_no_voxel_are_errors(path, offset, form, values, message):
    put(path, offset, form, *values)
    with pytest.raises(DataError, match=rf"x\.nii: .*{message}"):
        check_header(path)


def test_a_file_that_ends_in_its_header_is_truncated(path, tmp_path):
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="truncated or damaged"):
        check_header(path)
    zipped = tmp_path / "y.nii.gz"
    zipped.write_bytes(gzip.compress(np.random.default_rng(0).bytes(999))[:100])
    with pytest.raises(DataError, match="truncated or damaged"):
        check_header(zipped)


def test_compression_without_its_ending_is_named(path):
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(DataError, match=r"compressed \(gzip\), but not named so; rename it to x\.nii\.gz"):
        check_header(path)


def test_an_uncompressed_file_may_have_a_compressed_ones_name(path, tmp_path):
    (tmp_path / "y.nii.gz").write_bytes(path.read_bytes())
    check_header(tmp_path / "y.nii.gz")


def test_a_missing_orientation_is_noted(path):
    put(path, QFORM_CODE, "<hh", 0, 0)
    check_header(path)
    assert "does not tell the orientation" in (header_note(path, read_geometry(path)) or "")


@pytest.mark.parametrize("moved", ["sform", "qform"])
def test_placements_that_disagree_are_noted_with_how_far(path, moved):
    """Moved by 5 mm along x: whichever ITK prefers, the other one is 5 mm away."""
    offset = SROW + 12 if moved == "sform" else QOFFSET
    (before,) = struct.unpack_from("<f", path.read_bytes(), offset)
    put(path, offset, "<f", before + 5.0)
    assert "puts voxels up to 5 mm from where" in (header_note(path, read_geometry(path)) or "")


def test_an_sform_of_another_voxel_size_is_noted(path):
    """ITK takes the size from pixdim and passes over the columns' lengths."""
    put(path, QFORM_CODE, "<hh", 0, 1)
    put(path, SROW, "<12f", -9, 0, 0, 0, 0, -9, 0, 0, 0, 0, 9, 0)
    assert "sform puts voxels up to 28 mm from where" in (header_note(path, read_geometry(path)) or "")


def test_rounding_of_placements_is_not_noted(path):
    (before,) = struct.unpack_from("<f", path.read_bytes(), QOFFSET)
    put(path, QOFFSET, "<f", before + 0.1)
    assert header_note(path, read_geometry(path)) is None
