"""Memory for time: what blocks compute is computed anew in the backward pass, and not kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmgen.backends.checkpointing import library_networks, switched_on
from mmgen.core.errors import SpecError

__all__ = ["recomputing"]


@contextmanager
def recomputing(parts: nn.Module, wanted: bool) -> Iterator[None]:
    """Let each block of a network that learns keep only what it was given, for a `with` block.

    Networks of transformers and diffusers do it in their own way. Of all others, blocks are what
    lists of modules hold. What is learnt is the same, but for rounding.

    Args:
        parts: What is trained.
        wanted: Whether to; if not, nothing is changed.

    Raises:
        SpecError: If there is no block.

    Source: Training Deep Nets with Sublinear Memory Cost (Chen et al., 2016), Sec. 4,
    arXiv:1604.06174
    """
    if not wanted:
        yield
        return
    theirs = library_networks(parts)
    inside = {id(module) for network in theirs for module in network.modules()}
    blocks = [b for b in _blocks(parts) if id(b) not in inside and _learns(b)]
    if not blocks and not any(_learns(network) for network in theirs):
        raise SpecError(
            "gradient_checkpointing computes blocks of a network anew, and what is trained here "
            "has none. Leave it out."
        )
    for block in blocks:
        block.forward = partial(_recomputed, block.forward)
    try:
        with switched_on([network for network in theirs if _learns(network)]):
            yield
    finally:
        for block in blocks:
            del block.forward


def _recomputed(forward: Callable[..., Any], *values: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*values, **named)
    return checkpoint(forward, *values, use_reentrant=False, **named)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """What the outermost lists of modules hold: that of their own is computed within."""
    for child in module.children():
        if not isinstance(module, nn.ModuleList) or isinstance(child, nn.ModuleList):
            yield from _blocks(child)
        else:
            yield child


def _learns(module: nn.Module) -> bool:
    return any(p.requires_grad for p in module.parameters())
