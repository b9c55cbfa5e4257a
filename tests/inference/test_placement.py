import logging

import numpy as np
import pytest
import torch

from mixcl_auto.errors import RunError
from mixcl_auto.inference import predictor as module
from mixcl_auto.inference.blending import Blender
from mixcl_auto.inference.placement import Placement, unless_out_of_memory
from mixcl_auto.inference.predictor import load_predictor
from mixcl_auto.inference.windows import lay_out_windows

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


class Greedy(torch.nn.Module):
    """Runs out of memory with more than ``limit`` windows at once."""

    def __init__(self, network, limit):
        super().__init__()
        self.network, self.limit, self.sizes = network, limit, []

    def forward(self, batch):
        self.sizes.append(len(batch))
        if len(batch) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return self.network(batch)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(-150, 250, (40, 30, 20)).astype(np.int16)


def test_a_gpu_gives_up_windows_then_the_sums_then_the_network():
    placement, steps = Placement(GPU, 5), []
    while placement := placement.smaller():
        steps.append(placement)
    assert steps == [
        Placement(GPU, 2),
        Placement(GPU, 1),
        Placement(GPU, 1, blend_on_cpu=True),
        Placement(CPU, 1, blend_on_cpu=True),
    ]


def test_a_cpu_gives_up_windows_and_then_there_is_nothing_left():
    assert Placement(CPU, 2).smaller() == Placement(CPU, 1)
    assert Placement(CPU, 1).smaller() is None


@pytest.mark.parametrize(
    "problem",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
        RuntimeError("cuDNN error: CUDA error: out of memory"),
        RuntimeError("could not create a primitive"),
    ],
)
def test_memory_that_ran_out_gives_nothing(problem):
    def work():
        raise problem

    assert unless_out_of_memory(work) is None
    assert unless_out_of_memory(lambda: 3) == 3


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def work():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        unless_out_of_memory(work)


def test_a_scan_is_predicted_with_fewer_windows_and_the_same_logits(threshold_run, image, caplog):
    expected = load_predictor(threshold_run.folder, "cpu").predict_resampled(image)
    predictor = load_predictor(threshold_run.folder, "cpu")
    predictor.network = greedy = Greedy(predictor.network, 1)
    with caplog.at_level(logging.WARNING):
        found = predictor.predict_resampled(image)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert greedy.sizes[:3] == [4, 2, 1]
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "out of memory with 4 windows at a time on cpu; going on with 2 windows at a time on cpu",
        "out of memory with 2 windows at a time on cpu; going on with 1 window at a time on cpu",
    ]


def test_the_next_scan_begins_with_what_sufficed(threshold_run, image):
    predictor = load_predictor(threshold_run.folder, "cpu")
    predictor.network = greedy = Greedy(predictor.network, 2)
    predictor.predict_resampled(image)
    greedy.sizes.clear()
    predictor.predict_resampled(image)
    assert max(greedy.sizes) == 2


def test_too_little_memory_in_every_way_is_an_error_that_names_the_scan(threshold_run, image):
    predictor = load_predictor(threshold_run.folder, "cpu")
    predictor.network = Greedy(predictor.network, 0)
    with pytest.raises(RunError, match=r"not enough memory to predict 40 x 30 x 20 voxels with 2 classes"):
        predictor.predict_resampled(image)


def test_a_network_leaves_a_full_gpu_for_the_cpu(threshold_run, image, monkeypatch, caplog):
    """No GPU is needed: the network stays where it is, and complains while it is said to be on one."""
    expected = load_predictor(threshold_run.folder, "cpu").predict_resampled(image)
    predictor = load_predictor(threshold_run.folder, "cpu")
    predictor.placement, predictor.precision = Placement(GPU, 2), "fp16"

    def predict(*_, device, **__):
        assert device == GPU
        raise torch.OutOfMemoryError("CUDA out of memory")

    def predict_on_cpu(*arguments, device, **options):
        return (predict if device == GPU else actual)(*arguments, device=device, **options)

    actual = module.predict_logits
    monkeypatch.setattr(module, "predict_logits", predict_on_cpu)
    with caplog.at_level(logging.WARNING):
        found = predictor.predict_resampled(image)
    assert predictor.device == CPU
    assert predictor.precision == "fp32"
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert "1 window at a time on cuda:0 and the sums on the CPU; going on with 1 window" in caplog.text


def test_sums_are_kept_on_the_cpu_where_that_is_asked_for():
    layout = lay_out_windows((4, 4, 4), (4, 4, 4), 0.5)
    first = torch.zeros((2, 4, 4, 4), device="meta")
    assert Blender(first, layout).mean().device.type == "meta"
    assert Blender(first, layout, on_cpu=True).mean().device.type == "cpu"
