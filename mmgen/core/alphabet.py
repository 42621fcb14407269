"""Sequences of tokens as families see them: content, the end after it, and what is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.spec import Spec

__all__ = ["Alphabet"]


@dataclass(frozen=True)
class Alphabet:
    """Ids of a sequence: content 0 to vocabulary - 1, and the end if lengths vary.

    An id sequence has all `max_length` places: content, then ends. What a latent holds beyond its
    length is never looked at.

    Args:
        vocabulary: Number of content tokens.
        max_length: L, number of places.
        varies: Whether sequences may end before the last place.
    """

    vocabulary: int
    max_length: int
    varies: bool

    @classmethod
    def of(cls, spec: Spec, *, by: str) -> Alphabet:
        """The alphabet of latents of this type.

        Raises:
            SpecError: If they are not sequences of tokens.
        """
        if spec.kind != "tokens":
            raise SpecError(
                f"{by} works on tokens; this codec gives {spec.kind} latents. Use a codec with "
                "tokens, or a family for continuous latents: diffusion, normalizing_flow, vae."
            )
        if spec.event_dims != 1:
            raise SpecError(
                f"{by} works on tokens in a row, shape (L,); this codec gives shape {spec.shape}. "
                "Use a codec that puts them in one row."
            )
        return cls(spec.vocabulary, spec.max_length or int(spec.shape[0]), spec.varies)

    @property
    def end(self) -> int:
        """The id of the end, the first above the content."""
        return self.vocabulary

    @property
    def num_targets(self) -> int:
        """Number of different ids that are predicted."""
        return self.vocabulary + self.varies

    def ids(self, latent: Latent, batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Ids (B, L) of latents z (B, l), ends beyond their lengths, and those lengths (B,).

        Raises:
            SpecError: If z is not of this type, or not one for each of `batch` conditions.
        """
        ids, lengths = self._placed(latent, batch, device)
        return self._checked(ids, self._content(lengths)), lengths

    def known(
        self, known: Latent, mask: Tensor, batch: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Ids (B, L) and which of them are known (B, L), of what `completing` is given.

        A known place beyond a latent's length is a known end; a place that is not known is open,
        whether content or end.

        Raises:
            SpecError: If they are not of this type, or not one for each of `batch` conditions.
        """
        if mask.dtype != torch.bool or mask.shape != known.z.shape:
            raise SpecError(
                f"Expected a boolean mask of the shape of what is known, {tuple(known.z.shape)}, "
                f"got {mask.dtype} {tuple(mask.shape)}. It is true where a value is known."
            )
        ids, lengths = self._placed(known, batch, device)
        full = torch.zeros_like(ids, dtype=torch.bool)
        full[:, : mask.shape[1]] = mask.to(device)
        content = full & self._content(lengths)
        ids = self._checked(ids, content)
        return torch.where(full & ~content, self.end, ids), full

    def latent(self, ids: Tensor, lengths: Tensor) -> Latent:
        """Ids (..., L) as latents: zeros beyond the lengths (...)."""
        content = self._content(lengths)
        return Latent(torch.where(content, ids, 0), lengths if self.varies else None)

    def closed(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Ids (..., L) with ends beyond the lengths (...)."""
        return torch.where(self._content(lengths), ids, self.end)

    def lengths(self, ids: Tensor) -> Tensor:
        """The first place of an end (...) of ids (..., L), or L if there is none."""
        places = torch.arange(self.max_length, device=ids.device)
        is_end = (ids == self.end) & self.varies
        return torch.where(is_end, places, self.max_length).amin(-1)

    def num_tokens(self, lengths: Tensor) -> Tensor:
        """Tokens of sequences of these lengths, with the end where there is one."""
        return (lengths + self.varies).clamp(max=self.max_length)

    def _placed(self, latent: Latent, batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """z (B, l) in all places, and the lengths."""
        z = latent.z
        if z.is_floating_point() or z.is_complex() or z.dtype == torch.bool:
            raise SpecError(f"Expected tokens, which are integers, got {z.dtype}.")
        widths = range(self.max_length + 1) if self.varies else (self.max_length,)
        if z.ndim != 2 or len(z) != batch or z.shape[1] not in widths:
            most = "at most " if self.varies else ""
            raise SpecError(
                f"Expected tokens of shape ({batch}, L), one row for each condition and L {most}"
                f"{self.max_length}; got {tuple(z.shape)}."
            )
        ids = torch.full((batch, self.max_length), self.end, device=device)
        ids[:, : z.shape[1]] = z.to(device)
        lengths = latent.lengths
        if lengths is None:
            return ids, torch.full((batch,), z.shape[1], device=device)
        lengths = lengths.to(device, torch.long)
        least = 0 if self.varies else self.max_length
        if lengths.shape != (batch,) or lengths.min() < least or lengths.max() > z.shape[1]:
            raise SpecError(
                f"Expected {batch} lengths from {least} to {z.shape[1]}, got {lengths.tolist()}."
            )
        return ids, lengths

    def _checked(self, ids: Tensor, content: Tensor) -> Tensor:
        """Ids with ends where there is no content."""
        ids = torch.where(content, ids, self.end)
        wrong = content & ((ids < 0) | (ids >= self.vocabulary))
        if wrong.any():
            raise SpecError(
                f"Expected tokens from 0 to {self.vocabulary - 1}, got {int(ids[wrong][0])}. "
                "Encode with the codec that the model was built for."
            )
        return ids

    def _content(self, lengths: Tensor) -> Tensor:
        """Which places (..., L) lie within the lengths (...)."""
        return torch.arange(self.max_length, device=lengths.device) < lengths[..., None]
