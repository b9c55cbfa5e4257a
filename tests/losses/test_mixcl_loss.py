from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from mixcl_auto.losses.identity_consistency import identity_consistency_loss
from mixcl_auto.losses.label_consistency import chance_value, label_consistency_loss, pair_relations
from mixcl_auto.losses.label_term import reduce_further
from mixcl_auto.losses.mixcl import MixCLTerms, mixcl_loss
from mixcl_auto.losses.mixcl_settings import MixCLSettings
from mixcl_auto.losses.mixcl_targets import MixCLTargets
from mixcl_auto.transforms.grid_reduction import reduce_to_grid

SIDE, BATCH, CHANNELS = 8, 2, (3, 4, 6)
EVERY_VOXEL = MixCLSettings(voxels_per_class=(SIDE // 2) ** 3)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def outputs(seed: int = 0, batch: int = BATCH) -> dict[str, list[Tensor] | Tensor | tuple[Tensor, ...]]:
    """Embeddings on grids 8, 4 and 2, and reconstructions."""
    grids = [SIDE >> level for level in range(3)]
    first, prime = (
        [
            draw(batch, c, n, n, n, seed=seed + 10 * view + level).requires_grad_()
            for level, (c, n) in enumerate(zip(CHANNELS, grids, strict=True))
        ]
        for view in range(2)
    )
    second = draw(batch, CHANNELS[1], grids[1], grids[1], grids[1], seed=seed + 30).requires_grad_()
    patches = tuple(draw(batch, 1, SIDE, SIDE, SIDE, seed=seed + 40 + i).requires_grad_() for i in range(3))
    return {
        "embeddings_1": first,
        "embeddings_1_prime": prime,
        "embeddings_2": [None, second, None],
        "reconstructions": patches,
    }


def targets(batch: int = BATCH, **changes: object) -> MixCLTargets:
    generator = torch.Generator().manual_seed(9)
    whole_shape, shape = (batch, 1, SIDE, SIDE, SIDE), (batch, SIDE // 2, SIDE // 2, SIDE // 2)
    whole = MixCLTargets(
        patch_1=torch.rand(whole_shape, generator=generator),
        patch_2=torch.rand(whole_shape, generator=generator),
        labels_1=torch.randint(0, 3, shape, generator=generator, dtype=torch.uint8),
        labels_2=torch.randint(0, 3, shape, generator=generator, dtype=torch.uint8),
        weights_1=torch.rand(shape, generator=generator) + 0.05,
        weights_2=torch.rand(shape, generator=generator) + 0.05,
        class_counts=[3] * batch,
        generators=[torch.Generator().manual_seed(b) for b in range(batch)],
    )
    return replace(whole, **changes)


def loss(settings: MixCLSettings = EVERY_VOXEL, **changes: object) -> MixCLTerms:
    arguments = outputs() | {"targets": targets()} | changes
    return mixcl_loss(settings=settings, **arguments)


def rows(embedding: Tensor) -> Tensor:
    """(B, C, X, Y, Z) to (M, C), voxel by voxel."""
    batch, _, x, y, z = embedding.shape
    return torch.stack(
        [embedding[b, :, i, j, k] for b in range(batch) for i in range(x) for j in range(y) for k in range(z)]
    )


def test_total_is_the_weighted_sum_of_the_terms():
    settings = replace(EVERY_VOXEL, identity_weight=2.0, label_weight=0.3, reconstruction_weight=7.0)
    terms = loss(settings)
    expected = 2.0 * terms.identity + 0.3 * terms.label + 7.0 * terms.reconstruction
    torch.testing.assert_close(terms.total, expected)
    assert all(term > 0 for term in (terms.identity, terms.label, terms.reconstruction))


@pytest.mark.parametrize("reduction", ["sum", "mean_per_channel"])
def test_identity_is_summed_over_levels_with_all_samples_voxels_together(reduction):
    output = outputs()
    terms = loss(replace(EVERY_VOXEL, identity_reduction=reduction))
    expected = [
        identity_consistency_loss(rows(z), rows(z_prime), reduction=reduction)
        for z, z_prime in zip(output["embeddings_1"], output["embeddings_1_prime"], strict=True)
    ]
    torch.testing.assert_close(torch.stack(terms.identity_per_level), torch.stack(expected))
    torch.testing.assert_close(terms.identity, torch.stack(expected).sum())


def test_diagonal_parts_are_those_of_a_loss_without_off_diagonal_weight():
    terms = loss(replace(EVERY_VOXEL, off_diagonal_weight=0.0, identity_reduction="mean_per_channel"))
    torch.testing.assert_close(terms.identity_diagonal_per_level, terms.identity_per_level)


def label_reference(output: dict, target: MixCLTargets, b: int) -> tuple[Tensor, Tensor]:
    """Eq. 6 of one sample over every voxel of the label level's grid of 4."""
    labels = [part[b].flatten().long() for part in (target.labels_1, target.labels_2)]
    z_1, z_2 = rows(output["embeddings_1"][1][b : b + 1]), rows(output["embeddings_2"][1][b : b + 1])
    relations = pair_relations(*labels)
    return label_consistency_loss(z_1, z_2, relations), chance_value(relations)


def test_label_term_is_the_mean_over_samples_that_never_mix():
    output, target = outputs(), targets()
    terms = loss()
    references = [label_reference(output, target, b) for b in range(BATCH)]
    torch.testing.assert_close(terms.label, torch.stack([value for value, _ in references]).mean())
    torch.testing.assert_close(terms.label_chance, torch.stack([chance for _, chance in references]).mean())
    assert terms.label_samples.item() == BATCH


def test_a_sample_without_positive_pair_is_left_out_of_the_mean():
    labels_1 = targets().labels_1.clone()
    labels_1[0] = 0
    target = targets(labels_1=labels_1)
    output = outputs()
    terms = mixcl_loss(settings=EVERY_VOXEL, targets=target, **output)
    expected, chance = label_reference(output, target, 1)
    torch.testing.assert_close(terms.label, expected)
    torch.testing.assert_close(terms.label_chance, chance)
    assert terms.label_samples.item() == 1
    (gradient,) = torch.autograd.grad(terms.label, output["embeddings_1"][1])
    assert not gradient[0].any()
    assert gradient[1].any()


def test_without_any_positive_pair_the_label_term_is_zero_and_counted():
    target = targets(labels_1=torch.zeros_like(targets().labels_1))
    output = outputs()
    terms = mixcl_loss(settings=EVERY_VOXEL, targets=target, **output)
    assert terms.label.item() == 0
    assert terms.label_samples.item() == 0
    assert terms.label_chance.isnan()
    gradients = torch.autograd.grad(terms.total, [output["embeddings_2"][1], *output["embeddings_1"]])
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert not gradients[0].any()


def test_classes_beyond_a_samples_count_are_not_sampled():
    terms = loss(targets=targets(class_counts=[2, 2]))
    target, output = targets(), outputs()
    values = []
    for b in range(BATCH):
        labels = [part[b].flatten().long() for part in (target.labels_1, target.labels_2)]
        labels = [torch.where(part < 2, part, -1) for part in labels]
        z_1, z_2 = rows(output["embeddings_1"][1][b : b + 1]), rows(output["embeddings_2"][1][b : b + 1])
        values.append(label_consistency_loss(z_1, z_2, pair_relations(*labels)))
    torch.testing.assert_close(terms.label, torch.stack(values).mean())


def test_sampling_follows_the_weights():
    """A voxel of 13 times the weight is drawn 13 times as often."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.ones(1, 4, 4, 4, dtype=torch.uint8)
    weights = torch.full((1, 4, 4, 4), 0.05)
    weights[..., :2] = 0.65
    # Only near voxels of patch 1 have a non-zero embedding: the gradient shows which voxels were drawn.
    z_1 = [None, torch.ones(1, 4, 4, 4, 4, dtype=torch.float64, requires_grad=True), None]
    drawn = torch.zeros(4, 4, 4)
    for _ in range(200):
        direction = torch.randn(1, 4, 4, 4, 4, generator=generator, dtype=torch.float64)
        terms = mixcl_loss(
            embeddings_1=z_1,
            embeddings_1_prime=[None] * 3,
            embeddings_2=[None, direction, None],
            reconstructions=None,
            targets=targets(
                1,
                labels_1=labels,
                labels_2=labels * (torch.rand(labels.shape, generator=generator) < 0.5),
                weights_1=weights,
                weights_2=weights,
                generators=[generator],
            ),
            settings=MixCLSettings(voxels_per_class=1, identity=False, reconstruction=False),
        )
        (gradient,) = torch.autograd.grad(terms.label, z_1[1])
        drawn += gradient[0].abs().sum(0) > 0
    near, far = drawn[..., :2].sum().item(), drawn[..., 2:].sum().item()
    assert near + far > 80
    share = 13 / 14
    deviation = (share * (1 - share) / (near + far)) ** 0.5
    assert near / (near + far) == pytest.approx(share, abs=4 * deviation)


def test_reconstruction_compares_views_1_and_1_prime_with_patch_1_and_view_2_with_patch_2():
    output, target = outputs(), targets()
    expected = [
        (reconstruction - patch).square()
        for reconstruction, patch in zip(
            output["reconstructions"], (target.patch_1, target.patch_1, target.patch_2), strict=True
        )
    ]
    torch.testing.assert_close(loss().reconstruction, torch.stack(expected).mean())
    summed = loss(replace(EVERY_VOXEL, reconstruction_reduction="sum")).reconstruction
    torch.testing.assert_close(summed, torch.stack(expected).sum() / BATCH)


def test_label_term_reaches_only_the_label_level_of_views_1_and_2():
    output = outputs()
    terms = mixcl_loss(settings=EVERY_VOXEL, targets=targets(), **output)
    tensors = [*output["embeddings_1"], *output["embeddings_1_prime"], output["embeddings_2"][1]]
    gradients = torch.autograd.grad(terms.label, tensors, allow_unused=True)
    reached = [gradient is not None and bool(gradient.any()) for gradient in gradients]
    assert reached == [False, True, False, False, False, False, True]


def test_several_label_levels_are_summed_each_on_its_own_grid():
    output, target = outputs(), targets()
    output["embeddings_2"][2] = draw(*output["embeddings_1"][2].shape, seed=77)
    alone = [
        mixcl_loss(
            settings=replace(EVERY_VOXEL, label_levels=(2,)),
            targets=targets(
                **{
                    name: getattr(target, name)[:, 1::2, 1::2, 1::2]
                    for name in ("labels_1", "labels_2", "weights_1", "weights_2")
                }
            ),
            **output,
        ),
        mixcl_loss(settings=EVERY_VOXEL, targets=targets(), **output),
    ]
    both = mixcl_loss(settings=replace(EVERY_VOXEL, label_levels=(1, 2)), targets=targets(), **output)
    assert alone[0].label > 0
    torch.testing.assert_close(both.label, alone[0].label + alone[1].label)
    torch.testing.assert_close(both.label_chance, alone[0].label_chance + alone[1].label_chance)
    assert both.label_samples.tolist() == [int(alone[1].label_samples), int(alone[0].label_samples)]
    (gradient,) = torch.autograd.grad(both.label, output["embeddings_1"][2])
    assert gradient.any()


@pytest.mark.parametrize(("finest", "level"), [(f, n) for f in range(3) for n in range(f, 5)])
def test_labels_of_a_level_are_those_at_the_centres_of_its_voxels(finest, level):
    """The loader brings a patch to the finest label level's grid, and the loss that to each level's own."""
    places = np.broadcast_to(np.arange(32)[:, None, None], (32, 32, 32))
    on_finest = torch.from_numpy(reduce_to_grid(places, [32 >> finest] * 3).copy())[None]
    taken = reduce_further(on_finest, torch.Size([32 >> level] * 3))[0, :, 0, 0]
    stride = 1 << level
    centres = torch.arange(32 >> level) * stride + (stride - 1) / 2
    assert (taken - centres).abs().max() <= 2**finest / 2  # half a voxel of the grid that it is taken from


def test_a_budget_beyond_all_voxels_and_voxels_that_are_never_drawn():
    more = replace(EVERY_VOXEL, voxels_per_class=2 * EVERY_VOXEL.voxels_per_class)
    torch.testing.assert_close(loss(more).label, loss(EVERY_VOXEL).label)
    nothing = targets(weights_1=torch.zeros_like(targets().weights_1))
    assert loss(EVERY_VOXEL, targets=nothing).label == 0


def test_a_level_too_coarse_for_any_pair_adds_nothing():
    output = outputs()
    output["embeddings_2"][2] = draw(*output["embeddings_1"][2].shape, seed=77)
    labels_1 = targets().labels_1.clone()
    labels_1[:, 1::2, 1::2, 1::2] = 0  # the voxels that level 2 takes
    two = mixcl_loss(
        settings=replace(EVERY_VOXEL, label_levels=(1, 2)), targets=targets(labels_1=labels_1), **output
    )
    one = mixcl_loss(settings=EVERY_VOXEL, targets=targets(labels_1=labels_1), **output)
    torch.testing.assert_close(two.label, one.label)
    torch.testing.assert_close(two.label_chance, one.label_chance)


def test_every_output_gets_a_gradient_from_the_total():
    output = outputs()
    terms = mixcl_loss(settings=EVERY_VOXEL, targets=targets(), **output)
    tensors = [
        *output["embeddings_1"],
        *output["embeddings_1_prime"],
        output["embeddings_2"][1],
        *output["reconstructions"],
    ]
    assert all(gradient.any() for gradient in torch.autograd.grad(terms.total, tensors))


def test_values_for_the_log_carry_no_graph():
    terms = loss()
    logged = [*terms.identity_per_level, *terms.identity_diagonal_per_level]
    assert not any(value.requires_grad for value in (*logged, terms.label_chance, terms.label_samples))
    assert all(value.requires_grad for value in (terms.identity, terms.label, terms.reconstruction))


@pytest.mark.parametrize("off", ["identity", "label", "reconstruction"])
def test_a_term_that_is_off_is_zero_and_leaves_the_others_as_they_are(off):
    everything = loss()
    unneeded: dict[str, dict[str, object]] = {
        "identity": {"embeddings_1_prime": [None] * 3},
        "label": {"embeddings_2": [None] * 3},
        "reconstruction": {"reconstructions": None},
    }
    terms = loss(replace(EVERY_VOXEL, **{off: False}), **unneeded[off])
    assert getattr(terms, off).item() == 0
    for name in {"identity", "label", "reconstruction"} - {off}:
        torch.testing.assert_close(getattr(terms, name), getattr(everything, name))
    assert bool(terms.identity_per_level) == (off != "identity")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embeddings_1": [None] * 3}, r"embeddings_1\[0\] must be given"),
        ({"embeddings_2": [None] * 3}, r"embeddings_2\[1\] must be given"),
        ({"reconstructions": None}, "reconstructions must be given"),
        ({"targets": targets(class_counts=[3])}, "one entry for each of 2 samples, got 1 and 2"),
        (
            {"targets": targets(labels_1=torch.zeros(BATCH, SIDE, SIDE, SIDE))},
            r"on the finest label level's grid \(4, 4, 4\), got \(8, 8, 8\)",
        ),
    ],
)
def test_outputs_that_a_term_misses_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        loss(**changes)


def test_an_objective_without_terms_is_refused():
    with pytest.raises(ValueError, match="at least one of identity, label and reconstruction"):
        MixCLSettings(identity=False, label=False, reconstruction=False)


def test_factored_embeddings_give_the_loss_and_gradients_of_whole_ones():
    output, target = outputs(), targets()
    heads = [draw(2 * c, c, seed=50 + c).requires_grad_() for c in CHANNELS]
    features = [*output["embeddings_1"], *output["embeddings_1_prime"], output["embeddings_2"][1]]

    def total(factored: bool) -> Tensor:
        def embed(z: Tensor, head: Tensor) -> Tensor | tuple[Tensor, Tensor]:
            return (z, head) if factored else torch.einsum("bcxyz,dc->bdxyz", z, head)

        views = output["embeddings_1"], output["embeddings_1_prime"]
        first, prime = (
            [
                embed(z, head) if level < 2 else z
                for level, (z, head) in enumerate(zip(view, heads, strict=True))
            ]
            for view in views
        )
        return mixcl_loss(
            embeddings_1=first,
            embeddings_1_prime=prime,
            embeddings_2=[None, embed(output["embeddings_2"][1], heads[1]), None],
            reconstructions=output["reconstructions"],
            targets=replace(target, generators=[torch.Generator().manual_seed(b) for b in range(BATCH)]),
            settings=MixCLSettings(voxels_per_class=5, label_weight=1.0),
        ).total

    factored, whole = total(True), total(False)
    torch.testing.assert_close(factored, whole)
    inputs = [*features, *heads[:2]]
    for got, expected in zip(
        torch.autograd.grad(factored, inputs), torch.autograd.grad(whole, inputs), strict=True
    ):
        torch.testing.assert_close(got, expected)


def test_half_precision_under_autocast_gives_the_float32_result():
    output = {
        name: [z if z is None else z.detach().bfloat16() for z in value] for name, value in outputs().items()
    }
    wide = {name: [z if z is None else z.float() for z in value] for name, value in output.items()}
    with torch.autocast("cpu", torch.bfloat16):
        half = mixcl_loss(settings=EVERY_VOXEL, targets=targets(), **output)
    full = mixcl_loss(settings=EVERY_VOXEL, targets=targets(), **wide)
    for name in ("total", "identity", "label", "reconstruction"):
        assert getattr(half, name).dtype == torch.float32
        torch.testing.assert_close(getattr(half, name), getattr(full, name), rtol=1e-6, atol=0)


def test_the_same_generators_give_the_same_loss():
    settings = MixCLSettings(voxels_per_class=3)
    assert loss(settings).label == loss(settings).label
    other = targets(generators=[torch.Generator().manual_seed(70 + b) for b in range(BATCH)])
    assert loss(settings, targets=other).label != loss(settings).label
