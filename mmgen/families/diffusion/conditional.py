"""P(Z | c) of a diffusion model: sampled by steps, scored by its flow or its bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.conditional import Completable, Invertible, LogProb, Progress, Tractable
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent, within
from mmgen.core.parts import Draw, OnStep, in_parts
from mmgen.core.rng import Generators
from mmgen.core.spec import Spec
from mmgen.families.diffusion.completing import Completed
from mmgen.families.diffusion.flow import code_to_data, data_to_code
from mmgen.families.diffusion.likelihood import bound_log_prob, flow_log_prob
from mmgen.families.diffusion.path import GaussianPath
from mmgen.families.diffusion.samplers import Sampler
from mmgen.families.diffusion.times import step_times

__all__ = ["LIKELIHOODS", "Denoise", "DiffusionConditional"]

LIKELIHOODS = ("ode", "bound")

Denoise = Callable[[Tensor, Tensor, Condition], Tensor]
"""(z_t (B, *event), t (B,), c) -> E[x_0 | z_t, c]."""


@dataclass(frozen=True)
class DiffusionConditional(Tractable, Invertible, Completable):
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
        return self.in_parts(self.draw, num_samples, generators, progress=progress)

    def in_parts(
        self,
        draw: Draw,
        num_samples: int,
        generators: Generators | None,
        *,
        num_steps: int | None = None,
        progress: Progress | None = None,
    ) -> Latent:
        """Samples (N, B, *event) by any `draw`, at most `rows` at once, zeros beyond the lengths.

        Args:
            draw: Draws some of them.
            num_samples: N.
            generators: (N, B); fresh ones if None.
            num_steps: Steps of each call of `draw`; those of the sampler if None.
            progress: Called after each step.
        """
        z = in_parts(
            draw,
            num_samples=num_samples,
            batch=self.batch,
            rows=self.rows,
            num_steps=self.num_steps if num_steps is None else num_steps,
            generators=generators,
            progress=progress,
        )
        if self.c.lengths is None:
            return Latent(z)
        lengths = self.c.lengths.to(z.device).expand(num_samples, -1)
        trimmed = _trimmed(z.flatten(0, 1), lengths.flatten()).z
        return Latent(trimmed.unflatten(0, z.shape[:2]), lengths)

    @torch.no_grad()
    def draw(
        self,
        index: Tensor,
        generators: Generators,
        on_step: OnStep,
        *,
        denoise: Denoise | None = None,
    ) -> Tensor:
        """One sample (M, *event) of each condition that `index` (M,) names, all at once.

        Args:
            index: Which of the batch.
            generators: (1, M).
            on_step: Called after each step with the number of steps done and a function that gives
                E[x_0 | z_t, c], as steps follow it.
            denoise: In place of the distribution's own.
        """
        c, own = self.c.select(index), denoise or self.denoise
        latest: list[Tensor] = []

        def posterior_mean(z_t: Tensor, t: Tensor) -> Tensor:
            latest[:] = [own(z_t, t.to(z_t.device, z_t.dtype).expand(len(z_t)), c)]
            return latest[0]

        def stepped(done: int) -> None:
            x_0 = latest[0]
            on_step(done, lambda: _trimmed(x_0, c.lengths))

        event = [self.spec.max_length if isinstance(n, str) else n for n in self.spec.shape]
        z = generators.randn(*event, device=self.device)[0]
        times = step_times(self.num_steps, shift=self.shift)
        return self.sampler.run(
            posterior_mean, z, times, path=self.path, generators=generators, on_step=stepped
        )

    def completing(self, known: Latent, mask: Tensor) -> Completed:
        """P(Z | c, Z[mask] = known[mask]), as far as `Completed` says.

        Raises:
            SpecError: If z or the mask is not of the model's type, or not one for each condition.
            ValueError: If what is known is not finite.
        """
        c = self.c if known.lengths is None else self.c.with_lengths(known.lengths)
        return Completed(replace(self, c=c), known, mask)

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
        self.check_one_each(latent.z, "latent")
        generators = generators or Generators.from_seed(None, num_samples=1, batch=self.batch)
        parts = []
        # Under inference mode tensors could not be kept for the divergence.
        with torch.inference_mode(False), torch.no_grad():
            for index in torch.arange(self.batch).split(self.rows):
                x = latent.z[index].to(self.device, copy=True)
                parts.append(self._score(x, self.c.select(index), generators.select(index)))
        return LogProb(
            nats=torch.cat([p.nats for p in parts]),
            kind=parts[0].kind,
            std_error=torch.cat([p.std_error for p in parts]),
            num_dims=torch.cat([p.num_dims for p in parts]),
            how=parts[0].how,
        )

    def encode(self, latent: Latent) -> Tensor:
        """The noise (B, *event) at t = 1 that the flow of the model without guidance leads z to.

        Raises:
            SpecError: If z is not of the model's type, or not one for each condition.
        """
        self.check_one_each(latent.z, "latent")
        return self._along_flow(data_to_code, latent.z)

    def decode(self, code: Tensor) -> Latent:
        """The latents that the flow of the model without guidance leads noise (B, *event) to.

        Raises:
            SpecError: If the codes are not of the model's type, or not one for each condition.
        """
        self.check_one_each(code, "code")
        return Latent(self._along_flow(code_to_data, code))

    def _along_flow(self, follow: Callable[..., Tensor], z: Tensor) -> Tensor:
        parts = []
        for index in torch.arange(self.batch).split(self.rows):
            c = self.c.select(index)

            def denoise(z_t: Tensor, t: Tensor, *, c: Condition = c) -> Tensor:
                return self.unguided(z_t, t, c)

            parts.append(follow(denoise, z[index].to(self.device), path=self.path))
        return torch.cat(parts)

    def check_one_each(self, z: Tensor, what: str) -> None:
        """Raise SpecError unless z (B, *event) is of the model's type, one for each condition."""
        self.spec.check(z, what=f"{what}s")
        if z.shape[: -self.spec.event_dims] != (self.batch,):
            raise SpecError(
                f"Expected one {what} for each of {self.batch} conditions, got z of shape "
                f"{tuple(z.shape)}. Select the conditions that the {what}s belong to."
            )

    def _score(self, x: Tensor, c: Condition, generators: Generators) -> LogProb:
        def denoise(z_t: Tensor, t: Tensor) -> Tensor:
            return self.unguided(z_t, t, c)

        padding = torch.zeros(len(x), dtype=torch.long, device=x.device)
        if c.lengths is not None:
            there = within(c.lengths, x).expand_as(x)
            x = torch.where(there, x, x.new_zeros(()))
            padding = (~there).flatten(1).sum(1)
        own = {"path": self.path, "generators": generators}
        if self.likelihood == "bound":
            found = bound_log_prob(denoise, x, num_draws=self.num_bound_draws, **own)
        else:
            found = flow_log_prob(denoise, x, num_probes=self.num_probes, **own)
        # What lies beyond the lengths is zero and standard normal to the denoiser.
        nats = found.nats + padding * 0.5 * math.log(2 * math.pi)
        return replace(found, nats=nats, num_dims=found.num_dims - padding)


def _trimmed(z: Tensor, lengths: Tensor | None) -> Latent:
    """z (B, *event) with zeros beyond lengths (B,), if there are some."""
    if lengths is None:
        return Latent(z)
    return Latent(torch.where(within(lengths, z), z, z.new_zeros(())), lengths)
