"""A transformer on the patches of a grid: the network of continuous latents of any layout.

The rank of an event tells its layout, as in `mmgen.core.spec`: (K,) numbers, (T, F) a sequence of
feature vectors, (C, H, W) an image, (T, C, H, W) a film.

Source: Scalable Diffusion Models with Transformers (Peebles & Xie, 2022), arXiv:2212.09748;
predicting data from large pixel patches: Back to Basics (Li & He, 2025), arXiv:2511.13720.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from mmgen.core.condition import Condition
from mmgen.core.errors import SpecError
from mmgen.core.spec import ConditionSpec
from mmgen.nn.embedding import GridEmbedding, TimeEmbedding
from mmgen.nn.transformer import Transformer, grid_positions

__all__ = ["GridTransformer"]

_FOLD = {
    1: "b k -> b k 1",
    2: "b t f -> b t f",
    3: "b c (h p) (w q) -> b (h w) (c p q)",
    4: "b t c (h p) (w q) -> b (t h w) (c p q)",
}
_AXES = {1: ("space",), 2: ("time",), 3: ("space", "space"), 4: ("time", "space", "space")}


class GridTransformer(nn.Module):
    """Transforms a latent of any layout, given time and condition, to one alike or to a vector.

    Args:
        shape: Event shape. Only its rank and its number of features or channels are fixed by it;
            sizes in time and space may differ from call to call.
        patch_size: Side of the patches of images and films; their sides are multiples of it.
        dim: D, width.
        depth: Number of blocks.
        num_heads: Number of attention heads.
        condition: Widths of the condition to attend to and to modulate by, and of the frames of a
            sequence.
        timed: Whether it is called with times.
        num_outputs: Give so many numbers per example, from the mean over the grid, and no latent.

    Raises:
        SpecError: If no layout has this rank, or one without frames is to be conditioned on them.
    """

    boundary = ("embed", "out")

    def __init__(
        self,
        shape: Sequence[int | str],
        *,
        patch_size: int = 1,
        dim: int,
        depth: int,
        num_heads: int,
        condition: ConditionSpec,
        timed: bool = True,
        num_outputs: int | None = None,
    ) -> None:
        super().__init__()
        if len(shape) not in _FOLD:
            raise SpecError(f"Expected an event of one to four axes, got {tuple(shape)}.")
        if condition.frame_dim and len(shape) != 2:
            raise SpecError(
                f"Frames are a condition of sequences (T, F), not of {tuple(shape)}. Leave them "
                "out."
            )
        self.rank = len(shape)
        self.patch_size = patch_size if self.rank > 2 else 1
        self.condition = condition
        features = {1: 1, 2: int(shape[-1])}.get(self.rank) or int(shape[-3])
        width = features * self.patch_size**2
        self.embed = nn.Linear(width, dim)
        self.place = GridEmbedding(dim, axes=_AXES[self.rank])
        self.time = TimeEmbedding(dim) if timed else None
        self.vector = nn.Linear(condition.vector_dim, dim) if condition.vector_dim else None
        self.frames = nn.Linear(condition.frame_dim, dim) if condition.frame_dim else None
        self.transformer = Transformer(
            dim,
            depth=depth,
            num_heads=num_heads,
            num_axes=len(_AXES[self.rank]),
            token_dim=condition.token_dim,
            modulated=timed or self.vector is not None,
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6, bias=False)
        self.num_outputs = num_outputs
        self.out = nn.Linear(dim, width if num_outputs is None else num_outputs)
        nn.init.zeros_(self.out.bias)

    @classmethod
    def debug(
        cls, *, shape: Sequence[int] = (3, 16, 16), condition: ConditionSpec | None = None
    ) -> GridTransformer:
        """A tiny one."""
        condition = condition or ConditionSpec()
        return cls(shape, patch_size=4, dim=32, depth=2, num_heads=2, condition=condition)

    def forward(self, z_BCHW: Tensor, t_B: Tensor | None, c: Condition) -> Tensor:
        """Latents (B, *event), times (B,) in [0, 1] or None, and their condition.

        Returns:
            (B, *event), or (B, num_outputs). Where `c.lengths` tells how far sequences go, nothing
            beyond is looked at.
        """
        p, fold = self.patch_size, _FOLD[self.rank]
        sizes = self._grid(z_BCHW.shape)
        patches = {"p": p, "q": p} if self.rank > 2 else {}
        x_BLD = self.embed(rearrange(z_BCHW, fold, **patches)) + self.place(sizes)
        if self.frames is not None:
            x_BLD = x_BLD + self.frames(c.frames[:, : x_BLD.shape[1]])
        there_BL = self._there(sizes, c)
        x_BLD = self.transformer(
            x_BLD,
            grid_positions(*sizes, device=x_BLD.device),
            mask_BL=there_BL,
            modulation_BD=self._modulation(t_B, c),
            tokens_BMD=c.tokens,
            tokens_mask_BM=c.mask,
        )
        if self.num_outputs is not None:
            return self.out(self.norm(_mean(x_BLD, there_BL)))
        y_BLD = self.out(self.norm(x_BLD))
        if self.rank == 1:
            return y_BLD.transpose(1, 2).flatten(1)
        if self.rank == 2:
            return y_BLD
        names = dict(zip("thw"[-len(sizes) :], sizes, strict=True))
        back = "b (h w) (c p q) -> b c (h p) (w q)"
        if self.rank == 4:
            back = "b (t h w) (c p q) -> b t c (h p) (w q)"
        return rearrange(y_BLD, back, p=p, q=p, **names)

    def _grid(self, shape: torch.Size) -> tuple[int, ...]:
        if self.rank <= 2:
            return (shape[1],)
        rows, columns = shape[-2] // self.patch_size, shape[-1] // self.patch_size
        return (rows, columns) if self.rank == 3 else (shape[1], rows, columns)

    def _modulation(self, t_B: Tensor | None, c: Condition) -> Tensor | None:
        parts = [] if self.time is None else [self.time(t_B)]
        if self.vector is not None:
            parts.append(self.vector(c.vector))
        return sum(parts[1:], parts[0]) if parts else None

    def _there(self, sizes: tuple[int, ...], c: Condition) -> Tensor | None:
        if c.lengths is None or self.rank not in (2, 4):
            return None
        there_BT = torch.arange(sizes[0], device=c.lengths.device) < c.lengths[:, None]
        cells = 1
        for size in sizes[1:]:
            cells *= size
        return there_BT.repeat_interleave(cells, dim=1)


def _mean(x_BLD: Tensor, there_BL: Tensor | None) -> Tensor:
    if there_BL is None:
        return x_BLD.mean(1)
    weight_BL1 = there_BL[..., None].to(x_BLD.dtype)
    return (x_BLD * weight_BL1).sum(1) / weight_BL1.sum(1).clamp(min=1)
