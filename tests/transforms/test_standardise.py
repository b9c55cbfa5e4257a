import numpy as np

from mixcl_auto.transforms import grids
from mixcl_auto.transforms.resampling import resample_image, resampled_shape
from mixcl_auto.transforms.standardise import standardise_image, standardise_labels

SPACING, TARGET, WINDOW = (0.9, 0.9, 3.0), (1.5, 1.5, 2.0), (-150.0, 250.0)


def test_a_scan_is_resampled_then_clipped_then_rounded():
    image = np.random.default_rng(1).integers(-1024, 1500, (20, 21, 10)).astype(np.int16)
    standard = standardise_image(image, SPACING, TARGET, WINDOW, 1.0)
    expected = np.rint(np.clip(resample_image(image, SPACING, TARGET), *WINDOW))
    assert standard.dtype == np.int16
    np.testing.assert_array_equal(standard, expected)
    clipped_first = np.rint(resample_image(np.clip(image, -150, 250), SPACING, TARGET))
    assert not np.array_equal(standard, clipped_first)


def test_the_result_does_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(grids, "_SLAB_VOXELS", 1000)  # several slabs
    image = np.random.default_rng(1).integers(-1024, 1500, (40, 50, 20)).astype(np.int16)
    for volume in (image, image.T, image[::-1]):
        for target in (TARGET, (0.9, 0.9, 2.0), SPACING):
            one, three = (
                standardise_image(volume, SPACING, target, WINDOW, 1.0, threads=threads) for threads in (1, 3)
            )
            np.testing.assert_array_equal(one, three)


def test_image_and_labels_share_a_grid():
    image = np.zeros((20, 21, 10), np.int16)
    labels = np.zeros(image.shape, np.uint8)
    labels[5:15, 5:15, 3:7] = 9
    standard = standardise_labels(labels, SPACING, TARGET)
    assert standard.shape == standardise_image(image, SPACING, TARGET, WINDOW, 1.0).shape
    assert standard.shape == resampled_shape(image.shape, SPACING, TARGET)
    assert set(np.unique(standard)) == {0, 9}
