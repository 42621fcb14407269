"""Chunks of actions as tokens: each number of each step in one of many bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmgen.core.codec import Codec
from mmgen.core.errors import LoadError, SpecError
from mmgen.core.latent import Latent
from mmgen.core.spec import Spec
from mmgen.modalities.actions.chunks import ActionChunks, Bound

__all__ = ["ActionTokens"]


class ActionTokens(Codec):
    """One token of `num_bins` for each number, step after step: (T A,).

    The range that `fit` has seen is cut into bins of one width. A number comes back as the middle
    of its bin, so it is off by at most half a width; one beyond the range, as the last bin.

    Args:
        horizon: T, steps of a chunk.
        size: A, numbers of an action.
        low: Least value that the environment allows, one for all or one for each; None if free.
        high: Greatest value that it allows, likewise.
        units: Unit of the numbers, one for all or one for each, '' for none.
        num_bins: Number of tokens.

    Raises:
        SpecError: If sizes, bounds, units or the number of bins cannot be.

    Source: RT-1 (Brohan et al., 2022), Sec. 5.2, arXiv:2212.06817
    """

    scales = True

    def __init__(
        self,
        horizon: int,
        size: int,
        *,
        low: Bound = None,
        high: Bound = None,
        units: str | Sequence[str] = "",
        num_bins: int = 256,
    ) -> None:
        super().__init__()
        if isinstance(num_bins, bool) or not isinstance(num_bins, int) or num_bins < 2:
            raise SpecError(f"num_bins is an integer of at least 2, got {num_bins!r}.")
        # It reads and checks chunks and knows their range, [-1, 1] once standardised.
        self.chunks = ActionChunks(horizon, size, low=low, high=high, units=units)
        self.num_bins = num_bins

    @classmethod
    def debug(cls) -> ActionTokens:
        """A tiny one, fitted to nothing in particular."""
        codec = cls(4, 2, low=-1.0, high=(1.0, 3.0), units="rad", num_bins=8)
        codec.chunks.shift.copy_(torch.tensor([0.0, 1.0]))
        codec.chunks.scale.copy_(torch.tensor([1.0, 2.0]))
        return codec

    @property
    def spec(self) -> Spec:
        own = self.chunks.spec
        count = self.chunks.horizon * self.chunks.size
        return Spec(
            "actions",
            "tokens",
            (count,),
            low=own.low,
            high=own.high,
            vocabulary=self.num_bins,
            units=own.units,
        )

    def fit(self, values: Sequence[Any]) -> None:
        self.chunks.fit(values)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        return self.chunks.prepare(values)

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        z = self.chunks.encode(tensors).z
        bins = ((z + 1) * (self.num_bins / 2)).floor().clamp(0, self.num_bins - 1)
        return Latent(bins.long().flatten(1))

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        return {"actions": self.signal(latent)}

    def signal(self, latent: Latent) -> Tensor:
        """Actions (B, T, A)."""
        if not self.fitted:
            raise LoadError(
                "ActionTokens has no range yet. Call fit(chunks) on examples, or load saved "
                "weights, which hold it."
            )
        z = (latent.z.float() + 0.5) * (2 / self.num_bins) - 1
        return self.chunks.signal(Latent(z.unflatten(1, (self.chunks.horizon, self.chunks.size))))

    def present(self, tensors: Mapping[str, Tensor]) -> list[np.ndarray]:
        return self.chunks.present(tensors)
