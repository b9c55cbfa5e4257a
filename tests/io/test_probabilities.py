import gzip

import numpy as np
import pytest
import SimpleITK

from mixcl_auto.io.images import read_image, write_labels
from mixcl_auto.io.itk import make_geometry
from mixcl_auto.io.orientation import from_ras, ras_shape
from mixcl_auto.io.probabilities import probability_files, storage_axes

OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
PIR = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


@pytest.fixture(params=[OBLIQUE, PIR], ids=["oblique", "PIR"])
def geometry(request):
    return make_geometry((4, 5, 6), (0.7, 0.9, 2.5), (-20.0, 5.0, 101.5), request.param)


def in_storage_order(values_ras, geometry):
    axes = storage_axes(geometry)
    steps = tuple(slice(None, None, -1 if descending else 1) for *_, descending in axes)
    return values_ras.transpose([axis for axis, *_ in axes])[steps]


def test_storage_axes_turn_a_ras_array_as_it_is_written(geometry):
    values = np.arange(120).reshape(ras_shape(geometry))
    np.testing.assert_array_equal(in_storage_order(values, geometry), from_ras(values, geometry))
    assert [size for _, size, _ in storage_axes(geometry)] == list(geometry.size[::-1])


def test_files_written_in_pieces_read_back_as_probabilities_on_the_grid(geometry, tmp_path):
    steps = np.random.default_rng(0).integers(0, 256, (2, *ras_shape(geometry))).astype(np.uint8)
    paths = [tmp_path / "a" / "one.nii.gz", tmp_path / "a" / "two.nii.gz"]
    stored = np.stack([in_storage_order(one, geometry) for one in steps])
    with probability_files(paths, geometry) as write:
        for part in np.split(stored, [1, 4], axis=1):
            write(part)
    write_labels(tmp_path / "labels.nii.gz", steps[0], geometry)
    labels = SimpleITK.ReadImage(str(tmp_path / "labels.nii.gz"))
    for path, expected in zip(paths, steps, strict=True):
        image = SimpleITK.ReadImage(str(path))
        assert image.GetSize() == labels.GetSize() == geometry.size
        for field in ("GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(image, field)() == getattr(labels, field)()
        np.testing.assert_allclose(read_image(path).array, expected / 255, atol=1e-6)
        np.testing.assert_allclose(
            SimpleITK.GetArrayFromImage(image), from_ras(expected, geometry) / 255, atol=1e-6
        )


def test_equal_probabilities_give_equal_files_without_a_name(geometry, tmp_path):
    planes = np.zeros((1, *geometry.size[::-1]), np.uint8)
    for name in ("first.nii.gz", "second.nii.gz"):
        with probability_files([tmp_path / name], geometry) as write:
            write(planes)
    first, second = ((tmp_path / name).read_bytes() for name in ("first.nii.gz", "second.nii.gz"))
    assert first == second
    assert b"first" not in first
    assert len(gzip.decompress(first)) == 352 + planes.size


def test_nothing_is_left_of_a_prediction_that_fails(geometry, tmp_path):
    def fail():
        with probability_files([tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"], geometry) as write:
            write(np.zeros((2, 1, *geometry.size[1::-1]), np.uint8))
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        fail()
    assert list(tmp_path.iterdir()) == []
