"""Which parameters of a pipeline are trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from mmgen.core.errors import UnknownNameError, close_names

__all__ = ["only_training"]

_SHOWN_DEPTH = 2


@contextmanager
def only_training(parts: nn.Module, names: Sequence[str]) -> Iterator[None]:
    """Train only what is called by one of these names, for the time of a block.

    Args:
        parts: The parts of a pipeline.
        names: Beginnings of names of parameters: "model", "model.network.blocks.3". All if empty.

    Raises:
        UnknownNameError: If nothing is called so. The message lists the close names.
    """
    before = {n: p.requires_grad for n, p in parts.named_parameters()}
    known = {".".join(n.split(".")[:i]) for n in before for i in range(1, n.count(".") + 2)}
    for name in names:
        if name not in known:
            close = close_names(name, known)
            if not close.startswith("Did"):
                # Not thousands of names: the parts, and what is right within them.
                close = close_names(name, [n for n in known if n.count(".") < _SHOWN_DEPTH])
            raise UnknownNameError(f"No parameter's name begins with {name!r}. {close}")
    if names:
        for n, p in parts.named_parameters():
            p.requires_grad_(any(n == name or n.startswith(f"{name}.") for name in names))
    try:
        yield
    finally:
        for n, p in parts.named_parameters():
            p.requires_grad_(before.get(n, p.requires_grad))
