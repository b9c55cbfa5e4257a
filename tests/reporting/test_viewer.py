import base64
import io
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mixcl_auto.reporting.case_choice import CaseChoice
from mixcl_auto.reporting.case_focus import Focus
from mixcl_auto.reporting.shown_case import ShownCase
from mixcl_auto.reporting.viewer import block_means, middle_voxels, mosaic, thinning, viewed_case

SHAPE = (13, 9, 7)


def cut_out(picture, size, tile, across):
    """What the page does: the axial slices as (slice, row, column)."""
    nx, ny, nz = size
    slices = []
    for z in range(nz):
        left, top = (z % across) * tile[0], (z // across) * tile[1]
        slices.append(picture[top : top + ny, left : left + nx])
    return np.stack(slices)


def decoded(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


def case_of(labels, image, spacing_mm=(2.0, 2.0, 3.0)):
    run = SimpleNamespace(dataset="T", fraction=0.05, fold=0, seed=0)
    volume = SimpleNamespace(array=image, spacing_mm=spacing_mm)
    choice = CaseChoice("a", "why", (SimpleNamespace(run=run),))
    return ShownCase(choice, volume, {"reference": labels, "mixcl": labels[::-1]}, {1: "liver", 4: "spleen"})


def test_a_mosaic_holds_every_label_where_radiologists_look_for_it():
    labels = np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8)
    slices = cut_out(mosaic(labels), SHAPE, (16, 16), 3)
    np.testing.assert_array_equal(slices, labels[::-1, ::-1].transpose(2, 1, 0))


def test_a_viewed_case_is_cut_packed_and_starts_at_its_focus():
    rng = np.random.default_rng(1)
    labels = np.where(rng.random(SHAPE) < 0.3, rng.choice([1, 4, 9], SHAPE), 0).astype(np.uint8)
    image = np.broadcast_to(np.linspace(-300, 400, SHAPE[0])[:, None, None], SHAPE).astype(np.int16)
    whole = (slice(2, 13), slice(0, 9), slice(1, 7))
    focus = Focus(slices=(4, 5, 6), box=whole, whole=whole, zoom=whole[:2])
    viewed = viewed_case(case_of(labels, image), focus, (-150.0, 250.0))
    assert viewed.size == (11, 9, 6)
    assert viewed.start == (11 - 1 - 2, 9 - 1 - 5, 5)
    assert viewed.spacing_mm == (2.0, 2.0, 3.0)
    packed = cut_out(decoded(viewed.maps[0].uri), viewed.size, viewed.tile, viewed.tiles_across)
    np.testing.assert_array_equal(packed, labels[whole][::-1, ::-1].transpose(2, 1, 0))
    grey = cut_out(decoded(viewed.scan), viewed.size, viewed.tile, viewed.tiles_across).astype(float)
    wanted = np.clip((image[whole][::-1, ::-1].transpose(2, 1, 0) + 150.0) / 400, 0, 1) * 255
    assert np.abs(grey - wanted).max() < 25  # JPEG
    assert np.abs(grey - wanted).mean() < 4
    assert [(organ.label, organ.name) for organ in viewed.organs] == [
        (1, "liver"),
        (4, "spleen"),
        (9, "label 9"),
    ]


@given(
    st.tuples(*[st.integers(1, 700)] * 3),
    st.tuples(*[st.floats(0.3, 10)] * 3),
)
def test_thinning_ends_below_the_most_and_never_goes_beyond_an_axis(shape, spacing_mm):
    steps = thinning(shape, spacing_mm, most_voxels=20_000)
    assert np.prod([max(1, n // step) for n, step in zip(shape, steps, strict=True)]) <= 20_000
    assert all(1 <= step <= n for n, step in zip(shape, steps, strict=True))
    if np.prod(shape) <= 20_000:
        assert steps == (1, 1, 1)


def test_thinning_takes_the_finest_axis_first():
    assert thinning((100, 100, 100), (1.0, 1.0, 4.0), most_voxels=500_000) == (2, 1, 1)
    assert thinning((100, 100, 100), (1.0, 1.0, 4.0), most_voxels=100_000) == (4, 4, 1)


def test_blocks_are_averaged_and_labels_taken_from_their_middles():
    volume = np.arange(4 * 5 * 2).reshape(4, 5, 2)
    means = block_means(volume, (2, 2, 1))
    assert means.shape == (2, 2, 2)
    assert means[0, 1, 1] == volume[0:2, 2:4, 1].mean()
    labels = middle_voxels(volume, (2, 2, 1))
    assert labels.shape == (2, 2, 2)
    assert labels[1, 0, 0] == volume[3, 1, 0]
