import math

import pytest
import torch
from torch import Tensor

from mixcl_auto.losses import label_consistency
from mixcl_auto.losses.label_consistency import pair_relations

LABELS_1 = torch.tensor([0, 1, 2, 1, -1, 0, 3])
LABELS_2 = torch.tensor([1, 0, 2, -1, 1])


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def label_consistency_loss(z_1: Tensor, z_2: Tensor, labels_1: Tensor, labels_2: Tensor, **options) -> Tensor:
    return label_consistency.label_consistency_loss(z_1, z_2, pair_relations(labels_1, labels_2), **options)


def chance_value(labels_1: Tensor, labels_2: Tensor, **options) -> Tensor:
    return label_consistency.chance_value(pair_relations(labels_1, labels_2), **options)


def has_positive_pair(labels_1: Tensor, labels_2: Tensor) -> Tensor:
    return label_consistency.has_positive_pair(pair_relations(labels_1, labels_2))


def relation(a: int, b: int) -> str:
    """Decision 8, in words."""
    if a < 0 or b < 0 or (a == 0 and b == 0):
        return "neither"
    return "positive" if a == b else "negative"


def literal_scores(z_1: Tensor, z_2: Tensor, temperature: float) -> list[list[float]]:
    scores = []
    for a in z_1.tolist():
        line = []
        for b in z_2.tolist():
            norms = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
            line.append(sum(x * y for x, y in zip(a, b, strict=True)) / norms / temperature)
        scores.append(line)
    return scores


def literal_global(z_1: Tensor, z_2: Tensor, labels_1: Tensor, labels_2: Tensor, temperature: float) -> float:
    """Eq. 6, one pair at a time."""
    numerator = denominator = 0.0
    scores = literal_scores(z_1, z_2, temperature)
    for i, a in enumerate(labels_1.tolist()):
        for k, b in enumerate(labels_2.tolist()):
            kind = relation(a, b)
            numerator += math.exp(scores[i][k]) if kind == "positive" else 0.0
            denominator += math.exp(scores[i][k]) if kind != "neither" else 0.0
    return -math.log(numerator / denominator)


def literal_per_anchor(
    z_1: Tensor, z_2: Tensor, labels_1: Tensor, labels_2: Tensor, temperature: float
) -> float:
    """SupCon's L_out, one anchor at a time."""
    losses = []
    scores = literal_scores(z_1, z_2, temperature)
    for i, a in enumerate(labels_1.tolist()):
        kinds = [relation(a, b) for b in labels_2.tolist()]
        if "positive" not in kinds:
            continue
        denominator = sum(math.exp(s) for s, kind in zip(scores[i], kinds, strict=True) if kind != "neither")
        positives = [s for s, kind in zip(scores[i], kinds, strict=True) if kind == "positive"]
        losses.append(-sum(math.log(math.exp(s) / denominator) for s in positives) / len(positives))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("classes", [None, 4, 9])
def test_relations_are_those_of_figure_2d(classes):
    relations = pair_relations(LABELS_1, LABELS_2, classes=classes)
    positive, related = relations.positive @ relations.members.T, relations.related @ relations.members.T
    for i, a in enumerate(LABELS_1.tolist()):
        for k, b in enumerate(LABELS_2.tolist()):
            assert positive[i, k].item() == (relation(a, b) == "positive")
            assert related[i, k].item() == (relation(a, b) != "neither")
    counts = relations.counts()
    assert torch.equal(counts[0], positive.sum(1))
    assert torch.equal(counts[1], related.sum(1))


def test_unsigned_labels_have_the_same_relations():
    labels_1, labels_2 = torch.tensor([0, 1, 2]), torch.tensor([2, 0])
    for signed, unsigned in zip(
        pair_relations(labels_1, labels_2), pair_relations(labels_1.byte(), labels_2.byte()), strict=True
    ):
        assert torch.equal(signed, unsigned)


