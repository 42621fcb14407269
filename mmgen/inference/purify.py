r"""Purification: the likeliest value within reach of x.

    max p(z' | y)   over z' with |z'_i - z_i| <= r for every entry i,

so that a small disturbance, an adversarial one too, is undone before x is used, and whatever it
was can have moved nothing further than r. PixelDefend goes through the pixels one by one; here all
entries move at once, and there are two ways to find where:

- **By denoising**, for diffusion: disturb z to the noise level t, take the posterior mean of what
  it came from over several draws of noise, project onto the ball, and repeat. By Tweedie's formula
  that follows the gradient of the log-density of disturbed data, with no gradient taken.
- **By feeling around**, for any other continuous density: in antithetic pairs z +- h e with random
  signs e, whose differences of log p estimate the sign of its gradient; a step is kept if log p
  with the same noise grows, and halved if not. Good in tens of dimensions, slow in thousands.

Sources: PixelDefend (Song et al., 2017), Eq. 4 and Alg. 1, arXiv:1710.10766; Diffusion Models for
Adversarial Purification (Nie et al., 2022), Sec. 3.2, arXiv:2205.07460; Tweedie's Formula and
Selection Bias (Efron, 2011), Eq. 2.8; simultaneous perturbation after Spall (1992).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mmgen.core.codec import Codec, Lossless
from mmgen.core.conditional import LogProb, Tractable
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.families.diffusion.conditional import DiffusionConditional
from mmgen.pipeline import Pipeline

__all__ = ["Purified", "purify"]

# How far each entry is moved to feel the slope, as a share of the radius.
REACH = 0.25


@dataclass(frozen=True)
class Purified:
    """A value moved to where it is likelier.

    Args:
        value: The new value.
        moved: Greatest change of an entry, in the units of `radius`.
        before: log p of the latent of what was given, without dequantisation.
        after: The same of the new latent, with the same noise of estimation.
    """

    value: Any
    moved: float
    before: LogProb
    after: LogProb


def purify(
    pipe: Pipeline,
    x: Any,
    y: Any = None,
    *,
    radius: float,
    num_steps: int = 4,
    num_draws: int = 8,
    noise: float = 0.15,
    **options: Any,
) -> Purified:
    """A likelier value near one, for repair and for defence.

    Args:
        pipe: P(X | Y) with a density and continuous latents.
        x: A value.
        y: Its condition, or None.
        radius: How far every entry may move. With a lossless codec in the units of the values that
            it prepares (steps of 256 for 8-bit pixels); with any other in those of its latents.
        num_steps: How often to move.
        num_draws: Draws of noise, or pairs to feel around with, of each step.
        noise: Noise level t of the disturbance for diffusion, between 0 and 1. Not used by others.
        options: Of `pipe.given`; for diffusion also how `before` and `after` are found, as a bound
            from 32 draws if it is not said.

    Raises:
        SpecError: If the pipeline has no density, or its latents are tokens.
        ValueError: If a number is out of range.
    """
    _check(radius=radius, num_steps=num_steps, num_draws=num_draws, noise=noise)
    if pipe.codec.spec.kind != "continuous":
        raise SpecError(
            f"purify moves continuous latents; this codec gives {pipe.codec.spec.kind}. Use a "
            "pipeline with continuous latents."
        )
    known = {o.name for o in pipe.options()}
    if known.issuperset({"likelihood", "num_bound_draws"}):
        options = {"likelihood": "bound", "num_bound_draws": 32, **options}
    conditional = pipe.given([y], **options).conditional
    if not isinstance(conditional, Tractable):
        raise SpecError(f"{type(conditional).__name__} can be sampled but has no density.")
    with torch.no_grad():
        tensors = pipe.codec.prepare([x])
        start = pipe.codec.encode(tensors)
        scale = _scale(pipe.codec, tensors, start.z)
        low, high = start.z - radius * scale, start.z + radius * scale

        def project(z: Tensor) -> Tensor:
            return z.to(low).clamp(low, high)

        if isinstance(conditional, DiffusionConditional):
            z = _denoised(conditional, start.z, project, num_steps, num_draws, noise)
        else:
            wide = pipe.given([y] * (2 * num_draws), **options).conditional
            z = _felt(conditional, wide, start, project, num_steps, radius * scale)
        value = pipe.codec.present(pipe.codec.decode(replace(start, z=z)))[0]
        before, after = (_log_prob(conditional, replace(start, z=at)) for at in (start.z, z))
    moved = float((z - start.z).abs().max()) / scale
    return Purified(value, moved, before, after)


def _check(*, radius: float, num_steps: int, num_draws: int, noise: float) -> None:
    if not radius > 0:
        raise ValueError(f"radius is greater than 0, got {radius}.")
    if num_steps < 1 or num_draws < 1:
        raise ValueError(f"num_steps and num_draws are 1 or more, got {num_steps} and {num_draws}.")
    if not 0 < noise < 1:
        raise ValueError(f"noise is a time between 0 and 1, got {noise}.")


def _scale(codec: Codec, tensors: dict[str, Tensor], z: Tensor) -> float:
    """How far z moves for one unit of what the codec prepares, on average over entries."""
    if not isinstance(codec, Lossless):
        return 1.0
    return float((codec.log_volume(tensors)[0].double() / z[0].numel()).exp())


def _denoised(
    conditional: DiffusionConditional,
    z: Tensor,
    project: Callable[[Tensor], Tensor],
    num_steps: int,
    num_draws: int,
    noise: float,
) -> Tensor:
    """z (1, *event) moved by posterior means."""
    generators = Generators.from_seed(0, num_samples=1, batch=num_draws)
    c = conditional.c.select(torch.zeros(num_draws, dtype=torch.long))
    t = torch.full((num_draws,), noise, device=conditional.device)
    for _ in range(num_steps):
        eps = generators.randn(*z.shape[1:], device=conditional.device, dtype=z.dtype)[0]
        z_t = conditional.path.mix(z.to(conditional.device).expand_as(eps), eps, t)
        z = project(conditional.unguided(z_t, t, c).mean(0, keepdim=True))
    return z


def _felt(
    conditional: Tractable,
    wide: Tractable,
    start: Latent,
    project: Callable[[Tensor], Tensor],
    num_steps: int,
    reach: float,
) -> Tensor:
    """z (1, *event) moved by the signs of differences of log p.

    Args:
        conditional: Of one condition.
        wide: The same, of two for each pair.
        start: The latent.
        project: Onto the ball.
        num_steps: Number of moves.
        reach: Radius of the ball, in units of z.
    """
    z, step, draws = start.z, 2 * reach / num_steps, wide.batch // 2
    generators = Generators.from_seed(0, num_samples=1, batch=draws)
    best = float(_log_prob(conditional, start).nats)
    for _ in range(num_steps):
        signs = (generators.rand(*z.shape[1:], device=z.device, dtype=z.dtype)[0] < 0.5) * 2.0 - 1
        signs = signs.to(z.dtype)
        around = torch.cat((z + REACH * reach * signs, z - REACH * reach * signs))
        lengths = None if start.lengths is None else start.lengths.expand(2 * draws)
        ahead, behind = _log_prob(wide, Latent(around, lengths)).nats.to(z).chunk(2)
        slope = ((ahead - behind).reshape(-1, *(1,) * (z.ndim - 1)) * signs).sum(0, keepdim=True)
        new = project(z + step * slope.sign())
        found = float(_log_prob(conditional, replace(start, z=new)).nats)
        if found > best:
            z, best = new, found
        else:
            step /= 2
    return z


def _log_prob(conditional: Tractable, latent: Latent) -> LogProb:
    """log p with the same noise for every row and every call."""
    return conditional.log_prob(latent, Generators([[0] * conditional.batch]))
