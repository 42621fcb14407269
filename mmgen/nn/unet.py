"""A convolutional U-Net: the network of diffusion on small images and on latents.

Going down, residual blocks at each resolution and a halving between them; going up, the same with
the features met on the way down joined on. Time and the condition vector modulate every residual
block; at the coarse levels pixels attend to each other and to the condition's tokens.

Two deviations from the paper so that the parts are those of the transformer: queries and keys are
normalised, and pixels attending to each other carry rotary positions. And a third: pixels that
attend know where in the image they are, without which no word could say where a thing belongs.

Sources: U-Net (Ronneberger et al., 2015), arXiv:1505.04597; Denoising Diffusion Probabilistic
Models (Ho et al., 2020), App. B, arXiv:2006.11239; Diffusion Models Beat GANs (Dhariwal & Nichol,
2021), Sec. 3, arXiv:2105.05233 (adaptive group normalisation, attention at several resolutions);
Latent Diffusion (Rombach et al., 2021), Sec. 3.3, arXiv:2112.10752 (cross-attention to tokens).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, cat, nn
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.errors import SpecError
from mmgen.core.spec import ConditionSpec
from mmgen.nn.embedding import GridEmbedding, TimeEmbedding
from mmgen.nn.residual import Downsample, ResidualBlock, Upsample, group_norm
from mmgen.nn.transformer import Attention, Rotary, grid_positions

__all__ = ["UNet"]


class UNet(nn.Module):
    """Transforms a noisy image, given time and condition.

    Args:
        channels: C of the image or latent image.
        widths: Channels at each level, finest first; each level halves the one before.
        blocks: Residual blocks per level on the way down; one more on the way up.
        attention_levels: Levels with attention, 0 the finest, -1 the coarsest. The bottom between
            down and up always attends.
        condition: Widths of the condition to attend to and to modulate by.
        patch_size: Side of the squares of pixels that are folded into channels first.
        head_dim: Features per attention head; divides the width of each level with attention.

    Raises:
        ValueError: If a width does not suit its heads or norms, or a level does not exist.
    """

    boundary = ("stem", "out")

    def __init__(
        self,
        channels: int,
        *,
        widths: Sequence[int] = (64, 128, 192),
        blocks: int = 2,
        attention_levels: Sequence[int] = (-1,),
        condition: ConditionSpec,
        patch_size: int = 1,
        head_dim: int = 32,
    ) -> None:
        super().__init__()
        attends = _levels(attention_levels, widths, head_dim)
        self.condition = condition
        self.patch_size = patch_size
        self.multiple = patch_size * 2 ** (len(widths) - 1)
        dim = 4 * widths[0]
        self.time = TimeEmbedding(dim)
        self.vector = nn.Linear(condition.vector_dim, dim) if condition.vector_dim else None

        def stage(width_in: int, width_out: int, *, attend: bool) -> Stage:
            return Stage(
                width_in,
                width_out,
                embedding_dim=dim,
                head_dim=head_dim if attend else None,
                token_dim=condition.token_dim,
            )

        width = widths[0]
        self.stem = nn.Conv2d(channels * patch_size**2, width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips = [width]
        for level, width_out in enumerate(widths):
            for _ in range(blocks):
                self.down.append(stage(width, width_out, attend=level in attends))
                width = width_out
                skips.append(width)
            if level < len(widths) - 1:
                self.down.append(Downsample(width))
                skips.append(width)
        self.middle = nn.ModuleList(
            (stage(width, width, attend=True), stage(width, width, attend=False))
        )
        for level, width_out in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                self.up.append(stage(width + skips.pop(), width_out, attend=level in attends))
                width = width_out
            if level:
                self.up.append(Upsample(width))
        self.norm = group_norm(width)
        self.out = nn.Conv2d(width, channels * patch_size**2, 3, padding=1)
        nn.init.zeros_(self.out.bias)

    @classmethod
    def debug(cls, *, channels: int = 3, condition: ConditionSpec | None = None) -> UNet:
        """A tiny one."""
        condition = condition or ConditionSpec()
        return cls(channels, widths=(8, 16), blocks=1, condition=condition, head_dim=8)

    def forward(self, z_BCHW: Tensor, t_B: Tensor, c: Condition) -> Tensor:
        """Noisy images (B, C, H, W), times (B,) in [0, 1] and their condition to (B, C, H, W).

        Raises:
            SpecError: If H or W cannot be halved as often as there are levels.
        """
        if z_BCHW.shape[-2] % self.multiple or z_BCHW.shape[-1] % self.multiple:
            raise SpecError(
                f"UNet expects height and width to be multiples of {self.multiple}; got "
                f"{z_BCHW.shape[-2]} x {z_BCHW.shape[-1]}. Use another size, or fewer widths."
            )
        embedding_BD = self.time(t_B)
        if self.vector is not None:
            embedding_BD = embedding_BD + self.vector(c.vector)
        h = self.stem(F.pixel_unshuffle(z_BCHW, self.patch_size))
        skips = [h]
        for step in self.down:
            h = step(h, embedding_BD, c) if isinstance(step, Stage) else step(h)
            skips.append(h)
        for step in self.middle:
            h = step(h, embedding_BD, c)
        for step in self.up:
            if isinstance(step, Stage):
                h = step(cat((h, skips.pop()), dim=1), embedding_BD, c)
            else:
                h = step(h)
        return F.pixel_shuffle(self.out(F.silu(self.norm(h))), self.patch_size)


class Stage(nn.Module):
    """A residual block, then, with `head_dim`, attention among pixels and to condition tokens."""

    def __init__(
        self,
        width_in: int,
        width_out: int,
        *,
        embedding_dim: int,
        head_dim: int | None,
        token_dim: int | None,
    ) -> None:
        super().__init__()
        self.block = ResidualBlock(width_in, width_out, embedding_dim=embedding_dim)
        self.attention = None
        if head_dim is not None:
            self.attention = PixelAttention(width_out, head_dim=head_dim, token_dim=token_dim)

    def forward(self, x_BCHW: Tensor, embedding_BD: Tensor, c: Condition) -> Tensor:
        """Features (B, width_in, H, W) to (B, width_out, H, W)."""
        x_BCHW = self.block(x_BCHW, embedding_BD)
        return x_BCHW if self.attention is None else self.attention(x_BCHW, c)


class PixelAttention(nn.Module):
    """Pixels attend to each other, then to the condition's tokens if it has any."""

    def __init__(self, width: int, *, head_dim: int, token_dim: int | None) -> None:
        super().__init__()
        self.rotary = Rotary(head_dim, num_axes=2)
        self.place = GridEmbedding(width)
        self.norm_self = group_norm(width)
        self.attention = Attention(width, width // head_dim)
        nn.init.zeros_(self.attention.out.weight)
        self.norm_cross = self.cross = None
        if token_dim is not None:
            self.norm_cross = group_norm(width)
            self.cross = Attention(width, width // head_dim, token_dim=token_dim)
            nn.init.zeros_(self.cross.out.weight)

    def forward(self, x_BCHW: Tensor, c: Condition) -> Tensor:
        """Features (B, C, H, W) to the same shape."""
        rotation = self.rotary(grid_positions(*x_BCHW.shape[-2:], device=x_BCHW.device))
        place_LC = self.place(x_BCHW.shape[-2:])
        h_BLC = self.norm_self(x_BCHW).flatten(2).mT + place_LC
        x_BCHW = x_BCHW + self._image(self.attention(h_BLC, h_BLC, rotation, None), x_BCHW)
        if self.cross is not None:
            mask = None if c.mask is None else c.mask[:, None, None, :]
            h_BLC = self.norm_cross(x_BCHW).flatten(2).mT + place_LC
            x_BCHW = x_BCHW + self._image(self.cross(h_BLC, c.tokens, None, mask), x_BCHW)
        return x_BCHW

    @staticmethod
    def _image(h_BLC: Tensor, like_BCHW: Tensor) -> Tensor:
        return h_BLC.mT.reshape(like_BCHW.shape)


def _levels(levels: Sequence[int], widths: Sequence[int], head_dim: int) -> set[int]:
    """Levels counted from the finest, checked against the widths."""
    count = len(widths)
    for level in levels:
        if not -count <= level < count:
            raise ValueError(
                f"attention_levels lie between {-count} and {count - 1} for {count} widths; "
                f"got {level}."
            )
    attends = {level % count for level in levels}
    for level in attends | {count - 1}:
        if widths[level] % head_dim:
            raise ValueError(
                f"Level {level} attends, so its width is a multiple of head_dim {head_dim}; got "
                f"{widths[level]}. Change either."
            )
    return attends
