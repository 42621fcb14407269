"""The calls of a network that a sampling run makes, to be made again without the sampler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["Calls", "matmul"]


@dataclass
class Calls:
    """What a run asked of a network, in order.

    Args:
        network: The network.
        arguments: Positional and keyword arguments of each call.
    """

    network: nn.Module
    arguments: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    @classmethod
    def of(cls, network: nn.Module, run: Callable[[], object]) -> Calls:
        """Those that `run` makes."""
        calls = cls(network)

        def note(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            calls.arguments.append((args, kwargs))

        handle = network.register_forward_pre_hook(note, with_kwargs=True)
        try:
            run()
        finally:
            handle.remove()
        return calls

    @torch.no_grad()
    def replay(self) -> None:
        """Make the same calls again, and nothing else."""
        for args, kwargs in self.arguments:
            self.network(*args, **kwargs)

    def flops(self) -> int:
        """Floating-point operations of matrix products and convolutions, all calls together.

        They are those of the first call times their number: all have the same shapes.
        """
        # As plain products, because the fused attention of the CPU is not counted.
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            Calls(self.network, self.arguments[:1]).replay()
        return counter.get_total_flops() * len(self.arguments)


def matmul(size: int, dtype: torch.dtype) -> tuple[Callable[[], object], int]:
    """A square matrix product to time, and its floating-point operations."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, size, generator=generator).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out), 2 * size**3
