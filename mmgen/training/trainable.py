"""What the loop trains: a pipeline, or a part that must be trained before one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mmgen.modalities.image.files import load_batch
from mmgen.nn.autoencoder import Autoencoder

__all__ = ["Autoencoding", "Trainable"]


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
    """An autoencoder on the x of pairs, by its own loss, for a codec of latents.

    Args:
        autoencoder: What to train, in place.
        size: Side of the square images.
    """

    needs_statistics = False

    def __init__(self, autoencoder: Autoencoder, *, size: int) -> None:
        self.autoencoder, self.size = autoencoder, size
        self.parts = nn.ModuleDict({"autoencoder": autoencoder})

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
