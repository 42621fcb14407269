"""What the loop trains: a pipeline, or a part that must be trained before one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.modalities.audio import files as sounds
from mmgen.modalities.image.files import load_batch
from mmgen.nn.autoencoder import Autoencoder
from mmgen.nn.vocoder import Vocoder
from mmgen.nn.vq import QuantizingAutoencoder

__all__ = ["Autoencoding", "Trainable", "Vocoding"]


class Trainable(Protocol):
    """What `fit` needs of what it trains. `Pipeline` has it."""

    parts: nn.ModuleDict

    @property
    def needs_statistics(self) -> bool:
        """Whether `fit_statistics` has yet to be called."""

    def fit_statistics(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        """Take vocabularies and statistics from pairs (y, x)."""

    def prepare(self, pairs: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
        """Pairs (y, x) to tensors on the CPU."""

    def loss(
        self, tensors: Mapping[str, Any], *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Loss of each pair (B,)."""


class Autoencoding:
    """An autoencoder on the x of pairs, by its own loss, for a codec of latents or of codes.

    Args:
        autoencoder: What to train, in place. Its parameters require gradients from here on, also
            where a codec holds it frozen.
        size: Side of the square images.
        decoder_only: Leave the encoder as it is, so that latents stay what they are.
    """

    needs_statistics = False

    def __init__(
        self,
        autoencoder: Autoencoder | QuantizingAutoencoder,
        *,
        size: int,
        decoder_only: bool = False,
    ) -> None:
        self.autoencoder, self.size = autoencoder, size
        self.parts = nn.ModuleDict({"autoencoder": autoencoder.requires_grad_(True)})
        if decoder_only:
            autoencoder.encoder.requires_grad_(False)

    def fit_statistics(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        """Nothing to take: the codec takes the statistics of its latents once this is trained."""

    def prepare(self, pairs: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
        """Images of pairs (y, x) to uint8 (B, 3, S, S)."""
        return {"pixels": load_batch([x for _, x in pairs], size=self.size)}

    def loss(
        self, tensors: Mapping[str, Any], *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Loss of each image (B,)."""
        return self.autoencoder.loss(tensors["pixels"] / 127.5 - 1, generator=generator)


class Vocoding:
    """A vocoder on the x of pairs, by its own loss, for a codec of mel frames.

    Args:
        vocoder: What to train, in place.
        seconds: Length of the piece that a step takes from each sound, in s, from a random place.
            Shorter sounds are continued by silence.
        max_seconds: Longest sound, in s.
    """

    needs_statistics = False

    def __init__(
        self, vocoder: Vocoder, *, seconds: float = 1.0, max_seconds: float = 60.0
    ) -> None:
        self.vocoder = vocoder
        self.piece = max(1, round(seconds * vocoder.mel.sampling_rate))
        self.longest = round(max_seconds * vocoder.mel.sampling_rate)
        self.parts = nn.ModuleDict({"vocoder": vocoder})

    def fit_statistics(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        """Nothing to take: the codec takes the statistics of its frames itself."""

    def prepare(self, pairs: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
        """Sounds of pairs (y, x) to samples (B, N) and lengths (B,)."""
        samples, lengths = sounds.load_batch(
            [x for _, x in pairs],
            sampling_rate=self.vocoder.mel.sampling_rate,
            max_samples=self.longest,
        )
        return {"samples": samples, "lengths": lengths}

    def loss(
        self, tensors: Mapping[str, Any], *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Loss of a piece of each sound (B,)."""
        x, lengths = tensors["samples"], tensors["lengths"]
        x = F.pad(x, (0, max(0, self.piece - x.shape[1])))
        room = (lengths - self.piece + 1).clamp(min=1)
        start = (torch.rand(len(x), generator=generator).to(x.device) * room).long()
        places = start[:, None] + torch.arange(self.piece, device=x.device)
        return self.vocoder.loss(x.gather(1, places), generator=generator)
