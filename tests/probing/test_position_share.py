"""Position's share against NumPy, by maps whose share is known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mixcl_auto.probing.position_share import PositionShare

GRID = (4, 3, 2)
CPU = torch.device("cpu")


def share(maps: Tensor, batch_size: int = 7) -> float | None:
    counted = PositionShare(maps.shape[1], (maps.shape[2], maps.shape[3], maps.shape[4]), CPU)
    for batch in maps.split(batch_size):
        counted.add(batch)
    assert counted.is_finite
    return counted.value()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_maps_that_are_the_same_for_every_patch_are_all_place() -> None:
    assert share(drawn(1, 5, *GRID).expand(9, -1, -1, -1, -1)) == pytest.approx(1, abs=1e-12)


def test_maps_that_do_not_depend_on_the_place_have_none_of_it() -> None:
    assert share(drawn(9, 5, 1, 1, 1).expand(-1, -1, *GRID)) == 0
    assert share(drawn(4000, 5, *GRID)) == pytest.approx(0, abs=0.001)


def test_few_patches_of_noise_are_not_taken_for_place() -> None:
    """The means of four patches vary from place to place by a quarter of the noise's variance."""
    maps = drawn(4, 300, *GRID, seed=3)
    uncorrected = maps.mean(0).flatten(1).var(1) / maps.flatten(2).var((0, 2))
    assert float(uncorrected.mean()) == pytest.approx(0.25, abs=0.02)
    assert share(maps) == pytest.approx(0.03, abs=0.03)  # a channel's share is never below 0


def test_a_mixture_is_split_as_it_was_mixed_and_channels_are_averaged() -> None:
    place = drawn(1, 2, 8, 8, 8)
    place = (place - place.mean((2, 3, 4), keepdim=True)) / place.flatten(2).std(2)[..., None, None, None]
    maps = place * torch.tensor([3.0, 1.0]).view(1, 2, 1, 1, 1) + drawn(500, 2, 8, 8, 8, seed=1) + 10
    assert share(maps) == pytest.approx((0.9 + 0.5) / 2, abs=0.005)


@pytest.mark.parametrize("batch_size", [1, 2, 30])
def test_it_is_numpy_s_whatever_the_batches(batch_size: int) -> None:
    maps = drawn(30, 3, *GRID) * 0.3 + drawn(1, 3, *GRID, seed=1) + 100
    values = maps.double().numpy().reshape(30, 3, -1)
    within = values.var(0, ddof=1).mean(1)
    between = np.maximum(values.mean(0).var(1, ddof=1) - within / 30, 0)
    assert share(maps, batch_size) == pytest.approx(float(np.mean(between / (between + within))), abs=1e-9)


def test_the_scale_of_a_channel_changes_nothing() -> None:
    maps = drawn(6, 3, *GRID) + drawn(1, 3, *GRID, seed=1)
    scaled = maps * torch.tensor([1e-3, 1.0, 1e4]).view(1, 3, 1, 1, 1)
    assert share(scaled) == pytest.approx(share(maps), rel=1e-6)


def test_channels_that_are_constant_do_not_count() -> None:
    maps = drawn(6, 3, *GRID) + drawn(1, 3, *GRID, seed=1)
    assert share(torch.cat([maps, torch.full((6, 2, *GRID), 0.1)], 1)) == pytest.approx(share(maps))


@pytest.mark.parametrize(
    "maps",
    [torch.full((5, 2, *GRID), 0.1), torch.zeros(5, 2, *GRID), drawn(1, 2, *GRID), drawn(5, 2, 1, 1, 1)],
    ids=["constant", "zero", "one patch", "one place"],
)
def test_where_it_cannot_be_told_it_is_absent(maps: Tensor) -> None:
    assert share(maps) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_map_that_is_not_finite_is_found_out(value: float) -> None:
    counted = PositionShare(2, GRID, CPU)
    maps = drawn(3, 2, *GRID)
    maps[1, 1, 2, 0, 1] = value
    counted.add(maps)
    assert not counted.is_finite
