import numpy as np
import pytest
from scipy import ndimage

from mixcl_auto.errors import DataError
from mixcl_auto.transforms.label_upsampling import argmax_classes, upsample_argmax
from mixcl_auto.transforms.resampling import resample_labels_to_shape, resampled_shape


def literal_scores(logits, shape, steps):
    axes = [(np.arange(m) + 0.5) * step - 0.5 for m, step in zip(shape, steps, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    return np.stack(
        [
            ndimage.map_coordinates(scores.astype(np.float64), grid, order=1, mode="nearest")
            for scores in logits
        ]
    )


def assert_is_argmax(labels, scores):
    chosen = np.take_along_axis(scores, labels[None].astype(np.int64), axis=0)[0]
    np.testing.assert_allclose(chosen, scores.max(axis=0), rtol=0, atol=1e-5)
    top = np.sort(scores, axis=0)
    clear = top[-1] - top[-2] > 1e-4 if len(scores) > 1 else np.ones(labels.shape, bool)
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(labels[clear], scores.argmax(axis=0)[clear])


@pytest.mark.parametrize(
    ("shape", "target"),
    [((6, 7, 8), (13, 15, 5)), ((9, 5, 4), (3, 5, 11)), ((1, 2, 3), (4, 1, 3)), ((5, 5, 5), (5, 5, 5))],
)
def test_labels_equal_scipys_interpolated_scores_argmax(shape, target):
    logits = np.random.default_rng(1).normal(size=(4, *shape)).astype(np.float32)
    labels = upsample_argmax(logits, target)
    assert labels.dtype == np.uint8
    assert labels.shape == target
    assert_is_argmax(
        labels, literal_scores(logits, target, [n / m for n, m in zip(shape, target, strict=True)])
    )


def test_given_spacings_place_the_voxels():
    scan_spacing, plan_spacing, scan_shape = (0.8, 0.9, 2.5), (1.5, 1.5, 2.0), (21, 17, 9)
    shape = resampled_shape(scan_shape, scan_spacing, plan_spacing)
    logits = np.random.default_rng(2).normal(size=(3, *shape)).astype(np.float32)
    labels = upsample_argmax(logits, scan_shape, spacing_mm=plan_spacing, target_spacing_mm=scan_spacing)
    steps = [t / s for s, t in zip(plan_spacing, scan_spacing, strict=True)]
    assert_is_argmax(labels, literal_scores(logits, scan_shape, steps))


def test_one_hot_scores_agree_with_label_resampling():
    generator = np.random.default_rng(3)
    coarse = np.repeat(np.repeat(generator.integers(0, 3, (4, 4, 8)), 2, axis=0), 2, axis=1)
    scores = np.stack([coarse == label for label in range(3)]).astype(np.float32)
    spacing, target, shape = (1.5, 1.5, 2.0), (0.7, 0.7, 1.3), (17, 17, 12)
    fine = upsample_argmax(scores, shape, spacing_mm=spacing, target_spacing_mm=target)
    expected = resample_labels_to_shape(coarse.astype(np.uint8), spacing, target, shape)
    assert (fine != expected).mean() < 1e-3


@pytest.mark.parametrize(("shape", "target"), [((7, 9, 12), (13, 20, 9)), ((9, 3, 5), (4, 7, 11))])
def test_labels_of_organs_equal_scipys_where_whole_cells_are_skipped(shape, target):
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"))
    centres = np.random.default_rng(6).uniform(0, shape, (5, 3))
    distance = np.linalg.norm(grid[None] - centres[:, :, None, None, None], axis=1)
    logits = np.concatenate([np.full((1, *shape), -3.0), -distance]).astype(np.float32)
    steps = [n / m for n, m in zip(shape, target, strict=True)]
    labels = upsample_argmax(logits, target)
    assert len(np.unique(labels)) >= 4
    assert_is_argmax(labels, literal_scores(logits, target, steps))


@pytest.mark.parametrize("threads", [2, 3, 50])
def test_the_number_of_threads_changes_nothing(threads):
    logits = np.random.default_rng(7).normal(size=(3, 11, 6, 7)).astype(np.float32)
    np.testing.assert_array_equal(
        upsample_argmax(logits, (25, 9, 8), threads=threads), upsample_argmax(logits, (25, 9, 8))
    )
    np.testing.assert_array_equal(argmax_classes(logits, threads=threads), argmax_classes(logits))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 0, 1, 2), (1, 0, 3, 2)])
def test_largest_classes_equal_numpys_in_every_memory_order(dtype, order):
    scores = np.random.default_rng(8).normal(size=(5, 4, 6, 7)).round(1).astype(dtype)
    stored = np.ascontiguousarray(scores.transpose(np.argsort(order))).transpose(order)
    assert stored.shape == scores.shape
    np.testing.assert_array_equal(argmax_classes(stored), scores.argmax(axis=0))


def test_ties_go_to_the_smallest_class():
    assert not upsample_argmax(np.ones((5, 3, 3, 3), np.float32), (7, 7, 7)).any()
    scores = np.zeros((4, 2, 2, 2), np.float32)
    scores[1:3] = 1.0
    assert (upsample_argmax(scores, (5, 4, 3)) == 1).all()
    assert (argmax_classes(scores) == 1).all()


def test_half_precision_scores_give_the_labels_of_their_float32_values():
    logits = np.random.default_rng(4).normal(size=(5, 6, 6, 6)).astype(np.float16)
    np.testing.assert_array_equal(
        upsample_argmax(logits, (11, 9, 13)), upsample_argmax(logits.astype(np.float32), (11, 9, 13))
    )


def test_memory_order_of_the_scores_does_not_matter():
    logits = np.random.default_rng(5).normal(size=(5, 4, 6, 7)).astype(np.float32)
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(logits, 0, -1)), -1, 0)
    np.testing.assert_array_equal(upsample_argmax(last, (9, 9, 9)), upsample_argmax(logits, (9, 9, 9)))


def test_256_classes_fit():
    logits = np.zeros((256, 1, 1, 1), np.float32)
    logits[255] = 1.0
    assert (upsample_argmax(logits, (2, 2, 2)) == 255).all()
    assert (argmax_classes(logits) == 255).all()
    mixed = np.concatenate([logits, logits[::-1]], axis=1)
    assert upsample_argmax(mixed, (4, 1, 1)).ravel().tolist() == [255, 255, 0, 0]


def test_bad_arguments_are_named():
    logits = np.zeros((2, 3, 3, 3), np.float32)
    with pytest.raises(
        DataError, match=r"logits must be \(1 to 256 classes, x, y, z\), got shape \(3, 3, 3\)"
    ):
        upsample_argmax(logits[0], (3, 3, 3))
    with pytest.raises(DataError, match="1 to 256 classes"):
        upsample_argmax(np.zeros((257, 1, 1, 1), np.float32), (1, 1, 1))
    with pytest.raises(DataError, match="1 to 256 classes"):
        argmax_classes(np.zeros((257, 1, 1, 1), np.float32))
    with pytest.raises(DataError, match="target_shape must be three sizes"):
        upsample_argmax(logits, (3, 0, 3))
    with pytest.raises(DataError, match="must be given together"):
        upsample_argmax(logits, (3, 3, 3), spacing_mm=(1, 1, 1))
