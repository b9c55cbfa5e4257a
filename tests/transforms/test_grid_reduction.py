import numpy as np
import pytest

from mixcl_auto.transforms.grid_reduction import reduce_to_grid


def test_the_voxel_nearest_to_the_centre_is_taken() -> None:
    volume = np.arange(12 * 4 * 6).reshape(12, 4, 6)
    reduced = reduce_to_grid(volume, (4, 4, 3))
    # strides 3, 1 and 2: offsets 1, 0 and, of two equally near, the lower
    assert np.array_equal(reduced, volume[1::3, :, 0::2])
    assert np.shares_memory(reduced, volume)
    assert np.array_equal(reduce_to_grid(volume, (12, 4, 6)), volume)


def test_a_grid_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"grid must divide the volume's \(6, 6, 6\), got \(4, 3, 3\)"):
        reduce_to_grid(np.zeros((6, 6, 6)), (4, 3, 3))
