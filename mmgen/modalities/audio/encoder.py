"""A sound as a condition: mel frames through a small transformer trained with the model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.spec import ConditionSpec
from mmgen.modalities.audio.files import fit_to_rate, is_one, load_batch
from mmgen.modalities.audio.value import Audio
from mmgen.nn.embedding import GridEmbedding
from mmgen.nn.mel import MelSpec, MelTransform
from mmgen.nn.transformer import Transformer, grid_positions

__all__ = ["AudioEncoder"]

# Lengths in tokens are rounded up to a multiple, so that shapes, and compilations, are few.
ROUNDING = 8


class AudioEncoder(Encoder):
    """Condition tokens, one for each few log-mel frames of one channel.

    Args:
        mel: Definition of the frames.
        dim: D of the condition tokens.
        depth: Number of transformer blocks.
        num_heads: Number of attention heads.
        stride: Frames of a token.
        max_frames: Longest sound, in frames. A longer one is an error, never cut.
    """

    modality = "audio"

    def __init__(
        self,
        mel: MelSpec,
        *,
        dim: int,
        depth: int = 2,
        num_heads: int = 4,
        stride: int = 4,
        max_frames: int = 512,
    ) -> None:
        super().__init__()
        self.mel, self.dim, self.stride, self.max_frames = mel, dim, stride, max_frames
        self.transform = MelTransform(mel)
        self.embed = nn.Linear(stride * mel.num_mels, dim)
        self.place = GridEmbedding(dim, axes=("time",))
        self.transformer = Transformer(dim, depth=depth, num_heads=num_heads)
        self.norm = nn.LayerNorm(dim, bias=False)
        self.null = nn.Parameter(torch.randn(dim) / dim**0.5)

    @classmethod
    def debug(cls) -> AudioEncoder:
        """A tiny one."""
        return cls(MelSpec.debug(), dim=32, depth=1, num_heads=2, max_frames=128)

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(token_dim=self.dim)

    def adapt(self, value: Any) -> Any:
        return fit_to_rate(value, self.mel.sampling_rate)

    def is_one(self, value: Any) -> bool:
        return is_one(value)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        rate, hop = self.mel.sampling_rate, self.mel.hop
        silence = Audio(torch.zeros(1, 1).numpy(), rate)
        samples, lengths = load_batch(
            [silence if v is None else v for v in values],
            sampling_rate=rate,
            max_samples=self.max_frames * hop,
        )
        block = hop * self.stride * ROUNDING
        samples = F.pad(samples, (0, -samples.shape[1] % block))
        given = torch.tensor([v is not None for v in values], dtype=torch.bool)
        return {"samples": samples, "lengths": lengths, "given": given}

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        device = self.null.device
        given, lengths = tensors["given"].to(device), tensors["lengths"].to(device)
        # Above the floor, in units of about one: silence is zero, and so is what is not there.
        frames = (self.transform(tensors["samples"].to(device)) - math.log(self.mel.floor)) / 10
        num_frames = -(-lengths // self.mel.hop)
        frames = frames * self._before(frames.shape[1], num_frames)[..., None]
        x = self.embed(frames.unflatten(1, (-1, self.stride)).flatten(2).to(self.null.dtype))
        mask = self._before(x.shape[1], -(-num_frames // self.stride))
        x = x + self.place((x.shape[1],))
        x = self.transformer(x, grid_positions(x.shape[1], device=device), mask_BL=mask)
        first = torch.arange(x.shape[1], device=device) == 0
        null = torch.where(first[:, None], self.null, torch.zeros_like(self.null))
        tokens = torch.where(given[:, None, None], self.norm(x), null)
        mask = torch.where(given[:, None], mask, first)
        return Condition(len(given), tokens * mask[..., None], mask)

    @staticmethod
    def _before(size: int, lengths: Tensor) -> Tensor:
        return torch.arange(size, device=lengths.device) < lengths[:, None]
