"""Guidance by the model's own prediction without the condition."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.options import Option
from mmgen.families.diffusion.conditional import Denoise, DiffusionConditional
from mmgen.guidance.contrast import Contrast, scale_option

__all__ = ["ClassifierFreeGuidance"]


class ClassifierFreeGuidance(Model):
    """A diffusion model whose steps exaggerate what the condition changes.

    With x_c and x_null the predictions of data with and without the condition,

        x = x_null + guidance_scale (x_c - x_null)   for t from guidance_start to guidance_stop,

    and x_c outside of that interval; parts of the condition may have weights of their own
    (`mmgen.guidance.contrast`). Then x is brought towards the contrast of x_c:

        x <- r std(x_c) / std(x) x + (1 - r) x,   r = guidance_rescale.

    **This changes samples and not densities.** The guided steps sample from no distribution whose
    density is known, so `log_prob` of the returned conditional is that of the wrapped model,
    without guidance, whatever the scale.

    Args:
        model: A model whose conditionals are those of diffusion.
        guidance_scale: Default scale. 1 is no guidance, 0 ignores the condition.
        guidance_start: Default least time of guidance; data is at 0.
        guidance_stop: Default greatest time of guidance; noise is at 1.
        guidance_rescale: Default share of rescaling.

    Raises:
        TypeError: If a default is not a number.
        ValueError: If a default is out of range.

    Sources: Classifier-Free Diffusion Guidance (Ho & Salimans, 2022), Eq. 6, arXiv:2207.12598,
    whose 1 + w is the scale; Applying Guidance in a Limited Interval (Kynkäänniemi et al., 2024),
    Sec. 3, arXiv:2404.07724; Common Diffusion Noise Schedules and Sample Steps are Flawed (Lin et
    al., 2023), Eq. 15-16, arXiv:2305.08891, here on x_0 and not on what the network predicts.
    """

    uses_null = True

    def __init__(
        self,
        model: Model,
        *,
        guidance_scale: float = 4.0,
        guidance_start: float = 0.0,
        guidance_stop: float = 1.0,
        guidance_rescale: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.spec = model.spec
        self.condition = model.condition
        self.guidance_scale = float(guidance_scale)
        self.guidance_start = float(guidance_start)
        self.guidance_stop = float(guidance_stop)
        self.guidance_rescale = float(guidance_rescale)
        for option in self._own_options():
            option.check(option.default)

    def options(self) -> tuple[Option, ...]:
        return (*self.model.options(), *self._own_options())

    def forward(self, c: Condition, **options: Any) -> DiffusionConditional:
        """P(Z | c), sampled with guidance.

        Raises:
            SpecError: If guidance is asked for and c has no null, or if the wrapped model is not of
                diffusion.
            ValueError: If guidance_start is after guidance_stop.
        """
        own = {o.name: options.pop(o.name, o.default) for o in self._own_options()}
        base = self.model(c, **options)
        if not isinstance(base, DiffusionConditional):
            raise SpecError(
                "ClassifierFreeGuidance wraps models of diffusion; "
                f"{type(self.model).__name__} gives {type(base).__name__}. Leave the guidance out."
            )
        start, stop = own["guidance_start"], own["guidance_stop"]
        if start > stop:
            raise ValueError(
                f"guidance_start is at most guidance_stop, got {start} and {stop}. They are times "
                "between data at 0 and noise at 1."
            )
        if not Contrast.needed(c, own["guidance_scale"]):
            return base
        guided = _guide(base.denoise, own["guidance_scale"], own["guidance_rescale"])
        return dataclasses.replace(base, denoise=_within(start, stop, guided, base.denoise))

    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        return self.model.loss(latent, c, generator=generator)

    def _own_options(self) -> tuple[Option, ...]:
        return (
            scale_option(self.guidance_scale),
            Option(
                "guidance_start",
                self.guidance_start,
                "Least time of guidance; data is at 0.",
                minimum=0.0,
                maximum=1.0,
            ),
            Option(
                "guidance_stop",
                self.guidance_stop,
                "Greatest time of guidance; noise is at 1.",
                minimum=0.0,
                maximum=1.0,
            ),
            Option(
                "guidance_rescale",
                self.guidance_rescale,
                "How far the contrast of the unguided prediction is restored, 0 to 1.",
                minimum=0.0,
                maximum=1.0,
            ),
        )


def _guide(denoise: Denoise, scale: float, rescale: float) -> Denoise:
    """The guided denoiser: all that is compared in one call."""
    contrast = Contrast(scale)

    def guided(z_t: Tensor, t: Tensor, c: Condition) -> Tensor:
        if scale == 0 and rescale == 0:
            return denoise(z_t, t, c.null)
        rows, times = contrast.rows(z_t, c), contrast.rows(t, c)
        x_0, x_c = contrast.combine(denoise(rows, times, contrast.conditions(c)), c)
        return _rescaled(x_0, x_c, rescale) if rescale > 0 else x_0

    return guided


def _rescaled(x_0: Tensor, x_c: Tensor, rescale: float) -> Tensor:
    """x_0 (B, *event) with the standard deviation of x_c, to the share `rescale`."""
    ratio = x_c.flatten(1).std(1) / x_0.flatten(1).std(1).clamp(min=1e-8)
    factor = rescale * ratio + (1 - rescale)
    return x_0 * factor.reshape(-1, *(1,) * (x_0.ndim - 1))


def _within(start: float, stop: float, guided: Denoise, plain: Denoise) -> Denoise:
    """One denoiser from start to stop, the other elsewhere."""
    if start <= 0 and stop >= 1:
        # Looking at t would make the CPU wait for the device at each step.
        return guided

    def denoise(z_t: Tensor, t: Tensor, c: Condition) -> Tensor:
        return (guided if start <= float(t[0]) <= stop else plain)(z_t, t, c)

    return denoise
