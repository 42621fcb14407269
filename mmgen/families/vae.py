"""Variational autoencoders: a short code, drawn given the condition, that a network decodes.

The code h has a learnt prior given the condition, and the decoder is a Gaussian with one learnt
scale per feature, so that bounds on densities are in the units of z:

    p(z | c) = int p(z | h, c) p(h | c) dh.

Where sequences differ in length, P(Z | c, length) is modelled.

Sources: Auto-Encoding Variational Bayes (Kingma & Welling, 2013), Eq. 3, arXiv:1312.6114; Learning
Structured Output Representation using Deep Conditional Generative Models (Sohn et al., 2015),
Eq. 4 (the conditional prior).
"""

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
from mmgen.core.options import Option, resolve_options
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.nn.event import EventNetwork
from mmgen.nn.perceptron import Perceptron

__all__ = ["VAEConditional", "VariationalAutoencoder", "model"]

_LOG_2PI = math.log(2 * math.pi)
_MOST_LOG_STD = 6.0
_SCALE_STEP = 10.0  # Adam moves all parameters alike, and scales have far to go


def model(spec: Spec, condition: ConditionSpec, size: str) -> VariationalAutoencoder:
    """The variational autoencoder of this size for latents and a condition of these types.

    Raises:
        SpecError: If the latents are not continuous, or have a layout it cannot work on.
    """
    code_dim, dim, depth = {"debug": (4, 32, 1), "small": (64, 192, 3)}[size]
    return VariationalAutoencoder(
        spec, condition=condition, code_dim=code_dim, dim=dim, depth=depth
    )


@dataclass(frozen=True)
class _Normal:
    """Independent normal numbers, mean and log of the standard deviation of one shape."""

    mean: Tensor
    log_std: Tensor

    @classmethod
    def of(cls, raw: Tensor) -> _Normal:
        """From the free numbers (B, 2 D) that a network gives."""
        mean, log_std = raw.float().chunk(2, dim=-1)
        return cls(mean, _MOST_LOG_STD * torch.tanh(log_std / _MOST_LOG_STD))

    def at(self, eps: Tensor) -> Tensor:
        """The value (..., B, D) that lies eps standard deviations from the mean."""
        return self.mean + self.log_std.exp() * eps

    def whiten(self, h: Tensor) -> Tensor:
        """How many standard deviations a value lies from the mean."""
        return (h - self.mean) * (-self.log_std).exp()

    def log_density(self, h: Tensor) -> Tensor:
        """log p(h) (..., B)."""
        return -(0.5 * self.whiten(h).square() + self.log_std + 0.5 * _LOG_2PI).sum(-1)

    def divergence(self, other: _Normal) -> Tensor:
        """KL(self || other) (B,)."""
        ratio = 2 * (self.log_std - other.log_std)
        return 0.5 * (ratio.exp() + other.whiten(self.mean).square() - 1 - ratio).sum(-1)


class VariationalAutoencoder(Model):
    """P(Z | c) through a code of a few numbers, trained on a lower bound of its log-density.

    With one training draw the loss is the negative evidence lower bound, with more of them the
    negative importance-weighted bound, which is closer to the log-density.

    Args:
        spec: The type of z.
        condition: Widths of the condition.
        code_dim: Size of the code.
        dim: Width of the networks.
        depth: Their number of blocks.
        num_training_draws: Draws of the code for each example of the loss.

    Raises:
        SpecError: If z is not continuous, or varies in other than time.

    Source: Auto-Encoding Variational Bayes (Kingma & Welling, 2013), Eq. 7, arXiv:1312.6114;
    Importance Weighted Autoencoders (Burda et al., 2015), Eq. 8, arXiv:1509.00519
    """

    def __init__(
        self,
        spec: Spec,
        *,
        condition: ConditionSpec,
        code_dim: int,
        dim: int,
        depth: int,
        num_training_draws: int = 1,
    ) -> None:
        super().__init__()
        self.layout = Layout.of(spec, by="A variational autoencoder")
        self.spec, self.condition, self.code_dim = spec, condition, code_dim
        self.num_training_draws = num_training_draws
        sizes = {"dim": dim, "depth": depth}
        with_code = ConditionSpec(condition.token_dim, (condition.vector_dim or 0) + code_dim)
        self.encoder = EventNetwork(
            spec.shape, num_outputs=2 * code_dim, condition=condition, **sizes
        )
        self.decoder = EventNetwork(spec.shape, condition=with_code, **sizes)
        self.prior = Perceptron(1, 2 * code_dim, condition=condition, **sizes)
        self.log_scale = nn.Parameter(torch.zeros(self.layout.num_features))

    @classmethod
    def debug(
        cls, *, spec: Spec | None = None, condition: ConditionSpec | None = None
    ) -> VariationalAutoencoder:
        """A tiny one."""
        spec = spec or Spec("properties", "continuous", (2,))
        return model(spec, condition or ConditionSpec(), "debug")

    def options(self) -> tuple[Option, ...]:
        return (
            Option(
                "noise_scale",
                1.0,
                "Share of the decoder's noise in samples; 0 gives its means.",
                minimum=0.0,
                maximum=1.0,
            ),
            Option(
                "likelihood",
                "elbo",
                "Which lower bound log_prob is: the evidence bound, or the closer one by "
                "importance weights.",
                choices=("elbo", "importance"),
            ),
            Option(
                "num_importance_draws",
                64,
                "Draws of the code for either bound.",
                minimum=2,
                maximum=100_000,
            ),
        )

    def forward(self, c: Condition, **options: Any) -> VAEConditional:
        settings = resolve_options(self.options(), options)
        return VAEConditional(self, self.layout.condition(c), **settings)

    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        z, c = self.layout.aligned(latent, c)
        posterior, prior = self.posterior_of(z, c), self.prior_of(c)
        eps = torch.randn(self.num_training_draws, len(z), self.code_dim, generator=generator)
        h = posterior.at(eps.to(z.device))
        rows = torch.arange(len(z)).repeat(len(h))
        log_likelihood = self.log_likelihood(z[rows.to(z.device)], h.flatten(0, 1), c.select(rows))
        log_likelihood = log_likelihood.unflatten(0, h.shape[:2])
        if len(h) == 1:
            bound = log_likelihood[0] - posterior.divergence(prior)
        else:
            weights = log_likelihood + prior.log_density(h) - posterior.log_density(h)
            bound = weights.logsumexp(0) - math.log(len(h))
        return -bound / self.layout.most_dims

    def prior_of(self, c: Condition) -> _Normal:
        """p(h | c)."""
        weight = self.prior.embed.weight
        return _Normal.of(self.prior(weight.new_ones(c.batch, 1), c))

    def posterior_of(self, z: Tensor, c: Condition) -> _Normal:
        """q(h | z, c), which approximates p(h | z, c)."""
        return _Normal.of(self.encoder(z, c))

    def mean_of(self, h: Tensor, c: Condition) -> Tensor:
        """E[z | h, c] (B, *event) for codes h (B, code_dim)."""
        vector = h if c.vector is None else torch.cat((c.vector.to(h.dtype), h), dim=-1)
        dtype = self.log_scale.dtype
        with_code = Condition(c.batch, c.tokens, c.mask, vector.to(dtype), lengths=c.lengths)
        blank = torch.ones(c.batch, *self.layout.sizes(c), device=h.device)
        return self.layout.trim(self.decoder(blank, with_code).float(), c)

    def scale(self) -> Tensor:
        """Standard deviation of z given its code, broadcasting over events."""
        after = -1 - self.layout.feature_axis
        return (_SCALE_STEP * self.log_scale.float()).exp().reshape(-1, *[1] * after)

    def log_likelihood(self, z: Tensor, h: Tensor, c: Condition) -> Tensor:
        """log p(z | h, c) (B,)."""
        scale = self.scale()
        errors = ((z - self.mean_of(h, c)) / scale).square()
        return self.layout.total(-0.5 * (errors + _LOG_2PI) - scale.log(), c)


