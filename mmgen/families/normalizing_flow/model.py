"""An invertible map from latents to noise, as a model of P(Z | c)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.core.condition import Condition
from mmgen.core.conditional import Invertible, LogProb, Tractable
from mmgen.core.event_conditional import EventConditional
from mmgen.core.latent import Latent
from mmgen.core.layout import Layout
from mmgen.core.model import Model
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.normalizing_flow.coupling import Coupling
from mmgen.families.normalizing_flow.mixing import Mixing
from mmgen.nn.event import EventNetwork

__all__ = ["FlowConditional", "NormalizingFlow"]


class NormalizingFlow(Model):
    """P(Z | c) as the image of standard normal noise under an invertible map.

    With f the map from latents to noise, which coupling layers and mixings of features make up,

        log p(z | c) = log N(f(z, c); 0, 1) + log |det df/dz|,

    exactly, and a sample is f^-1 of noise, in one pass. Numbers are mapped by splines, grids by
    affine maps. Where sequences differ in length, P(Z | c, length) is modelled.

    Args:
        spec: The type of z.
        condition: Widths of the condition.
        num_layers: Number of coupling layers; four or more, so that every entry is mapped and
            depends on every other.
        dim: Width of the network of each layer.
        depth: Blocks of that network.
        num_bins: Bins of the splines of numbers.
        bound: Splines lie in [-bound, bound]; outside the map is affine.

    Raises:
        SpecError: If z is not continuous, or varies in other than time.

    Source: Neural Spline Flows (Durkan et al., 2019), arXiv:1906.04032; Density estimation using
    Real NVP (Dinh et al., 2016), Eq. 2-8, arXiv:1605.08803
    """

    def __init__(
        self,
        spec: Spec,
        *,
        condition: ConditionSpec,
        num_layers: int = 8,
        dim: int = 128,
        depth: int = 2,
        num_bins: int = 8,
        bound: float = 5.0,
    ) -> None:
        super().__init__()
        self.layout = Layout.of(spec, by="A normalizing flow")
        self.spec, self.condition = spec, condition
        bins = num_bins if spec.event_dims == 1 else 0
        features = self.layout.num_features
        self.mixings = nn.ModuleList(Mixing(features) for _ in range(num_layers + 1))
        self.couplings = nn.ModuleList(
            Coupling(
                self.layout,
                index=index,
                network=EventNetwork(
                    spec.shape,
                    copies=(2, 2 + (3 * bins - 1 if bins else 0)),
                    dim=dim,
                    depth=depth,
                    condition=condition,
                ).quieten(),
                num_bins=bins,
                bound=bound,
            )
            for index in range(num_layers)
        )

    @classmethod
    def debug(
        cls, *, spec: Spec | None = None, condition: ConditionSpec | None = None
    ) -> NormalizingFlow:
        """A tiny one."""
        spec = spec or Spec("properties", "continuous", (2,))
        condition = condition or ConditionSpec()
        return cls(spec, condition=condition, num_layers=4, dim=32, depth=1)

    def forward(self, c: Condition, **options: Any) -> FlowConditional:
        return FlowConditional(self, self.layout.condition(c))

    def to_noise(self, z: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """Latents (B, *event) to noise of the same shape, and log |det| (B,)."""
        total, places = torch.zeros(len(z), device=z.device), self._places(z, c)
        for mixing, coupling in zip(self.mixings, [*self.couplings, None], strict=True):
            z, log_det = mixing(z, axis=self.layout.feature_axis)
            z, total = self.layout.trim(z, c), total + log_det * places
            if coupling is not None:
                z, log_dets = coupling(z, c)
                z, total = self.layout.trim(z, c), total + log_dets
        return z, total

    def to_latent(self, noise: Tensor, c: Condition) -> Tensor:
        """Noise (B, *event) to latents of the same shape."""
        z = noise
        for mixing, coupling in zip(
            reversed(self.mixings), [None, *reversed(self.couplings)], strict=True
        ):
            if coupling is not None:
                z = self.layout.trim(coupling(z, c, inverse=True)[0], c)
            z, _ = mixing(z, axis=self.layout.feature_axis, inverse=True)
            z = self.layout.trim(z, c)
        return z

    def log_density(self, z: Tensor, c: Condition) -> Tensor:
        """log p(z | c) in nats (B,) for z (B, *event), zero beyond the lengths."""
        noise, log_det = self.to_noise(z, c)
        squares = self.layout.total(noise.square() + math.log(2 * math.pi), c)
        return log_det - 0.5 * squares

    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        z, c = self.layout.aligned(latent, c)
        return -self.log_density(z, c) / self.layout.most_dims

    def _places(self, z: Tensor, c: Condition) -> Tensor:
        return self.layout.num_dims(c).to(z.device) // self.layout.num_features


@dataclass(frozen=True)
class FlowConditional(EventConditional, Tractable, Invertible):
    """The distribution that a flow makes of noise.

    Args:
        model: The flow.
        c: Condition of a batch of B, with lengths if latents vary.
        rows: Most samples to draw at once.
    """

    model: NormalizingFlow

    def draw(self, generators: Generators, c: Condition) -> Tensor:
        return self.model.to_latent(self.layout.randn(generators, c, device=self.device), c)

    @torch.no_grad()
    def log_prob(self, latent: Latent, generators: Generators | None = None) -> LogProb:
        """log p(z | c), exactly.

        Args:
            latent: z (B, *event), one for each condition.
            generators: Not used; nothing is drawn.

        Raises:
            SpecError: If z is not of the model's type, or not one for each condition.
        """
        z = self.checked(latent)
        return LogProb(
            nats=self.model.log_density(z, self.c),
            kind="exact",
            std_error=torch.zeros(self.batch, device=z.device),
            num_dims=self.layout.num_dims(self.c).to(z.device),
            how="change of variables of the flow",
        )

    @torch.no_grad()
    def encode(self, latent: Latent) -> Tensor:
        return self.model.to_noise(self.checked(latent), self.c)[0]

    @torch.no_grad()
    def decode(self, code: Tensor) -> Latent:
        noise = self.checked(Latent(code))
        return Latent(self.model.to_latent(noise, self.c), self.c.lengths)
