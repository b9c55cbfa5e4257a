"""Scans of 0.3 to 10 mm and one voxel or more, to the plan's grid and back to their own."""

from functools import partial

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mixcl_auto.transforms.foreground import foreground_coordinates
from mixcl_auto.transforms.label_upsampling import upsample_argmax
from mixcl_auto.transforms.probability_upsampling import STEPS, OutputAxis, probability_planes
from mixcl_auto.transforms.standardise import standardise_image, standardise_labels
from mixcl_auto.transforms.weight_map import boundary_codes, decode_distance, weight_map

Triple = tuple[float, float, float]
MOST_VOXELS = 400_000
WINDOW = (-150.0, 250.0)
quick = partial(settings, max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
spacings = st.tuples(*[st.sampled_from((0.3, 1.0, 10.0)) | st.floats(0.3, 10.0)] * 3)
shapes = st.tuples(*[st.sampled_from((1, 2)) | st.integers(1, 24)] * 3)


def grid_size(shape: tuple[int, ...], spacing_mm: Triple, target_mm: Triple) -> tuple[int, ...]:
    """The documented size: round(n s / t), at least 1."""
    return tuple(max(1, round(n * s / t)) for n, s, t in zip(shape, spacing_mm, target_mm, strict=True))


@st.composite
def scans(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, Triple, Triple]:
    """HU, a label map, its spacing and the plan's."""
    shape, spacing_mm, target_mm = draw(shapes), draw(spacings), draw(spacings)
    assume(np.prod(grid_size(shape, spacing_mm, target_mm)) <= MOST_VOXELS)
    generator = np.random.default_rng(draw(st.integers(0, 2**31)))
    image = draw(
        st.sampled_from(
            (
                np.full(shape, -1000, np.int16),
                np.full(shape, np.iinfo(np.int16).max, np.int16),
                generator.integers(-32768, 32767, shape).astype(np.int16),
                generator.normal(0, 1e6, shape).astype(np.float32),
            )
        )
    )
    labels = np.zeros(shape, np.uint8)
    labels[tuple(draw(st.sampled_from((0, n - 1))) for n in shape)] = 7
    if draw(st.booleans()):
        labels = generator.choice(np.array([0, 3, 255], np.uint8), shape)
    return image, labels, spacing_mm, target_mm


@quick()
@given(scans())
def test_the_plans_grid_has_the_documented_size_and_only_the_scans_labels(
    scan: tuple[np.ndarray, np.ndarray, Triple, Triple],
) -> None:
    image, labels, spacing_mm, target_mm = scan
    size = grid_size(image.shape, spacing_mm, target_mm)
    standard = standardise_image(image, spacing_mm, target_mm, WINDOW, 1.0)
    assert standard.shape == size
    assert WINDOW[0] <= standard.min() <= standard.max() <= WINDOW[1]
    if image.min() == image.max():
        assert (standard == np.clip(image.flat[0], *WINDOW)).all()
    resampled = standardise_labels(labels, spacing_mm, target_mm)
    assert resampled.shape == size
    assert set(np.unique(resampled)) <= set(np.unique(labels))


@quick()
@given(scans())
def test_what_is_cached_of_a_label_map_is_finite_and_points_at_its_labels(
    scan: tuple[np.ndarray, np.ndarray, Triple, Triple],
) -> None:
    _, labels, spacing_mm, target_mm = scan
    resampled = standardise_labels(labels, spacing_mm, target_mm)
    for unit_mm in (None, target_mm):
        weights = weight_map(decode_distance(boundary_codes(resampled, spacing_mm=unit_mm)))
        assert np.isfinite(weights).all()
        assert weights.min() >= 0.05 - 1e-6
    present = [int(label) for label in np.unique(resampled) if label]
    found = foreground_coordinates(resampled, present, limit=5, generator=np.random.default_rng(0))
    for label in present:
        assert 1 <= len(found[label]) <= 5
        assert (resampled[tuple(found[label].T)] == label).all()


@quick()
@given(shapes, spacings, spacings, st.integers(0, 2**31))
def test_scores_come_back_to_exactly_the_scans_grid_with_extents_aligned(
    shape: tuple[int, int, int], spacing_mm: Triple, target_mm: Triple, seed: int
) -> None:
    """Two classes that meet in a plane across x: it comes back to where it was, within half a voxel."""
    size = grid_size(shape, spacing_mm, target_mm)
    assume(np.prod(size) <= MOST_VOXELS)
    border_mm = np.random.default_rng(seed).uniform(0, shape[0] * spacing_mm[0])
    centres_mm = (np.arange(size[0]) + 0.5) * target_mm[0]
    scores = np.zeros((2, *size), np.float32)
    scores[1] = (centres_mm - border_mm)[:, None, None]
    labels = upsample_argmax(scores, shape, spacing_mm=target_mm, target_spacing_mm=spacing_mm)
    assert labels.shape == shape
    back_mm = (np.arange(shape[0]) + 0.5) * spacing_mm[0]
    beyond = (back_mm < centres_mm[0]) | (back_mm > centres_mm[-1]) | (abs(back_mm - border_mm) < 1e-4)
    expected = np.broadcast_to((back_mm > border_mm)[:, None, None], shape)
    np.testing.assert_array_equal(labels[~beyond], expected[~beyond])


@quick(max_examples=30)
@given(shapes, spacings, spacings, st.sampled_from((0.0, 1.0, 1e4)))
def test_probabilities_come_back_to_the_scans_grid_and_add_up_to_one(
    shape: tuple[int, int, int], spacing_mm: Triple, target_mm: Triple, magnitude: float
) -> None:
    size = grid_size(shape, spacing_mm, target_mm)
    assume(np.prod(size) <= MOST_VOXELS)
    logits = (magnitude * np.random.default_rng(0).normal(size=(3, *size))).astype(np.float32)
    planes = probability_planes(
        logits,
        [OutputAxis(axis, shape[axis], axis == 1) for axis in (2, 1, 0)],
        [0, 1, 2],
        spacing_mm=target_mm,
        target_spacing_mm=spacing_mm,
        are_logits=True,
    )
    found = np.concatenate(list(planes), axis=1)
    assert found.shape == (3, *shape[::-1])
    assert np.abs(found.astype(int).sum(0) - STEPS).max() <= 1
