"""Two processes with half of a batch each against one process with the whole."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rank_processes import run_in_ranks
from torch import Tensor, nn

from mixcl_auto.distributed.launch import read_launch
from mixcl_auto.distributed.process_group import data_parallel, open_ranks
from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.finetuning.segmentation_loss import SegmentationLoss
from mixcl_auto.losses.mixcl import mixcl_loss
from mixcl_auto.losses.mixcl_settings import MixCLSettings
from mixcl_auto.losses.mixcl_targets import MixCLTargets
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.networks.mixcl import MixCLNetwork
from mixcl_auto.networks.unetr import UNETR

CPU = torch.device("cpu")
COUNT, SAMPLES, CLASSES = 2, 4, 3
PATCH, LABEL_GRID = (32, 32, 16), (16, 16, 8)
NETWORK = {"patch_size": PATCH, "feature_size": 4, "hidden_size": 24, "mlp_size": 48, "heads": 2, "layers": 4}
Result = dict[str, dict[str, Tensor]]
OBJECTIVES = {
    "paper": MixCLSettings(voxels_per_class=32),
    "balanced": MixCLSettings(
        voxels_per_class=32,
        label_weight=1.0,
        reconstruction_weight=1.0,
        identity_reduction="mean_per_channel",
    ),
    "per anchor, sums": MixCLSettings(
        voxels_per_class=32, label_reduction="per_anchor", reconstruction_reduction="sum", center=False
    ),
    "no identity": MixCLSettings(voxels_per_class=32, identity=False),
    "labels at two levels": MixCLSettings(voxels_per_class=32, label_levels=(1, 2), label_weight=1.0),
}
TERMS = ("total", "identity", "label", "reconstruction", "label_chance", "label_samples")


def draw(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def labels(seed: int, grid: tuple[int, ...] = LABEL_GRID) -> Tensor:
    return (draw(SAMPLES, *grid, seed=seed) * CLASSES).long()


def batch() -> dict[str, Tensor]:
    """Four samples, the third of which has no organ: it must not count in the label loss's mean."""
    labels_1 = labels(7)
    labels_1[2] = 0
    return {
        **{name: draw(SAMPLES, 1, *PATCH, seed=n) for n, name in enumerate(("patch_1", "patch_2"))},
        **{name: draw(SAMPLES, 1, *PATCH, seed=3 + n) for n, name in enumerate(("a", "b", "c"))},
        "labels_1": labels_1,
        "labels_2": labels(8),
        "weights_1": draw(SAMPLES, *LABEL_GRID, seed=9) + 0.1,
        "weights_2": draw(SAMPLES, *LABEL_GRID, seed=10) + 0.1,
    }


def mixcl_step(settings: MixCLSettings, ranks: Ranks) -> dict[str, Tensor]:
    """Terms and the network's gradients, after the averaging of data-parallel training."""
    network = initialise(
        lambda: MixCLNetwork(
            UNETR(in_channels=1, out_channels=1, **NETWORK),
            identity=settings.identity,
            label=settings.label,
            reconstruction=settings.reconstruction,
            label_levels=settings.label_levels,
        ),
        0,
    )
    own = list(ranks.share(SAMPLES))
    part = {name: tensor[own] for name, tensor in batch().items()}
    targets = MixCLTargets(
        **{name: part[name] for name in part if len(name) > 1},
        class_counts=[CLASSES] * len(own),
        generators=[torch.Generator().manual_seed(index) for index in own],
    )
    parallel = data_parallel(network, ranks)
    outputs = parallel(part["a"], part["b"], part["c"])
    terms = mixcl_loss(**outputs._asdict(), targets=targets, settings=settings, ranks=ranks)
    terms.total.backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    values = {name: getattr(terms, name).detach() for name in TERMS}
    return {"levels": torch.stack([*terms.identity_per_level, torch.tensor(0.0)]), **values, **gradients}


def segmentation_step(over_batch: bool, include_background: bool, ranks: Ranks) -> dict[str, Tensor]:
    network = initialise(lambda: nn.Conv3d(1, CLASSES, 3, padding=1), 0)
    own = list(ranks.share(SAMPLES))
    loss = SegmentationLoss(over_batch=over_batch, include_background=include_background, ranks=ranks)
    parallel = data_parallel(network, ranks)
    terms = loss(parallel(batch()["a"][own]), labels(11, PATCH)[own])
    terms.loss.backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return {**{name: value.detach() for name, value in terms._asdict().items()}, **gradients}


STEPS: dict[str, Callable[[Ranks], dict[str, Tensor]]] = {
    **{name: lambda ranks, s=settings: mixcl_step(s, ranks) for name, settings in OBJECTIVES.items()},
    **{
        f"segmentation, over batch {joined}, background {background}": (
            lambda ranks, j=joined, b=background: segmentation_step(j, b, ranks)
        )
        for joined in (False, True)
        for background in (False, True)
    },
}


def steps_in_a_rank() -> Result:
    with open_ranks(read_launch(), CPU) as ranks:
        return {name: step(ranks) for name, step in STEPS.items()}


def norm(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor.double()))


@pytest.fixture(scope="module")
def in_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    folder: Path = tmp_path_factory.mktemp("ranks")
    return run_in_ranks(steps_in_a_rank, COUNT, folder)


@pytest.mark.parametrize("name", STEPS)
def test_loss_and_gradients_equal_one_process_with_the_whole_batch(name, in_ranks):
    alone = STEPS[name](ALONE)
    largest = max(norm(expected) for expected in alone.values())
    for result in in_ranks:
        assert result[name].keys() == alone.keys()
        for key, expected in alone.items():
            # Some gradients cancel to nothing but rounding, whose size is that of the others.
            assert norm(result[name][key] - expected) <= 2e-5 * norm(expected) + 3e-7 * largest, key


@pytest.mark.parametrize("name", ["paper", "balanced", "per anchor, sums"])
def test_a_sample_without_a_positive_pair_does_not_count_on_any_process(name, in_ranks):
    assert [int(result[name]["label_samples"]) for result in in_ranks] == [SAMPLES - 1] * COUNT


@pytest.mark.parametrize("name", STEPS)
def test_all_processes_have_the_same_terms_to_the_bit(name, in_ranks):
    first, second = (result[name] for result in in_ranks)
    assert all(torch.equal(first[key], second[key]) for key in first)
