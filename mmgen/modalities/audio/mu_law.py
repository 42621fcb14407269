"""Sounds as tokens of single samples, on a scale that is fine where sound is quiet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgen.core.codec import Lossless
from mmgen.core.latent import Latent
from mmgen.core.spec import Spec
from mmgen.modalities.audio.files import fit_to_rate, is_one, load_batch
from mmgen.modalities.audio.value import Audio

__all__ = ["MuLaw", "compress", "expand"]

LEVELS = 256
MU = LEVELS - 1


def compress(x: Tensor) -> Tensor:
    """Samples in [-1, 1] to levels 0 to 255, the nearest after sign(x) ln(1 + mu |x|) / ln(1 + mu).

    A sample comes back from `expand` within 0.022 (|x| + 1 / 255), half a level.
    """
    y = x.sign() * torch.log1p(MU * x.abs()) / math.log1p(MU)
    return ((y + 1) * (MU / 2)).round().to(torch.uint8)


def expand(levels: Tensor) -> Tensor:
    """Levels 0 to 255 to samples in [-1, 1]."""
    y = levels.float() * (2 / MU) - 1
    return y.sign() * torch.expm1(y.abs() * math.log1p(MU)) / MU


class MuLaw(Lossless):
    """One token of 256 for each sample of one channel.

    x is the companded 8-bit sound, as in published likelihoods of waveforms: a probability of
    tokens is one of x. A level lies within half a step of the sample it stands for.

    Args:
        sampling_rate: Rate of the sounds, in Hz.
        max_length: Most samples of a sound.

    Sources: ITU-T Recommendation G.711 (1988), mu-law, its smooth form with mu = 255; WaveNet
    (van den Oord et al., 2016), Sec. 2.2, arXiv:1609.03499.
    """

    elementwise = True

    def __init__(self, sampling_rate: int, *, max_length: int) -> None:
        super().__init__()
        self.sampling_rate, self.max_length = sampling_rate, max_length

    @classmethod
    def debug(cls) -> MuLaw:
        """A tiny one, of at most 64 samples."""
        return cls(8000, max_length=64)

    @property
    def spec(self) -> Spec:
        return Spec(
            "audio",
            "tokens",
            ("L",),
            low=-1.0,
            high=1.0,
            vocabulary=LEVELS,
            units=f"{self.sampling_rate} Hz",
            max_length=self.max_length,
        )

    def adapt(self, value: Any) -> Any:
        return fit_to_rate(value, self.sampling_rate)

    def is_one(self, value: Any) -> bool:
        return is_one(value)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        samples, lengths = load_batch(
            values, sampling_rate=self.sampling_rate, max_samples=self.max_length
        )
        there = torch.arange(samples.shape[1]) < lengths[:, None]
        return {"levels": compress(samples) * there, "lengths": lengths}

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        return Latent(tensors["levels"].long(), tensors["lengths"])

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        batch, longest = latent.z.shape
        lengths = latent.lengths
        if lengths is None:
            lengths = torch.full((batch,), longest, device=latent.z.device)
        there = torch.arange(longest, device=latent.z.device) < lengths[:, None]
        return {"levels": latent.z.to(torch.uint8) * there, "lengths": lengths}

    def present(self, tensors: Mapping[str, Tensor]) -> list[Audio]:
        samples = expand(tensors["levels"].cpu()).numpy()
        lengths = tensors["lengths"].tolist()
        return [
            Audio(x[None, :n].copy(), self.sampling_rate)
            for x, n in zip(samples, lengths, strict=True)
        ]

    def log_volume(self, tensors: Mapping[str, Tensor]) -> Tensor:
        return torch.zeros(len(tensors["levels"]))
