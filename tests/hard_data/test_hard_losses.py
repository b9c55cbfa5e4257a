"""Every loss on batches that no sound data give: finite values, finite gradients, skipped samples counted."""

import math
from collections.abc import Callable
from functools import partial

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixcl_auto.finetuning.segmentation_loss import SegmentationLoss
from mixcl_auto.losses.embeddings import Embedding
from mixcl_auto.losses.mixcl import MixCLTerms, mixcl_loss
from mixcl_auto.losses.mixcl_settings import MixCLSettings
from mixcl_auto.losses.mixcl_targets import MixCLTargets
from mixcl_auto.pretraining.pool_segmentation import PoolSegmentationLoss
from mixcl_auto.transforms.weight_map import distance_table, weight_map

GRIDS = ((4, 2, 2), (2, 1, 1))
CHANNELS = (3, 4)
PATCH = (8, 4, 4)
CLASSES = 3
MAGNITUDES = {torch.float32: (0.0, 1e-30, 1e-8, 1.0, 1e6, 1e12), torch.bfloat16: (0.0, 1e-30, 1.0, 1e6)}
quick = partial(settings, max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

Maker = Callable[[torch.Generator, tuple[int, ...]], Tensor]


def noise(generator: torch.Generator, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=generator)


def constant(generator: torch.Generator, shape: tuple[int, ...]) -> Tensor:
    return torch.ones(shape)


def nearly_constant(generator: torch.Generator, shape: tuple[int, ...]) -> Tensor:
    """A mean of one, and a deviation at float32's rounding."""
    return 1 + 1e-7 * torch.randn(shape, generator=generator)


def one_dead_channel(generator: torch.Generator, shape: tuple[int, ...]) -> Tensor:
    values = torch.randn(shape, generator=generator)
    values[:, 0] = 0.25
    return values


def one_voxel_alone(generator: torch.Generator, shape: tuple[int, ...]) -> Tensor:
    values = torch.zeros(shape)
    values.view(*shape[:2], -1)[..., -1] = 1.0
    return values


def scattered(generator: torch.Generator, batch: int) -> Tensor:
    return torch.randint(0, CLASSES, (batch, *GRIDS[1]), generator=generator, dtype=torch.uint8)


def background(generator: torch.Generator, batch: int) -> Tensor:
    return torch.zeros((batch, *GRIDS[1]), dtype=torch.uint8)


def one_class(generator: torch.Generator, batch: int) -> Tensor:
    return torch.full((batch, *GRIDS[1]), 1, dtype=torch.uint8)


def one_voxel(generator: torch.Generator, batch: int) -> Tensor:
    labels = torch.zeros((batch, *GRIDS[1]), dtype=torch.uint8)
    labels[:, 0, 0, 0] = 2
    return labels


MAPS: tuple[Maker, ...] = (noise, constant, nearly_constant, one_dead_channel, one_voxel_alone)
LABELS = (scattered, background, one_class, one_voxel)
WEIGHTS = (
    0.0,
    torch.finfo(torch.float32).tiny,
    float(weight_map(distance_table()).min()),
    float(weight_map(distance_table()).max()),
    torch.finfo(torch.float32).max,
)
"""W of a patch: none at all, the smallest and largest of Eq. 7, and what float32 can hold."""


@st.composite
def batches(draw: st.DrawFn) -> dict[str, object]:
    """The arguments of ``mixcl_loss`` but for its settings."""
    batch = draw(st.integers(1, 3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    dtype = draw(st.sampled_from(list(MAGNITUDES)))
    magnitude = draw(st.sampled_from(MAGNITUDES[dtype]))
    make, make_labels = draw(st.sampled_from(MAPS)), [draw(st.sampled_from(LABELS)) for _ in range(2)]
    identical, factored = draw(st.booleans()), draw(st.booleans())

    def embeddings(level: int) -> Embedding:
        values = (make(generator, (batch, CHANNELS[level], *GRIDS[level])) * magnitude).to(dtype)
        values.requires_grad_()
        if not factored:
            return values
        head = torch.randn(5, CHANNELS[level], generator=generator).to(dtype).requires_grad_()
        return values, head

    first = [embeddings(level) for level in range(2)]
    prime = first if identical else [_with_head_of(embeddings(level), first[level]) for level in range(2)]
    image = torch.full((batch, 1, *PATCH), draw(st.sampled_from((0.0, 1.0))))
    pictures = tuple((make(generator, image.shape) * magnitude).to(dtype).requires_grad_() for _ in range(3))
    weights = [torch.full((batch, *GRIDS[1]), draw(st.sampled_from(WEIGHTS))) for _ in range(2)]
    targets = MixCLTargets(
        patch_1=image,
        patch_2=image,
        labels_1=make_labels[0](generator, batch),
        labels_2=make_labels[1](generator, batch),
        weights_1=weights[0],
        weights_2=weights[1],
        class_counts=[CLASSES] * batch,
        generators=[torch.Generator().manual_seed(b) for b in range(batch)],
    )
    return {
        "embeddings_1": first,
        "embeddings_1_prime": prime,
        "embeddings_2": [None, _with_head_of(embeddings(1), first[1])],
        "reconstructions": pictures,
        "targets": targets,
    }


def _with_head_of(embedding: Embedding, other: Embedding) -> Embedding:
    """The embedding seen by the other's projector, as all views are."""
    if isinstance(embedding, tuple) and isinstance(other, tuple):
        return embedding[0], other[1]
    return embedding


def leaves(arguments: dict[str, object]) -> list[Tensor]:
    """Every tensor of the network's outputs, once."""
    found: dict[int, Tensor] = {}
    waiting = [value for name, value in arguments.items() if name != "targets"]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            found[id(value)] = value
        elif value is not None:
            waiting += list(value)
    return list(found.values())


def shared_organs(targets: MixCLTargets, sample: int) -> set[int]:
    """Organs of both patches that some voxel of positive weight shows."""
    seen = [
        set(labels[sample][weights[sample] > 0].tolist())
        for labels, weights in ((targets.labels_1, targets.weights_1), (targets.labels_2, targets.weights_2))
    ]
    return (seen[0] & seen[1]) - {0}


def check_finite(terms: MixCLTerms, tensors: list[Tensor]) -> None:
    for name in ("total", "identity", "label", "reconstruction"):
        assert torch.isfinite(getattr(terms, name)), name
    terms.total.backward()
    for tensor in tensors:
        assert tensor.grad is None or torch.isfinite(tensor.grad).all(), (tuple(tensor.shape), tensor.dtype)


@quick()
@given(
    batches(),
    st.sampled_from(("sum", "mean_per_channel")),
    st.sampled_from(("global", "per_anchor")),
    st.booleans(),
    st.sampled_from((0.01, 0.1, 1.0)),
)
def test_terms_and_gradients_are_finite_on_hard_batches(
    arguments: dict[str, object], identity: str, label: str, center: bool, temperature: float
) -> None:
    objective = MixCLSettings(
        label_weight=1.0,
        reconstruction_weight=1.0,
        identity_reduction=identity,
        label_reduction=label,
        center=center,
        temperature=temperature,
        voxels_per_class=2,
    )
    terms = mixcl_loss(settings=objective, **arguments)
    check_finite(terms, leaves(arguments))
    assert all(torch.isfinite(level) for level in terms.identity_per_level)


@quick()
@given(batches())
def test_a_sample_counts_in_the_label_loss_only_where_both_patches_show_an_organ(
    arguments: dict[str, object],
) -> None:
    targets = arguments["targets"]
    expected = sum(bool(shared_organs(targets, sample)) for sample in range(len(targets.labels_1)))
    terms = mixcl_loss(settings=MixCLSettings(voxels_per_class=2), **arguments)
    assert terms.label_samples.item() == expected
    assert torch.isnan(terms.label_chance) == (expected == 0)
    if expected == 0:
        assert terms.label.item() == 0


@st.composite
def segmentations(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Logits of K = 3 classes and labels."""
    batch = draw(st.integers(1, 3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    dtype = draw(st.sampled_from((torch.float32, torch.bfloat16)))
    magnitude = draw(st.sampled_from((0.0, 1e-30, 1.0, 100.0, 1e4, 1e12)))
    logits = draw(st.sampled_from(MAPS))(generator, (batch, CLASSES, *GRIDS[1])) * magnitude
    return logits.to(dtype).requires_grad_(), draw(st.sampled_from(LABELS))(generator, batch)


@quick()
@given(segmentations(), st.booleans(), st.booleans())
def test_fine_tunings_loss_and_gradient_are_finite_on_hard_batches(
    pair: tuple[Tensor, Tensor], over_batch: bool, include_background: bool
) -> None:
    logits, labels = pair
    terms = SegmentationLoss(over_batch=over_batch, include_background=include_background)(logits, labels)
    assert 0 <= terms.dice.item() <= 1 + 1e-6
    assert terms.cross_entropy.item() >= 0
    assert all(math.isfinite(term.item()) for term in terms)
    terms.loss.backward()
    assert torch.isfinite(logits.grad).all()


@quick()
@given(segmentations(), st.data())
def test_the_pools_segmentation_loss_and_gradient_are_finite_and_only_the_own_head_learns(
    pair: tuple[Tensor, Tensor], data: st.DataObject
) -> None:
    """A pool of two datasets: CLASSES classes, and background alone."""
    logits, labels = pair
    number = [data.draw(st.integers(0, 1)) for _ in labels]
    of_first = torch.tensor(number)[:, None, None, None] == 0
    both = torch.cat([logits.detach(), logits.detach()[:, :1]], 1).requires_grad_()
    terms = PoolSegmentationLoss([CLASSES, 1], device=torch.device("cpu"))(both, labels * of_first, number)
    assert all(math.isfinite(term.item()) for term in terms)
    terms.loss.backward()
    assert torch.isfinite(both.grad).all()
    for gradient, dataset in zip(both.grad, number, strict=True):
        other = gradient[CLASSES:] if dataset == 0 else gradient[:CLASSES]
        assert not other.any()
