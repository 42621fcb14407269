"""Features of values, for the distances of sets of them: FID, KID, precision and recall.

By any extractor: a function of a list of values, or a pipeline, whose `encode` is taken. Distances
by other extractors do not compare, so its name belongs beside the number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch

__all__ = ["Encodes", "features_of"]


class Encodes(Protocol):
    """What has codes, as a pipeline of a family that has them."""

    def encode(self, x: list[Any]) -> Any:
        """Codes (B, *code) of values."""


def features_of(
    values: Sequence[Any],
    extractor: Callable[[list[Any]], Any] | Encodes,
    *,
    batch_size: int = 64,
) -> np.ndarray:
    """Features (N, D) of values, a batch at a time.

    Args:
        values: What to look at, N of them.
        extractor: From a list of values to an array or tensor with a row for each, of any shape; or
            a pipeline.
        batch_size: Values at a time.

    Returns:
        Double precision (N, D), each value's features on one axis.

    Raises:
        ValueError: If there are no values, or the extractor gives no row for each.
    """
    if not len(values):
        raise ValueError("Expected one value or more to take features of, got none.")
    take = getattr(extractor, "encode", extractor)
    rows = []
    for first in range(0, len(values), batch_size):
        some = list(values[first : first + batch_size])
        with torch.no_grad():
            found = torch.as_tensor(take(some)).detach().cpu().double().numpy()
        if found.ndim == 0 or len(found) != len(some):
            raise ValueError(
                f"The extractor gave features of shape {found.shape} for {len(some)} values. It "
                "has to give a row for each."
            )
        rows.append(found.reshape(len(some), -1))
    return np.concatenate(rows)
