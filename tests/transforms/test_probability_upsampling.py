import itertools

import numpy as np
import pytest

from mixcl_auto.errors import DataError
from mixcl_auto.transforms.label_upsampling import upsample_argmax
from mixcl_auto.transforms.probability_upsampling import STEPS, OutputAxis, probability_planes

SPACING, TARGET = (1.5, 1.5, 2.0), (0.8, 1.1, 2.5)
SHAPE, OUT = (7, 6, 5), (13, 8, 4)


def scores_of(seed=0, classes=4, scale=3.0):
    return (np.random.default_rng(seed).normal(size=(classes, *SHAPE)) * scale).astype(np.float32)


def upsampled(scores, classes, order=((0, False), (1, False), (2, False)), *, are_logits=True, threads=1):
    axes = [OutputAxis(axis, OUT[axis], descending) for axis, descending in order]
    parts = probability_planes(
        scores,
        axes,
        classes,
        spacing_mm=SPACING,
        target_spacing_mm=TARGET,
        are_logits=are_logits,
        threads=threads,
    )
    return np.concatenate(list(parts), axis=1)


def literal(scores, are_logits=True):
    """Trilinear interpolation of every voxel by itself, extents aligned, then softmax; (classes, x, y, z)."""
    result = np.zeros((len(scores), *OUT))
    for place in itertools.product(*map(range, OUT)):
        corners = []
        for n, i, s, t in zip(SHAPE, place, SPACING, TARGET, strict=True):
            position = min(max((i + 0.5) * t / s - 0.5, 0.0), n - 1.0)
            low = int(position)
            corners.append([(low, 1 - (position - low)), (min(low + 1, n - 1), position - low)])
        for chosen in itertools.product(*corners):
            index, weight = tuple(c[0] for c in chosen), np.prod([c[1] for c in chosen])
            result[(slice(None), *place)] += weight * scores[(slice(None), *index)].astype(np.float64)
    if not are_logits:
        return result
    powers = np.exp(result - result.max(axis=0))
    return powers / powers.sum(axis=0)


def test_probabilities_equal_a_literal_loop_to_the_rounding():
    scores = scores_of()
    found = upsampled(scores, [1, 2, 3]) / STEPS
    np.testing.assert_allclose(found, literal(scores)[1:], atol=0.51 / STEPS)


def test_averaged_probabilities_are_interpolated_as_they_are():
    logits = scores_of()
    scores = np.exp(logits) / np.exp(logits).sum(axis=0)
    found = upsampled(scores, [3, 0], are_logits=False) / STEPS
    np.testing.assert_allclose(found, literal(scores, are_logits=False)[[3, 0]], atol=0.51 / STEPS)


@pytest.mark.parametrize("order", [((2, True), (1, True), (0, True)), ((0, True), (2, False), (1, False))])
def test_the_outputs_memory_order_turns_the_axes_and_nothing_else(order):
    scores = scores_of()
    plain = upsampled(scores, [1, 2])
    steps = tuple(slice(None, None, -1 if descending else 1) for _, descending in order)
    expected = plain.transpose(0, *(axis + 1 for axis, _ in order))[:, *steps]
    np.testing.assert_array_equal(upsampled(scores, [1, 2], order), expected)


def test_memory_order_of_the_scores_and_threads_change_nothing():
    scores = scores_of()
    channels_last = np.moveaxis(np.ascontiguousarray(np.moveaxis(scores, 0, -1)), -1, 0)
    expected = upsampled(scores, [1, 2, 3])
    np.testing.assert_array_equal(upsampled(channels_last, [1, 2, 3]), expected)
    np.testing.assert_array_equal(upsampled(scores, [1, 2, 3], threads=3), expected)


@pytest.mark.parametrize("are_logits", [True, False])
def test_the_most_probable_class_is_the_label_but_where_the_rounding_hides_it(are_logits):
    scores = scores_of(1, classes=5)
    if not are_logits:
        scores = np.exp(scores) / np.exp(scores).sum(axis=0)
    kept = upsampled(scores, [1, 2, 3, 4], are_logits=are_logits).astype(int)
    labels = upsample_argmax(scores, OUT, spacing_mm=SPACING, target_spacing_mm=TARGET)
    every = np.concatenate([STEPS - kept.sum(axis=0, keepdims=True), kept])
    chosen = np.take_along_axis(every, labels[None].astype(int), 0)[0]
    # Each organ is off by half a step, so the background, the rest, by half a step for each of the four.
    assert (every.max(axis=0) - chosen <= 2.5).all()
    assert (every.argmax(axis=0) == labels).mean() > 0.97


def test_certain_classes_are_exactly_zero_and_one():
    scores = np.full((3, *SHAPE), -20.0, np.float32)
    scores[1] = 20.0
    assert np.unique(upsampled(scores, [1])).tolist() == [STEPS]
    assert np.unique(upsampled(scores, [0, 2])).tolist() == [0]


def test_scores_or_axes_of_another_shape_are_refused():
    with pytest.raises(DataError, match=r"scores must be \(classes, x, y, z\)"):
        upsampled(np.zeros((4, 4, 4), np.float32), [0])
    with pytest.raises(DataError, match="axes all of these"):
        upsampled(scores_of(), [0], ((0, False), (0, False), (2, False)))
