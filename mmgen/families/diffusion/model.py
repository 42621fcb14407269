"""A network that undoes noise, as a model of P(Z | c)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mmgen.core.condition import Condition
from mmgen.core.latent import Latent, within
from mmgen.core.layout import Layout
from mmgen.core.model import Model
from mmgen.core.options import Option, resolve_options
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.diffusion.conditional import LIKELIHOODS, DiffusionConditional
from mmgen.families.diffusion.path import TARGETS, GaussianPath, Straight
from mmgen.families.diffusion.samplers import SAMPLERS
from mmgen.families.diffusion.times import LogitNormalTimes, UniformTimes

__all__ = ["Diffusion", "likelihood_options"]


class Diffusion(Model):
    """P(Z | c) as the end of a path from noise to data.

    The loss is the squared error of the velocity, whatever the network predicts: with
    z_t = alpha_t x_0 + sigma_t eps and v = dz_t/dt,

        E_t,eps | v(network(z_t, t, c)) - v |^2.

    Args:
        network: Module called as network(z_t, t, c), giving values of the shape of z_t.
        spec: The type of z.
        path: Schedule of data and noise.
        target: What the network predicts: "data", "noise" or "velocity".
        times: Distribution of the training times.
        shift: How far the sampling steps are moved towards noise.
        num_inference_steps: Default number of steps.
        least_time: Training times are kept at or above it, where a predicted velocity divides by
            sigma.

    Raises:
        SpecError: If z is not continuous, or of a layout that is none of those known.

    Source: Flow Matching (Lipman et al., 2022), arXiv:2210.02747, Eq. 9; loss on the velocity of a
    network that predicts data: Back to Basics (Li & He, 2025), arXiv:2511.13720, Eq. 6.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        spec: Spec,
        path: GaussianPath | None = None,
        target: str = "velocity",
        times: LogitNormalTimes | UniformTimes | None = None,
        shift: float = 1.0,
        num_inference_steps: int = 25,
        least_time: float = 0.05,
    ) -> None:
        super().__init__()
        Layout.of(spec, by="Diffusion")
        if target not in TARGETS:
            raise ValueError(f"target is one of {', '.join(TARGETS)}; got {target!r}.")
        self.network = network
        self.spec = spec
        self.condition: ConditionSpec = network.condition
        self.path = path or Straight()
        self.target = target
        self.times = times or LogitNormalTimes()
        self.shift = shift
        self.num_inference_steps = num_inference_steps
        self.least_time = least_time

    def options(self) -> tuple[Option, ...]:
        return (
            Option(
                "num_inference_steps",
                self.num_inference_steps,
                "Steps from noise to data: more is slower and closer to the model.",
                minimum=1,
                maximum=10_000,
            ),
            Option("sampler", "dpmpp_2m", "How steps are taken.", choices=tuple(SAMPLERS)),
            Option(
                "shift",
                float(self.shift),
                "Moves steps towards noise (above 1) or data (below 1).",
                minimum=0.01,
                maximum=100.0,
            ),
            *likelihood_options(),
        )

    def forward(self, c: Condition, **options: Any) -> DiffusionConditional:
        settings = resolve_options(self.options(), options)
        device = next(self.network.parameters()).device
        return DiffusionConditional(
            denoise=self.denoise,
            unguided=self.denoise,
            c=c,
            spec=self.spec,
            path=self.path,
            sampler=SAMPLERS[settings["sampler"]](),
            num_steps=settings["num_inference_steps"],
            shift=settings["shift"],
            device=device,
            likelihood=settings["likelihood"],
            num_probes=settings["num_probes"],
            num_bound_draws=settings["num_bound_draws"],
        )

    def denoise(self, z_t: Tensor, t: Tensor, c: Condition) -> Tensor:
        """E[x_0 | z_t, c] for z_t (B, *event) at times t (B,), in the precision of z_t.

        Beyond the lengths of c, data are taken to be standard normal and independent of the rest,
        so that paddings need no care of samplers and likelihoods: their share of both is known, and
        the network sees no more than the longest.
        """
        own = next(self.network.parameters()).dtype
        seen = z_t if c.lengths is None else z_t[:, : int(c.lengths.max())]
        prediction = self.network(seen.to(own), t.to(z_t.device, torch.float32), c).to(z_t.dtype)
        x_0 = self.path.data_of(seen, prediction, t, target=self.target)
        if c.lengths is None:
            return x_0
        t = t.to(z_t).reshape(-1, *(1,) * (z_t.ndim - 1))
        alpha, sigma = self.path.alpha(t), self.path.sigma(t)
        padding = alpha / (alpha.square() + sigma.square()) * z_t
        x_0 = torch.cat((x_0, padding[:, seen.shape[1] :]), dim=1)
        return torch.where(within(c.lengths, z_t), x_0, padding)

    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        x_0 = latent.z
        t = self.times.sample(len(x_0), generator).clamp(min=self.least_time)
        eps = torch.randn(x_0.shape, generator=generator).to(x_0.device, x_0.dtype)
        t = t.to(x_0.device)
        z_t = self.path.mix(x_0, eps, t)
        prediction = self.network(z_t, t, c).float()
        error = (self._velocity(z_t, prediction, t) - self.path.velocity(x_0, eps, t)).square()
        if latent.lengths is None:
            return error.flatten(1).mean(1)
        there = within(latent.lengths, error).expand_as(error)
        return (error * there).flatten(1).sum(1) / there.flatten(1).sum(1).clamp(min=1)

    def _velocity(self, z_t: Tensor, prediction: Tensor, t: Tensor) -> Tensor:
        if self.target == "velocity":
            return prediction
        x_0 = self.path.data_of(z_t, prediction, t, target=self.target)
        eps = prediction if self.target == "noise" else self.path.noise_of(z_t, x_0, t)
        return self.path.velocity(x_0, eps, t)


def likelihood_options() -> tuple[Option, ...]:
    """How log-probabilities are found."""
    return (
        Option(
            "likelihood",
            "ode",
            "How log_prob is found: by the flow, or as a lower bound.",
            choices=LIKELIHOODS,
        ),
        Option(
            "num_probes",
            4,
            "Random probes of the flow's divergence, in more than 16 dimensions.",
            minimum=2,
            maximum=10_000,
        ),
        Option(
            "num_bound_draws",
            64,
            "Draws of noise for the lower bound, an even number.",
            minimum=2,
            maximum=100_000,
        ),
    )
