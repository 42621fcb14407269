"""Rows of token ids of several lengths, as the tensors and latents of a codec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mmgen.core.codec import Lossless
from mmgen.core.latent import Latent

__all__ = ["TokenRows", "from_latent", "pad", "to_latent", "unpad"]


class TokenRows(Lossless):
    """A codec whose prepared tensors are what `pad` gives, and its latents the same tokens."""

    elementwise = True

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        return to_latent(tensors)

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        return from_latent(latent)

    def log_volume(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Zeros (B,): tokens are counted, not measured."""
        return torch.zeros(len(tensors["ids"]))


def pad(rows: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """Ids of each value to ids (B, L), zero beyond `lengths` (B,). L is at least 1."""
    ids = torch.zeros(len(rows), max([1, *map(len, rows)]), dtype=torch.long)
    for padded, row in zip(ids, rows, strict=True):
        padded[: len(row)] = torch.tensor(list(row), dtype=torch.long)
    return {"ids": ids, "lengths": torch.tensor([len(row) for row in rows], dtype=torch.long)}


def unpad(tensors: Mapping[str, Tensor]) -> list[list[int]]:
    """What `pad` was given."""
    ids, lengths = tensors["ids"].tolist(), tensors["lengths"].tolist()
    return [row[:length] for row, length in zip(ids, lengths, strict=True)]


def to_latent(tensors: Mapping[str, Tensor]) -> Latent:
    """What `pad` gave, as latents."""
    return Latent(tensors["ids"], tensors["lengths"])


def from_latent(latent: Latent) -> dict[str, Tensor]:
    """Latents (B, L) of tokens as what `pad` would give."""
    ids, lengths = latent.z, latent.lengths
    if lengths is None:
        lengths = torch.full((len(ids),), ids.shape[1], device=ids.device)
    there = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
    return {"ids": ids * there, "lengths": lengths}