@dataclass(frozen=True)
class VAEConditional(EventConditional, Tractable, Invertible):
    """The distribution that a prior of codes and a decoder make.

    Args:
        model: The variational autoencoder.
        c: Condition of a batch of B, with lengths if latents vary.
        noise_scale: Share of the decoder's noise in samples.
        likelihood: "elbo" or "importance".
        num_importance_draws: Draws of the code for either bound.
        rows: Most samples to decode at once.
    """

    model: VariationalAutoencoder
    noise_scale: float
    likelihood: str
    num_importance_draws: int

    def draw(self, generators: Generators, c: Condition) -> Tensor:
        net = self.model
        h = net.prior_of(c).at(generators.randn(net.code_dim, device=self.device)[0])
        noise = self.layout.randn(generators, c, device=self.device)
        return net.mean_of(h, c) + self.noise_scale * net.scale() * noise

    @torch.no_grad()
    def log_prob(self, latent: Latent, generators: Generators | None = None) -> LogProb:
        """A lower bound of log p(z | c), and the standard error of its estimate.

        Args:
            latent: z (B, *event), one for each condition.
            generators: For the draws of the code, shape (1, B); fresh ones if None.

        Raises:
            SpecError: If z is not of the model's type, or not one for each condition.
        """
        net, c, num_draws = self.model, self.c, self.num_importance_draws
        z = self.checked(latent)
        generators = generators or Generators.from_seed(None, num_samples=1, batch=self.batch)
        posterior, prior = net.posterior_of(z, c), net.prior_of(c)
        eps = generators.randn(num_draws, net.code_dim, device=z.device)[0]
        h = posterior.at(eps.transpose(0, 1))
        found = torch.stack([net.log_likelihood(z, own, c) for own in h])
        if self.likelihood == "elbo":
            nats = found.mean(0) - posterior.divergence(prior)
            error = found.std(0) / math.sqrt(num_draws)
            how = "evidence lower bound"
        else:
            found = found + prior.log_density(h) - posterior.log_density(h)
            nats = found.logsumexp(0) - math.log(num_draws)
            # Of the logarithm of a mean, to first order.
            weights = (found - nats).exp()
            error = weights.std(0) / math.sqrt(num_draws)
            how = f"importance-weighted lower bound of {num_draws} draws"
        num_dims = net.layout.num_dims(c).to(z.device)
        return LogProb(nats, "lower bound", error, num_dims, how)

    @torch.no_grad()
    def encode(self, latent: Latent) -> Tensor:
        """The encoder's mean in units of the prior (B, code_dim). It does not keep all of z."""
        posterior = self.model.posterior_of(self.checked(latent), self.c)
        return self.model.prior_of(self.c).whiten(posterior.mean)

    @torch.no_grad()
    def decode(self, code: Tensor) -> Latent:
        """The decoder's mean for codes (B, code_dim) in units of the prior."""
        prior = self.model.prior_of(self.c)
        h = prior.at(code.to(prior.mean))
        return Latent(self.model.mean_of(h, self.c), self.c.lengths)
