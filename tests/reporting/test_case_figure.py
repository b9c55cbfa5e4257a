from types import SimpleNamespace

import numpy as np

from mixcl_auto.reporting.case_choice import CaseChoice
from mixcl_auto.reporting.case_figure import draw_case, legend_columns, shortened
from mixcl_auto.reporting.case_focus import find_focus
from mixcl_auto.reporting.shown_case import ShownCase

SHAPE = (40, 36, 20)


def case_of(labels, organs):
    image = SimpleNamespace(array=np.zeros(SHAPE, np.int16), spacing_mm=(4.0, 4.0, 5.0))
    return ShownCase(
        CaseChoice("a", "why", ()), image, {"reference": labels, "mixcl, Dice 0.5": labels}, organs
    )


def test_a_case_with_many_long_named_organs_is_drawn_with_room_for_its_legend(tmp_path):
    from PIL import Image

    few = np.zeros(SHAPE, np.uint8)
    few[10:20, 10:20, 5:10] = 1
    many = np.zeros(SHAPE, np.uint8)
    many[:, :, 7] = (np.arange(40)[:, None] // 2 * 18 + np.arange(36)[None, :] // 2) % 60
    organs = {value: f"$a_very_long {'organ ' * 9}{value}" for value in range(1, 61)}
    sizes = []
    for number, labels in enumerate((few, many)):
        case = case_of(labels, organs)
        path = draw_case(case, find_focus(case), (-150.0, 250.0), tmp_path / f"{number}.png")
        sizes.append(Image.open(path).size)
    assert sizes[1][1] > sizes[0][1] + 300


def test_names_are_shortened_and_the_legend_fits_the_width():
    assert shortened("liver") == "liver"
    assert len(shortened("x" * 100)) == 28
    assert legend_columns(["liver"] * 50, 3) > legend_columns(["x" * 28] * 50, 3) >= 1
    assert legend_columns([], 3) == 1
