"""Magnitudes of windowed Fourier transforms of any size, with gradients that stay finite."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["LEAST_POWER", "magnitudes"]

LEAST_POWER = 1e-7
"""Least power of a frequency; its root is not told from silence."""


def magnitudes(x_BN: Tensor, size: int) -> Tensor:
    """Magnitudes of spectra a quarter of their size apart, with signals continued by silence.

    They are divided by sqrt(size), so that noise is as loud at every size.

    Args:
        x_BN: Waveforms (B, N).
        size: Samples of the Hann window and of the transform.

    Returns:
        (B, size / 2 + 1, frames), in float32, nowhere below sqrt(LEAST_POWER).
    """
    window = torch.hann_window(size, device=x_BN.device) / math.sqrt(size)
    # Half a window at both ends, and what the last hop lacks.
    hop = max(1, size // 4)
    edge = size // 2
    x = F.pad(x_BN.float(), (edge, edge + -x_BN.shape[1] % hop))
    spectrum = torch.stft(x, size, hop_length=hop, window=window, center=False, return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square()).clamp(min=LEAST_POWER).sqrt()
