"""X to z and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.core.latent import Latent
from mmgen.core.options import Option
from mmgen.core.spec import Spec

__all__ = ["Codec", "Lossless"]


class Codec(nn.Module, ABC):
    """Takes values of X to latents and back: z = encode(prepare(x)), x = present(decode(z)).

    A codec with statistics keeps them in buffers that are NaN until `fit` or loading sets them;
    they are saved with the weights and required to load.
    """

    @property
    @abstractmethod
    def spec(self) -> Spec:
        """The type of its latents."""

    @abstractmethod
    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        """Values to tensors on the CPU: cheap, without parameters, safe in workers.

        Raises:
            TypeError: If a value is not of this modality.
            ValueError: If it is, but cannot be read.
        """

    @abstractmethod
    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        """Prepared tensors to latents z (B, *event).

        Args:
            tensors: What `prepare` gave.
            generator: For the noise of dequantisation and of stochastic encoders; None for the
                centre of what such noise would give.
        """

    @abstractmethod
    def decode(self, latent: Latent) -> dict[str, Tensor]:
        """Latents to what `prepare` would give of the decoded values."""

    @abstractmethod
    def present(self, tensors: Mapping[str, Tensor]) -> list[Any]:
        """Prepared tensors to values that people hold (PIL images, strings, ...)."""

    def options(self) -> tuple[Option, ...]:
        """What decoding can be asked for."""
        return ()

    @property
    def fitted(self) -> bool:
        """Whether it has what `fit` takes: no buffer is NaN.

        A codec that keeps what it takes elsewhere than in buffers says so here itself.
        """
        return not any(b.isnan().any() for b in self.buffers() if b.is_floating_point())

    def fit(self, values: Sequence[Any]) -> None:
        """Take the statistics that the codec needs from examples of X."""

    def assets(self) -> dict[str, bytes]:
        """Files other than weights that the part needs, by name (a vocabulary, say)."""
        return {}

    def load_assets(self, assets: Mapping[str, bytes]) -> None:
        """Take back what `assets` gave.

        Raises:
            LoadError: If a needed file is not among them, or does not hold what it should.
        """


class Lossless(Codec):
    """A codec that loses nothing, so that a density of z is a density of x."""

    @abstractmethod
    def log_volume(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """log |det dz/dx| (B,) in nats: log p(x) = log p(z) + log_volume(x)."""
