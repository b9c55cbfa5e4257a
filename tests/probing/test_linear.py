"""The classifier of the probes: what can be told apart is, what can't is not, and always alike."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mixcl_auto.probing.linear import fit_linear

PENALTY = 0.01
SETTINGS = {"penalty": PENALTY, "iterations": 1000}


def drawn(rows: int, channels: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, channels, generator=torch.Generator().manual_seed(seed))


def drawn_labels(rows: int, classes: int, seed: int = 0) -> Tensor:
    return torch.randint(classes, (rows,), generator=torch.Generator().manual_seed(seed))


def test_classes_that_a_plane_separates_are_told_apart() -> None:
    labels = drawn_labels(300, 3)
    centres = torch.tensor([[0.0, 0, 40], [0, 40, 0], [40, 0, 0]])
    rows = drawn(300, 3) + centres[labels]
    held_out = drawn_labels(90, 3, seed=1)
    classifier = fit_linear(rows, labels, **SETTINGS)
    assert torch.equal(classifier.predict(drawn(90, 3, seed=1) + centres[held_out]), held_out)


def test_random_labels_are_guessed_at_chance() -> None:
    classifier = fit_linear(drawn(2000, 6), drawn_labels(2000, 4), **SETTINGS)
    is_right = classifier.predict(drawn(4000, 6, seed=1)) == drawn_labels(4000, 4, seed=1)
    assert float(is_right.float().mean()) == pytest.approx(0.25, abs=0.04)


def test_classes_count_alike_however_few_rows_they_have() -> None:
    """One channel, two overlapping classes of 20 to 1: the border lies in the middle, not at the rare one."""
    labels = (torch.arange(2100) < 100).long()
    rows = drawn(2100, 1) + labels[:, None] * 2.0
    classifier = fit_linear(rows, labels, **SETTINGS)
    assert classifier.predict(torch.tensor([[0.7], [1.3]])).tolist() == [0, 1]


def test_the_gradient_of_the_objective_vanishes() -> None:
    rows, labels = drawn(200, 5), drawn_labels(200, 3)
    found = fit_linear(rows, labels, **SETTINGS)
    weights = found.weights.clone().requires_grad_()
    standardised = (rows.double() - rows.double().mean(0)) / rows.double().std(0, correction=0)
    losses = functional.cross_entropy(standardised @ weights + found.bias, labels, reduction="none")
    mean_over_classes = torch.stack([losses[labels == label].mean() for label in range(3)]).mean()
    (gradient,) = torch.autograd.grad(mean_over_classes + PENALTY / 2 * weights.square().sum(), weights)
    assert gradient.abs().max() < 1e-6


def test_shift_and_scale_of_channels_do_not_matter() -> None:
    rows, labels = drawn(200, 5), drawn_labels(200, 3)
    one = fit_linear(rows, labels, **SETTINGS)
    other = fit_linear(rows * 1000 + 7, labels, **SETTINGS)
    assert other.weights == pytest.approx(one.weights, abs=1e-4)


def test_a_constant_channel_changes_nothing() -> None:
    rows, labels = drawn(200, 5), drawn_labels(200, 3)
    with_constant = torch.cat([rows, torch.full((200, 1), 0.1)], 1)
    found = fit_linear(with_constant, labels, **SETTINGS)
    expected = fit_linear(rows, labels, **SETTINGS)
    assert found.weights[-1] == pytest.approx(torch.zeros(3), abs=1e-6)
    assert torch.equal(found.predict(with_constant), expected.predict(rows))


def test_labels_need_not_be_consecutive_and_one_alone_is_always_told() -> None:
    rows = drawn(40, 2)
    labels = torch.where(rows[:, 0] > 0, 7, 2)
    assert set(fit_linear(rows, labels, **SETTINGS).predict(rows).tolist()) == {2, 7}
    alone = fit_linear(rows, torch.full((40,), 5), **SETTINGS)
    assert set(alone.predict(rows).tolist()) == {5}


def test_the_same_rows_give_the_same_bits_where_gradients_are_off_too() -> None:
    rows, labels = drawn(300, 8), drawn_labels(300, 3)
    one = fit_linear(rows, labels, **SETTINGS)
    with torch.no_grad():
        other = fit_linear(rows, labels, **SETTINGS)
    assert torch.equal(one.weights, other.weights)
    assert torch.equal(one.bias, other.bias)


@pytest.mark.parametrize(("rows", "labels"), [((0, 3), 0), ((4, 3), 5), ((4,), 4)])
def test_rows_without_a_label_each_are_refused(rows: tuple[int, ...], labels: int) -> None:
    with pytest.raises(ValueError, match=r"rows must be \(M, C\) with a label each"):
        fit_linear(torch.zeros(rows), torch.zeros(labels, dtype=torch.long), **SETTINGS)
