"""Generative adversarial networks: one pass from noise to a sample, and no density.

Where sequences differ in length, P(Z | c, length) is modelled.

Source: The GAN is dead; long live the GAN! (Huang et al., 2025), arXiv:2501.05441
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmgen.core.condition import Condition
from mmgen.core.event_conditional import EventConditional
from mmgen.core.latent import Latent
from mmgen.core.layout import Layout
from mmgen.core.model import Model
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.nn.event import EventNetwork

__all__ = ["GANConditional", "GenerativeAdversarial", "model"]


def model(spec: Spec, condition: ConditionSpec, size: str) -> GenerativeAdversarial:
    """The adversarial model of this size for latents and a condition of these types.

    Raises:
        SpecError: If the latents are not continuous, or have a layout it cannot work on.
    """
    dim, depth = {"debug": (32, 1), "small": (192, 4)}[size]
    return GenerativeAdversarial(spec, condition=condition, dim=dim, depth=depth)


class GenerativeAdversarial(Model):
    """P(Z | c) as what a generator makes of noise, trained against a discriminator D.

    With x a latent and y what is generated for the same condition, D minimises

        softplus(D(y) - D(x)) + gamma / 2 (|dD/dx|^2 + |dD/dy|^2),

    and the generator softplus(D(x) - D(y)). D sees the condition, but does not change its encoder.

    Args:
        spec: The type of z.
        condition: Widths of the condition.
        dim: Width of both networks.
        depth: Their number of blocks.
        gamma: Weight of the penalties on the gradients of D.

    Raises:
        SpecError: If z is not continuous, or varies in other than time.

    Source: The GAN is dead; long live the GAN! (Huang et al., 2025), Sec. 2, arXiv:2501.05441
    """

    phases = ("discriminator", "generator")

    def __init__(
        self,
        spec: Spec,
        *,
        condition: ConditionSpec,
        dim: int,
        depth: int,
        gamma: float = 0.1,
    ) -> None:
        super().__init__()
        self.layout = Layout.of(spec, by="A generative adversarial network")
        self.spec, self.condition, self.gamma = spec, condition, gamma
        sizes = {"dim": dim, "depth": depth, "condition": condition}
        self.generator = EventNetwork(spec.shape, copies=(2, 1), **sizes)
        self.discriminator = EventNetwork(spec.shape, num_outputs=1, **sizes)
        # Only differences of its values count.
        self.discriminator.net.out.register_parameter("bias", None)

    @classmethod
    def debug(
        cls, *, spec: Spec | None = None, condition: ConditionSpec | None = None
    ) -> GenerativeAdversarial:
        """A tiny one."""
        spec = spec or Spec("properties", "continuous", (2,))
        return model(spec, condition or ConditionSpec(), "debug")

    def forward(self, c: Condition, **options: Any) -> GANConditional:
        return GANConditional(self, self.layout.condition(c))

    def phase_parameters(self, phase: str) -> Iterable[nn.Parameter]:
        return self.get_submodule(phase).parameters()

    def loss(
        self,
        latent: Latent,
        c: Condition,
        *,
        generator: torch.Generator | None = None,
        phase: str = "discriminator",
    ) -> Tensor:
        """Loss of each example (B,) in the phase "discriminator" or "generator".

        Raises:
            ValueError: If there is no such phase.
        """
        if phase not in self.phases:
            raise ValueError(f"phase is one of {', '.join(self.phases)}; got {phase!r}.")
        x, c = self.layout.aligned(latent, c)
        noise = torch.randn(2, *x.shape, generator=generator).to(x.device)
        # Plain attention products, since others cannot be differentiated twice.
        with sdpa_kernel(SDPBackend.MATH):
            if phase == "generator":
                values = self._judge(x, self.generate(noise.unbind(0), c), c)[0]
                return F.softplus(values[0] - values[1])
            with torch.no_grad():
                y = self.generate(noise.unbind(0), c)
            values, slopes = self._judge(x, y, c, sloped=True)
        return F.softplus(values[1] - values[0]) + self.gamma / 2 * slopes.sum(0)

    def generate(self, noise: tuple[Tensor, Tensor], c: Condition) -> Tensor:
        """Two blocks of noise (B, *event) to latents (B, *event)."""
        both = torch.cat(noise, dim=self.layout.feature_axis)
        return self.layout.trim(self.generator(self.layout.trim(both, c), c).float(), c)

    def _judge(
        self, x: Tensor, y: Tensor, c: Condition, *, sloped: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """D of x and of y (2, B), and the squares of its gradients, summed over events (2, B)."""
        both = torch.cat((x, y))
        c = _kept(c.select(torch.arange(c.batch).repeat(2)))
        if not sloped:
            return self.discriminator(both, c).float().reshape(2, -1), None
        with torch.enable_grad():
            both = both.detach().requires_grad_()
            values = self.discriminator(both, c).float().flatten()
            (slopes,) = torch.autograd.grad(values.sum(), both, create_graph=True)
        return values.reshape(2, -1), self.layout.total(slopes.square(), c).reshape(2, -1)


@dataclass(frozen=True)
class GANConditional(EventConditional):
    """The distribution of what a generator makes of noise.

    Args:
        model: The adversarial model.
        c: Condition of a batch of B, with lengths if latents vary.
        rows: Most samples to draw at once.
    """

    model: GenerativeAdversarial

    def draw(self, generators: Generators, c: Condition) -> Tensor:
        first = self.layout.randn(generators, c, device=self.device)
        second = self.layout.randn(generators, c, device=self.device)
        return self.model.generate((first, second), c)


def _kept(c: Condition) -> Condition:
    """The condition as D sees it: what trains the encoder comes through the generator."""
    tokens = None if c.tokens is None else c.tokens.detach()
    vector = None if c.vector is None else c.vector.detach()
    return dataclasses.replace(c, tokens=tokens, vector=vector, null=None)
