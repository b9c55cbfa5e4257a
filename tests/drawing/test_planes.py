import numpy as np
import pytest

from mixcl_auto.drawing.palette import new_figure, organ_colours, save_figure
from mixcl_auto.drawing.planes import (
    PLANES,
    paint_organs,
    plane_extent_mm,
    plane_picture,
    show_scan,
    without_axis,
)

SHAPE = (4, 5, 6)


def corner(right: bool, anterior: bool, superior: bool) -> np.ndarray:
    """A volume with one voxel at that corner of the patient."""
    volume = np.zeros(SHAPE, int)
    place = [(n - 1) * side for n, side in zip(SHAPE, (right, anterior, superior), strict=True)]
    volume[tuple(place)] = 1
    return volume


@pytest.mark.parametrize(
    ("plane", "index", "top_left"),
    [
        ("axial", 5, {"right": True, "anterior": True, "superior": True}),
        ("axial", 0, {"right": True, "anterior": True, "superior": False}),
        ("coronal", 4, {"right": True, "anterior": True, "superior": True}),
        ("coronal", 0, {"right": True, "anterior": False, "superior": True}),
        ("sagittal", 3, {"right": True, "anterior": True, "superior": True}),
        ("sagittal", 0, {"right": False, "anterior": True, "superior": True}),
    ],
)
def test_the_top_left_of_each_plane_is_where_radiologists_expect_it(plane, index, top_left):
    picture = plane_picture(corner(**top_left), PLANES[plane], index)
    assert picture[0, 0] == 1
    assert picture.sum() == 1


@pytest.mark.parametrize(("plane", "shape"), [("axial", (5, 4)), ("coronal", (6, 4)), ("sagittal", (6, 5))])
def test_rows_run_downwards_and_columns_to_the_left_of_the_patient(plane, shape):
    assert plane_picture(np.zeros(SHAPE), PLANES[plane], 0).shape == shape


def test_an_extent_is_in_mm_and_the_top_is_zero():
    spacing = without_axis((0.5, 2.0, 3.0), 1)
    assert spacing == (0.5, 3.0)
    assert plane_extent_mm(without_axis(SHAPE, 1), spacing) == (0.0, 2.0, 18.0, 0.0)


def painted(labels, colours, extent):
    figure = new_figure(3, 3)
    axes = figure.subplots()
    show_scan(axes, np.zeros(labels.shape), extent, (0.0, 1.0))
    paint_organs(axes, labels, colours, extent)
    return figure, axes


def test_outlines_follow_the_voxels_edges_also_at_the_border():
    labels = np.zeros((4, 6), int)
    labels[0, 1] = 2
    _, axes = painted(labels, {2: "#ff0000"}, (0.0, 12.0, 4.0, 0.0))
    (lines,) = axes.collections
    edges = {tuple(sorted(map(tuple, segment.tolist()))) for segment in lines.get_segments()}
    assert edges == {
        ((2.0, 0.0), (4.0, 0.0)),
        ((2.0, 1.0), (4.0, 1.0)),
        ((2.0, 0.0), (2.0, 1.0)),
        ((4.0, 0.0), (4.0, 1.0)),
    }


def test_only_labels_with_a_colour_are_painted():
    labels = np.array([[1, 2], [0, 0]])
    _, axes = painted(labels, organ_colours([2]), (0.0, 2.0, 2.0, 0.0))
    paint = axes.images[-1].get_array()
    assert (paint[..., 3] > 0).tolist() == [[False, True], [False, False]]


def test_a_label_that_is_not_in_the_plane_leaves_no_line():
    _, axes = painted(np.zeros((3, 3), int), organ_colours([1]), (0.0, 3.0, 3.0, 0.0))
    assert len(axes.collections) == 0


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    first, second = (
        save_figure(
            painted(np.eye(3, dtype=int), organ_colours([1]), (0.0, 3.0, 3.0, 0.0))[0], tmp_path / name
        )
        for name in ("a.png", "b.png")
    )
    assert first.read_bytes() == second.read_bytes()
