import pytest
import torch
from monai.networks import nets
from monai.networks.nets.vit import ViT

from mixcl_auto.errors import PlanError
from mixcl_auto.networks.build import build_backbone
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.networks.unetr import UNETR

TINY = {"feature_size": 4, "hidden_size": 48, "mlp_size": 96, "heads": 4}


def build(layers: int = 4, patch_size: tuple[int, int, int] = (32, 32, 32), out_channels: int = 3) -> UNETR:
    return initialise(
        lambda: UNETR(in_channels=1, out_channels=out_channels, patch_size=patch_size, layers=layers, **TINY),
        0,
    )


def monai_twin(layers: int, patch_size: tuple[int, int, int] = (32, 32, 32)) -> nets.UNETR:
    twin = nets.UNETR(1, 3, patch_size, feature_size=4, hidden_size=48, mlp_dim=96, num_heads=4)
    if layers != 12:
        twin.vit = ViT(1, patch_size, (16, 16, 16), 48, 96, num_layers=layers, num_heads=4)
    return twin


def test_weights_and_outputs_are_monais_at_12_layers_both_ways():
    ours, theirs = build(12).double().eval(), monai_twin(12).double().eval()
    image = torch.rand(2, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(ours(image), theirs(image), rtol=0, atol=1e-12)
    theirs = monai_twin(12).double().eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(ours(image), theirs(image), rtol=0, atol=1e-12)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_gradients_are_monais(memory_format):
    ours, theirs = build(12).double(), monai_twin(12).double()
    theirs.load_state_dict(ours.state_dict())
    ours = ours.to(memory_format=memory_format)
    image = torch.rand(2, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for network in (ours, theirs):
        network(image).square().mean().backward()
    expected = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-8, atol=1e-12, msg=name)
    assert sum(parameter.grad is not None for parameter in ours.parameters()) > 100


@pytest.mark.parametrize("layers", [4, 8])
def test_weights_fit_a_monai_unetr_with_a_vit_of_the_same_depth(layers):
    ours, theirs = build(layers, (32, 16, 48)), monai_twin(layers, (32, 16, 48))
    theirs.load_state_dict(ours.state_dict(), strict=True)
    ours.load_state_dict(theirs.state_dict(), strict=True)


@pytest.mark.parametrize(("layers", "taps"), [(4, (1, 2, 3)), (8, (2, 4, 6)), (12, (3, 6, 9))])
def test_levels_come_from_the_quarters_of_the_vit(layers, taps):
    network = build(layers).eval()
    image = torch.rand(1, 1, 32, 32, 32)
    with torch.no_grad():
        tokens, hidden = network.vit(image)
        maps = network.encode(image)
        expected = [
            network.encoder1(image),
            *(
                block(hidden[tap].transpose(1, 2).reshape(1, 48, 2, 2, 2))
                for block, tap in zip(
                    (network.encoder2, network.encoder3, network.encoder4), taps, strict=True
                )
            ),
            tokens.transpose(1, 2).reshape(1, 48, 2, 2, 2),
        ]
    for got, want in zip(maps, expected, strict=True):
        torch.testing.assert_close(got, want)


def test_declared_levels_are_those_of_the_maps():
    network = build(patch_size=(32, 16, 48))
    with torch.no_grad():
        maps = network.encode(torch.rand(2, 1, 32, 16, 48))
    assert [(2, level.channels, *level.grid) for level in network.levels] == [tuple(m.shape) for m in maps]
    assert network.levels[1].grid == (16, 8, 24)


def test_full_size_levels_are_those_of_the_paper():
    with torch.device("meta"):
        network = UNETR(in_channels=1, out_channels=1, patch_size=(96, 96, 96))
    assert [(level.channels, level.grid[0]) for level in network.levels] == [
        (16, 96),
        (32, 48),
        (64, 24),
        (128, 12),
        (768, 6),
    ]
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(92.8e6, rel=1e-3)


def test_a_batch_gives_what_its_samples_give_alone():
    network = build().eval()
    images = torch.rand(3, 1, 32, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            network(images), torch.cat([network(image[None]) for image in images]), rtol=1e-4, atol=1e-5
        )


def test_every_trained_parameter_gets_a_gradient_and_every_frozen_one_none():
    network = build()
    network(torch.rand(1, 1, 32, 32, 32)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    frozen = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    assert len(frozen) == 2 * 4
    assert all("norm_cross_attn" in name for name in frozen)


@pytest.mark.parametrize("levels", [[0], [1], [2], [3], [4], [0, 2], [0, 1, 2, 3, 4]])
@pytest.mark.parametrize("layers", [4, 8])
def test_levels_feed_on_exactly_the_parameters_that_get_a_gradient(levels, layers):
    network = build(layers)
    maps = network.encode(torch.rand(1, 1, 32, 32, 32))
    sum((maps[level] * torch.randn_like(maps[level])).sum() for level in levels).backward()
    for name, parameter in network.named_parameters():
        assert network.feeds(name, levels=levels, decoder=False) == (parameter.grad is not None), name


def test_the_encoder_is_the_vit_and_four_blocks():
    network = build()
    state = network.encoder_state_dict()
    assert {name.split(".")[0] for name in state} == {"vit", "encoder1", "encoder2", "encoder3", "encoder4"}
    decoder = {name for name in network.state_dict() if name.startswith(("decoder", "out."))}
    assert state.keys() | decoder == network.state_dict().keys()
    trained = {id(parameter) for parameter in network.encoder_parameters()}
    assert trained == {
        id(parameter)
        for name, parameter in network.named_parameters()
        if name in state and "norm_cross_attn" not in name
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch_size": (32, 32, 40)}, r"patch_size must be three multiples of 16, got \(32, 32, 40\)"),
        ({"patch_size": (32, 0, 32)}, "three multiples of 16"),
        ({"heads": 5}, "hidden_size must be a multiple of network.heads, got 48 and 5"),
        ({"layers": 6}, "layers must be a multiple of 4, since UNETR takes maps after each quarter, got 6"),
        ({"layers": 0}, "layers must be a multiple of 4"),
        ({"name": "unet"}, "backbone must be one of unetr, got 'unet'"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change, message):
    arguments = {
        "name": "unetr",
        "in_channels": 1,
        "out_channels": 2,
        "patch_size": (32, 32, 32),
        "layers": 4,
        **TINY,
    }
    with pytest.raises(PlanError, match=message):
        build_backbone(**(arguments | change))
