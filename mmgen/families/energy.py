"""Energy-based models: a density up to a constant, sampled by a Markov chain.

A Gaussian b(z | c) with learnt means and scales is tilted by a learnt energy,

    p(z | c) = b(z | c) exp(-E(u, c)) / Z(c),   u = (z - mean(c)) / std(c),

so that E has only to tell data from the Gaussian. That is how it is trained, by noise-contrastive
estimation, which needs no chain; its optimum has Z = 1. It works where the Gaussian covers the
data. In many dimensions telling the two apart is too easy to teach the density, and the other
families serve better. Where sequences differ in length, P(Z | c, length) is modelled.

Sources: Noise-contrastive estimation (Gutmann & Hyvärinen, 2010), Sec. 2, here with a Gaussian that
is learnt as well; tilting of a Gaussian: A Theory of Generative ConvNet (Xie et al., 2016), Sec. 2,
arXiv:1602.03264.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.conditional import LogProb, Tractable
from mmgen.core.event_conditional import EventConditional
from mmgen.core.latent import Latent
from mmgen.core.layout import Layout
from mmgen.core.model import Model
from mmgen.core.options import Option, resolve_options
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.nn.event import EventNetwork

__all__ = ["EnergyBased", "EnergyConditional", "model"]

_MOST_LOG_STD = 6.0


def model(spec: Spec, condition: ConditionSpec, size: str) -> EnergyBased:
    """The energy-based model of this size for latents and a condition of these types.

    Raises:
        SpecError: If the latents are not continuous, or have a layout it cannot work on.
    """
    dim, depth = {"debug": (32, 1), "small": (192, 3)}[size]
    return EnergyBased(spec, condition=condition, dim=dim, depth=depth)


class EnergyBased(Model):
    """P(Z | c) as a Gaussian tilted by an energy.

    The loss is that of a classifier between data and draws of the Gaussian, whose logit is -E,
    plus the Gaussian's own negative log-density in nats per dimension.

    Args:
        spec: The type of z.
        condition: Widths of the condition.
        dim: Width of both networks.
        depth: Their number of blocks.
        num_noise: Draws of the Gaussian for each example of the loss.

    Raises:
        SpecError: If z is not continuous, or varies in other than time.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        condition: ConditionSpec,
        dim: int,
        depth: int,
        num_noise: int = 2,
    ) -> None:
        super().__init__()
        self.layout = Layout.of(spec, by="An energy-based model")
        self.spec, self.condition, self.num_noise = spec, condition, num_noise
        sizes = {"dim": dim, "depth": depth, "condition": condition}
        self.base = EventNetwork(spec.shape, copies=(1, 2), **sizes).quieten()
        self.network = EventNetwork(spec.shape, num_outputs=1, **sizes)

    @classmethod
    def debug(
        cls, *, spec: Spec | None = None, condition: ConditionSpec | None = None
    ) -> EnergyBased:
        """A tiny one."""
        spec = spec or Spec("properties", "continuous", (2,))
        return model(spec, condition or ConditionSpec(), "debug")

    def options(self) -> tuple[Option, ...]:
        return (
            Option(
                "num_inference_steps",
                100,
                "Steps of the Markov chain: more is slower and closer to the model.",
                minimum=0,
                maximum=100_000,
            ),
            Option(
                "step_size",
                0.3,
                "Size of its steps, in units of the Gaussian's standard deviation.",
                minimum=1e-4,
                maximum=10.0,
            ),
            Option(
                "num_proposals",
                64,
                "Draws of the Gaussian among which the chain's start is chosen.",
                minimum=1,
                maximum=100_000,
            ),
            Option(
                "num_importance_draws",
                1024,
                "Draws of the Gaussian for the constant in log_prob.",
                minimum=2,
                maximum=1_000_000,
            ),
        )

    def forward(self, c: Condition, **options: Any) -> EnergyConditional:
        settings = resolve_options(self.options(), options)
        return EnergyConditional(self, self.layout.condition(c), **settings)

    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        z, c = self.layout.aligned(latent, c)
        mean, log_std = self.base_of(c)
        u = (z - mean) * (-log_std).exp()
        fit = self.layout.total(0.5 * u.square() + log_std, c) / self.layout.most_dims
        noise = torch.randn(self.num_noise, *z.shape, generator=generator).to(z.device)
        rows = torch.arange(c.batch).repeat(1 + self.num_noise)
        # The Gaussian fits the data alone, and does not hide from the classifier.
        both = torch.cat((u.detach(), noise.flatten(0, 1)))
        logits = -self.energy(both, c.select(rows)).unflatten(0, (-1, c.batch))
        logits = logits - math.log(self.num_noise)
        return fit + F.softplus(-logits[0]) + F.softplus(logits[1:]).sum(0)

    def base_of(self, c: Condition) -> tuple[Tensor, Tensor]:
        """Mean and log of the standard deviation of the Gaussian (B, *event)."""
        device = self.base.net.out.weight.device
        blank = torch.ones(c.batch, *self.layout.sizes(c), device=device)
        raw = self.base(blank, c).float()
        mean, log_std = raw.chunk(2, dim=self.layout.feature_axis)
        return mean, _MOST_LOG_STD * torch.tanh(log_std / _MOST_LOG_STD)

    def energy(self, u: Tensor, c: Condition) -> Tensor:
        """E (B,) of whitened latents u (B, *event)."""
        return self.network(self.layout.trim(u, c), c).float()[:, 0]


