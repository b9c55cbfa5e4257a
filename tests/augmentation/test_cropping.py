import numpy as np
import pytest

from mixcl_auto.augmentation.cropping import crop_padded


@pytest.mark.parametrize("start", [(0, 0, 0), (2, -3, 1), (-9, 4, 5), (5, 6, 7), (20, 0, 0), (-20, -20, -20)])
@pytest.mark.parametrize("size", [(3, 3, 3), (12, 1, 15)])
def test_a_crop_is_a_slice_of_the_padded_array(start, size):
    array = np.random.default_rng(1).integers(0, 9, (6, 7, 8)).astype(np.int16)
    padded = np.pad(array, 40, constant_values=-5)
    cut = tuple(slice(s + 40, s + 40 + n) for s, n in zip(start, size, strict=True))
    patch = crop_padded(array, start, size, -5)
    np.testing.assert_array_equal(patch, padded[cut])
    assert patch.dtype == np.int16
    assert patch.flags.c_contiguous
    assert not np.shares_memory(patch, array)
