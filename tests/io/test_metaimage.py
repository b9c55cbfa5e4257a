import numpy as np
import pytest
import SimpleITK

from mixcl_auto.errors import DataError
from mixcl_auto.io.images import read_file
from mixcl_auto.io.metaimage import check_compressed

sitk = SimpleITK
NEEDED = 9 * 10 * 11 * 2


@pytest.fixture(params=["x.mha", "x.mhd"])
def written(request, tmp_path):
    """A compressed scan, and the file that holds its voxels."""
    path = tmp_path / request.param
    values = np.random.default_rng(0).integers(-1000, 1000, (9, 10, 11)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(path), useCompression=True)
    return path, path if path.suffix == ".mha" else path.with_suffix(".zraw")


def test_a_whole_file_passes(written):
    path, _ = written
    check_compressed(path, NEEDED)
    assert read_file(path).values_ijk.shape == (11, 10, 9)


def test_a_damaged_byte_is_an_error_where_itk_reads_on(written):
    path, holder = written
    data = bytearray(holder.read_bytes())
    data[-200] ^= 255
    holder.write_bytes(data)
    with pytest.raises(DataError, match=rf"{path.name}: truncated or damaged \(Error"):
        read_file(path)


def test_a_truncated_file_is_an_error(written):
    path, holder = written
    holder.write_bytes(holder.read_bytes()[:-100])
    early = "the compressed voxels end too early" if holder == path else r"x\.zraw has \d+ bytes"
    with pytest.raises(DataError, match=rf"truncated or damaged \({early}"):
        check_compressed(path, NEEDED)


def test_files_without_compression_are_left_to_itk(tmp_path):
    path = tmp_path / "x.mhd"
    sitk.WriteImage(sitk.Image([4, 4, 4], sitk.sitkInt16), str(path))
    check_compressed(path, 128)
    path.write_bytes(b"no header at all")
    check_compressed(path, 128)
