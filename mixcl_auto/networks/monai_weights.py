"""UNETR and ViT weights of other MONAI versions and models, under the names and shapes of today's UNETR."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from mixcl_auto.errors import WeightsError

_EMBEDDING = "vit.patch_embedding.patch_embeddings"
_VIT_PARTS = re.compile(r"^(?:patch_embedding|blocks|norm)\.")
_DROPPED = re.compile(r"^vit\.(?:blocks\.\d+\.cross_attn\.|patch_embedding\.cls_token$)")
_UNUSED = re.compile(r"^vit\.blocks\.\d+\.norm_cross_attn\.")


@dataclass(frozen=True)
class MonaiWeights:
    """Tensors by today's names.

    Attributes:
        tensors: all that were given, but for ``dropped``.
        dropped: what no network of today has or calls: attention across images, and the class token that the
            patch embedding of 2021 had.
        unused: tensors of the encoder that may be missing, since no output depends on them.
        absent: those that may be missing because the source is a ViT alone (MONAI's ``ViT`` or
            ``ViTAutoEnc``, as its tutorials pre-train).
    """

    tensors: dict[str, Tensor]
    dropped: tuple[str, ...]
    unused: frozenset[str]
    absent: frozenset[str]


def renamed(state_dict: Mapping[str, Tensor], spell: Callable[[str], str]) -> dict[str, Tensor]:
    """Tensors by other names.

    Raises:
        WeightsError: if two get the same name.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in state_dict.items():
        if spell(name) in tensors:
            raise WeightsError(
                f"two tensors of the weights are {spell(name)!r}, one of them as {name!r}; save those of one "
                "network alone"
            )
        tensors[spell(name)] = tensor
    return tensors


def current_form(state_dict: Mapping[str, Tensor], encoder: Mapping[str, Tensor]) -> MonaiWeights:
    """Rename and reshape what MONAI saved otherwise; all else stays as it is, to be judged with the rest.

    Args:
        state_dict: of any origin.
        encoder: the encoder's tensors as the network has them.

    Raises:
        WeightsError: if two tensors get the same name.
    """
    named = _under_vit(state_dict)
    dropped = tuple(name for name in named if _DROPPED.match(name))
    tensors = {name: tensor for name, tensor in named.items() if name not in dropped}
    _convolve_perceptron(tensors, encoder)
    is_vit_alone = f"{_EMBEDDING}.weight" in tensors and not any(
        name in encoder and not name.startswith("vit.") for name in tensors
    )
    absent = frozenset(name for name in encoder if is_vit_alone and not name.startswith("vit."))
    return MonaiWeights(tensors, dropped, frozenset(filter(_UNUSED.match, encoder)), absent)


def _under_vit(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The names of a ViT alone, as a part of UNETR."""
    if not any(name.startswith("patch_embedding.") for name in state_dict):
        return dict(state_dict)
    return renamed(state_dict, lambda name: f"vit.{name}" if _VIT_PARTS.match(name) else name)


def _convolve_perceptron(tensors: dict[str, Tensor], encoder: Mapping[str, Tensor]) -> None:
    """Turn the linear layer of a "perceptron" patch embedding into the convolution that computes the same.

    It takes a token's voxels in the order (x, y, z, channel), a convolution's kernel is (channel, x, y, z).
    """
    weight, kernel = tensors.get(f"{_EMBEDDING}.1.weight"), encoder.get(f"{_EMBEDDING}.weight")
    if weight is None or kernel is None or f"{_EMBEDDING}.weight" in tensors:
        return
    if weight.ndim != 2 or weight.shape[1] != kernel[0].numel():
        return
    channels, *sides = kernel.shape[1:]
    blocks = weight.reshape(len(weight), *sides, channels)
    tensors[f"{_EMBEDDING}.weight"] = blocks.permute(0, 4, 1, 2, 3).contiguous()
    del tensors[f"{_EMBEDDING}.1.weight"]
    if (bias := tensors.pop(f"{_EMBEDDING}.1.bias", None)) is not None:
        tensors[f"{_EMBEDDING}.bias"] = bias
