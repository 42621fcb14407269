"""Mel spectrograms, by a definition that can be written down and compared.

A frame is the magnitude of a windowed Fourier transform, summed over triangles that are equally
spaced on the mel scale, then the natural logarithm. Frame t is centred on sample (t + 1/2) hop and
signals are continued by silence, so that T hop samples have exactly T frames, and a sound's frames
do not depend on what it is padded with.

Sources: Auditory Toolbox (Slaney, 1998) (the scale and the area of triangles); framing as in
HiFi-GAN (Kong et al., 2020), Sec. 3.1, arXiv:2010.05646, which continues by reflection.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.errors import SpecError

__all__ = ["MelSpec", "MelTransform", "mel_filters"]


@dataclass(frozen=True)
class MelSpec:
    """What a mel spectrogram is. Two that differ in any field do not fit together.

    Args:
        sampling_rate: Rate of the sounds, in Hz.
        fft: Samples of the Fourier transform.
        hop: Samples from frame to frame.
        window: Samples of the Hann window, centred in those of the transform.
        num_mels: Number F of bands.
        fmin: Lower end of the lowest band, in Hz.
        fmax: Upper end of the highest band, in Hz.
        floor: Least magnitude of a band: the logarithm of what is below is that of the floor.
        norm: "slaney" for triangles of equal area, "none" for triangles of height 1.
        scale: "slaney" for a mel scale linear below 1 kHz, "htk" for a logarithm throughout.

    Raises:
        SpecError: If no spectrogram is like that.
    """

    sampling_rate: int
    fft: int
    hop: int
    window: int
    num_mels: int
    fmin: float
    fmax: float
    floor: float = 1e-5
    norm: str = "slaney"
    scale: str = "slaney"

    def __post_init__(self) -> None:
        sizes = (self.sampling_rate, self.fft, self.hop, self.window, self.num_mels)
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in sizes):
            raise SpecError(f"Rates and sizes of a mel spectrogram are integers above 0: {self}.")
        if not 2 * self.hop <= self.window <= self.fft or (self.fft - self.hop) % 2:
            raise SpecError(
                "A mel spectrogram has 2 hop <= window <= fft and an even fft - hop, got hop "
                f"{self.hop}, window {self.window}, fft {self.fft}."
            )
        if not 0 <= self.fmin < self.fmax <= self.sampling_rate / 2:
            raise SpecError(
                f"Bands lie in 0 to {self.sampling_rate / 2:g} Hz, half of the sampling_rate; got "
                f"fmin {self.fmin:g} and fmax {self.fmax:g}."
            )
        if not 0 < self.floor < 1:
            raise SpecError(f"The floor lies between 0 and 1, got {self.floor}.")
        if self.norm not in ("slaney", "none") or self.scale not in ("slaney", "htk"):
            raise SpecError(
                "norm is 'slaney' or 'none' and scale is 'slaney' or 'htk'; got "
                f"{self.norm!r} and {self.scale!r}."
            )

    @classmethod
    def debug(cls) -> MelSpec:
        """16 bands at 8 kHz, 62.5 frames/s."""
        return cls(8000, fft=256, hop=128, window=256, num_mels=16, fmin=0.0, fmax=4000.0)

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sampling_rate / self.hop

    def as_dict(self) -> dict[str, Any]:
        """Its fields as plain values."""
        return asdict(self)

    def differences(self, other: MelSpec) -> list[str]:
        """What differs, each as "field mine, not theirs"."""
        names = [f.name for f in fields(self)]
        return [
            f"{n} {getattr(self, n)}, not {getattr(other, n)}"
            for n in names
            if getattr(self, n) != getattr(other, n)
        ]


def mel_filters(spec: MelSpec) -> Tensor:
    """The triangles (fft / 2 + 1, F): how much of each frequency is in each band."""
    low, high = _to_mel(spec.fmin, spec.scale), _to_mel(spec.fmax, spec.scale)
    mels = torch.linspace(low, high, spec.num_mels + 2, dtype=torch.float64)
    corners = _to_hz(mels, spec.scale)
    hz = torch.linspace(0, spec.sampling_rate / 2, spec.fft // 2 + 1, dtype=torch.float64)[:, None]
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (hz - left) / (centre - left), (right - hz) / (right - centre)
    filters = torch.minimum(rising, falling).clamp(min=0)
    if spec.norm == "slaney":
        filters = filters * (2 / (right - left))
    if not (filters.sum(0) > 0).all():
        raise SpecError(
            f"{spec.num_mels} bands are too many for {spec.fft // 2 + 1} frequencies: some hold "
            "none. Use fewer bands or a longer fft."
        )
    return filters.float()


class MelTransform(nn.Module):
    """Waveforms to spectra and log-mel frames, and spectra back to waveforms.

    Args:
        spec: The definition.
    """

    def __init__(self, spec: MelSpec) -> None:
        super().__init__()
        self.spec = spec
        filters = mel_filters(spec)
        window = F.pad(
            torch.hann_window(spec.window),
            ((spec.fft - spec.window) // 2, (spec.fft - spec.window + 1) // 2),
        )
        # Of each band its mean magnitude; of each frequency the bands' means around it.
        spread = filters / filters.sum(1, keepdim=True).clamp(min=1e-12) / filters.sum(0)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("spread", spread.T.contiguous(), persistent=False)
        self.register_buffer("window", window, persistent=False)

    def forward(self, x_BN: Tensor) -> Tensor:
        """Waveforms (B, N) to log-mel frames (B, T, F), T = N / hop rounded up, in float32."""
        return self.log_mel(self.spectrum(x_BN).abs())

    def log_mel(self, magnitude_BTK: Tensor) -> Tensor:
        """Magnitudes (B, T, fft / 2 + 1) to log-mel frames (B, T, F)."""
        # Whatever precision a training asks for, frames and sounds keep theirs.
        with torch.autocast(magnitude_BTK.device.type, enabled=False):
            mel = magnitude_BTK.float() @ self.filters.float()
        return mel.clamp(min=self.spec.floor).log()

    def magnitude(self, frames_BTF: Tensor) -> Tensor:
        """Log-mel frames (B, T, F) to magnitudes (B, T, fft / 2 + 1), bands smoothly joined."""
        with torch.autocast(frames_BTF.device.type, enabled=False):
            mel = frames_BTF.float().exp() @ self.spread.float()
        # No signal in [-1, 1] has more than the sum of the window at any frequency.
        return mel.clamp(self.spec.floor, float(self.window.sum()))

    def spectrum(self, x_BN: Tensor) -> Tensor:
        """Waveforms (B, N) to complex spectra (B, T, fft / 2 + 1)."""
        fft, hop = self.spec.fft, self.spec.hop
        missing = -x_BN.shape[1] % hop
        edge = (fft - hop) // 2
        frames = F.pad(x_BN.float(), (edge, edge + missing)).unfold(1, fft, hop)
        return torch.fft.rfft(frames * self.window.float())

    def inverse(self, spectrum_BTK: Tensor) -> Tensor:
        """Complex spectra (B, T, fft / 2 + 1) to the waveforms (B, T hop) that fit them best.

        Source: Signal estimation from modified short-time Fourier transform (Griffin & Lim, 1984),
        Eq. 6
        """
        window = self.window.float()
        frames = torch.fft.irfft(spectrum_BTK, n=self.spec.fft) * window
        weight = (window**2).expand(1, frames.shape[1], -1)
        return self._overlap(frames) / self._overlap(weight)

    def _overlap(self, frames_BTN: Tensor) -> Tensor:
        """Frames added up at their places, without the edges: (B, T hop)."""
        fft, hop = self.spec.fft, self.spec.hop
        count = frames_BTN.shape[1]
        total = (count - 1) * hop + fft
        summed = F.fold(frames_BTN.transpose(1, 2), (1, total), (1, fft), stride=(1, hop))
        edge = (fft - hop) // 2
        return summed[:, 0, 0, edge : edge + count * hop]


def _to_mel(hz: float, scale: str) -> float:
    if scale == "htk":
        return 2595 * math.log10(1 + hz / 700)
    return 3 * hz / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def _to_hz(mel: Tensor, scale: str) -> Tensor:
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    return torch.where(mel < 15, 200 * mel / 3, 1000 * 6.4 ** ((mel - 15) / 27))
