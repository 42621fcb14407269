"""A neural vocoder: log-mel frames to a waveform, at the pace of frames and not of samples.

Blocks of convolutions over frames give, for each frame, the log-magnitude and the phase of every
frequency; the inverse Fourier transform does the rest. Magnitudes are told relative to those that
the mel bands already spread over frequencies. The loss compares the sound with its copy x' by way
of mels, over spectra of three sizes (whose phases the copy has to get right for the magnitudes of
the two other sizes to agree):

    L(x) = mean over sizes of [ |log S - log S'| + ||S - S'|| / ||S|| ] + |log M - log M'|,

S magnitudes, M mel bands, | | the mean absolute value. Discriminators, which the paper adds, are
not used.

Sources: Vocos (Siuzdak, 2023), Sec. 3, arXiv:2306.00814; ConvNeXt (Liu et al., 2022), Fig. 4,
arXiv:2201.03545; loss: Parallel WaveGAN (Yamamoto et al., 2019), Eq. 4 to 6, arXiv:1910.11480.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.nn.mel import MelSpec, MelTransform

__all__ = ["Vocoder"]

# Samples of the spectra that the loss looks at, as multiples of the mel spectrogram's.
LOSS_SIZES = (0.25, 0.5, 1.0)
# Least power of a frequency in the loss; its root is not told from silence.
LEAST_POWER = 1e-7
# Root mean square magnitude below which errors are no longer taken relative to the sound's own.
QUIET = 1e-2


class Vocoder(nn.Module):
    """Log-mel frames to waveforms.

    Args:
        mel: Definition of the frames.
        dim: Width of the blocks.
        depth: Number of blocks.
        kernel: Frames that a block looks at, odd.
    """

    def __init__(self, mel: MelSpec, *, dim: int = 256, depth: int = 6, kernel: int = 7) -> None:
        super().__init__()
        self.mel = mel
        self.transform = MelTransform(mel)
        self.embed = nn.Conv1d(mel.num_mels, dim, kernel, padding=kernel // 2)
        self.norm_in = nn.LayerNorm(dim, eps=1e-6)
        self.blocks = nn.ModuleList(_Block(dim, kernel, scale=1 / depth) for _ in range(depth))
        self.norm_out = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, mel.fft + 2)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    @classmethod
    def debug(cls) -> Vocoder:
        """A tiny one."""
        return cls(MelSpec.debug(), dim=32, depth=2)

    def encode(self, x_BN: Tensor) -> Tensor:
        """Waveforms (B, N) in [-1, 1] to log-mel frames (B, T, F), T = N / hop rounded up."""
        return self.transform(x_BN)

    def decode(self, frames_BTF: Tensor) -> Tensor:
        """Log-mel frames (B, T, F) to waveforms (B, T hop), not clipped to any range."""
        dtype = self.head.weight.dtype
        h = self.embed(frames_BTF.to(dtype).transpose(1, 2)).transpose(1, 2)
        h = self.norm_in(h)
        for block in self.blocks:
            h = block(h)
        gain, phase = self.head(self.norm_out(h)).float().chunk(2, dim=-1)
        # A bound far above what mel bands leave open, so that nothing overflows.
        magnitude = self.transform.magnitude(frames_BTF) * gain.clamp(-8, 8).exp()
        return self.transform.inverse(torch.polar(magnitude, phase)).to(dtype)

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
        with torch.no_grad():
            frames = self.encode(x_BT)
        x_BT = x_BT.float()
        copy = self.decode(frames)[:, : x_BT.shape[1]].float()
        total = 0.0
        for share in LOSS_SIZES:
            size = max(16, int(self.mel.fft * share))
            s, s_copy = _magnitude(x_BT, size), _magnitude(copy, size)
            size_B = s.flatten(1).norm(dim=1).clamp(min=QUIET * s[0].numel() ** 0.5)
            apart = (s - s_copy).flatten(1).norm(dim=1) / size_B
            total = total + apart + (s.log() - s_copy.log()).flatten(1).abs().mean(1)
        magnitude = self.transform.spectrum(copy).abs()
        mels = self.transform.log_mel(magnitude) - frames
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


def _magnitude(x_BN: Tensor, size: int) -> Tensor:
    """Magnitudes (B, size / 2 + 1, frames) of spectra of `size` samples, a quarter apart."""
    window = torch.hann_window(size, device=x_BN.device)
    spectrum = torch.stft(
        F.pad(x_BN, (size // 2, size // 2)),
        size,
        hop_length=max(1, size // 4),
        window=window / math.sqrt(size),
        center=False,
        return_complex=True,
    )
    return (spectrum.real.square() + spectrum.imag.square()).clamp(min=LEAST_POWER).sqrt()
