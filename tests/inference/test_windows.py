import numpy as np
import pytest

from mixcl_auto.inference.windows import lay_out_windows, region


@pytest.mark.parametrize("shape", [(40, 33, 25), (5, 16, 90)])
@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.9])
def test_windows_cover_every_voxel_and_stay_inside(shape, overlap):
    layout = lay_out_windows(shape, (16, 16, 16), overlap)
    covered = np.zeros(layout.shape, dtype=int)
    for start in layout.starts:
        assert all(s >= 0 and s + 16 <= n for s, n in zip(start, layout.shape, strict=True))
        covered[tuple(slice(s, s + 16) for s in start)] += 1
    assert covered.min() >= 1
    assert len(set(layout.starts)) == len(layout.starts)


def test_a_small_scan_is_padded_on_both_sides():
    layout = lay_out_windows((16, 5, 20), (16, 16, 16), 0.5)
    assert layout.shape == (16, 16, 20)
    assert layout.before == (0, 5, 0)
    assert layout.starts == ((0, 0, 0), (0, 0, 4))
    assert np.zeros(layout.shape)[region(layout.starts[1], (16, 16, 16))].shape == (16, 16, 16)
