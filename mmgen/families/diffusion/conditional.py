"""P(Z | c) of a diffusion model: sampled by steps, scored by its flow or its bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.conditional import LogProb, Progress, Tractable
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.core.spec import Spec
from mmgen.families.diffusion.likelihood import bound_log_prob, flow_log_prob
from mmgen.families.diffusion.path import GaussianPath
from mmgen.families.diffusion.samplers import Sampler
from mmgen.families.diffusion.times import step_times

__all__ = ["LIKELIHOODS", "Denoise", "DiffusionConditional"]

LIKELIHOODS = ("ode", "bound")

Denoise = Callable[[Tensor, Tensor, Condition], Tensor]
"""(z_t (B, *event), t (B,), c) -> E[x_0 | z_t, c]."""


@dataclass(frozen=True)
class DiffusionConditional(Tractable):
    """The distribution that a denoiser defines.

    Args:
        denoise: Posterior mean of the data, as steps follow it.
        unguided: Posterior mean of the data under the model itself, which `log_prob` is about. The
            same function, unless a guidance has replaced `denoise`.
        c: Condition of a batch of B.
        spec: Type of z; every size of its shape is a number.
        path: Schedule.
        sampler: How steps are taken.
        num_steps: How many.
        shift: How far they are moved towards noise.
        device: Where the denoiser computes.
        rows: Most samples to denoise at once.
        likelihood: "ode" for log_prob by the flow, "bound" for its variational lower bound.
        num_probes: Random probes of the divergence, for "ode" in many dimensions.
        num_bound_draws: Draws of noise, for "bound".
    """

    denoise: Denoise
    unguided: Denoise
    c: Condition
    spec: Spec
    path: GaussianPath
    sampler: Sampler
    num_steps: int
    shift: float
    device: torch.device
    rows: int = 64
    likelihood: str = "ode"
    num_probes: int = 4
    num_bound_draws: int = 64

    @property
    def batch(self) -> int:
        return self.c.batch

    @torch.no_grad()
    def sample(
        self,
        num_samples: int = 1,
        generators: Generators | None = None,
        *,
        progress: Progress | None = None,
    ) -> Latent:
        generators = generators or Generators.from_seed(
            None, num_samples=num_samples, batch=self.batch
        )
        count = num_samples * self.batch
        times = step_times(self.num_steps, shift=self.shift)
        chunks = range(0, count, self.rows)
        done = []
        for i, start in enumerate(chunks):
            rows = slice(start, min(start + self.rows, count))
            own = generators.flat(rows)
            c = self.c.select(torch.arange(count)[rows] % self.batch)
            z = own.randn(*self.spec.shape, device=self.device)[0]

            def step(done_steps: int, *, i: int = i) -> None:
                if progress is not None:
                    progress(i * self.num_steps + done_steps, len(chunks) * self.num_steps)

            def denoise(z_t: Tensor, t: Tensor, *, c: Condition = c) -> Tensor:
                return self.denoise(z_t, t.to(z_t.device, z_t.dtype).expand(len(z_t)), c)

            done.append(
                self.sampler.run(denoise, z, times, path=self.path, generators=own, on_step=step)
            )
        return Latent(torch.cat(done).unflatten(0, (num_samples, self.batch)))

    def log_prob(self, latent: Latent, generators: Generators | None = None) -> LogProb:
        """log p(z | c) of the model without guidance.

        "ode" is exact up to the solver's tolerance in a few dimensions and an unbiased estimate in
        many; "bound" is a lower bound that costs `num_bound_draws` calls of the network.

        Args:
            latent: z (B, *event), one for each condition.
            generators: For the random probes or draws, shape (1, B); fresh ones if None.

        Returns:
            nats (B,).

        Raises:
            SpecError: If z is not of the model's type, or not one for each condition.
        """
        self.spec.check(latent.z)
        if latent.z.shape[: -self.spec.event_dims] != (self.batch,):
            raise SpecError(
                f"Expected one latent for each of {self.batch} conditions, got z of shape "
                f"{tuple(latent.z.shape)}. Select the conditions that the latents belong to."
            )
        generators = generators or Generators.from_seed(None, num_samples=1, batch=self.batch)
        parts = []
        # Under inference mode tensors could not be kept for the divergence.
        with torch.inference_mode(False), torch.no_grad():
            for start in range(0, self.batch, self.rows):
                rows = slice(start, min(start + self.rows, self.batch))
                c = self.c.select(torch.arange(self.batch)[rows])
                x = latent.z[rows].to(self.device, copy=True)
                parts.append(self._score(x, c, generators.flat(rows)))
        return LogProb(
            nats=torch.cat([p.nats for p in parts]),
            kind=parts[0].kind,
            std_error=torch.cat([p.std_error for p in parts]),
            num_dims=torch.cat([p.num_dims for p in parts]),
            how=parts[0].how,
        )

    def _score(self, x: Tensor, c: Condition, generators: Generators) -> LogProb:
        def denoise(z_t: Tensor, t: Tensor) -> Tensor:
            return self.unguided(z_t, t, c)

        own = {"path": self.path, "generators": generators}
        if self.likelihood == "bound":
            return bound_log_prob(denoise, x, num_draws=self.num_bound_draws, **own)
        return flow_log_prob(denoise, x, num_probes=self.num_probes, **own)
