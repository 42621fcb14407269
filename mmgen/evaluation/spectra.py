"""How far a sound's spectrum is from another's: what is judged of vocoders and of super-resolution.

Neither distance sees phases, so that copies which only differ in them count as the same. Both
depend on loudness, and no value compares with one of another definition.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgen.nn.mel import MelSpec, MelTransform

__all__ = ["MEL_SIZES", "log_spectral_distance", "mel_distance"]

MEL_SIZES = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))
"""Samples of the windows of `mel_distance`, and its bands at each size."""


def log_spectral_distance(
    x: Tensor, y: Tensor, *, fft: int = 2048, hop: int = 512, floor: float = 1e-8
) -> Tensor:
    """Mean over time of sqrt(mean over frequency of (log10 |X|^2 - log10 |Y|^2)^2).

    In bels, 0 is best. Powers below the floor are taken for it; signals are continued by silence.

    Args:
        x: Sounds (B, N) in [-1, 1].
        y: What is compared with them (B, N).
        fft: Samples of the Hann window and of the transform.
        hop: Samples from frame to frame.
        floor: Least power, so that silence has a logarithm.

    Returns:
        (B,).

    Raises:
        ValueError: If the two differ in shape.

    Source: Towards High-Quality and Efficient Speech Bandwidth Extension (Lu et al., 2024),
    arXiv:2401.06387, whose released code this follows, but for the continuation.
    """
    _require_alike(x, y)
    window = torch.hann_window(fft, device=x.device)
    levels = []
    for sound in (x, y):
        padded = F.pad(sound.float(), (fft // 2, fft // 2))
        spectrum = torch.stft(
            padded, fft, hop_length=hop, window=window, center=False, return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        levels.append(power.clamp(min=floor).log10())
    return (levels[0] - levels[1]).square().mean(1).sqrt().mean(1)


def mel_distance(x: Tensor, y: Tensor, *, sampling_rate: int) -> Tensor:
    """Mean |log10 M(x) - log10 M(y)| of mel bands, over windows of several sizes.

    In decades, 0 is best. M are sums of magnitudes over triangles of equal area up to half of the
    sampling rate, at least 1e-5, a quarter of a window apart.

    Args:
        x: Sounds (B, N) in [-1, 1].
        y: What is compared with them (B, N).
        sampling_rate: Of both, in Hz.

    Returns:
        (B,).

    Raises:
        ValueError: If the two differ in shape.
        SpecError: If the rate is so high that a band holds no frequency.

    Source: High-Fidelity Audio Compression with Improved RVQGAN (Kumar et al., 2023), Sec. 3.4,
    arXiv:2306.06546, whose sum over sizes is a mean here.
    """
    _require_alike(x, y)
    total = x.new_zeros(len(x), dtype=torch.float32)
    for size, bands in MEL_SIZES:
        spec = MelSpec(
            sampling_rate, size, size // 4, size, bands, fmin=0.0, fmax=sampling_rate / 2
        )
        transform = MelTransform(spec).to(x.device)
        total += (transform(x) - transform(y)).abs().mean((1, 2))
    return total / len(MEL_SIZES) / math.log(10)


def _require_alike(x: Tensor, y: Tensor) -> None:
    if x.ndim != 2 or x.shape != y.shape or not x.numel():
        raise ValueError(
            "Expected sounds (B, N) and as many of the same length beside, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}. Cut both to the shorter length."
        )
