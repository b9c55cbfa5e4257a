import numpy as np
import pytest

from mixcl_auto.io import intensity_statistics as statistics
from mixcl_auto.io.intensity_statistics import intensity_statistics, label_counts, quantile_sketch

GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize(
    "values",
    [
        GENERATOR.integers(-1024, 3071, (7, 8, 9)).astype(np.int16),
        GENERATOR.integers(-3, 3, (5, 6, 7)).astype(np.int16),
        np.array([-32768, 32767], np.int16),
        np.array([5], np.int16),
        GENERATOR.normal(size=(4, 5, 6)).astype(np.float32),
        np.asfortranarray(GENERATOR.integers(-1024, 3071, (7, 8, 9)).astype(np.int16)),
    ],
)
def test_statistics_equal_numpys(values):
    found = intensity_statistics(values)
    wide = values.astype(np.float64)
    expected = [values.size, wide.mean(), wide.std(), *np.percentile(wide, [0, 0.5, 50, 99.5, 100])]
    np.testing.assert_allclose(list(found.model_dump().values()), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        quantile_sketch(values), np.percentile(wide, np.linspace(0, 100, 201)), rtol=1e-6, atol=1e-6
    )


def test_long_arrays_are_counted_in_stretches(monkeypatch):
    monkeypatch.setattr("mixcl_auto.io.intensity_statistics._STRETCH", 10)
    values = GENERATOR.integers(-9, 9, 95).astype(np.int16)
    assert intensity_statistics(values).mean == pytest.approx(values.mean())
    labels = GENERATOR.integers(0, 4, 95).astype(np.uint8)
    assert label_counts(labels) == {label: int((labels == label).sum()) for label in range(4)}


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 3, 5), (6, 4, 5)])
def test_bytes_are_counted_in_pairs_without_losing_one(monkeypatch, shape):
    labels = np.random.default_rng(1).choice([0, 3, 255], shape).astype(np.uint8)
    expected = {int(label): int((labels == label).sum()) for label in np.unique(labels)}
    monkeypatch.setattr(statistics, "_STRETCH", 16)
    assert label_counts(labels) == label_counts(labels[::-1]) == label_counts(labels.T) == expected


def test_nothing_has_no_statistics():
    assert intensity_statistics(np.zeros(0, np.int16)) is None
    assert quantile_sketch(np.zeros(0, np.int16)) == ()


def test_only_labels_that_are_present_are_counted():
    assert label_counts(np.array([[0, 7, 7], [300, 0, 0]], np.int16)) == {0: 3, 7: 2, 300: 1}
