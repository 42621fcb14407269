"""What a pipeline of diffusers has to have in common with one of mmgen's to be compared with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from mmgen.nn.grid import GridTransformer
from mmgen.nn.residual import Downsample
from mmgen.nn.unet import UNet

__all__ = ["Shape", "kinds"]

_PIXART_TOKENS, _PIXART_DEPTH, _PIXART_HEADS = 64, 5, 4


@dataclass(frozen=True)
class Shape:
    """What a reference has in common with the pipeline of mmgen.

    Args:
        size: Side of the images.
        factor: How many times smaller the latent image is.
        patch_size: Side of the patches of the latent image, for "pixart".
        dim: Width, for "pixart".
        depth: Number of blocks, for "pixart".
        num_heads: Attention heads, for "pixart".
        widths: Channels at each level, for "unet".
        blocks: Residual blocks per level, for "unet".
        attends: Which levels have attention, for "unet".
        head_dim: Features per head, for "unet".
        token_dim: Width of the text's tokens.
        num_tokens: Least number of tokens of the text.
        num_steps: Steps.
        guidance_scale: Above 1.
    """

    size: int
    factor: int
    patch_size: int
    dim: int
    depth: int
    num_heads: int
    widths: Sequence[int]
    blocks: int
    attends: Sequence[bool]
    head_dim: int
    token_dim: int
    num_tokens: int
    num_steps: int
    guidance_scale: float

    @classmethod
    def like(cls, network: nn.Module, *, kind: str, **common: Any) -> Shape:
        """That of a network.

        Args:
            network: A UNet or a GridTransformer.
            kind: "unet" or "pixart".
            common: size, num_tokens, num_steps and guidance_scale.
        """
        own: dict[str, Any] = {"token_dim": network.condition.token_dim, **_NO_UNET, **common}
        if kind == "unet":
            own |= {"factor": network.patch_size, "patch_size": 1, **_NO_PIXART, **_levels(network)}
            return cls(**own)
        if isinstance(network, GridTransformer):
            blocks = network.transformer.blocks
            tokens_a_side = common["size"] // network.patch_size
            own |= {"dim": network.embed.out_features, "depth": len(blocks)}
            own["num_heads"] = blocks[0].attention.num_heads
        else:
            tokens_a_side = min(math.isqrt(_PIXART_TOKENS), common["size"] // 2)
            own |= {"dim": _closest_width(network), "depth": _PIXART_DEPTH}
            own["num_heads"] = _PIXART_HEADS
        # Patches of two, as PixArt has them.
        return cls(patch_size=2, factor=common["size"] // (2 * tokens_a_side), **own)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


_NO_UNET: dict[str, Any] = {"widths": (), "blocks": 0, "attends": (), "head_dim": 0}
_NO_PIXART: dict[str, Any] = {"dim": 0, "depth": 0, "num_heads": 0}


def kinds(network: nn.Module) -> tuple[str, ...]:
    """The references that a network has."""
    return ("unet", "pixart") if isinstance(network, UNet) else ("pixart",)


def _levels(network: UNet) -> dict[str, Any]:
    """Widths, blocks and attention of each level of a U-Net."""
    levels: list[list[Any]] = [[]]
    for step in network.down:
        if isinstance(step, Downsample):
            levels.append([])
        else:
            levels[-1].append(step)
    attention = network.middle[0].attention.attention
    return {
        "widths": tuple(level[0].block.conv_out.out_channels for level in levels),
        "blocks": len(levels[0]),
        "attends": tuple(level[0].attention is not None for level in levels),
        "head_dim": attention.query_norm.normalized_shape[0],
    }


def _closest_width(network: nn.Module) -> int:
    """The width of a PixArt transformer of about as many parameters, a multiple of 32."""
    count = sum(p.numel() for p in network.parameters())
    # In widths squared: four of a block's self-attention, about three of its cross-attention, eight
    # of its feed-forward part; and about eight of time and modulation.
    return max(32, 32 * round(math.sqrt(count / (15 * _PIXART_DEPTH + 8)) / 32))
