"""c to P(Z | c)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.core.condition import Condition
from mmgen.core.conditional import Conditional
from mmgen.core.latent import Latent
from mmgen.core.options import Option
from mmgen.core.spec import ConditionSpec, Spec

__all__ = ["Model"]


class Model(nn.Module, ABC):
    """A conditional generative model: forward(c) is P(Z | c), loss(z, c) trains it."""

    spec: Spec
    condition: ConditionSpec
    uses_null: bool = False
    """Whether `forward` also looks at `c.null`, the condition that stands for "not given"."""
    phases: tuple[str, ...] = ()
    """What training alternates between, a step each in turn. Empty for one loss of everything."""

    @abstractmethod
    def forward(self, c: Condition, **options: Any) -> Conditional:
        """P(Z | c).

        Args:
            c: Encoded condition of a batch of B.
            options: Those that `options` lists; the rest take their defaults.
        """

    @abstractmethod
    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Training loss of each example (B,).

        Args:
            latent: z (B, *event).
            c: Encoded condition of the same batch.
            generator: For every draw the loss makes.

        A model with phases takes one more argument, `phase`, one of their names.
        """

    def phase_parameters(self, phase: str) -> Iterable[nn.Parameter]:
        """The parameters that a step of this phase changes, each of them in one phase only.

        What is outside the model, as the encoder of the condition is, changes in the last phase.
        """
        return self.parameters()

    def options(self) -> tuple[Option, ...]:
        """The sampling options that `forward` takes."""
        return ()