@pytest.mark.parametrize("reduction", ["global", "per_anchor"])
def test_a_temperature_whose_scores_leave_float32_still_gives_the_float64_loss(reduction):
    # the positive pair is opposite, a negative one equal: their scores differ by 200
    z_1 = torch.tensor([[1.0, 0.0]])
    z_2 = torch.tensor([[-1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    labels = torch.tensor([1]), torch.tensor([1, 2])
    loss = label_consistency_loss(z_1, z_2, *labels, temperature=0.01, reduction=reduction)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(200.0)
    (gradient,) = torch.autograd.grad(loss, z_2)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_global_loss_equals_a_literal_loop(temperature):
    z_1, z_2 = draw(7, 5), draw(5, 5, seed=1)
    loss = label_consistency_loss(z_1, z_2, LABELS_1, LABELS_2, temperature=temperature)
    expected = literal_global(z_1, z_2, LABELS_1, LABELS_2, temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_per_anchor_loss_equals_a_literal_loop(temperature):
    z_1, z_2 = draw(7, 5), draw(5, 5, seed=1)
    loss = label_consistency_loss(
        z_1, z_2, LABELS_1, LABELS_2, temperature=temperature, reduction="per_anchor"
    )
    expected = literal_per_anchor(z_1, z_2, LABELS_1, LABELS_2, temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_loss_equals_a_hand_worked_number():
    z_1 = torch.tensor([[3.0, 0.0]])
    z_2 = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    # cosines 1 (positive) and 0 (negative): log((e^10 + e^0) / e^10) = log(1 + e^-10)
    loss = label_consistency_loss(z_1.double(), z_2.double(), torch.tensor([1]), torch.tensor([1, 2]))
    assert loss.item() == pytest.approx(math.log1p(math.exp(-10)), rel=1e-9)


@pytest.mark.parametrize("reduction", ["global", "per_anchor"])
def test_equal_embeddings_give_the_chance_value(reduction):
    z_1, z_2 = torch.ones(7, 4), torch.ones(5, 4)
    loss = label_consistency_loss(z_1, z_2, LABELS_1, LABELS_2, reduction=reduction)
    torch.testing.assert_close(loss, chance_value(LABELS_1, LABELS_2, reduction=reduction))


def test_chance_value_equals_a_hand_worked_number():
    # voxels 1, 1, 0 against 1, 2: 2 positive pairs, 4 negative ones (1-2 twice, 0-1, 0-2)
    labels_1, labels_2 = torch.tensor([1, 1, 0]), torch.tensor([1, 2])
    assert chance_value(labels_1, labels_2).item() == pytest.approx(math.log(3))
    assert chance_value(labels_1, labels_2, reduction="per_anchor").item() == pytest.approx(math.log(2))


def test_chance_value_is_nan_without_a_positive_pair():
    labels_1, labels_2 = torch.tensor([0, 1]), torch.tensor([0, 2])
    assert chance_value(labels_1, labels_2).isnan()
    assert chance_value(labels_1, labels_2, reduction="per_anchor").isnan()
    assert not has_positive_pair(labels_1, labels_2)
    assert has_positive_pair(labels_1, labels_1)


@pytest.mark.parametrize("reduction", ["global", "per_anchor"])
def test_length_of_an_embedding_does_not_matter(reduction):
    z_1, z_2 = draw(7, 5), draw(5, 5, seed=1)
    lengths = torch.rand(7, 1, dtype=torch.float64) * 100 + 0.01
    torch.testing.assert_close(
        label_consistency_loss(z_1 * lengths, z_2 / 7, LABELS_1, LABELS_2, reduction=reduction),
        label_consistency_loss(z_1, z_2, LABELS_1, LABELS_2, reduction=reduction),
    )


@pytest.mark.parametrize("reduction", ["global", "per_anchor"])
def test_background_pairs_do_not_change_label_loss(reduction):
    labels_1, labels_2 = torch.tensor([0, 0, 1]), torch.tensor([0, 0, 1])
    # Background of patch 1 is orthogonal to the organ of patch 2: only background-background pairs see it
    # turn.
    z_1 = torch.tensor([[0.6, 0.8, 0.0], [0.8, -0.6, 0.0], [0.1, 0.2, 0.3]], dtype=torch.float64)
    z_2 = torch.eye(3, dtype=torch.float64)
    turned = z_1 * torch.tensor([[-1.0], [-1.0], [1.0]])
    losses = [label_consistency_loss(z, z_2, labels_1, labels_2, reduction=reduction) for z in (z_1, turned)]
    torch.testing.assert_close(losses[0], losses[1])


def test_background_against_organ_is_a_negative_pair():
    z_1 = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    near, far = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    labels_1, labels_2 = torch.tensor([1, 2]), torch.tensor([1, 0])
    assert label_consistency_loss(z_1, near, labels_1, labels_2) > label_consistency_loss(
        z_1, far, labels_1, labels_2
    )


@pytest.mark.parametrize("reduction", ["global", "per_anchor"])
def test_padding_changes_neither_loss_nor_gradient(reduction):
    z_1, z_2 = draw(4, 3).requires_grad_(), draw(3, 3, seed=1)
    labels_1, labels_2 = torch.tensor([1, 2, 0, 1]), torch.tensor([1, 2, 0])
    padded_1 = torch.cat([z_1.detach(), draw(2, 3, seed=2)]).requires_grad_()
    padded_2 = torch.cat([z_2, draw(1, 3, seed=3)])
    plain = label_consistency_loss(z_1, z_2, labels_1, labels_2, reduction=reduction)
    padded = label_consistency_loss(
        padded_1,
        padded_2,
        torch.cat([labels_1, torch.tensor([-1, -1])]),
        torch.cat([labels_2, torch.tensor([-1])]),
        reduction=reduction,
    )
    torch.testing.assert_close(plain, padded)
    (gradient,) = torch.autograd.grad(plain, z_1)
    (padded_gradient,) = torch.autograd.grad(padded, padded_1)
    torch.testing.assert_close(padded_gradient[:4], gradient)
    assert not padded_gradient[4:].any()


def test_global_loss_is_symmetric_in_the_two_patches():
    z_1, z_2 = draw(7, 5), draw(5, 5, seed=1)
    torch.testing.assert_close(
        label_consistency_loss(z_1, z_2, LABELS_1, LABELS_2),
        label_consistency_loss(z_2, z_1, LABELS_2, LABELS_1),
    )


@pytest.mark.parametrize("reduction", ["global", "per_anchor"])
@pytest.mark.parametrize(
    ("labels_1", "labels_2"),
    [([0, 0, 0], [0, 0]), ([1, 0, 1], [2, 0]), ([-1, -1, -1], [-1, -1]), ([1, 1, 2], [-1, -1])],
)
def test_without_a_positive_pair_the_loss_is_zero_and_so_is_its_gradient(labels_1, labels_2, reduction):
    z_1, z_2 = draw(3, 4).requires_grad_(), draw(2, 4, seed=1).requires_grad_()
    loss = label_consistency_loss(
        z_1, z_2, torch.tensor(labels_1), torch.tensor(labels_2), reduction=reduction
    )
    gradients = torch.autograd.grad(loss, (z_1, z_2))
    assert loss.item() == 0
    assert all(torch.equal(gradient, torch.zeros_like(gradient)) for gradient in gradients)


def test_without_negatives_the_global_loss_is_zero():
    z_1, z_2 = draw(3, 4).requires_grad_(), draw(2, 4, seed=1)
    loss = label_consistency_loss(z_1, z_2, torch.ones(3), torch.ones(2))
    (gradient,) = torch.autograd.grad(loss, z_1)
    assert loss.item() == 0
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)


@pytest.mark.parametrize("reduction", ["global", "per_anchor"])
def test_gradient_equals_finite_differences_and_reaches_both_patches(reduction):
    z_1, z_2 = draw(7, 3).requires_grad_(), draw(5, 3, seed=1).requires_grad_()

    def loss(a: Tensor, b: Tensor) -> Tensor:
        return label_consistency_loss(a, b, LABELS_1, LABELS_2, temperature=0.5, reduction=reduction)

    assert torch.autograd.gradcheck(loss, (z_1, z_2))
    gradients = torch.autograd.grad(loss(z_1, z_2), (z_1, z_2))
    assert all(gradient.any() for gradient in gradients)


def test_an_embedding_of_zeros_gives_a_finite_gradient():
    z_1 = torch.zeros(2, 3, requires_grad=True)
    loss = label_consistency_loss(z_1, torch.eye(3), torch.tensor([1, 2]), torch.tensor([1, 2, 0]))
    (gradient,) = torch.autograd.grad(loss, z_1)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_a_lower_temperature_punishes_a_near_negative_more():
    z_1 = torch.tensor([[1.0, 0.0]])
    z_2 = torch.tensor([[0.6, 0.8], [0.8, 0.6]])
    labels_1, labels_2 = torch.tensor([1]), torch.tensor([1, 2])
    sharp = label_consistency_loss(z_1, z_2, labels_1, labels_2, temperature=0.1)
    soft = label_consistency_loss(z_1, z_2, labels_1, labels_2, temperature=1.0)
    assert sharp.item() == pytest.approx(math.log1p(math.exp(2)), rel=1e-5)
    assert soft.item() == pytest.approx(math.log1p(math.exp(0.2)), rel=1e-5)


def test_half_precision_under_autocast_equals_the_float32_result():
    z_1, z_2 = draw(200, 16).bfloat16(), draw(150, 16, seed=1).bfloat16()
    labels_1, labels_2 = torch.arange(200) % 4, torch.arange(150) % 3
    reference = label_consistency_loss(z_1.double(), z_2.double(), labels_1, labels_2)
    with torch.autocast("cpu", torch.bfloat16):
        loss = label_consistency_loss(z_1, z_2, labels_1, labels_2)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z_2": torch.zeros(2, 4)}, r"z_1 and z_2 must be \(N, C\) and \(K, C\)"),
        ({"labels_1": torch.zeros(2)}, "one label per embedding"),
        ({"temperature": 0.0}, "temperature must be positive, got 0.0"),
        ({"reduction": "mean"}, "'global' or 'per_anchor', got 'mean'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    arguments = {
        "z_1": torch.zeros(3, 5),
        "z_2": torch.zeros(2, 5),
        "labels_1": torch.zeros(3),
        "labels_2": torch.zeros(2),
    }
    with pytest.raises(ValueError, match=message):
        label_consistency_loss(**(arguments | change))
