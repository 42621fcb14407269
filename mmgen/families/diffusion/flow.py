r"""The probability-flow ODE as a map between data and noise, both ways.

    dz/dt = alpha' x_0 + sigma' eps,   x_0 = E[x_0 | z, c],   eps = (z - alpha x_0) / sigma,

has at each t the marginal of the path. Followed from data to noise it gives every x a code that is
about standard normal, and followed back from that code it gives x again, up to the solver's
tolerance. It stops short of data at a least time, for the velocity is 0 / 0 there; data is taken to
lie at alpha x.

Source: Score-Based Generative Modeling through SDEs (Song et al., 2020), Sec. 4.3 and App. D.1,
arXiv:2011.13456; for the deterministic code, Denoising Diffusion Implicit Models (Song et al.,
2020), Sec. 5.4, arXiv:2010.02502.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchdiffeq import odeint

from mmgen.families.diffusion.likelihood import LEAST_TIME
from mmgen.families.diffusion.path import GaussianPath

__all__ = ["code_to_data", "data_to_code"]

# Relative and absolute, of each step. Data comes back from its code within about a hundred times
# as much, in the units of z.
TOLERANCE = 1e-5

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(z_t (B, *event), t (B,)) -> E[x_0 | z_t]."""


def data_to_code(denoise: Denoise, x: Tensor, *, path: GaussianPath) -> Tensor:
    """The noise (B, *event) at t = 1 that the flow takes x (B, *event) to."""
    alpha = float(path.alpha(torch.tensor(LEAST_TIME, dtype=torch.float64)))
    return _follow(denoise, x * alpha, path, (LEAST_TIME, 1.0))


def code_to_data(denoise: Denoise, code: Tensor, *, path: GaussianPath) -> Tensor:
    """The data (B, *event) that the flow takes noise at t = 1 (B, *event) to."""
    alpha = float(path.alpha(torch.tensor(LEAST_TIME, dtype=torch.float64)))
    return _follow(denoise, code, path, (1.0, LEAST_TIME)) / alpha


@torch.no_grad()
def _follow(denoise: Denoise, z: Tensor, path: GaussianPath, ends: tuple[float, float]) -> Tensor:
    """z (B, *event) at ends[1] from that at ends[0], with steps that suit the worst row."""

    def slope(t: Tensor, z: Tensor) -> Tensor:
        growth = path.sigma_slope(t) / path.sigma(t)
        pull = path.alpha_slope(t) - path.alpha(t) * growth
        return growth * z + pull * denoise(z, t.to(z.dtype).expand(len(z)))

    def worst(error: Tensor) -> Tensor:
        return error.flatten(1).square().mean(1).sqrt().max()

    times = torch.tensor(ends, dtype=torch.float64).to(z.device, z.dtype)
    options = {"norm": worst}
    return odeint(
        slope, z, times, rtol=TOLERANCE, atol=TOLERANCE, method="dopri5", options=options
    )[1]
