import re
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from mixcl_auto.errors import WeightsError
from mixcl_auto.networks.backbone import Backbone, Grid
from mixcl_auto.networks.build import build_backbone
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.networks.mixcl import MixCLNetwork
from mixcl_auto.networks.transfer import interpolate_positions, load_encoder

POSITIONS = "vit.patch_embedding.position_embeddings"


def build(
    seed: int,
    *,
    out_channels: int = 1,
    patch_size: Grid = (32, 32, 32),
    layers: int = 4,
    feature_size: int = 4,
) -> Backbone:
    return initialise(
        lambda: build_backbone(
            "unetr",
            in_channels=1,
            out_channels=out_channels,
            patch_size=patch_size,
            feature_size=feature_size,
            hidden_size=48,
            mlp_size=96,
            heads=4,
            layers=layers,
        ),
        seed,
    )


def states(network: Backbone) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def assert_unchanged(network: Backbone, before: dict[str, Tensor]) -> None:
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    "prefix", ["", "module.", "backbone.", "module._orig_mod.backbone.", "net.", "module.net."]
)
def test_a_whole_networks_weights_give_their_encoder(prefix):
    source, target = build(1), build(2, out_channels=3)
    before = states(target)
    report = load_encoder(target, {prefix + name: tensor for name, tensor in source.state_dict().items()})
    for name, tensor in target.state_dict().items():
        expected = source.state_dict()[name] if target.is_encoder_key(name) else before[name]
        assert torch.equal(tensor, expected), name
    assert set(report.loaded) == source.encoder_state_dict().keys()
    assert set(report.ignored) == source.state_dict().keys() - source.encoder_state_dict().keys()
    assert report.interpolated == ()


def test_what_is_to_be_kept_stays_as_it_was_and_is_said_to_be_ignored():
    source, target = build(1), build(2)
    before, keep = states(target), target.own_tensors(0)
    report = load_encoder(target, source.encoder_state_dict(), keep=keep)
    for name, tensor in target.encoder_state_dict().items():
        assert torch.equal(tensor, before[name] if name in keep else source.state_dict()[name]), name
    assert set(report.ignored) == keep
    assert set(report.loaded) == source.encoder_state_dict().keys() - keep


def test_a_levels_own_tensors_change_that_level_alone():
    network = build(1)
    image = torch.rand(1, 1, 32, 32, 32)
    before = network.encode(image)
    owned = [network.own_tensors(level) for level in range(5)]
    assert all(not first & second for first, second in pairwise(owned))
    for level, names in enumerate(owned):
        assert names
        changed = build(1)
        with torch.no_grad():
            for name in names:
                changed.state_dict()[name].mul_(1.5).add_(0.1)
        equal = [torch.equal(a, b) for a, b in zip(before, changed.encode(image), strict=True)]
        assert equal == [other != level for other in range(5)]


def test_a_mixcl_networks_weights_give_their_encoder():
    source, target = initialise(lambda: MixCLNetwork(build(1)), 0), build(2)
    report = load_encoder(target, source.state_dict())
    assert all(
        torch.equal(tensor, source.backbone.state_dict()[name])
        for name, tensor in target.encoder_state_dict().items()
    )
    assert any(name.startswith("projectors.") for name in report.ignored)


