"""What the loop trains: a pipeline, or a part that must be trained before one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.modalities.audio import files as sounds
from mmgen.modalities.image.files import load_batch
from mmgen.nn.autoencoder import Autoencoder
from mmgen.nn.discriminator import SpectralDiscriminator
from mmgen.nn.vocoder import Vocoder
from mmgen.nn.vq import QuantizingAutoencoder

__all__ = ["Autoencoding", "Trainable", "Vocoding"]


class Trainable(Protocol):
    """What `fit` needs of what it trains. `Pipeline` has it."""

    parts: nn.ModuleDict

    @property
    def phases(self) -> tuple[str, ...]:
        """What training alternates between, a step each in turn. Empty for one loss of all."""

    def phase_parameters(self, phase: str) -> Iterable[nn.Parameter]:
        """The parameters that a step of this phase changes, each of them in one phase only.

        What is in no phase changes in the last one.
        """

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
        """Loss of each pair (B,). With phases it takes one more argument, `phase`."""


class Autoencoding:
    """An autoencoder on the x of pairs, by its own loss, for a codec of latents or of codes.

    Args:
        autoencoder: What to train, in place. Its parameters require gradients from here on, also
            where a codec holds it frozen.
        size: Side of the square images.
        decoder_only: Leave the encoder as it is, so that latents stay what they are.
    """

    needs_statistics = False
    phases: tuple[str, ...] = ()

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

    def phase_parameters(self, phase: str) -> Iterable[nn.Parameter]:
        """Those of the autoencoder: there are no phases."""
        return self.autoencoder.parameters()

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
    """A vocoder on the x of pairs, for a codec of mel frames.

    Without a discriminator, its loss is its own error, and sounds come back somewhat blurred. With
    one, the two learn in turn, the vocoder by its error and `weight` times the discriminator's
    `deception`. That is worth its cost once the error has stopped falling quickly, so train without
    one first.

    Args:
        vocoder: What to train, in place. Its parameters require gradients from here on, also where
            a codec holds it frozen.
        discriminator: What tells sounds from copies; trained, too. None for none.
        weight: Of what the discriminator says, beside the error. In short trials it was deceived at
            0.5 before it had learnt anything, and held its own at 0.1.
        seconds: Length of the piece that a step takes from each sound, in s, from a random place.
            Shorter sounds are continued by silence.
        max_seconds: Longest sound, in s.

    Source: Vocos (Siuzdak, 2023), Sec. 3, arXiv:2306.00814
    """

    needs_statistics = False

    def __init__(
        self,
        vocoder: Vocoder,
        *,
        discriminator: SpectralDiscriminator | None = None,
        weight: float = 0.1,
        seconds: float = 1.0,
        max_seconds: float = 60.0,
    ) -> None:
        self.vocoder, self.discriminator, self.weight = vocoder, discriminator, weight
        self.piece = max(1, round(seconds * vocoder.mel.sampling_rate))
        self.longest = round(max_seconds * vocoder.mel.sampling_rate)
        parts: dict[str, nn.Module] = {"vocoder": vocoder.requires_grad_(True)}
        if discriminator is not None:
            parts["discriminator"] = discriminator
        self.parts = nn.ModuleDict(parts)

    @property
    def phases(self) -> tuple[str, ...]:
        """The two in turn, if there is a discriminator."""
        return () if self.discriminator is None else ("discriminator", "vocoder")

    def phase_parameters(self, phase: str) -> Iterable[nn.Parameter]:
        """Those of the part that the phase is named after."""
        return self.parts[phase].parameters()

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
        self,
        tensors: Mapping[str, Any],
        *,
        generator: torch.Generator | None = None,
        phase: str | None = None,
    ) -> Tensor:
        """Loss of a piece of each sound (B,).

        Args:
            tensors: What `prepare` gave.
            generator: For the places of the pieces.
            phase: One of `phases`; None for the vocoder's own error.

        Raises:
            ValueError: If there is no such phase.
        """
        if phase is not None and phase not in self.phases:
            raise ValueError(f"phase is one of {', '.join(self.phases) or 'none'}; got {phase!r}.")
        x = self._pieces(tensors["samples"], tensors["lengths"], generator)
        if phase is None:
            return self.vocoder.loss(x, generator=generator)
        if phase == "discriminator":
            with torch.no_grad():
                copy = self.vocoder(x)
            return self.discriminator.distinction(x, copy)
        copy = self.vocoder(x)
        deception = self.discriminator.deception(x, copy)
        return self.vocoder.error(x, copy) + self.weight * deception

    def _pieces(self, x: Tensor, lengths: Tensor, generator: torch.Generator | None) -> Tensor:
        """A piece of each sound (B, N)."""
        x = F.pad(x, (0, max(0, self.piece - x.shape[1])))
        room = (lengths - self.piece + 1).clamp(min=1)
        start = (torch.rand(len(x), generator=generator).to(x.device) * room).long()
        places = start[:, None] + torch.arange(self.piece, device=x.device)
        return x.gather(1, places)
