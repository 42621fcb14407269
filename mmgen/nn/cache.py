"""What attention keeps of the tokens it has seen, so that token n costs O(n) and not O(n^2)."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["KeyValueCache", "Memory", "TokenCache"]

_LEAST_ROOM = 16


class Memory:
    """Keys and values (B, H, L, K) of one attention, in buffers that double when they are full."""

    def __init__(self) -> None:
        self.length = 0
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def append(self, keys_BHLK: Tensor, values_BHLK: Tensor) -> None:
        """Add those of further tokens."""
        end = self.length + keys_BHLK.shape[2]
        room = 0 if self._keys is None else self._keys.shape[2]
        if end > room:
            room = max(end, 2 * room, _LEAST_ROOM)
            self._keys = _moved(self._keys, keys_BHLK, self.length, room)
            self._values = _moved(self._values, values_BHLK, self.length, room)
        self._keys[:, :, self.length : end] = keys_BHLK
        self._values[:, :, self.length : end] = values_BHLK
        self.length = end

    def read(self) -> tuple[Tensor, Tensor]:
        """Keys and values of all tokens so far."""
        return self._keys[:, :, : self.length], self._values[:, :, : self.length]

    def select(self, index: Tensor) -> None:
        """Keep the rows of the batch that `index` (M,) names, in its order."""
        if self._keys is not None:
            index = index.to(self._keys.device)
            self._keys = self._keys.index_select(0, index)
            self._values = self._values.index_select(0, index)


class KeyValueCache:
    """The memories of a causal transformer: of its own tokens, and of the condition's.

    Args:
        depth: Number of blocks.
    """

    def __init__(self, depth: int) -> None:
        self.own = [Memory() for _ in range(depth)]
        self.cross = [Memory() for _ in range(depth)]

    @property
    def length(self) -> int:
        """Number of tokens seen."""
        return self.own[0].length

    def select(self, index: Tensor) -> None:
        """Keep the rows of the batch that `index` (M,) names, in its order; one may come twice."""
        for memory in (*self.own, *self.cross):
            memory.select(index)


class TokenCache:
    """The ids that were read, for networks that look back at them."""

    def __init__(self) -> None:
        self.ids: Tensor | None = None

    @property
    def length(self) -> int:
        """Number of tokens seen."""
        return 0 if self.ids is None else self.ids.shape[1]

    def append(self, ids_BL: Tensor) -> None:
        """Add further ids."""
        self.ids = ids_BL if self.ids is None else torch.cat((self.ids, ids_BL), dim=1)

    def select(self, index: Tensor) -> None:
        """Keep the rows of the batch that `index` (M,) names, in its order; one may come twice."""
        if self.ids is not None:
            self.ids = self.ids[index.to(self.ids.device)]


def _moved(old: Tensor | None, like: Tensor, length: int, room: int) -> Tensor:
    new = like.new_empty(*like.shape[:2], room, like.shape[3])
    if old is not None:
        new[:, :, :length] = old[:, :, :length]
    return new
