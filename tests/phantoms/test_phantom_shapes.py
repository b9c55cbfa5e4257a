import numpy as np
import pytest

from mixcl_auto.phantoms.grid import Grid
from mixcl_auto.phantoms.shapes import Blob, Roughness, Tube
from mixcl_auto.phantoms.smooth_field import SmoothField

GRID = Grid((40, 40, 40), (1.0, 1.0, 1.0), (-20.0, -20.0, -20.0))
SMOOTH = Roughness(SmoothField.draw(np.random.default_rng(0), (10, 20), 4), 0.0)


def test_signed_distance_of_a_sphere_is_exact() -> None:
    sphere = Blob((1.0, -2.0, 3.0), (8.0, 8.0, 8.0), np.eye(3), 0.0, SMOOTH)
    x, y, z = np.meshgrid(*GRID.axes(), indexing="ij")
    expected = 8 - np.sqrt((x - 1) ** 2 + (y + 2) ** 2 + (z - 3) ** 2)
    np.testing.assert_allclose(sphere.distance_mm(GRID.axes()), expected, atol=1e-3)


def test_ellipsoid_fills_its_volume() -> None:
    blob = Blob((0.0, 0.0, 0.0), (15.0, 8.0, 5.0), np.eye(3), 0.0, SMOOTH)
    voxels = np.count_nonzero(blob.distance_mm(GRID.axes()) > 0)
    assert voxels == pytest.approx(4 / 3 * np.pi * 15 * 8 * 5, rel=0.02)


def test_rotation_turns_the_long_axis() -> None:
    quarter_turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    blob = Blob((0.0, 0.0, 0.0), (15.0, 6.0, 6.0), quarter_turn, 0.0, SMOOTH)
    inside = np.argwhere(blob.distance_mm(GRID.axes()) > 0)
    extent = inside.max(axis=0) - inside.min(axis=0) + 1
    assert extent.tolist() == [12, 30, 12]


@pytest.mark.parametrize("bend", [0.0, 0.02])
def test_box_of_a_blob_holds_all_of_it(bend: float) -> None:
    rough = Roughness(SmoothField.draw(np.random.default_rng(1), (10, 20), 4), 1.0)
    blob = Blob((-6.0, 4.0, 0.0), (10.0, 5.0, 4.0), np.eye(3), bend, rough)
    outside = blob.distance_mm(GRID.axes()) > 0
    assert outside.any()
    outside[blob.box(GRID)] = False
    assert not outside.any()


def test_tube_is_round_in_every_slice_and_follows_its_slope() -> None:
    tube = Tube((0.0, 0.0), (0.2, 0.0), 0.0, 100.0, 0.0, 5.0, 0.0, 30.0, SMOOTH)
    inside = tube.distance_mm(GRID.axes()) > 0
    areas = inside.sum(axis=(0, 1))
    np.testing.assert_allclose(areas, np.pi * 25, rtol=0.1)
    middles = [np.argwhere(inside[:, :, k])[:, 0].mean() for k in (0, 39)]
    assert middles[1] - middles[0] == pytest.approx(0.2 * 39, abs=0.5)


def test_smooth_field_has_mean_0_and_variance_1_over_space() -> None:
    field = SmoothField.draw(np.random.default_rng(2), (4, 9), 30)
    values = field.on(Grid((60, 60, 60), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)).axes())
    assert abs(values.mean()) < 0.05
    assert values.std() == pytest.approx(1.0, abs=0.1)


def test_smooth_field_equals_its_definition() -> None:
    field = SmoothField.draw(np.random.default_rng(3), (5, 30), 7)
    grid = Grid((4, 5, 6), (2.0, 3.0, 4.0), (-3.0, 1.0, 7.0))
    points = np.stack(np.meshgrid(*grid.axes(), indexing="ij"), axis=-1)
    expected = np.sqrt(2 / 7) * np.cos(points @ field.wave_vectors.T + field.phases).sum(axis=-1)
    np.testing.assert_allclose(field.on(grid.axes()), expected, atol=1e-4)
