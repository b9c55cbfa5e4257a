import itertools

import pytest
import torch
from torch import Tensor

from mixcl_auto.errors import PlanError
from mixcl_auto.losses.mixcl import MixCLTerms, mixcl_loss
from mixcl_auto.losses.mixcl_settings import MixCLSettings
from mixcl_auto.losses.mixcl_targets import MixCLTargets
from mixcl_auto.networks.backbone import Backbone, Grid
from mixcl_auto.networks.build import build_backbone
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.networks.mixcl import FactoredEmbedding, MixCLNetwork, MixCLOutput

ARMS = [
    dict(zip(("identity", "label", "reconstruction"), switches, strict=True))
    for switches in itertools.product([True, False], repeat=3)
    if any(switches)
]


def backbone(patch_size: Grid = (32, 32, 32)) -> Backbone:
    return build_backbone(
        "unetr",
        in_channels=1,
        out_channels=1,
        patch_size=patch_size,
        feature_size=4,
        hidden_size=48,
        mlp_size=96,
        heads=4,
        layers=4,
    )


def build(**options: bool | int) -> MixCLNetwork:
    return initialise(lambda: MixCLNetwork(backbone(), **options), 0)


def views(batch: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    first, prime, second = (torch.rand(batch, 1, 32, 32, 32, generator=generator) for _ in range(3))
    return first, prime, second


def dense(embedding: Tensor | FactoredEmbedding | None) -> Tensor:
    assert embedding is not None
    return embedding.dense() if isinstance(embedding, FactoredEmbedding) else embedding


def terms_of(output: MixCLOutput, **switches: bool | int) -> MixCLTerms:
    batch = 1
    generator = torch.Generator().manual_seed(2)
    side = 32 >> min(switches.get("label_levels", (1,)))
    labels = torch.randint(0, 3, (batch, side, side, side), generator=generator)
    target = MixCLTargets(
        patch_1=torch.rand(batch, 1, 32, 32, 32, generator=generator),
        patch_2=torch.rand(batch, 1, 32, 32, 32, generator=generator),
        labels_1=labels,
        labels_2=labels.flip(1),
        weights_1=torch.ones(labels.shape),
        weights_2=torch.ones(labels.shape),
        class_counts=[3],
        generators=[generator],
    )
    settings = MixCLSettings(voxels_per_class=8, **switches)
    return mixcl_loss(**output._asdict(), targets=target, settings=settings)


@pytest.mark.parametrize("label_level", [0, 1, 3])
def test_embeddings_are_the_projected_maps_of_each_view_alone(label_level):
    network = build(label_levels=(label_level,))
    images = views(batch=2)
    with torch.no_grad():
        output = network(*images)
        maps = [network.backbone.encode(image) for image in images]
        for level, size in enumerate(network.backbone.levels):
            projector = network.projectors[str(level)]
            for got, view_maps in zip((output.embeddings_1, output.embeddings_1_prime), maps, strict=False):
                embedding = dense(got[level])
                assert embedding.shape == (2, 2 * size.channels, *size.grid)
                torch.testing.assert_close(embedding, projector(view_maps[level]), rtol=1e-3, atol=1e-4)
        expected = network.projectors[str(label_level)](maps[2][label_level])
        torch.testing.assert_close(dense(output.embeddings_2[label_level]), expected, rtol=1e-3, atol=1e-4)


def test_reconstructions_are_the_backbones_outputs_of_each_view():
    network = build()
    images = views()
    with torch.no_grad():
        output = network(*images)
        assert output.reconstructions is not None
        for reconstruction, image in zip(output.reconstructions, images, strict=True):
            torch.testing.assert_close(reconstruction, network.backbone(image), rtol=1e-3, atol=1e-4)


def test_levels_with_many_voxels_per_channel_stay_factored():
    network = build()
    output = network(*views())
    factored = [isinstance(embedding, FactoredEmbedding) for embedding in output.embeddings_1]
    # voxels per channel: 32768 / 4, 4096 / 8, 512 / 16, 64 / 32, 8 / 48
    assert factored == [True, True, False, False, False]
    assert isinstance(output.embeddings_2[1], FactoredEmbedding)


@pytest.mark.parametrize("switches", ARMS)
def test_exactly_the_parameters_that_an_arm_trains_get_a_gradient(switches):
    network = build(**switches)
    terms_of(network(*views()), **switches).total.backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    assert any(parameter.requires_grad for parameter in network.backbone.encoder_parameters())


@pytest.mark.parametrize("switches", ARMS)
def test_an_arms_embeddings_are_those_of_the_whole_network(switches):
    with torch.no_grad():
        network, whole = build(**switches), build()
        network.projectors.load_state_dict(
            {name: whole.projectors.state_dict()[name] for name in network.projectors.state_dict()}
        )
        arm = terms_of(network(*views()), **switches)
        reference = terms_of(whole(*views()), **switches)
    torch.testing.assert_close(arm.total, reference.total, rtol=1e-4, atol=1e-5)
    assert arm.total > 0


def test_a_recomputed_projector_gives_the_same_gradients():
    gradients = []
    for recompute in (False, True):
        network = build(recompute_level_0=recompute)
        torch.autograd.backward(terms_of(network(*views())).total)
        gradients.append({name: p.grad for name, p in network.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_a_recomputed_projector_keeps_nothing_between_its_layers():
    """What autograd keeps of level 0's size, with and without."""
    counts = []
    for recompute in (False, True):
        network, kept = build(recompute_level_0=recompute, reconstruction=False, label=False), []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, into=kept: into.append(x) or x, lambda x: x):
            network(*views())
        counts.append(sum(tensor.numel() == 2 * 4 * 32**3 for tensor in kept))
    assert counts[1] <= counts[0] - 4


def test_an_arm_has_no_projector_that_it_does_not_need():
    assert list(build(identity=False).projectors) == ["1"]
    assert list(build(identity=False, label=False).projectors) == []
    assert list(build(label=False).projectors) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("switches", "encoded"),
    [
        ({}, 3),
        ({"reconstruction": False}, 3),
        ({"identity": False, "reconstruction": False}, 2),
        ({"label": False, "reconstruction": False}, 2),
        ({"label": False}, 3),
    ],
)
def test_views_that_serve_no_term_are_not_encoded(switches, encoded, monkeypatch):
    network = build(**switches)
    batches = []
    encode = network.backbone.encode
    monkeypatch.setattr(network.backbone, "encode", lambda image: batches.append(len(image)) or encode(image))
    network(*views())
    assert batches == [encoded]


def reached(network: MixCLNetwork, parts: tuple[str, ...]) -> set[str]:
    """Those of the parts of which some parameter got a gradient."""
    return {
        part
        for part in parts
        for name, parameter in network.named_parameters()
        if part in name and parameter.grad is not None and parameter.grad.any()
    }


def test_label_term_reaches_only_what_feeds_the_label_level():
    network = build()
    terms_of(network(*views())).label.backward()
    parts = ("encoder2", "vit.blocks.0", "vit.blocks.1", "vit.patch_embedding", "projectors.1")
    assert reached(network, parts) == set(parts)
    untouched = ("encoder1", "encoder3", "encoder4", "blocks.2", "blocks.3", "vit.norm", "decoder", "out.")
    for name, parameter in network.named_parameters():
        if any(part in name for part in untouched):
            assert parameter.grad is None, name


def test_label_terms_of_coarser_levels_reach_the_deeper_blocks():
    network = build(label_levels=(1, 3))
    terms_of(network(*views()), label_levels=(1, 3)).label.backward()
    parts = ("encoder2", "encoder4", "vit.blocks.2", "projectors.1", "projectors.3")
    assert reached(network, parts) == set(parts)


def test_a_step_in_bfloat16_is_near_the_float32_step():
    network = build()
    with torch.no_grad():
        wide = terms_of(network(*views()))
        with torch.autocast("cpu", torch.bfloat16):
            output = network(*views())
        half = terms_of(output)
    for name in ("identity", "label", "reconstruction"):
        assert getattr(half, name).dtype == torch.float32
        torch.testing.assert_close(getattr(half, name), getattr(wide, name), rtol=0.1, atol=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"identity": False, "label": False, "reconstruction": False}, "at least one of identity, label"),
        ({"label_levels": (1, 5)}, "pretrain.label_level must be from 0 to 4, got 5"),
        ({"label_levels": (-1,)}, "pretrain.label_level must be from 0 to 4, got -1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(PlanError, match=message):
        build(**arguments)


def test_a_level_of_one_voxel_is_refused_where_it_is_projected():
    with pytest.raises(PlanError, match=r"patch_size \(16, 16, 16\) leaves one voxel at level 4"):
        MixCLNetwork(backbone((16, 16, 16)))
    MixCLNetwork(backbone((16, 16, 16)), identity=False)
