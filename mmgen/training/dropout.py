"""How much dropout withholds in a run of training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["dropout", "dropout_layers"]


def dropout_layers(part: nn.Module, share: float | None) -> list[nn.Dropout]:
    """The layers of a part whose share a run sets; none if it sets none.

    Args:
        part: What is trained.
        share: Of features to withhold, in [0, 1), or None.

    Raises:
        ValueError: If a share is asked for and no layer could withhold it.
    """
    if share is None:
        return []
    found = [m for m in part.modules() if isinstance(m, nn.Dropout)]
    if not found:
        raise ValueError(
            f"dropout={share} would withhold nothing: what is trained has no dropout layers "
            "(mmgen's transformers have them). Leave it out."
        )
    return found


@contextmanager
def dropout(part: nn.Module, share: float | None) -> Iterator[None]:
    """A part whose dropout layers withhold this share of features, for the time of a block.

    Args:
        part: What is trained.
        share: Of features to withhold, in [0, 1); None to leave every layer as it is.

    Source: Dropout (Srivastava et al., 2014), Sec. 4, jmlr.org/papers/v15/srivastava14a
    """
    layers = dropout_layers(part, share)
    before = [layer.p for layer in layers]
    for layer in layers:
        layer.p = share
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.p = own
