import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mixcl_auto.metrics.dice import confusion_counts, dice_from_counts, dice_per_label

MAPS = npst.arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 4))


def literal_dice(reference, prediction, label):
    both = size = 0
    for r, p in zip(reference.ravel(), prediction.ravel(), strict=True):
        both += int(r == label and p == label)
        size += int(r == label) + int(p == label)
    return 2 * both / size if size else None


@given(MAPS, MAPS)
def test_dice_equals_the_literal_loop(reference, prediction):
    scores = dice_per_label(reference, prediction, [1, 2, 3, 4])
    assert scores == {label: literal_dice(reference, prediction, label) for label in (1, 2, 3, 4)}


@given(MAPS, MAPS)
def test_dice_is_symmetric(reference, prediction):
    labels = [1, 2, 3]
    assert dice_per_label(reference, prediction, labels) == dice_per_label(prediction, reference, labels)


def test_hand_worked_dice():
    reference = np.array([1, 1, 1, 2, 0, 0], dtype=np.uint8)
    prediction = np.array([1, 1, 0, 2, 2, 0], dtype=np.uint8)
    assert dice_per_label(reference, prediction, [1, 2]) == {1: 4 / 5, 2: 2 / 3}


def test_an_organ_in_neither_map_is_not_counted_and_a_missed_or_invented_one_is_zero():
    reference = np.array([[1, 1, 0]], dtype=np.uint8)
    prediction = np.array([[0, 0, 2]], dtype=np.uint8)
    assert dice_per_label(reference, prediction, [1, 2, 3]) == {1: 0.0, 2: 0.0, 3: None}
    assert dice_from_counts(0, 0, 0) is None


def test_counts_by_hand_with_values_beyond_the_labels_as_background():
    reference = np.array([[7, 7, 300], [0, 5, 5]], dtype=np.int16)
    prediction = np.array([[7, 5, 5], [9, 5, 0]], dtype=np.uint8)
    expected = [[1, 0, 1], [0, 1, 1], [1, 0, 1]]
    np.testing.assert_array_equal(confusion_counts(reference, prediction, [7, 5]), expected)


def test_many_slabs_give_the_same_counts(monkeypatch):
    generator = np.random.default_rng(0)
    reference, prediction = generator.integers(0, 3, (2, 50, 7, 5)).astype(np.uint8)
    whole = confusion_counts(reference, prediction, [1, 2])
    monkeypatch.setattr("mixcl_auto.metrics.dice._SLAB_VOXELS", 100)
    np.testing.assert_array_equal(confusion_counts(reference, prediction, [1, 2]), whole)
    assert whole.sum() == reference.size


@pytest.mark.parametrize(
    ("reference", "prediction", "labels", "message"),
    [
        (np.zeros((2, 2), int), np.zeros((2, 3), int), [1], r"differ in shape: \(2, 2\), \(2, 3\)"),
        (np.zeros((2, 2), int), np.full((2, 2), -1), [1], "at least 0"),
        (np.zeros((2, 2), int), np.zeros((2, 2), int), [0, 1], r"positive and distinct, got \[0, 1\]"),
        (np.zeros((2, 2), int), np.zeros((2, 2), int), [1, 1], "positive and distinct"),
    ],
)
def test_unusable_maps_are_refused(reference, prediction, labels, message):
    with pytest.raises(ValueError, match=message):
        dice_per_label(reference, prediction, labels)
