"""Diffusers pipelines that are diffusion models to mmgen, too: drawn by them, scored by us."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mmgen.backends.called import CalledConditional
from mmgen.backends.from_diffusers.calls import Call
from mmgen.backends.from_diffusers.denoiser import LibraryDenoiser
from mmgen.backends.from_diffusers.pipelines import LibraryPipeline
from mmgen.core.condition import Condition
from mmgen.core.conditional import Conditional, Progress
from mmgen.core.latent import Latent
from mmgen.core.options import Option
from mmgen.core.rng import Generators
from mmgen.core.spec import Spec
from mmgen.families.diffusion import Diffusion
from mmgen.families.diffusion.conditional import DiffusionConditional
from mmgen.families.diffusion.model import likelihood_options

__all__ = ["CalledDiffusion", "LibraryDiffusion"]


class LibraryDiffusion(LibraryPipeline):
    """A pipeline whose samples are the library's own, and whose other answers are the family's.

    `log_prob`, known parts and measurements are about the model without guidance.

    Args:
        pipeline: A loaded diffusers pipeline.
        spec: Of what its network denoises.
        denoiser: That network.
        call: How the parts of the condition go to the call of the pipeline.
    """

    def __init__(
        self,
        pipeline: Any,
        *,
        spec: Spec,
        denoiser: LibraryDenoiser,
        call: Call,
    ) -> None:
        output = "np" if getattr(pipeline, "vae", None) is None else "latent"
        super().__init__(pipeline, spec=spec, call=call, output=output)
        self.family = Diffusion(denoiser, spec=spec, path=denoiser.path, target="data")
        self.learn_only(denoiser.network)

    def shown(self, options: Mapping[str, Any]) -> Callable[[Tensor], Tensor]:
        return partial(self.family.network.unpacked, options=options)

    def packed(self, z: Tensor) -> Tensor:
        return self.family.network.packed(z)

    def options(self) -> tuple[Option, ...]:
        return (*super().options(), *likelihood_options())

    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Squared error (B,) of what the network was trained to predict."""
        return self.family.network.error(latent.z, c, generator=generator)

    def forward(self, c: Condition, **options: Any) -> Conditional:
        own = {o.name for o in likelihood_options()}
        asked = {name: options.pop(name) for name in own & options.keys()}
        called = super().forward(c, **options)
        asked["num_inference_steps"] = called.options["num_inference_steps"]
        given = self.family(c, **asked)
        shared = {field.name: getattr(given, field.name) for field in fields(given)}
        # The family rounds z_t to the precision of its network; this one does so inside.
        network = self.family.network
        return CalledDiffusion(**{**shared, "denoise": network, "unguided": network}, called=called)


@dataclass(frozen=True, kw_only=True)
class CalledDiffusion(DiffusionConditional):
    """P(Z | y) of a denoiser, drawn by the call of its library.

    Args:
        called: The same, by that call.
    """

    called: CalledConditional

    def sample(
        self,
        num_samples: int = 1,
        generators: Generators | None = None,
        *,
        progress: Progress | None = None,
    ) -> Latent:
        drawn = self.called.sample(num_samples, generators, progress=progress)
        return Latent(drawn.z.to(self.device))
