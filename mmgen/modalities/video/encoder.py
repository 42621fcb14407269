"""A film as a condition: patches over time and space through a small transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.errors import SpecError
from mmgen.core.spec import ConditionSpec
from mmgen.modalities.video.files import load_batch
from mmgen.modalities.video.value import Video
from mmgen.nn.embedding import GridEmbedding
from mmgen.nn.transformer import Transformer, grid_positions

__all__ = ["VideoEncoder"]


class VideoEncoder(Encoder):
    """Condition tokens, one for each patch of each few frames.

    Args:
        num_frames: T.
        size: Side of the square frames.
        fps: Rate of the films, in frames/s.
        patch: (frames, pixels) of a patch; they divide T and the side.
        dim: D of the condition tokens.
        depth: Number of transformer blocks.
        num_heads: Number of attention heads.

    Raises:
        SpecError: If the patches do not divide the films.
    """

    modality = "video"

    def __init__(
        self,
        num_frames: int,
        size: int,
        *,
        fps: float,
        patch: tuple[int, int],
        dim: int,
        depth: int = 2,
        num_heads: int = 4,
    ) -> None:
        super().__init__()
        if num_frames % patch[0] or size % patch[1]:
            raise SpecError(
                f"Patches of {patch[0]} frames and {patch[1]} pixels do not divide {num_frames} "
                f"frames of {size} x {size}. Use sizes that do."
            )
        self.num_frames, self.size, self.fps = num_frames, size, fps
        self.patch, self.dim = patch, dim
        self.grid = (num_frames // patch[0], size // patch[1], size // patch[1])
        self.embed = nn.Linear(3 * patch[0] * patch[1] ** 2, dim)
        self.place = GridEmbedding(dim, axes=("time", "space", "space"))
        self.transformer = Transformer(dim, depth=depth, num_heads=num_heads, num_axes=3)
        self.norm = nn.LayerNorm(dim, bias=False)
        self.null = nn.Parameter(torch.randn(dim) / dim**0.5)

    @classmethod
    def debug(cls) -> VideoEncoder:
        """A tiny one."""
        return cls(4, 8, fps=8.0, patch=(2, 4), dim=32, depth=1, num_heads=2)

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(token_dim=self.dim)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        blank = torch.zeros(self.num_frames, self.size, self.size, 3, dtype=torch.uint8).numpy()
        frames = load_batch(
            [Video(blank, self.fps) if v is None else v for v in values],
            num_frames=self.num_frames,
            size=self.size,
            fps=self.fps,
        )
        given = torch.tensor([v is not None for v in values], dtype=torch.bool)
        return {"frames": frames, "given": given}

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        device, (s, p) = self.null.device, self.patch
        given = tensors["given"].to(device)
        x = tensors["frames"].to(device, self.null.dtype) / 127.5 - 1
        x = rearrange(x, "b (t s) c (h p) (w q) -> b (t h w) (s c p q)", s=s, p=p, q=p)
        x = self.embed(x) + self.place(self.grid)
        x = self.norm(self.transformer(x, grid_positions(*self.grid, device=device)))
        first = torch.arange(x.shape[1], device=device) == 0
        null = torch.where(first[:, None], self.null, torch.zeros_like(self.null))
        mask = given[:, None] | first
        return Condition(len(given), torch.where(given[:, None, None], x, null), mask)
