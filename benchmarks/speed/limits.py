"""The rate at which a machine reads its memory, and how much of it decoding has to read.

A decoder at batch one multiplies every weight once for each token, and each is used once: so the
time of a token is at least that of reading the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

__all__ = ["gigabytes_per_second", "reading", "weight_bytes"]

# Far more than any cache holds.
_MEGABYTES = 256


def reading(megabytes: int = _MEGABYTES) -> tuple[Callable[[], object], int]:
    """A product of a float32 matrix and a vector, to time, and the bytes that it reads.

    Args:
        megabytes: Size of the matrix.
    """
    columns = 2048
    rows = megabytes * 2**20 // (4 * columns)
    # Written once, or the pages are all the one page of zeros.
    matrix = torch.full((rows, columns), 0.5)
    vector, out = torch.full((columns,), 0.5), torch.empty(rows)
    return lambda: torch.mv(matrix, vector, out=out), matrix.numel() * matrix.element_size()


def gigabytes_per_second(size: int, seconds: Iterable[float]) -> list[float]:
    """Of each repeat.

    Args:
        size: Bytes read in each.
        seconds: That each took.
    """
    return [size / s / 1e9 for s in seconds]


def weight_bytes(part: nn.Module, *, without: tuple[str, ...] = ()) -> int:
    """Bytes of the weight matrices of linear maps, each counted once.

    Args:
        part: A decoder with its output layer.
        without: Pieces of the names of maps that are not called for each token, such as those of
            keys and values of a condition.
    """
    seen: dict[int, int] = {}
    for name, module in part.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, nn.Embedding) or weight is None or weight.ndim != 2:
            continue
        if not any(piece in name for piece in without):
            seen[weight.data_ptr()] = weight.numel() * weight.element_size()
    return sum(seen.values())
