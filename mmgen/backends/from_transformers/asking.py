"""Networks of transformers asked with what they keep of an earlier call.

What they keep is `cache` to the networks of newer releases and `past_key_values` to those of older
ones, and one release may have both kinds.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

from torch import nn

__all__ = ["asked", "takes"]


def asked(network: nn.Module, kept: Any, **given: Any) -> tuple[Any, Any]:
    """What a network gives, and what it keeps for the next call.

    Args:
        network: A model of transformers, or a part of one.
        kept: What it kept of the call before; None at the beginning.
        given: Its other arguments.
    """
    name = "cache" if takes(type(network), "cache") else "past_key_values"
    found = network(**given, **{name: kept}, use_cache=True)
    return found, getattr(found, name)


@cache
def takes(kind: type[nn.Module], name: str) -> bool:
    """Whether networks of a class take an argument of this name."""
    return name in inspect.signature(kind.forward).parameters
