"""X to z and back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgen.core.errors import SpecError
from mmgen.core.fitted import Fitted
from mmgen.core.latent import Latent
from mmgen.core.options import Option
from mmgen.core.spec import Spec

__all__ = ["Codec", "Lossless", "spread"]


class Codec(Fitted):
    """Takes values of X to latents and back: z = encode(prepare(x)), x = present(decode(z))."""

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

    def embed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """What `encode` takes in place of prepared tensors, made of them without any draw.

        A codec that is costly and whose `encode` draws says here what it draws from (mean and
        variance of a posterior, say), so that training computes that once for each value.

        Args:
            tensors: What `prepare` gave.

        Returns:
            Tensors (B, ...), the same for a value in any batch; None if there is nothing between.
        """
        return None

    @abstractmethod
    def decode(self, latent: Latent) -> dict[str, Tensor]:
        """Latents to what `prepare` would give of the decoded values."""

    @abstractmethod
    def present(self, tensors: Mapping[str, Tensor]) -> list[Any]:
        """Prepared tensors to values that people hold (PIL images, strings, ...)."""

    elementwise: bool = False
    """Whether each entry of z is the image of one entry of the prepared tensor of the same shape,
    so that a part of a value that is known is a part of its latent."""

    def signal(self, latent: Latent) -> Tensor:
        """The decoded values before any rounding (B, *value), floats that gradients flow through.

        Operators act on these, and means and spreads are taken of them.

        Raises:
            SpecError: If values are not numbers.
        """
        tensors = list(self.decode(latent).values())
        if len(tensors) != 1 or not tensors[0].is_floating_point():
            raise SpecError(
                f"{type(self).__name__} decodes to no signal of real numbers, so there is nothing "
                "to measure or to average. Use a codec of continuous values."
            )
        return tensors[0]

    def seen(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Prepared values as `signal` would give them if nothing were lost (B, *value).

        None where there is no such thing.
        """
        return None

    def latent_mask(self, latent: Latent, masks: Sequence[Tensor]) -> Tensor:
        """Which entries of latents are known, from which entries of their values are.

        Args:
            latent: z (B, *event) of the known values.
            masks: B boolean masks of a value as `prepare` gives it, or of its last axes.

        Returns:
            Boolean (B, *event), false beyond the length of each.

        Raises:
            SpecError: If a mask has another shape, or no entry of z is one of the value.
        """
        if not self.elementwise:
            raise SpecError(
                f"{type(self).__name__} mixes the entries of a value in each latent, so known ones "
                "cannot be held. Give operator=Mask(...) and a measurement with noise, or use a "
                "codec that keeps entries apart."
            )
        return spread(masks, latent.z.shape, lengths=latent.lengths)

    def paste(
        self, tensors: Mapping[str, Tensor], known: Mapping[str, Tensor], mask: Tensor
    ) -> dict[str, Tensor]:
        """Prepared tensors that hold exactly what is known.

        Args:
            tensors: What `decode` gave.
            known: What `prepare` gave of the known values.
            mask: What `latent_mask` gave, (B, *event).
        """
        pasted = dict(tensors)
        for name, value in known.items():
            if value.shape == mask.shape:
                own = tensors[name].clone()
                # Both may be padded, and not to the same length.
                size = min(own.shape[1], value.shape[1])
                here = (slice(None), slice(size))
                own[here] = torch.where(mask[here].to(own.device), value[here].to(own), own[here])
                pasted[name] = own
        return pasted

    def options(self) -> tuple[Option, ...]:
        """What decoding can be asked for."""
        return ()


class Lossless(Codec):
    """A codec that loses nothing, so that a density of z is a density of x."""

    @abstractmethod
    def log_volume(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """log |det dz/dx| (B,) in nats: log p(x) = log p(z) + log_volume(x)."""


def spread(
    masks: Sequence[Tensor], shape: Sequence[int], *, lengths: Tensor | None = None
) -> Tensor:
    """B masks of a value, or of its last axes, as one boolean tensor of `shape`, (B, *event).

    Args:
        masks: Boolean.
        shape: Of the whole.
        lengths: Of each row (B,), beyond which all is false.

    Raises:
        SpecError: If a mask has another shape.
    """
    known = torch.zeros(tuple(shape), dtype=torch.bool)
    for i, mask in enumerate(masks):
        event = list(shape[1:])
        if lengths is not None:
            event[0] = int(lengths[i])
        if mask.ndim > len(event) or list(mask.shape) != event[len(event) - mask.ndim :]:
            raise SpecError(
                f"Expected a mask of shape {tuple(event)}, or of its last axes; got "
                f"{tuple(mask.shape)}. Give one entry for each of the value."
            )
        known[i][tuple(slice(size) for size in event)] = mask
    return known
