"""Networks of other libraries that can compute activations anew in the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["library_networks", "switched_on"]


def library_networks(parts: nn.Module) -> list[nn.Module]:
    """The networks of transformers and diffusers in some parts that can do so.

    Both libraries say it in an attribute of the class. Neither is imported to ask.
    """
    return [m for m in parts.modules() if _supports(m)]


@contextmanager
def switched_on(networks: list[nn.Module]) -> Iterator[None]:
    """With that switched on, for the time of a block."""
    for network in networks:
        if hasattr(network, "activation_checkpointing_enable"):
            network.activation_checkpointing_enable({"use_reentrant": False})
        elif hasattr(network, "gradient_checkpointing_enable"):  # transformers before 5.23
            network.gradient_checkpointing_enable({"use_reentrant": False})
        else:  # diffusers
            network.enable_gradient_checkpointing()
    try:
        yield
    finally:
        for network in networks:
            if hasattr(network, "activation_checkpointing_disable"):
                network.activation_checkpointing_disable()
            elif hasattr(network, "gradient_checkpointing_disable"):
                network.gradient_checkpointing_disable()
            else:
                network.disable_gradient_checkpointing()


def _supports(module: nn.Module) -> bool:
    names = ("supports_gradient_checkpointing", "_supports_gradient_checkpointing")
    return any(getattr(type(module), name, False) is True for name in names)
