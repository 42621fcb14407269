"""A running average of weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mmgen.training.parting import parted_like, reshard, share

__all__ = ["WeightAverage"]


class WeightAverage:
    """Exponential moving average of the trained parameters of a module, in float32.

    Args:
        module: Whose parameters to follow.
        decay: Of the average; after n steps it is at most (1 + n) / (10 + n). With 0 the average is
            the weights themselves, and costs nothing.

    Source: Analyzing and Improving the Training Dynamics (Karras et al., 2023), Sec. 3,
    arXiv:2312.02696 (why the average is what to use).
    """

    def __init__(self, module: nn.Module, *, decay: float) -> None:
        self.decay, self._module = decay, module
        self._live = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.weights = {n: p.detach() for n, p in self._live.items()}
        if decay:
            self.weights = {n: p.float().clone() for n, p in self.weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` steps."""
        if not self.decay:
            return
        decay = min(self.decay, (1 + step) / (10 + step))
        average = [share(w) for w in self.weights.values()]
        live = [share(p.detach()).float() for p in self._live.values()]
        torch._foreach_lerp_(average, live, 1 - decay)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Take back averaged weights."""
        for name, average in self.weights.items():
            average.copy_(parted_like(weights[name], average))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module with averaged weights, for the time of a block."""
        own = {n: p.detach().clone() for n, p in self._live.items()}
        self.copy_to_module()
        try:
            yield
        finally:
            for name, parameter in self._live.items():
                share(parameter.data).copy_(share(own[name]))
            reshard(self._module)

    @torch.no_grad()
    def copy_to_module(self) -> None:
        """Give the module the averaged weights."""
        for name, parameter in self._live.items():
            share(parameter.data).copy_(share(self.weights[name]))
        reshard(self._module)
