"""What the parts of a pipeline take from examples, and keep beside their weights."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from mmgen.core.errors import LoadError

__all__ = ["Fitted", "take_asset"]


class Fitted(nn.Module, ABC):
    """A part that may need a vocabulary or statistics before it can be used.

    Statistics are buffers that are NaN until `fit` or loading sets them; they are saved with the
    weights and required to load. A vocabulary is an asset.
    """

    columns: tuple[str, ...] = ()
    """Names of its numbers, if a value is several of them, each a column of a table."""
    scales = False
    """Whether `fit` takes nothing but statistics by which values are scaled, and no vocabulary."""

    def adapt(self, value: Any) -> Any:
        """The value nearest to this one that `prepare` takes: scaled, cropped, resampled, mixed.

        Nothing calls it unless a user asks for it. If not said otherwise, the value itself.
        """
        return value

    def is_one(self, value: Any) -> bool:
        """Whether what a call was given is one value, and no list or tuple of values."""
        return not isinstance(value, (list, tuple))

    @property
    def fitted(self) -> bool:
        """Whether it has what `fit` takes: no buffer is NaN.

        A part that keeps what it takes elsewhere than in buffers says so here itself.
        """
        return not any(b.isnan().any() for b in self.buffers() if b.is_floating_point())

    def fit(self, values: Sequence[Any]) -> None:
        """Take what the part needs from examples of its values."""

    def rescale(self, values: Sequence[Any]) -> bool:
        """Take statistics anew from examples. A vocabulary stays: what was trained knows no other.

        Returns:
            Whether there are some.
        """
        if self.scales:
            self.fit(values)
        return self.scales

    def forget(self) -> None:
        """Let go of statistics, so that `fit` takes them anew. A vocabulary stays."""
        for part in self.modules():
            if isinstance(part, Fitted):
                state = part.state_dict()
                for name, buffer in part.named_buffers(recurse=False):
                    if buffer.is_floating_point() and name in state:
                        buffer.fill_(torch.nan)

    def assets(self) -> dict[str, bytes]:
        """Files other than weights that the part needs, by name (a vocabulary, say)."""
        return {}

    def load_assets(self, assets: Mapping[str, bytes]) -> None:
        """Take back what `assets` gave.

        Raises:
            LoadError: If a needed file is not among them, or does not hold what it should.
        """


def take_asset(assets: Mapping[str, bytes], name: str, *, by: str) -> bytes:
    """The file of this name.

    Args:
        assets: Files of a part.
        name: Which one.
        by: The part, for the message.

    Raises:
        LoadError: If it is not among them.
    """
    if name not in assets:
        raise LoadError(f"{by} needs {name}, which is missing. Save it again.")
    return assets[name]
