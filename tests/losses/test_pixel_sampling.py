import itertools
import math

import pytest
import torch

from mixcl_auto.losses.pixel_sampling import sample_voxels


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_drawn_voxels_are_distinct_and_of_their_class():
    labels = torch.randint(0, 4, (500,), generator=rng(1))
    weights = torch.rand(500, generator=rng(2)) + 0.01
    indices, validity = sample_voxels(labels, weights, 20, classes=range(4), generator=rng())
    assert indices.shape == validity.shape == (4, 20)
    assert validity.all()
    for value in range(4):
        assert len(set(indices[value].tolist())) == 20
        assert (labels[indices[value]] == value).all()


def test_a_scarce_class_gives_each_of_its_voxels_once():
    labels = torch.tensor([0, 2, 0, 2, 0, 0])
    indices, validity = sample_voxels(labels, torch.ones(6), 3, classes=range(4), generator=rng())
    assert validity.sum(1).tolist() == [3, 0, 2, 0]
    assert sorted(indices[2][validity[2]].tolist()) == [1, 3]
    assert not indices[~validity].any()


def test_a_budget_beyond_all_voxels_is_cut_to_them():
    indices, validity = sample_voxels(
        torch.tensor([1, 1]), torch.ones(2), 5, classes=range(2), generator=rng()
    )
    assert indices.shape == (2, 2)
    assert validity.sum(1).tolist() == [0, 2]


def test_classes_can_be_any_labels_in_any_order():
    labels = torch.tensor([7, 7, 3, 0], dtype=torch.uint8)
    indices, validity = sample_voxels(labels, torch.ones(4), 2, classes=[3, 7], generator=rng())
    assert validity.tolist() == [[True, False], [True, True]]
    assert indices[0, 0].item() == 2
    assert sorted(indices[1].tolist()) == [0, 1]


def test_a_voxel_of_weight_zero_is_never_drawn():
    labels = torch.zeros(50, dtype=torch.int64)
    weights = torch.zeros(50)
    weights[[3, 17]] = 1e-30
    indices, validity = sample_voxels(labels, weights, 10, classes=range(1), generator=rng())
    assert sorted(indices[validity].tolist()) == [3, 17]


def test_the_same_generator_state_draws_the_same_voxels():
    labels, weights = torch.arange(300) % 3, torch.rand(300, generator=rng(5))
    first = sample_voxels(labels, weights, 9, classes=range(3), generator=rng(7))
    again = sample_voxels(labels, weights, 9, classes=range(3), generator=rng(7))
    other = sample_voxels(labels, weights, 9, classes=range(3), generator=rng(8))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])


def test_global_generator_is_not_touched():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    sample_voxels(torch.zeros(9), torch.ones(9), 2, classes=range(1), generator=rng())
    assert torch.equal(before, torch.random.get_rng_state())


def inclusion_frequencies(weights: list[float], drawn: int) -> list[float]:
    """Chance of each item to be among some successive draws by weight, from all ordered outcomes."""
    result = [0.0] * len(weights)
    for order in itertools.permutations(range(len(weights)), drawn):
        chance, left = 1.0, sum(weights)
        for item in order:
            chance *= weights[item] / left
            left -= weights[item]
        for item in order:
            result[item] += chance
    return result


@pytest.mark.parametrize("drawn", [1, 2, 3])
def test_inclusion_frequencies_are_those_of_successive_draws_by_weight(drawn):
    weights = [1.0, 2.0, 3.0, 10.0, 0.5]
    trials = 20_000
    # One class per trial: 20,000 independent draws in one call.
    labels = torch.arange(400).repeat_interleave(5)
    counts = torch.zeros(5)
    generator = rng(11)
    for _ in range(trials // 400):
        indices, validity = sample_voxels(
            labels, torch.tensor(weights).repeat(400), drawn, classes=range(400), generator=generator
        )
        assert validity.all()
        counts += torch.bincount(indices.flatten() % 5, minlength=5)
    expected = inclusion_frequencies(weights, drawn)
    for count, chance in zip(counts.tolist(), expected, strict=True):
        deviation = math.sqrt(trials * chance * (1 - chance))
        assert abs(count - trials * chance) < 4 * deviation


def test_the_first_entry_is_the_first_draw():
    labels = torch.arange(4000).repeat_interleave(2)
    indices, _ = sample_voxels(
        labels, torch.tensor([1.0, 3.0]).repeat(4000), 2, classes=range(4000), generator=rng(2)
    )
    heavy_first = (indices[:, 0] % 2).float().mean().item()
    assert heavy_first == pytest.approx(0.75, abs=4 * math.sqrt(0.75 * 0.25 / 4000))


@pytest.mark.parametrize(
    ("labels", "weights", "budget", "message"),
    [
        (torch.zeros(3), torch.zeros(2), 1, "vectors of one length"),
        (torch.zeros(3, 1), torch.zeros(3, 1), 1, "vectors of one length"),
        (torch.zeros(3), torch.zeros(3), 0, "voxels_per_class must be at least 1, got 0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(labels, weights, budget, message):
    with pytest.raises(ValueError, match=message):
        sample_voxels(labels, weights, budget, classes=range(1), generator=rng())
