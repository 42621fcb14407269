"""P(Z | c, a part of Z): the rest of a latent by diffusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmgen.core.conditional import Conditional, Progress
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.families.diffusion.measured import Measured
from mmgen.operators.mask import Mask
from mmgen.operators.measurement import Measurement

if TYPE_CHECKING:
    from mmgen.families.diffusion.conditional import DiffusionConditional

__all__ = ["Completed"]

# Known entries are taken as measured with this standard deviation, in units of z, which the codec
# gives a scale of one. Less would leave the linear systems ill-conditioned and gain nothing.
KNOWN_STD = 0.01


@dataclass(frozen=True)
class Completed(Conditional):
    """Samples by a denoiser that has seen the known entries, which are put in at the end.

    Exact if the data are Gaussian and steps many, but for noise of one part in a hundred on what
    is known; otherwise as good as `Measured` is.

    Args:
        base: P(Z | c).
        known: z (B, *event), of which the entries in the mask count.
        mask: Boolean (B, *event), true where z is known.
    """

    base: DiffusionConditional
    known: Latent
    mask: Tensor

    def __post_init__(self) -> None:
        z = self.known.z
        self.base.check_one_each(z, "known latent")
        if self.mask.dtype != torch.bool or self.mask.shape != z.shape:
            raise SpecError(
                f"Expected a boolean mask of the shape of the known latents {tuple(z.shape)}, got "
                f"{self.mask.dtype} {tuple(self.mask.shape)}."
            )
        if not z[self.mask].isfinite().all():
            raise ValueError(
                "What is known is finite; there is NaN or infinity where the mask is true. Take "
                "those entries out of the mask."
            )

    @property
    def batch(self) -> int:
        return self.base.batch

    def sample(
        self,
        num_samples: int = 1,
        generators: Generators | None = None,
        *,
        progress: Progress | None = None,
    ) -> Latent:
        device = self.base.device
        mask, z = self._padded(self.mask.to(device)), self._padded(self.known.z.to(device))
        known = torch.where(mask, z, z.new_zeros(()))
        seen = Measured(self.base, Measurement(Mask(mask, rows=True), known, KNOWN_STD))
        done = seen.sample(num_samples, generators, progress=progress)
        return Latent(torch.where(mask, known.to(done.z), done.z), done.lengths)

    def _padded(self, x: Tensor) -> Tensor:
        """x (B, *event) with zeros up to the greatest length, where lengths vary."""
        spec = self.base.spec
        if not spec.varies or x.shape[1] == spec.max_length:
            return x
        rest = x.new_zeros(len(x), spec.max_length - x.shape[1], *x.shape[2:])
        return torch.cat((x, rest), dim=1)
