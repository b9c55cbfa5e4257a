"""Scores of organs of one voxel, at the scan's border, in thin scans and nowhere, against literal loops."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monai.metrics.utils import create_table_neighbour_code_to_surface_area

from mixcl_auto.evaluation.case_scores import CaseMaps, score_case
from mixcl_auto.evaluation.summary import summarise_run
from mixcl_auto.metrics.averaging import mean_defined

Triple = tuple[float, float, float]
ORGANS = {"liver": 1, "duct": 3, "nowhere": 7}
TOLERANCE_MM = 2.0
quick = partial(settings, max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
spacings = st.tuples(*[st.sampled_from((0.3, 1.0, 2.0, 10.0))] * 3)


@st.composite
def label_maps(draw: st.DrawFn, shape: tuple[int, ...]) -> np.ndarray:
    """Nothing, one voxel (corners more often than not), one label throughout, or labels at random."""
    labels = np.zeros(shape, np.uint8)
    kind = draw(st.sampled_from(("nothing", "voxel", "two voxels", "whole", "random")))
    if kind in ("voxel", "two voxels"):
        for value in (1, 3)[: 1 + (kind == "two voxels")]:
            labels[tuple(draw(st.sampled_from((0, n - 1)) | st.integers(0, n - 1)) for n in shape)] = value
    elif kind == "whole":
        labels[:] = draw(st.sampled_from((1, 3)))
    elif kind == "random":
        generator = np.random.default_rng(draw(st.integers(0, 2**31)))
        labels = generator.choice(np.array([0, 0, 1, 3, 9], np.uint8), shape)
    return labels


@st.composite
def map_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, Triple]:
    shape = draw(st.tuples(*[st.sampled_from((1, 2)) | st.integers(1, 5)] * 3))
    return draw(label_maps(shape)), draw(label_maps(shape)), draw(spacings)


def literal_dice(reference: np.ndarray, prediction: np.ndarray) -> float | None:
    found = [set(map(tuple, np.argwhere(mask).tolist())) for mask in (reference, prediction)]
    total = len(found[0]) + len(found[1])
    return 2 * len(found[0] & found[1]) / total if total else None


def literal_surface(mask: np.ndarray, spacing_mm: Triple) -> list[tuple[np.ndarray, float]]:
    """Every 2 x 2 x 2 neighbourhood of both inside and outside: where it is in mm, and its area."""
    areas, _ = create_table_neighbour_code_to_surface_area([float(side) for side in spacing_mm])
    padded, surface = np.pad(mask, 1), []
    for place in itertools.product(*(range(n - 1) for n in padded.shape)):
        cube = padded[tuple(slice(i, i + 2) for i in place)]
        if cube.any() and not cube.all():
            code = int("".join(str(int(v)) for v in cube.ravel()), 2)
            surface.append((np.multiply(place, spacing_mm), float(areas[code])))
    return surface


def literal_surface_scores(
    reference: np.ndarray, prediction: np.ndarray, spacing_mm: Triple
) -> tuple[float | None, float | None]:
    """HD95 in mm and surface Dice, by the rule for organs that a map lacks."""
    if not (reference.any() or prediction.any()):
        return None, None
    if not (reference.any() and prediction.any()):
        return math.dist((0, 0, 0), np.multiply(reference.shape, spacing_mm)), 0.0
    surfaces = [literal_surface(mask, spacing_mm) for mask in (reference, prediction)]
    percentiles, matched = [], 0.0
    for own, other in (surfaces, surfaces[::-1]):
        pairs = sorted((min(math.dist(a, b) for b, _ in other), area) for a, area in own)
        total, reached = sum(area for _, area in pairs), 0.0
        for distance, area in pairs:
            reached += area
            if reached >= 0.95 * total * (1 - 1e-12):
                percentiles.append(distance)
                break
        matched += sum(area for distance, area in pairs if distance <= TOLERANCE_MM + 1e-4)
    return max(percentiles), matched / sum(area for surface in surfaces for _, area in surface)


@quick()
@given(map_pairs())
def test_every_figure_equals_a_literal_loop(maps: tuple[np.ndarray, np.ndarray, Triple]) -> None:
    reference, prediction, spacing_mm = maps
    case = CaseMaps("case", "patient", reference, prediction, spacing_mm, (reference, prediction))
    scores = score_case(case, ORGANS, tolerance_mm=TOLERANCE_MM)
    assert [score.organ for score in scores] == list(ORGANS)
    for score in scores:
        pair = reference == score.label, prediction == score.label
        hd95_mm, surface_dice = literal_surface_scores(*pair, spacing_mm)
        assert score.dice == score.dice_resampled == literal_dice(*pair)
        assert score.hd95_mm == (None if hd95_mm is None else pytest.approx(hd95_mm, rel=1e-5, abs=1e-5))
        assert score.surface_dice == (None if surface_dice is None else pytest.approx(surface_dice, rel=1e-5))
        assert (score.reference_voxels, score.prediction_voxels) == tuple(int(mask.sum()) for mask in pair)


@quick()
@given(map_pairs())
def test_a_summary_counts_only_organs_that_are_in_a_map(maps: tuple[np.ndarray, np.ndarray, Triple]) -> None:
    reference, prediction, spacing_mm = maps
    case = CaseMaps("case", "patient", reference, prediction, spacing_mm)
    summary = summarise_run(score_case(case, ORGANS, tolerance_mm=TOLERANCE_MM))
    dice = [literal_dice(reference == label, prediction == label) for label in ORGANS.values()]
    assert summary.dice == mean_defined(dice)
    assert summary.dice_resampled is None
    for organ, value in zip(summary.organs, dice, strict=True):
        assert (organ.cases, organ.dice) == (int(value is not None), value)
        present = [int((volume == ORGANS[organ.organ]).any()) for volume in (reference, prediction)]
        assert (organ.missed, organ.invented) == (int(present == [1, 0]), int(present == [0, 1]))
