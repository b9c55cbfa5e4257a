import itertools

import numpy as np
import pytest
import torch

from mixcl_auto.transforms.kernels.window_blending import add_window


@pytest.mark.parametrize(("dtype", "bits", "shift"), [("float32", "uint32", 0), ("bfloat16", "uint16", 16)])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 2, 5, 14), (2, 4, 3, 33)])
def test_a_window_is_added_with_its_share_as_a_literal_loop_adds_it(dtype, bits, shift, shape):
    generator = torch.Generator().manual_seed(0)
    window = torch.randn(shape, generator=generator).to(getattr(torch, dtype))
    weights, total = torch.rand((2, *shape[:3]), generator=generator).add(0.1).numpy()
    padded = torch.randn([side + 2 for side in shape[:3]] + [shape[3]], generator=generator).numpy()
    inner = (slice(1, -1),) * 3
    expected = padded.astype(np.float64)
    for x, y, z, c in itertools.product(*map(range, shape)):
        share = float(weights[x, y, z]) / float(total[x, y, z])
        expected[x + 1, y + 1, z + 1, c] += share * float(window[x, y, z, c])
    add_window(window.view(getattr(torch, bits)).numpy(), np.uint32(shift), weights, total, padded[inner])
    np.testing.assert_allclose(padded, expected, rtol=1e-5, atol=1e-5)
