"""What the network of a diffusers pipeline is to the diffusion family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.from_diffusers.autoencoder import autoencoder_kl
from mmgen.backends.from_diffusers.noising import Noising
from mmgen.backends.given import GivenCondition
from mmgen.backends.values import EvenPixels
from mmgen.core.codec import Codec
from mmgen.core.errors import MissingDependency
from mmgen.core.spec import ConditionSpec
from mmgen.families.diffusion.path import GaussianPath

__all__ = [
    "LibraryDenoiser",
    "Reading",
    "naming_missing",
    "network_of",
    "square_images",
    "told",
]


class LibraryDenoiser(nn.Module, ABC):
    """The network of a pipeline, and the path that it was trained on.

    Args:
        pipeline: A loaded diffusers pipeline that has a `codec`.
    """

    condition = ConditionSpec()
    noising: Noising

    def __init__(self, pipeline: Any) -> None:
        super().__init__()
        # A pipeline is no module; its networks are parts of the model that holds this one.
        self.__dict__["pipeline"] = pipeline

    @classmethod
    @abstractmethod
    def codec(cls, pipeline: Any) -> Codec | None:
        """Values to what the network denoises; None if it is not asked as others of its class."""

    @classmethod
    def lacking(cls, pipeline: Any) -> str | None:
        """Why a pipeline of its class cannot be asked; None if it can."""
        return None

    def parameters(self, recurse: bool = True) -> Any:
        """Those of the network."""
        return self.network.parameters(recurse)

    @property
    def network(self) -> nn.Module:
        """What predicts."""
        return network_of(self.pipeline)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the network. What is around it is in that of z_t."""
        return next(self.network.parameters()).dtype

    def unpacked(self, z: Tensor, options: Mapping[str, Any]) -> Tensor:
        """What the pipeline's scheduler works on (B, ...) as latents (B, *event).

        Args:
            z: Of a call of the pipeline.
            options: Of that call.
        """
        return z

    def packed(self, z: Tensor) -> Tensor:
        """The other way round: latents (B, *event) as a call of the pipeline takes them."""
        return z

    def forget(self) -> None:
        """Keep nothing that weights have made, for they have changed."""

    @property
    def path(self) -> GaussianPath:
        """That it was trained on."""
        return self.noising.path

    def error(self, x_0: Tensor, c: GivenCondition, *, generator: torch.Generator | None) -> Tensor:
        """Squared error (B,) of what the network was trained to predict.

        Args:
            x_0: Latents (B, *event).
            c: What is known of each.
            generator: For the noise, and how much of it there is.
        """

        def predict(z_t: Tensor, place: Tensor) -> Tensor:
            return self.predicted(z_t.to(self.dtype), place, c)

        return self.noising.error(predict, x_0, generator=generator)

    @abstractmethod
    def predicted(self, z_t: Tensor, place: Tensor, c: GivenCondition) -> Tensor:
        """What the network gives for z_t (B, *event) at places (B,) of its `noising`."""

    @abstractmethod
    def forward(self, z_t: Tensor, t: Tensor, c: GivenCondition) -> Tensor:
        """E[x_0 | z_t, y] for z_t (B, *event) at times t (B,)."""


class Reading(LibraryDenoiser):
    """A network that is told a text."""

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self._texts: dict[str, tuple[Tensor, ...]] = {}

    def forget(self) -> None:
        self._texts = {}

    def texts(self, c: GivenCondition) -> tuple[Tensor, ...]:
        """What the pipeline's text encoders make of all texts, an empty one where none is given."""
        return tuple(torch.cat(parts) for parts in zip(*self.each_text(c), strict=True))

    def each_text(self, c: GivenCondition) -> list[tuple[Tensor, ...]]:
        """The same of each text, where they differ in length."""
        wanted = [values.get("text", "") for values in c.values]
        kept = self._texts
        with torch.no_grad(), naming_missing(self.pipeline):
            # Those of the last call are kept: a denoiser is asked of the same ones at each step.
            self._texts = {t: kept.get(t) or self._encoded(t) for t in dict.fromkeys(wanted)}
        return [self._texts[text] for text in wanted]

    @abstractmethod
    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        """What the network needs of a text, each (1, ...)."""


@contextmanager
def naming_missing(pipeline: Any) -> Iterator[None]:
    """Say what is to be installed where a library takes for granted what others do without.

    Raises:
        MissingDependency: If texts are to be cleaned by ftfy, and it is not installed.
    """
    try:
        yield
    except NameError as error:
        if error.name != "ftfy":
            raise
        raise MissingDependency("ftfy", extra="video", purpose=type(pipeline).__name__) from None


def network_of(pipeline: Any) -> nn.Module:
    return getattr(pipeline, "unet", None) or pipeline.transformer


def square_images(
    pipeline: Any, *, beside: int = 0, learns_variance: bool = False, upcast: bool = False
) -> Codec | None:
    """Square images of the network's own size, if it gives what it takes.

    Args:
        pipeline: A loaded diffusers pipeline.
        beside: Channels that the network sees beside those it denoises.
        learns_variance: Whether half of what it gives is a variance.
        upcast: As that of `autoencoder_kl`.
    """
    config, vae = network_of(pipeline).config, getattr(pipeline, "vae", None)
    size, channels = config.get("sample_size"), config.get("in_channels") - beside
    given = 2 * channels if learns_variance else channels
    if not isinstance(size, int) or config.get("out_channels") != given:
        return None
    if vae is None:
        return EvenPixels(size) if channels == 3 else None
    if type(vae).__name__ != "AutoencoderKL":
        return None
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    return autoencoder_kl(vae, size=size * factor, upcast=upcast)


def told(c: GivenCondition) -> dict[str, Tensor]:
    """What the network is told besides, each (B, ...), as far as values say so."""
    rows = [values.get("told", {}) for values in c.values]
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