@dataclass(frozen=True)
class EnergyConditional(EventConditional, Tractable):
    """The distribution of a tilted Gaussian.

    Args:
        model: The energy-based model.
        c: Condition of a batch of B, with lengths if latents vary.
        num_inference_steps: Steps of the chain.
        step_size: Their size.
        num_proposals: Draws among which its start is chosen.
        num_importance_draws: Draws for the constant.
        rows: Most chains at once.
    """

    model: EnergyBased
    num_inference_steps: int
    step_size: float
    num_proposals: int
    num_importance_draws: int
    rows: int = field(default=1024, kw_only=True)

    def draw(self, generators: Generators, c: Condition) -> Tensor:
        """The end of a Markov chain, begun at one of several draws of the Gaussian, for each.

        Sources: the start by sampling-importance resampling: Rubin (1988), Sec. 2; the steps:
        Exponential convergence of Langevin distributions (Roberts & Tweedie, 1996), Sec. 1.4.1
        (Langevin steps, accepted or refused by Metropolis' rule).
        """
        u = self._start(generators, c)
        log_p, slope = self._slope(u, c)
        for _ in range(self.num_inference_steps):
            u, log_p, slope = self._step(u, log_p, slope, generators, c)
        mean, log_std = self.model.base_of(c)
        return mean + log_std.exp() * u

    @torch.no_grad()
    def log_prob(self, latent: Latent, generators: Generators | None = None) -> LogProb:
        """log p(z | c), its constant estimated by importance sampling from the Gaussian.

        Args:
            latent: z (B, *event), one for each condition.
            generators: For the draws, shape (1, B); fresh ones if None.

        Raises:
            SpecError: If z is not of the model's type, or not one for each condition.
        """
        layout, c, num_draws = self.layout, self.c, self.num_importance_draws
        z = self.checked(latent)
        generators = generators or Generators.from_seed(None, num_samples=1, batch=self.batch)
        mean, log_std = self.model.base_of(c)
        u = (z - mean) * (-log_std).exp()
        base = layout.total(-0.5 * (u.square() + math.log(2 * math.pi)) - log_std, c)
        tilts = torch.stack(
            [
                -self.model.energy(layout.randn(generators, c, device=u.device), c)
                for _ in range(num_draws)
            ]
        )
        log_constant = tilts.logsumexp(0) - math.log(num_draws)
        # Of the logarithm of a mean, to first order.
        error = (tilts - log_constant).exp().std(0) / math.sqrt(num_draws)
        return LogProb(
            nats=base - self.model.energy(u, c) - log_constant,
            kind="estimate",
            std_error=error,
            num_dims=layout.num_dims(c).to(u.device),
            how=f"tilted Gaussian, constant from {num_draws} importance draws",
        )

    def _start(self, own: Generators, c: Condition) -> Tensor:
        """One of the proposals, with probability proportional to exp(-E)."""
        layout, device = self.layout, self.device
        best = chosen = None
        for _ in range(self.num_proposals):
            u = layout.randn(own, c, device=device)
            # The greatest of log-weights with Gumbel noise is a draw by those weights.
            gumbel = -(-own.rand(device=device)[0].clamp(min=1e-12).log()).log()
            key = gumbel - self.model.energy(u, c)
            if best is None:
                best, chosen = key, u
                continue
            better = key > best
            best = torch.where(better, key, best)
            chosen = torch.where(_over_events(better, u), u, chosen)
        return chosen

    def _step(
        self, u: Tensor, log_p: Tensor, slope: Tensor, own: Generators, c: Condition
    ) -> tuple[Tensor, Tensor, Tensor]:
        layout, size = self.layout, self.step_size
        noise = layout.randn(own, c, device=u.device)
        new = layout.trim(u + size**2 / 2 * slope + size * noise, c)
        new_log_p, new_slope = self._slope(new, c)
        back = (u - new - size**2 / 2 * new_slope) / size
        ratio = new_log_p - log_p + 0.5 * layout.total(noise.square() - back.square(), c)
        accepted = own.rand(device=u.device)[0].log() < ratio
        wide = _over_events(accepted, u)
        return (
            torch.where(wide, new, u),
            torch.where(accepted, new_log_p, log_p),
            torch.where(wide, new_slope, slope),
        )

    def _slope(self, u: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """log p up to a constant (B,), and its gradient (B, *event)."""
        # Under inference mode tensors could not be kept for the gradient.
        with torch.inference_mode(False), torch.enable_grad():
            u = u.clone().requires_grad_()
            log_p = -self.model.energy(u, c) - 0.5 * self.layout.total(u.square(), c)
            (slope,) = torch.autograd.grad(log_p.sum(), u)
        return log_p.detach(), self.layout.trim(slope, c)


def _over_events(rows: Tensor, z: Tensor) -> Tensor:
    return rows.reshape(-1, *[1] * (z.ndim - 1))
