"""A vocoder without weights: phases that are consistent with the magnitudes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmgen.nn.mel import MelSpec, MelTransform

__all__ = ["GriffinLim"]

BAND_STEPS = 30


class GriffinLim(nn.Module):
    """Log-mel frames to the waveform whose magnitudes fit them, phases found by iteration.

    Magnitudes S >= 0 are fitted to mel bands M = S W by multiplicative steps; then the spectrum is
    taken in turn to the nearest one of those magnitudes and to the nearest one of a waveform, with
    momentum. Phases begin as those of steady tones, one of each frequency, so nothing is drawn:
    the same frames give the same sound.

    Args:
        mel: Definition of the frames.
        iterations: Number of turns.
        momentum: How far to go beyond each turn; 0 for the method of 1984.

    Sources: Signal estimation from modified short-time Fourier transform (Griffin & Lim, 1984),
    Sec. III; A Fast Griffin-Lim Algorithm (Perraudin et al., 2013), Alg. 2; multiplicative steps:
    Algorithms for Non-negative Matrix Factorization (Lee & Seung, 2000), Eq. 4.
    """

    def __init__(self, mel: MelSpec, *, iterations: int = 32, momentum: float = 0.99) -> None:
        super().__init__()
        self.mel, self.iterations, self.momentum = mel, iterations, momentum
        self.transform = MelTransform(mel)

    @classmethod
    def debug(cls) -> GriffinLim:
        """A tiny one."""
        return cls(MelSpec.debug(), iterations=8)

    def decode(self, frames_BTF: Tensor) -> Tensor:
        """Log-mel frames (B, T, F) to waveforms (B, T hop), not clipped to any range."""
        magnitude = self._magnitude(frames_BTF)
        phase = self._steady(frames_BTF.shape[1], magnitude.device)
        unit = torch.polar(torch.ones_like(phase), phase)
        before = torch.zeros_like(magnitude)
        for _ in range(self.iterations):
            now = self.transform.spectrum(self.transform.inverse(magnitude * unit))
            ahead = now + self.momentum * (now - before)
            unit = ahead / ahead.abs().clamp(min=1e-12)
            before = now
        return self.transform.inverse(magnitude * unit)

    def _magnitude(self, frames_BTF: Tensor) -> Tensor:
        mel = frames_BTF.float().exp()
        filters = self.transform.filters.float()
        s = self.transform.magnitude(frames_BTF)
        target, gram = mel @ filters.T, filters @ filters.T
        for _ in range(BAND_STEPS):
            s = s * target / (s @ gram).clamp(min=1e-12)
        return s

    def _steady(self, num_frames: int, device: torch.device) -> Tensor:
        """Phases (T, fft / 2 + 1) of steady tones that all begin at places of their own."""
        k = torch.arange(self.mel.fft // 2 + 1, device=device, dtype=torch.float64)
        t = torch.arange(num_frames, device=device, dtype=torch.float64)[:, None]
        golden = (1 + math.sqrt(5)) / 2
        turns = k * self.mel.hop / self.mel.fft * t + k * golden
        return (2 * math.pi * turns.frac()).float()
