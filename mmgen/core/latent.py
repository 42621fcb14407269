"""z: what models generate, with the length of each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Latent", "within"]


def within(lengths: Tensor, z: Tensor) -> Tensor:
    """Which steps of z (B, T, ...) lie within lengths (B,): boolean (B, T, 1, ...)."""
    there = torch.arange(z.shape[1], device=z.device) < lengths.to(z.device)[:, None]
    return there.reshape(*there.shape, *(1,) * (z.ndim - 2))


@dataclass(frozen=True)
class Latent:
    """Latents with their lengths, so that nothing decoded is ever padded.

    Args:
        z: Values, (B, *event) from a codec, (N, B, *event) from a distribution.
        lengths: How much of the first event axis each one fills, (B,) or (N, B), or None if all
            have the full size.
    """

    z: Tensor
    lengths: Tensor | None = None

    def flatten(self) -> Latent:
        """(N, B, ...) to (N * B, ...)."""
        lengths = None if self.lengths is None else self.lengths.flatten(0, 1)
        return Latent(self.z.flatten(0, 1), lengths)
