from types import SimpleNamespace

import numpy as np
import pytest

from mixcl_auto.reporting.case_choice import CaseChoice
from mixcl_auto.reporting.case_focus import box_around, find_focus, zoom_box
from mixcl_auto.reporting.shown_case import ShownCase

SHAPE = (40, 36, 20)
SPACING_MM = (5.0, 5.0, 5.0)


def block(*corners, value=1):
    labels = np.zeros(SHAPE, np.uint8)
    labels[tuple(slice(start, stop) for start, stop in corners)] = value
    return labels


def shown(maps, organ=None):
    image = SimpleNamespace(array=np.zeros(SHAPE, np.int16), spacing_mm=SPACING_MM)
    return ShownCase(CaseChoice("a", "why", (), organ), image, maps, {1: "liver", 2: "spleen"})


REFERENCE = block((10, 20), (10, 20), (5, 10))


def test_the_slices_are_those_where_predictions_differ_most():
    scratch, ours = REFERENCE.copy(), REFERENCE.copy()
    ours[12, 13:18, 7] = 0
    ours[12, 13, 6] = 0
    focus = find_focus(shown({"reference": REFERENCE, "scratch": scratch, "mixcl": ours}))
    assert focus.slices == (12, 13, 7)


def test_differences_far_from_the_reference_do_not_draw_the_look_away():
    far = REFERENCE.copy()
    far[38:40, 34:36, 18:20] = 1
    near = REFERENCE.copy()
    near[15, 15, 8] = 0
    focus = find_focus(shown({"reference": REFERENCE, "scratch": far, "mixcl": near}))
    assert focus.slices == (15, 15, 8)
    assert focus.box[0].stop < 38 < focus.whole[0].stop == 40


def test_one_run_alone_is_looked_at_where_it_errs_and_a_right_one_at_the_organ():
    wrong = REFERENCE.copy()
    wrong[19, 19, 9] = 0
    assert find_focus(shown({"reference": REFERENCE, "scratch": wrong})).slices == (19, 19, 9)
    x, y, z = find_focus(shown({"reference": REFERENCE, "scratch": REFERENCE})).slices
    assert REFERENCE[x, y, z] == 1


def test_a_choice_about_an_organ_looks_at_that_organ_even_where_it_was_missed():
    reference = REFERENCE + block((25, 28), (12, 15), (12, 14), value=2)
    focus = find_focus(shown({"reference": reference, "mixcl": REFERENCE}, organ="spleen"))
    x, y, z = focus.slices
    assert reference[x, y, z] == 2
    assert focus.zoom[0].start <= 25
    assert focus.zoom[0].stop >= 28


def test_a_case_without_any_organ_shows_its_middle():
    empty = np.zeros(SHAPE, np.uint8)
    focus = find_focus(shown({"reference": empty, "mixcl": empty}))
    assert focus.slices == (20, 18, 10)
    assert focus.box == focus.whole == tuple(slice(0, n) for n in SHAPE)


def test_the_box_has_a_margin_and_a_least_side_within_the_array():
    mask = np.zeros((200, 100), bool)
    mask[80:140, 40:44] = True
    x, y = box_around(mask, (1.0, 2.0), margin_mm=10)
    assert (x.start, x.stop) == (55, 165)  # 60 + 2 x 10 mm is below 110 mm: 55 to each side of 110
    assert (y.start, y.stop) == (14, 70)  # centre 42, 27.5 voxels to each side
    mask[0, 0] = mask[199, 99] = True
    assert box_around(mask, (1.0, 2.0)) == (slice(0, 200), slice(0, 100))
    assert box_around(np.zeros((5, 4), bool), (1.0, 1.0)) == (slice(0, 5), slice(0, 4))


def test_the_zoom_holds_most_of_the_mask_and_stays_within_the_box():
    mask = np.zeros((100, 80), bool)
    mask[70:76, 10:16] = True
    mask[20, 60] = True
    x, y = zoom_box(mask, (2.0, 2.0), (slice(0, 100), slice(0, 80)), side_mm=40)
    assert (x.stop - x.start, y.stop - y.start) == (20, 20)
    assert mask[x, y].sum() == 36
    x, y = zoom_box(mask, (2.0, 2.0), (slice(60, 74), slice(0, 80)), side_mm=40)
    assert (x.start, x.stop) == (60, 74)


@pytest.mark.parametrize("corner", [(0, 0), (99, 79)])
def test_a_zoom_at_a_corner_is_as_large_as_elsewhere(corner):
    mask = np.zeros((100, 80), bool)
    mask[corner] = True
    box = zoom_box(mask, (2.0, 2.0), (slice(0, 100), slice(0, 80)), side_mm=40)
    assert [part.stop - part.start for part in box] == [20, 20]
    assert mask[box].any()
