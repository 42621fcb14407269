"""What a sampler is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

from mmgen.core.rng import Generators
from mmgen.families.diffusion.path import GaussianPath

__all__ = ["Sampler"]


class Sampler(ABC):
    """Steps from noise to data. It holds no state: one object may serve many runs at once."""

    @abstractmethod
    def run(
        self,
        denoise: Callable[[Tensor, Tensor], Tensor],
        z: Tensor,
        times: Tensor,
        *,
        path: GaussianPath,
        generators: Generators,
        on_step: Callable[[int], None],
    ) -> Tensor:
        """Follow `times` down to data.

        Args:
            denoise: (z_t (B, *event), t scalar) -> E[x_0 | z_t].
            z: Start at times[0], (B, *event); standard normal if times[0] is 1.
            times: Decreasing times (steps + 1,), float64, on the CPU.
            path: Schedule.
            generators: One for each row of z, (1, B), for the samplers that add noise.
            on_step: Called with the number of steps done after each.

        Returns:
            z at times[-1], (B, *event).
        """
