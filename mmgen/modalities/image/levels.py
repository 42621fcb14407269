"""Between 8-bit levels of pixels and real numbers."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["to_levels", "to_signal"]


def to_signal(
    levels: Tensor, *, device: torch.device, generator: torch.Generator | None = None
) -> Tensor:
    """(k + u) / 128 - 1 for levels k, in [-1, 1].

    u is uniform on [0, 1) if a generator is given (uniform dequantisation) and 1/2 otherwise.

    Source: A note on the evaluation of generative models (Theis et al., 2015), Sec. 3.1,
    arXiv:1511.01844.
    """
    u = 0.5
    if generator is not None:
        u = torch.rand(levels.shape, generator=generator).to(device)
    return (levels.to(device, torch.float32) + u) / 128 - 1


def to_levels(x: Tensor) -> Tensor:
    """The levels, uint8, that numbers in [-1, 1] lie in; those outside go to the ends."""
    return ((x + 1) * 128).floor().clamp(0, 255).to(torch.uint8)
