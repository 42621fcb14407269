"""P(Z | c) of continuous events of any layout, each of them drawn in one go."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.conditional import Conditional, Progress
from mmgen.core.latent import Latent
from mmgen.core.layout import Layout
from mmgen.core.parts import OnStep, in_parts
from mmgen.core.rng import Generators

__all__ = ["EventConditional"]


@dataclass(frozen=True)
class EventConditional(Conditional):
    """The distribution of a model that has a layout.

    Args:
        model: The model, with its `layout`.
        c: Condition of a batch of B, with lengths if latents vary.
        rows: Most samples to draw at once.
    """

    model: Any
    c: Condition
    rows: int = field(default=256, kw_only=True)

    @property
    def batch(self) -> int:
        return self.c.batch

    @property
    def layout(self) -> Layout:
        """How events lie in tensors."""
        return self.model.layout

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return next(self.model.parameters()).device

    @abstractmethod
    def draw(self, generators: Generators, c: Condition) -> Tensor:
        """One event (M, *event) for each of M conditions.

        Args:
            generators: (1, M).
            c: Condition of M, with lengths if latents vary. What is drawn beyond them is cut off.
        """

    @torch.no_grad()
    def sample(
        self,
        num_samples: int = 1,
        generators: Generators | None = None,
        *,
        progress: Progress | None = None,
    ) -> Latent:
        varies = self.layout.spec.varies
        longest = self.layout.sizes(self.c)[0]

        def trimmed(index: Tensor, own: Generators, on_step: OnStep) -> Tensor:
            c = self.c.select(index)
            z = self.layout.trim(self.draw(own, c), c)
            on_step(1)
            if not varies:
                return z
            return F.pad(z, (0, 0) * (z.ndim - 2) + (0, longest - z.shape[1]))

        z = in_parts(
            trimmed,
            num_samples=num_samples,
            batch=self.batch,
            rows=self.rows,
            num_steps=1,
            generators=generators,
            progress=progress,
        )
        return Latent(z, self.c.lengths.expand(num_samples, -1) if varies else None)

    def checked(self, latent: Latent) -> Tensor:
        """Latents to be scored as z (B, *event), float32 with zeros beyond their lengths.

        Raises:
            SpecError: If z is not of the model's type, not one for each condition, or of other
                lengths.
        """
        return self.layout.checked(latent, self.c).to(self.device)
