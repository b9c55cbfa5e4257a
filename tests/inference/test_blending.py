import itertools

import numpy as np
import pytest
import torch

from mixcl_auto.inference.blending import Blender, importance
from mixcl_auto.inference.windows import lay_out_windows


def test_hand_worked_blend_of_two_windows():
    weights = importance((2, 2, 2))
    blender = Blender(torch.zeros(1, 2, 2, 2), lay_out_windows((3, 2, 2), (2, 2, 2), 0.5))
    blender.add((0, 0, 0), torch.full((1, 2, 2, 2), 1.0))
    blender.add((1, 0, 0), torch.full((1, 2, 2, 2), 4.0))
    # both windows weigh the shared plane alike: (1 + 4) / 2
    assert torch.equal(blender.mean()[0, :, 0, 0], torch.tensor([1.0, 2.5, 4.0]))
    assert torch.equal(weights, weights.flip(0))


def test_importance_is_a_gaussian_of_an_eighth_of_the_side_with_a_floor():
    weights = importance((16, 32, 8))
    expected = np.empty((16, 32, 8))
    for place in itertools.product(range(16), range(32), range(8)):
        exponent = sum(
            (i - (side - 1) / 2) ** 2 / (2 * (side / 8) ** 2)
            for i, side in zip(place, (16, 32, 8), strict=True)
        )
        expected[place] = max(1e-3, np.exp(-exponent))
    np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_channels_last_and_half_precision_windows_blend_to_the_same(dtype):
    generator = torch.Generator().manual_seed(0)
    windows = [torch.randn((3, 4, 4, 4), generator=generator).to(dtype) for _ in range(3)]
    layout = lay_out_windows((8, 4, 4), (4, 4, 4), 0.5)
    plain, turned = Blender(windows[0], layout), None
    for start, window in zip(layout.starts, windows, strict=True):
        channels_last = window[None].to(memory_format=torch.channels_last_3d)[0]
        turned = turned or Blender(channels_last, layout)
        plain.add(start, window.float())
        turned.add(start, channels_last)
    assert torch.equal(plain.mean(), turned.mean())


@pytest.mark.parametrize("threads", [1, 3])
def test_the_blend_is_the_weighted_mean_whatever_the_number_of_threads(threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    generator = torch.Generator().manual_seed(1)
    layout = lay_out_windows((9, 6, 4), (4, 4, 4), 0.5)
    windows = torch.randn((len(layout.starts), 2, 4, 4, 4), generator=generator)
    blender, weights = Blender(windows[0], layout), importance((4, 4, 4)).double()
    weighted, total = torch.zeros((2, 9, 6, 4)).double(), torch.zeros((9, 6, 4)).double()
    for (x, y, z), window in zip(layout.starts, windows, strict=True):
        blender.add((x, y, z), window)
        weighted[:, x : x + 4, y : y + 4, z : z + 4] += weights * window
        total[x : x + 4, y : y + 4, z : z + 4] += weights
    np.testing.assert_allclose(blender.mean(), weighted / total, rtol=1e-5, atol=1e-6)
