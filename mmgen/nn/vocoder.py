"""A neural vocoder: log-mel frames to a waveform, at the pace of frames and not of samples.

Blocks of convolutions over frames give, for each frame, the log-magnitude and the phase of every
frequency; the inverse Fourier transform does the rest. Magnitudes are told relative to those that
the mel bands already spread over frequencies, and phases about the middle of the frame, where its
window is greatest. Frames overlap, so that most spectra are those of no waveform. Hence what the
network tells is taken a few turns of Griffin and Lim nearer to one that is: to the spectrum of the
waveform it gives, with the magnitudes told. Gradients flow through the turns; phases that agree
from frame to frame are hard to tell from frames, and come by themselves so. In trials of 25 s on a
core, two turns took the mel distance of unheard speech from 0.192 to 0.176, and the largest of the
sizes its log-spectral distance from 0.98 to 0.81 (`mmgen.evaluation.spectra`).

The error compares the sound with its copy x' by way of mels, over spectra of
several sizes (whose phases the copy has to get right for the magnitudes of the other sizes to
agree):

    L(x) = mean over sizes of [ |log S - log S'| + ||S - S'|| / ||S|| ] + |log M - log M'|,

S magnitudes, M mel bands, | | the mean absolute value. The discriminators that the paper adds are
`mmgen.nn.discriminator`; training may do without.

Sources: Vocos (Siuzdak, 2023), Sec. 3, arXiv:2306.00814; ConvNeXt (Liu et al., 2022), Fig. 4,
arXiv:2201.03545; turns with gradients: Deep Griffin-Lim Iteration (Masuyama et al., 2019), Sec. 3,
arXiv:1903.03971, without its network; loss: Parallel WaveGAN (Yamamoto et al., 2019), Eq. 4 to 6,
arXiv:1910.11480.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.errors import SpecError
from mmgen.nn.mel import MelSpec, MelTransform
from mmgen.nn.spectrum import magnitudes

__all__ = ["Vocoder"]

# Samples of the spectra that the loss looks at, as multiples of the mel spectrogram's.
LOSS_SIZES = (0.25, 0.5, 1.0, 2.0)
# Root mean square magnitude below which errors are no longer taken relative to the sound's own.
QUIET = 1e-2
# Log-magnitudes may differ from what mel bands say by far less; so nothing overflows.
LARGEST_GAIN = 8.0
# Share of a magnitude that a turn has to leave for it to be brought back in full.
LEFT = 0.1


class Vocoder(nn.Module):
    """Log-mel frames to waveforms.

    Args:
        mel: Definition of the frames.
        dim: Width of the blocks.
        depth: Number of blocks.
        kernel: Frames that a block looks at, odd.
        turns: How often phases are made to agree.
    """

    boundary = ("embed", "head")

    def __init__(
        self, mel: MelSpec, *, dim: int = 256, depth: int = 8, kernel: int = 7, turns: int = 2
    ) -> None:
        super().__init__()
        self.mel, self.turns = mel, turns
        self.transform = MelTransform(mel)
        self.embed = nn.Conv1d(mel.num_mels, dim, kernel, padding=kernel // 2)
        self.norm_in = nn.LayerNorm(dim, eps=1e-6)
        self.blocks = nn.ModuleList(_Block(dim, kernel, scale=1 / depth) for _ in range(depth))
        self.norm_out = nn.LayerNorm(dim, eps=1e-6)
        bins = mel.fft // 2 + 1
        self.head = nn.Linear(dim, 2 * bins)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        cycles = torch.arange(bins, dtype=torch.float64) * (mel.fft // 2) / mel.fft
        self.register_buffer("middle", 2 * math.pi * cycles.frac().float(), persistent=False)

    @classmethod
    def debug(cls) -> Vocoder:
        """A tiny one."""
        return cls(MelSpec.debug(), dim=32, depth=2)

    def encode(self, x_BN: Tensor) -> Tensor:
        """Waveforms (B, N) in [-1, 1] to log-mel frames (B, T, F), T = N / hop rounded up."""
        return self.transform(x_BN)

    def decode(self, frames_BTF: Tensor) -> Tensor:
        """Log-mel frames (B, T, F) to waveforms (B, T hop), not clipped to any range.

        Raises:
            SpecError: If they have another number of bands.
        """
        if frames_BTF.ndim != 3 or frames_BTF.shape[-1] != self.mel.num_mels:
            raise SpecError(
                f"Vocoder expects log-mel frames (B, T, {self.mel.num_mels}), got "
                f"{tuple(frames_BTF.shape)}. Make them by its own `encode`."
            )
        dtype = self.head.weight.dtype
        h = self.embed(frames_BTF.to(dtype).transpose(1, 2)).transpose(1, 2)
        h = self.norm_in(h)
        for block in self.blocks:
            h = block(h)
        h = self.norm_out(h).float()
        # In lower precision, phases would add noise that is heard.
        with torch.autocast(h.device.type, enabled=False):
            out = F.linear(h, self.head.weight.float(), self.head.bias.float())
            gain, phase = out.chunk(2, dim=-1)
            gain = gain.clamp(-LARGEST_GAIN, LARGEST_GAIN).exp()
            magnitude = self.transform.magnitude(frames_BTF) * gain
            x = self.transform.inverse(torch.polar(magnitude, phase + self.middle.float()))
            for _ in range(self.turns):
                spectrum = self.transform.spectrum(x)
                found = (spectrum.real.square() + spectrum.imag.square()).clamp(min=1e-20).sqrt()
                # Where hardly anything is left, phases would hang on rounding.
                x = self.transform.inverse(spectrum * magnitude / found.maximum(LEFT * magnitude))
            return x.to(dtype)

    def forward(self, x_BT: Tensor) -> Tensor:
        """Waveforms (B, T) as they come back by way of mels."""
        return self.decode(self.encode(x_BT))[:, : x_BT.shape[1]]

    def loss(self, x_BT: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """L(x) of each waveform.

        Args:
            x_BT: Waveforms (B, T) in [-1, 1].
            generator: Not used: nothing is drawn.

        Returns:
            Losses (B,).
        """
        return self.error(x_BT, self(x_BT))

    def error(self, x_BT: Tensor, copy_BT: Tensor) -> Tensor:
        """L of waveforms and of their copies, (B,); see the module's docstring."""
        x, copy = x_BT.float(), copy_BT.float()
        total = 0.0
        for share in LOSS_SIZES:
            size = max(16, int(self.mel.fft * share))
            with torch.no_grad():
                s = magnitudes(x, size)
                size_B = s.flatten(1).norm(dim=1).clamp(min=QUIET * s[0].numel() ** 0.5)
            s_copy = magnitudes(copy, size)
            apart = (s - s_copy).flatten(1).norm(dim=1) / size_B
            total = total + apart + (s.log() - s_copy.log()).flatten(1).abs().mean(1)
        with torch.no_grad():
            frames = self.transform(x)
        mels = self.transform(copy) - frames
        return total / len(LOSS_SIZES) + mels.flatten(1).abs().mean(1)


class _Block(nn.Module):
    """h + scale * down(gelu(up(norm(conv(h))))), the convolution apart in each channel."""

    def __init__(self, dim: int, kernel: int, *, scale: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.up = nn.Linear(dim, 3 * dim)
        self.down = nn.Linear(3 * dim, dim)
        self.scale = nn.Parameter(torch.full((dim,), scale))

    def forward(self, h_BTD: Tensor) -> Tensor:
        h = self.conv(h_BTD.transpose(1, 2)).transpose(1, 2)
        return h_BTD + self.scale * self.down(F.gelu(self.up(self.norm(h))))
