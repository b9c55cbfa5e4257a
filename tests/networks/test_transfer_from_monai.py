"""Weights of MONAI's networks and versions compute in ours what they compute there."""

import pytest
import torch
from monai.networks import nets
from torch import Tensor

from mixcl_auto.errors import WeightsError
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.networks.transfer import load_encoder, token_grid
from mixcl_auto.networks.unetr import UNETR

PATCH = (32, 48, 16)
SIZES = {"hidden_size": 48, "mlp_dim": 96, "num_heads": 4}


def ours(layers: int = 12, channels: int = 1) -> UNETR:
    return initialise(
        lambda: UNETR(
            in_channels=channels,
            out_channels=2,
            patch_size=PATCH,
            feature_size=4,
            hidden_size=48,
            mlp_size=96,
            heads=4,
            layers=layers,
        ),
        5,
    ).eval()


def their_unetr(channels: int = 1, proj_type: str = "conv") -> nets.UNETR:
    return initialise(
        lambda: nets.UNETR(channels, 3, PATCH, feature_size=4, proj_type=proj_type, **SIZES), 1
    ).eval()


def their_vit(kind: type, **others: object) -> torch.nn.Module:
    patch = {"patch_size": (16, 16, 16), "num_layers": 4}
    return initialise(lambda: kind(in_channels=1, img_size=PATCH, **patch, **SIZES, **others), 1).eval()


def image(channels: int = 1) -> Tensor:
    return torch.rand(2, channels, *PATCH, generator=torch.Generator().manual_seed(2))


def assert_same_maps(mine: UNETR, theirs: nets.UNETR, given: Tensor) -> None:
    with torch.no_grad():
        tokens, hidden = theirs.vit(given)
        expected = [
            theirs.encoder1(given),
            *(getattr(theirs, f"encoder{n}")(theirs.proj_feat(hidden[3 * (n - 1)])) for n in (2, 3, 4)),
            theirs.proj_feat(tokens),
        ]
        for found, wanted in zip(mine.encode(given), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_perceptron_embedding_computes_the_same_as_a_convolution(channels: int) -> None:
    mine, theirs = ours(channels=channels), their_unetr(channels, "perceptron")
    report = load_encoder(mine, theirs.state_dict())
    assert_same_maps(mine, theirs, image(channels))
    assert "vit.patch_embedding.patch_embeddings.weight" in report.loaded
    assert report.kept == ()
    assert all(name.startswith(("decoder", "out.")) for name in report.ignored)


def without_norms(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if "norm_cross_attn" not in name}


def with_cross_attention(state: dict[str, Tensor]) -> dict[str, Tensor]:
    extra = {f"vit.blocks.{block}.cross_attn.to_q.weight": torch.ones(48, 48) for block in range(12)}
    return {**state, **extra}


def of_2021(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**without_norms(state), "vit.patch_embedding.cls_token": torch.zeros(1, 1, 48)}


def in_parallel(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize("edit", [without_norms, with_cross_attention, of_2021, in_parallel])
@pytest.mark.parametrize("proj_type", ["conv", "perceptron"])
def test_keys_of_other_versions_are_understood(edit, proj_type: str) -> None:
    mine, theirs = ours(), their_unetr(proj_type=proj_type)
    report = load_encoder(mine, edit(theirs.state_dict()))
    assert_same_maps(mine, theirs, image())
    assert set(report.loaded) <= mine.encoder_state_dict().keys()


def test_only_what_came_from_the_source_counts_as_loaded() -> None:
    report = load_encoder(ours(), without_norms(their_unetr().state_dict()))
    assert not any("norm_cross_attn" in name for name in report.loaded)
    dropped = load_encoder(ours(), of_2021(their_unetr().state_dict())).ignored
    assert "vit.patch_embedding.cls_token" in dropped


@pytest.mark.parametrize(
    ("kind", "others"),
    [
        (nets.ViT, {"proj_type": "conv"}),
        (nets.ViT, {"proj_type": "perceptron"}),
        (nets.ViTAutoEnc, {"proj_type": "conv"}),
    ],
)
def test_a_vit_alone_gives_the_vit_and_leaves_the_convolutions(kind: type, others: dict[str, str]) -> None:
    mine, theirs = ours(layers=4), their_vit(kind, **others)
    before = {name: tensor.clone() for name, tensor in mine.state_dict().items()}
    report = load_encoder(mine, theirs.state_dict())
    with torch.no_grad():
        tokens, hidden = mine.vit(image())
        embedded = theirs.patch_embedding(image())
        for block in theirs.blocks:
            embedded = block(embedded)
        torch.testing.assert_close(hidden[-1], embedded, rtol=0, atol=1e-5)
        torch.testing.assert_close(tokens, theirs.norm(embedded), rtol=0, atol=1e-5)
    assert {name.split(".")[0] for name in report.kept} == {"encoder1", "encoder2", "encoder3", "encoder4"}
    assert set(report.loaded) | set(report.kept) == mine.encoder_state_dict().keys()
    assert all(torch.equal(mine.state_dict()[name], before[name]) for name in report.kept)


def test_a_vit_without_a_block_is_refused() -> None:
    state = {name: tensor for name, tensor in their_vit(nets.ViT).state_dict().items() if ".3." not in name}
    with pytest.raises(WeightsError, match=r"\d+ missing: vit\.blocks\.3"):
        load_encoder(ours(layers=4), state)


def test_a_unetr_without_one_of_its_convolutions_is_no_vit_alone() -> None:
    state = {n: tensor for n, tensor in their_unetr().state_dict().items() if not n.startswith("encoder2.")}
    with pytest.raises(WeightsError, match=r"\d+ missing: encoder2\."):
        load_encoder(ours(), state)


def test_a_perceptron_of_other_channels_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"missing: vit\.patch_embedding"):
        load_encoder(ours(channels=1), their_unetr(channels=2, proj_type="perceptron").state_dict())


def test_a_vit_that_is_there_twice_is_refused() -> None:
    state = their_vit(nets.ViT).state_dict()
    with pytest.raises(WeightsError, match=r"two tensors of the weights are 'vit\.norm\.bias'"):
        load_encoder(ours(layers=4), {"vit.norm.bias": torch.zeros(48), **state})


def test_an_embedding_of_both_kinds_is_refused() -> None:
    state = their_unetr(proj_type="perceptron").state_dict() | {
        "vit.patch_embedding.patch_embeddings.weight": torch.zeros(48, 1, 16, 16, 16)
    }
    with pytest.raises(WeightsError, match=r"2 not in this network.*patch_embeddings\.1\.bias"):
        load_encoder(ours(), state)


def test_weights_of_another_architecture_are_refused() -> None:
    with pytest.raises(WeightsError, match="do not fit this encoder"):
        load_encoder(ours(), nets.UNet(3, 1, 2, (4, 8), (2,)).state_dict())


def test_token_grid_counts_tokens_of_16_voxels() -> None:
    assert token_grid((96, 64, 32)) == (6, 4, 2)
