"""The measures of collapse against NumPy, by their extremes and their invariances."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mixcl_auto.losses.collapse import channel_spread, effective_rank


def drawn(rows: int, channels: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, channels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def reference_rank(rows: Tensor) -> float:
    variances = np.linalg.eigvalsh(np.cov(rows.double().numpy(), rowvar=False))
    shares = [share for share in variances / variances.sum() if share > 1e-14]
    return math.exp(-sum(share * math.log(share) for share in shares))


def reference_spread(rows: Tensor) -> float:
    values = rows.double().numpy()
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    return float(unit.std(axis=0).mean() * math.sqrt(values.shape[1]))


@pytest.mark.parametrize(("rows", "channels"), [(200, 7), (5, 12), (12, 12), (64, 1)])
def test_effective_rank_is_that_of_the_covariance(rows: int, channels: int) -> None:
    values = drawn(rows, channels) * torch.arange(1, channels + 1) + 3
    expected = reference_rank(values) if channels > 1 else 1.0
    assert float(effective_rank(values)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("rows", "channels"), [(200, 7), (5, 12), (1, 3)])
def test_channel_spread_is_that_of_unit_rows(rows: int, channels: int) -> None:
    values = drawn(rows, channels) + 0.5
    assert float(channel_spread(values)) == pytest.approx(reference_spread(values), abs=1e-12)


def test_directions_of_equal_variance_are_counted() -> None:
    corners = torch.cat([torch.eye(6)[:4], -torch.eye(6)[:4]])
    assert float(effective_rank(corners)) == pytest.approx(4, abs=1e-12)


def test_two_variances_of_three_to_one_give_a_rank_worked_out_by_hand() -> None:
    rows = torch.tensor([[3**0.5, 0.0], [-(3**0.5), 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)
    assert float(effective_rank(rows)) == pytest.approx(4 / 3**0.75, abs=1e-12)  # 0.75^-0.75 * 0.25^-0.25


def test_rows_along_one_line_have_rank_one() -> None:
    assert float(effective_rank(drawn(50, 1) * drawn(1, 8, seed=1))) == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_equal_rows_have_no_spread_and_rank_one(dtype: torch.dtype) -> None:
    rows = torch.full((97, 5), 0.1).to(dtype) * torch.arange(1, 6).to(dtype)
    assert float(channel_spread(rows)) == 0
    assert float(effective_rank(rows)) == 1


def test_rows_drawn_evenly_over_the_sphere_have_a_spread_of_one() -> None:
    assert float(channel_spread(drawn(20_000, 32))) == pytest.approx(1, abs=0.01)


def test_rank_ignores_scale_shift_and_rotation() -> None:
    rows = drawn(100, 6) * torch.arange(1, 7)
    turned = torch.linalg.qr(drawn(6, 6, seed=2)).Q
    for other in (rows * 40, rows + 1e4, rows @ turned):
        assert float(effective_rank(other)) == pytest.approx(float(effective_rank(rows)), rel=1e-6)


def test_spread_ignores_the_rows_lengths() -> None:
    rows = drawn(100, 6)
    lengths = torch.rand(100, 1, generator=torch.Generator().manual_seed(3)) + 0.1
    assert float(channel_spread(rows * lengths)) == pytest.approx(float(channel_spread(rows)), abs=1e-12)


def test_a_row_that_is_not_finite_gives_nan() -> None:
    rows = drawn(10, 4)
    rows[3, 1] = math.inf
    assert effective_rank(rows).isnan()
    assert channel_spread(rows).isnan()


def test_measuring_leaves_no_graph() -> None:
    rows = drawn(10, 4).requires_grad_()
    assert not effective_rank(rows).requires_grad
    assert not channel_spread(rows).requires_grad


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (0, 3), (3, 0)])
@pytest.mark.parametrize("measure", [effective_rank, channel_spread])
def test_what_is_no_matrix_is_refused(measure: object, shape: tuple[int, ...]) -> None:
    assert callable(measure)
    with pytest.raises(ValueError, match=r"rows must be \(M, C\)"):
        measure(torch.zeros(shape))
