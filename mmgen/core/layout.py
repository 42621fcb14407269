"""How events of a continuous type lie in tensors: their features, their sizes, what is padding."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent, within
from mmgen.core.rng import Generators
from mmgen.core.spec import Spec

__all__ = ["Layout"]

_FEATURE_AXIS = {1: -1, 2: -1, 3: -3, 4: -3}


@dataclass(frozen=True)
class Layout:
    """The layout of a continuous type: (K,), (T, F), (C, H, W) or (T, C, H, W).

    What varies, if anything, is time: the first axis of a sequence or of a film.

    Args:
        spec: The type.
    """

    spec: Spec

    @classmethod
    def of(cls, spec: Spec, *, by: str) -> Layout:
        """The layout of a type.

        Args:
            spec: The type.
            by: Who asks, for the message.

        Raises:
            SpecError: If it is not continuous, or has no layout that `by` can work on.
        """
        if spec.kind != "continuous":
            raise SpecError(
                f"{by} works on continuous latents; this codec gives {spec.kind}. Use a codec with "
                "continuous latents, or a family for tokens: autoregressive, masked."
            )
        if spec.event_dims not in _FEATURE_AXIS:
            raise SpecError(
                f"{by} works on latents of one to four axes, got {spec.shape}. Use a codec that "
                "gives numbers, a sequence, an image or a film."
            )
        fixed = spec.shape[1:] if spec.event_dims in (2, 4) else spec.shape
        if any(isinstance(size, str) for size in fixed):
            raise SpecError(
                f"{by} takes latents that vary in time only, the first axis of (T, F) and of "
                f"(T, C, H, W); got {spec.shape}. Fix the other sizes, or use diffusion."
            )
        return cls(spec)

    @property
    def feature_axis(self) -> int:
        """The axis of features or channels, counted from the end."""
        return _FEATURE_AXIS[self.spec.event_dims]

    @property
    def num_features(self) -> int:
        """How many features or channels there are."""
        return int(self.spec.shape[self.feature_axis])

    @property
    def most_dims(self) -> int:
        """Number of dimensions of an event, of the longest if they vary."""
        return math.prod(self.spec.max_length if isinstance(n, str) else n for n in self.spec.shape)

    def condition(self, c: Condition, lengths: Tensor | None = None) -> Condition:
        """The condition with lengths if events vary, and without if they do not.

        Args:
            c: A condition.
            lengths: Of latents that come with it (B,), if they are known.

        Raises:
            SpecError: If events vary and no length is known, or the two lengths differ.
        """
        if not self.spec.varies:
            return c if c.lengths is None else c.with_lengths(None)
        known = c.lengths if lengths is None else lengths
        if known is None:
            raise SpecError(
                f"Latents of type {self.spec.shape} vary in length, and this condition has no "
                "lengths. Give them: c.with_lengths(tensor of shape (B,))."
            )
        if c.lengths is not None and not torch.equal(c.lengths.cpu(), known.cpu()):
            raise SpecError(
                f"The latents have lengths {known.tolist()}, their condition {c.lengths.tolist()}. "
                "Score latents of the lengths that the condition asks for."
            )
        return c if c.lengths is not None else c.with_lengths(known)

    def sizes(self, c: Condition) -> tuple[int, ...]:
        """Sizes of events padded to the longest of a batch."""
        if not self.spec.varies:
            return tuple(int(size) for size in self.spec.shape)
        return (int(c.lengths.max()), *(int(size) for size in self.spec.shape[1:]))

    def there(self, z: Tensor, c: Condition) -> Tensor | None:
        """Which entries of z (B, *event) are no padding, boolean (B, T, 1, ...); None for all."""
        if not self.spec.varies:
            return None
        return within(c.lengths, z)

    def trim(self, z: Tensor, c: Condition) -> Tensor:
        """z (B, *event) with zeros beyond the lengths."""
        there = self.there(z, c)
        return z if there is None else z.masked_fill(~there, 0.0)

    def total(self, values: Tensor, c: Condition) -> Tensor:
        """Sum of values (B, *event) over each event, padding left out (B,)."""
        return self.trim(values, c).flatten(1).sum(1)

    def num_dims(self, c: Condition) -> Tensor:
        """Number of dimensions of each event (B,)."""
        if not self.spec.varies:
            return torch.full((c.batch,), self.most_dims)
        return c.lengths.cpu() * math.prod(int(size) for size in self.spec.shape[1:])

    def aligned(self, latent: Latent, c: Condition) -> tuple[Tensor, Condition]:
        """Latents of training z (B, *event), float32 with zeros beyond their lengths, and c.

        Raises:
            SpecError: As those of `condition`.
        """
        c = self.condition(c, latent.lengths)
        return self.trim(latent.z.float(), c), c

    def checked(self, latent: Latent, c: Condition) -> Tensor:
        """Latents to be scored under c as z (B, *event), float32 with zeros beyond their lengths.

        Raises:
            SpecError: If z is not of this type, not one for each condition, or of other lengths.
        """
        self.spec.check(latent.z)
        if latent.z.shape[: -self.spec.event_dims] != (c.batch,):
            raise SpecError(
                f"Expected one latent for each of {c.batch} conditions, got z of shape "
                f"{tuple(latent.z.shape)}. Select the conditions that the latents belong to."
            )
        return self.aligned(latent, c)[0]

    def randn(self, generators: Generators, c: Condition, *, device: torch.device) -> Tensor:
        """Standard normal events (B, *event) for a block (1, B), zeros beyond the lengths.

        Each draws as many numbers as it is long, so that padding has no influence.
        """
        sizes = self.sizes(c)
        if not self.spec.varies:
            return generators.randn(*sizes, device=device)[0]
        rows = []
        for i, length in enumerate(c.lengths.tolist()):
            own = generators.select(torch.tensor([i])).randn(length, *sizes[1:])[0, 0]
            rows.append(_padded(own, sizes[0]))
        return torch.stack(rows).to(device)


def _padded(z: Tensor, length: int) -> Tensor:
    """z (T, ...) with zeros up to a length."""
    return F.pad(z, (0, 0) * (z.ndim - 1) + (0, length - z.shape[0]))