def test_the_source_is_not_changed_by_later_training():
    source, target = build(1), build(2)
    load_encoder(target, source.state_dict())
    before = states(source)
    with torch.no_grad():
        for parameter in target.parameters():
            parameter.add_(1)
    assert_unchanged(source, before)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda state: state.pop("encoder3.transp_conv_init.conv.weight"), r"1 missing: encoder3\.transp"),
        (lambda state: state.clear(), r"\d+ missing: .*, \.\.\."),
        (
            lambda state: state.update({"vit.norm.weight": torch.zeros(47)}),
            r"1 of another shape: vit\.norm\.weight \(47,\) instead of \(48,\)",
        ),
        (lambda state: state.update({POSITIONS: torch.zeros(1, 8, 47)}), "1 of another shape: vit.patch_emb"),
        (lambda state: state.update({"vit.cls_token": torch.zeros(1)}), r"1 not in this network .*cls_token"),
        (lambda state: state["vit.norm.bias"].fill_(torch.nan), "1 not finite: vit.norm.bias"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_change_nothing(edit, message):
    state, target = states(build(1)), build(2)
    before = states(target)
    edit(state)
    with pytest.raises(WeightsError, match=message):
        load_encoder(target, state)
    assert_unchanged(target, before)


def test_weights_of_another_size_are_refused_with_the_remedy():
    target = build(2)
    with pytest.raises(WeightsError, match=r"of another shape: .*feature size, hidden size and layers"):
        load_encoder(target, build(1, feature_size=8).state_dict())


def test_weights_of_a_deeper_encoder_are_refused():
    with pytest.raises(WeightsError, match=r"not in this network \(a deeper encoder\?\): vit\.blocks\.4"):
        load_encoder(build(2), build(1, layers=8).state_dict())


def test_position_embedding_is_interpolated_for_another_patch_size():
    source, target = build(1), build(2, patch_size=(48, 32, 64))
    report = load_encoder(target, source.state_dict())
    assert report.interpolated == (POSITIONS,)
    expected = interpolate_positions(source.state_dict()[POSITIONS], (2, 2, 2), (3, 2, 4))
    assert torch.equal(target.state_dict()[POSITIONS], expected)
    assert target(torch.rand(1, 1, 48, 32, 64)).isfinite().all()


def test_a_grid_tells_apart_patches_with_as_many_tokens():
    source, target = build(1, patch_size=(32, 32, 64)), build(2, patch_size=(64, 32, 32))
    assert load_encoder(target, source.state_dict()).interpolated == ()
    assert load_encoder(target, source.state_dict(), position_grid=(2, 2, 4)).interpolated == (POSITIONS,)


def test_a_source_grid_that_cannot_be_guessed_is_asked_for():
    source, target = build(1, patch_size=(32, 32, 48)), build(2)
    with pytest.raises(
        WeightsError, match=r"12 tokens .* form no cube.*set network\.patch_size.*spatial_shape"
    ):
        load_encoder(target, source.state_dict())
    assert load_encoder(target, source.state_dict(), position_grid=(2, 2, 3)).interpolated == (POSITIONS,)


@pytest.mark.parametrize("grid", [(2, 2, 3), (-2, -2, 2)])
def test_a_grid_that_does_not_hold_the_tokens_is_refused(grid):
    with pytest.raises(WeightsError, match=rf"grid {re.escape(str(grid))} does not hold the 8 tokens"):
        load_encoder(build(2), build(1).state_dict(), position_grid=grid)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floating_point_numbers_of_other_sizes_are_taken(dtype):
    source, target = build(1), build(2)
    load_encoder(target, {name: tensor.to(dtype) for name, tensor in source.state_dict().items()})
    for name, tensor in target.encoder_state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name].to(dtype).float()), name


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_numbers_of_other_kinds_are_refused(dtype):
    source, target = build(1).state_dict(), build(2, patch_size=(48, 32, 32))
    before = states(target)
    with pytest.raises(WeightsError, match=rf"72 of the encoder's tensors .* \({dtype}\).* as float32"):
        load_encoder(target, {name: tensor.to(dtype) for name, tensor in source.items()})
    assert_unchanged(target, before)
    decoder = {name: tensor.to(dtype) for name, tensor in source.items() if not target.is_encoder_key(name)}
    load_encoder(target, source | decoder)


def test_tensors_of_one_name_are_refused():
    source = build(1).state_dict()
    with pytest.raises(WeightsError, match=r"two tensors .*'vit\.norm\.bias', one of them as 'module\.vit"):
        load_encoder(build(2), source | {"module.vit.norm.bias": torch.zeros(48)})


def test_a_part_of_the_encoder_is_no_prefix():
    source = {name: tensor for name, tensor in build(1).state_dict().items() if name.startswith("vit.")}
    report = load_encoder(build(2), source)
    assert set(report.loaded) == set(source)


def test_interpolation_keeps_constants_and_follows_a_gradient_along_each_axis():
    ramp = torch.arange(4.0)
    volume = torch.stack(
        [
            torch.full((4, 4, 4), 7.0),
            ramp[:, None, None].expand(4, 4, 4),
            ramp[None, :, None].expand(4, 4, 4),
            ramp[None, None, :].expand(4, 4, 4),
        ],
        dim=-1,
    )
    result = interpolate_positions(volume.reshape(1, 64, 4), (4, 4, 4), (8, 2, 4)).reshape(8, 2, 4, 4)
    # extents aligned: position j of n lies at (j + 1/2) * 4 / n - 1/2, and the border is held
    doubled = torch.tensor([0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0])
    torch.testing.assert_close(result[..., 0], torch.full((8, 2, 4), 7.0))
    torch.testing.assert_close(result[:, 0, 0, 1], doubled)
    torch.testing.assert_close(result[0, :, 0, 2], torch.tensor([0.5, 2.5]))
    torch.testing.assert_close(result[0, 0, :, 3], ramp)
