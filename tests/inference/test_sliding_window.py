import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from torch import nn

from mixcl_auto.errors import RunError
from mixcl_auto.inference.sliding_window import predict_logits
from mixcl_auto.inference.windows import lay_out_windows

CPU = torch.device("cpu")


def predict(network, image, patch_size=(16, 16, 16), overlap=0.5, windows_per_batch=2, **keywords):
    return predict_logits(
        network,
        image,
        patch_size=patch_size,
        overlap=overlap,
        windows_per_batch=windows_per_batch,
        device=CPU,
        **keywords,
    )


def random_image(shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@pytest.fixture
def small_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1), nn.InstanceNorm3d(4), nn.ReLU(), nn.Conv3d(4, 3, 1)
    ).eval()


class Counting:
    """Passes its input through, and remembers how many windows it saw."""

    def __init__(self):
        self.windows = []

    def __call__(self, batch):
        self.windows.extend(batch[:, 0].clone())
        return torch.cat([1 - batch, batch], dim=1)


@pytest.mark.parametrize("shape", [(40, 33, 25), (16, 16, 16), (50, 16, 9), (7, 5, 3)])
@pytest.mark.parametrize(("patch_size", "overlap"), [((16, 16, 16), 0.5), ((32, 16, 16), 0.25)])
def test_logits_equal_monai_in_gaussian_mode(small_network, shape, patch_size, overlap):
    image = random_image(shape)
    with torch.inference_mode():
        expected = sliding_window_inference(
            torch.from_numpy(image)[None, None],
            patch_size,
            2,
            small_network,
            overlap=overlap,
            mode="gaussian",
        )[0]
    ours = predict(small_network, image, patch_size, overlap)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected.numpy(), atol=2e-5)


def test_a_network_that_passes_its_input_through_gives_the_scan_back():
    image = random_image((37, 20, 41))
    logits = predict(Counting(), image)
    np.testing.assert_allclose(logits[1], image, atol=1e-6)
    np.testing.assert_allclose(logits[0], 1 - image, atol=1e-6)


def test_a_network_that_shifts_its_input_gives_the_scan_shifted_inside():
    """A shift is wrong in one plane of each window; the Gaussian gives that plane little weight."""
    image = random_image((48, 16, 16))
    shifted = predict(lambda batch: torch.roll(batch, 1, dims=2), image)[0]
    seams = {start for start, *_ in lay_out_windows(image.shape, (16, 16, 16), 0.5).starts}
    inside = [x for x in range(1, 48) if x not in seams]
    np.testing.assert_allclose(shifted[inside], image[[x - 1 for x in inside]], atol=1e-6)
    middle = (slice(6, 10), slice(6, 10))
    for x in seams - {0}:
        np.testing.assert_allclose(shifted[(x, *middle)], image[(x - 1, *middle)], atol=5e-3)


def test_windows_of_air_are_seen_once_and_change_nothing(small_network):
    image = random_image((32, 32, 64))
    image[:, :, 20:] = 0
    network = Counting()
    logits = predict(network, image)
    layout = lay_out_windows(image.shape, (16, 16, 16), 0.5)
    in_air = sum(start[2] >= 20 for start in layout.starts)
    assert in_air > 30
    assert len(network.windows) == len(layout.starts) - in_air + 1
    assert sum(not window.any() for window in network.windows) == 1
    np.testing.assert_allclose(logits[1], image, atol=1e-6)
    with torch.inference_mode():
        expected = sliding_window_inference(
            torch.from_numpy(image)[None, None], (16, 16, 16), 2, small_network, overlap=0.5, mode="gaussian"
        )[0]
    np.testing.assert_allclose(predict(small_network, image), expected.numpy(), atol=2e-5)


def test_a_scan_of_air_only_is_predicted():
    logits = predict(Counting(), np.zeros((20, 20, 20), np.float32))
    np.testing.assert_allclose(logits[0], 1, atol=1e-6)
    assert (logits[1] == 0).all()


@pytest.mark.parametrize("windows_per_batch", [1, 3, 100])
def test_the_size_of_a_batch_changes_nothing(small_network, windows_per_batch):
    image = random_image((40, 20, 25))
    expected = predict(small_network, image, windows_per_batch=1)
    np.testing.assert_allclose(
        predict(small_network, image, windows_per_batch=windows_per_batch), expected, atol=1e-5
    )


def test_autocast_reaches_the_network_and_logits_stay_float32():
    seen = []

    def network(batch):
        seen.append((batch @ batch.transpose(-1, -2)).dtype)
        return batch

    logits = predict(network, random_image((16, 16, 16)), precision="bf16")
    assert seen == [torch.bfloat16]
    assert logits.dtype == np.float32


def test_a_single_voxel_of_body_is_seen_wherever_it_lies():
    for voxel in [(0, 0, 0), (5, 3, 7), (15, 15, 15)]:
        image, seen = np.zeros((16, 16, 16), np.float32), []
        image[voxel] = 0.5

        def network(batch, into=seen):
            into.append(batch.amax().item())
            return batch.repeat(1, 2, 1, 1, 1)

        predict_logits(
            network,
            image,
            patch_size=(16, 16, 16),
            overlap=0.5,
            windows_per_batch=1,
            device=torch.device("cpu"),
        )
        assert seen == [0.5]


def test_output_that_is_not_finite_is_refused():
    with pytest.raises(RunError, match=r"not finite in precision fp32.*lower learning rate"):
        predict(lambda batch: batch / 0, random_image((16, 16, 16)))
