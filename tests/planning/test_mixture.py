import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixcl_auto.planning.mixture import mixture_quantiles

LEVELS = np.linspace(0, 1, 201)


def quantiles(values):
    return np.quantile(values, LEVELS).tolist()


def test_one_distribution_comes_back_as_it_was():
    values = np.random.default_rng(0).normal(size=5000)
    np.testing.assert_allclose(mixture_quantiles([quantiles(values)], LEVELS), quantiles(values), atol=1e-9)


def test_two_distributions_apart_meet_at_the_middle():
    """Equal parts uniform on 0-1 and on 10-11: a quarter of the mixture lies below 0.5, three below 10.5."""
    parts = [LEVELS.tolist(), (LEVELS + 10).tolist()]
    np.testing.assert_allclose(mixture_quantiles(parts, [0, 0.25, 0.75, 1]), [0, 0.5, 10.5, 11], atol=1e-9)


def test_weights_are_shares():
    parts = [LEVELS.tolist(), (LEVELS + 10).tolist()]
    assert mixture_quantiles(parts, [0.45], [9, 1])[0] == pytest.approx(0.5)


def test_repeated_values_are_steps():
    """Half of all voxels are exactly 3: every level from 0.25 to 0.75 is 3."""
    step = [3.0] * 201
    spread = (LEVELS * 6).tolist()
    np.testing.assert_allclose(mixture_quantiles([step, spread], [0.26, 0.5, 0.74]), 3.0)
    assert mixture_quantiles([step, spread], [0.125])[0] == pytest.approx(1.5)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_the_mixtures_ranks_are_those_of_the_pooled_voxels(count, seed):
    """Within the share of voxels that lies between two quantiles of a sketch."""
    generator = np.random.default_rng(seed)
    parts = [generator.normal(generator.uniform(-50, 50), 30, 4000) for _ in range(count)]
    levels = [0.005, 0.1, 0.5, 0.9, 0.995]
    found = mixture_quantiles([quantiles(part) for part in parts], levels)
    ranks = [np.mean(np.concatenate(parts) <= value) for value in found]
    np.testing.assert_allclose(ranks, levels, atol=0.0051)
    assert list(found) == sorted(found)
