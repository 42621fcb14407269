r"""log p(x) of what a denoiser defines: by its flow, or by its variational bound.

**Flow.** In the angle u = atan(sigma / alpha) and y = z / sqrt(alpha^2 + sigma^2), the flow of
every path is the same bounded one, dy/du = (cos(u) y - x_0) / sin(u). Following it from data to
noise,

    log p_s(y_s) = log N(y_1; 0, I) + int_s^1 div dy/du du,

where y_1 is standard normal. (In t, a schedule that hides data in its last moments has a velocity
that no solver follows.) The divergence is a trace of Jacobians: summed over all dimensions when
they are few, else estimated by random signs e as e . (dv/dy) e.

**Bound.** With l = log(alpha^2 / sigma^2), q(z_l | x) the Gaussian of the path and x_hat(z_l) what
the denoiser gives,

    -log p(x) <= KL(q(z_1 | x) || p(z_1)) + 1/2 int e^l E|x - x_hat|^2 dl + E[-log p(x | z_s)],

tight in the limit s -> 0 if the denoiser is exact. The decoder is the Gaussian that inverts the
path, N(z / alpha, sigma^2 / alpha^2), so the last term is D/2 log(2 pi e sigma_s^2 / alpha_s^2).

A denoiser that errs by more than the noise where there is little of it makes the integral huge
there, and so a start at a later s is better. Which, is not known beforehand: the model is taken for
a mixture over starts, nearly all of it at the first, so that

    log p(x) >= log sum_k w_k exp(bound_k(x)).

Both stop at a least time s > 0, because sigma = 0 leaves 0 / 0 in the velocity and an infinite
weight in the bound. The flow's density is then that of x + (sigma_s / alpha_s) eps, noise of one
part in a thousand; it is that of x up to O(sigma_s^2) where p is smooth on that scale.

Sources: Score-Based Generative Modeling through SDEs (Song et al., 2020), arXiv:2011.13456,
Eq. 39-40; Progressive Distillation (Salimans & Ho, 2022), arXiv:2202.00512, App. D; FFJORD
(Grathwohl et al., 2018), arXiv:1810.01367, Sec. 3.1; Variational Diffusion Models (Kingma et al.,
2021), arXiv:2107.00630, Eq. 11 and 17-18.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torchdiffeq import odeint

from mmgen.core.conditional import LogProb
from mmgen.core.rng import Generators
from mmgen.families.diffusion.path import GaussianPath

__all__ = ["EXACT_DIMS", "LEAST_TIME", "bound_log_prob", "flow_log_prob"]

# Up to this many dimensions the divergence is summed and not estimated.
EXACT_DIMS = 16

# Where both methods stop short of data.
LEAST_TIME = 1e-3

# Steps of the flow before it is given up.
MOST_STEPS = 3000

# Share of the bound's mixture that starts later; the rest starts at the least time.
LATER = 1e-3

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(z_t (B, *event), t (B,)) -> E[x_0 | z_t]."""


def flow_log_prob(
    denoise: Denoise,
    x: Tensor,
    *,
    path: GaussianPath,
    generators: Generators,
    num_probes: int = 4,
    least_time: float = LEAST_TIME,
    tolerance: float = 1e-5,
) -> LogProb:
    """log p(x) by the probability-flow ODE, solved by Dormand-Prince steps.

    Steps are as small as the worst row of the batch needs. Gradients are taken even where the
    caller has switched them off, and none are left behind.

    Args:
        denoise: Posterior mean of the data.
        x: Data (B, *event).
        path: Schedule.
        generators: One for each row (1, B), for the probes.
        num_probes: Random signs that estimate the divergence, if there are more dimensions than
            EXACT_DIMS; at least two. Each is followed along the whole path, so that their spread
            tells the error.
        least_time: Where the flow starts.
        tolerance: Relative and absolute, of z and of log p.

    Returns:
        nats (B,): "exact" but for the solver's tolerance, or an "estimate" with its error.

    Raises:
        ValueError: If no solver follows it, because the denoiser changes too fast or gives NaN.
    """
    own = x.dtype
    if x.device.type != "mps":
        # Near data y and x_0 are all but the same, and the solver sees their rounding.
        x = x.double()
    num_dims, batch = x[0].numel(), len(x)
    exact = num_dims <= EXACT_DIMS
    probes = _unit_vectors(x) if exact else _signs(x, generators, num_probes)
    num_traces = 1 if exact else len(probes)
    angles = _angle(path, torch.tensor([least_time, 1.0], dtype=torch.float64))
    share = math.cos(float(angles[0]))

    def slope(angle: Tensor, state: Tensor) -> Tensor:
        y = state[:, :num_dims].reshape(x.shape)
        v, traces = _velocity_and_traces(denoise, y, angle, path, probes)
        traces = traces.sum(1, keepdim=True) if exact else traces
        return torch.cat((v.reshape(batch, num_dims), traces), dim=1)

    start = torch.cat((x.flatten(1) * share, x.new_zeros(batch, num_traces)), dim=1)
    end = _solve(slope, start, angles, num_dims=num_dims, tolerance=tolerance)
    base = -0.5 * (end[:, :num_dims].square().sum(1) + num_dims * math.log(2 * math.pi))
    traces = end[:, num_dims:]
    std_error = torch.zeros_like(base) if exact else traces.std(1) / math.sqrt(num_traces)
    divergence = "exact divergence" if exact else f"divergence from {num_traces} random probes"
    solver = f"dopri5 with tolerance {tolerance:g}"
    return LogProb(
        # cos(u) x is what the flow starts at; its log-volume makes the density one of x.
        nats=(base + traces.mean(1) + num_dims * math.log(share)).to(own),
        kind="exact" if exact else "estimate",
        std_error=std_error.to(own),
        num_dims=torch.full((batch,), num_dims, device=x.device),
        how=f"probability-flow ODE from t = {least_time:g}, {solver}, {divergence}",
    )


@torch.no_grad()
def bound_log_prob(
    denoise: Denoise,
    x: Tensor,
    *,
    path: GaussianPath,
    generators: Generators,
    num_draws: int = 64,
    least_time: float = LEAST_TIME,
) -> LogProb:
    """The variational lower bound of log p(x), its integral estimated.

    Draws are uniform in the log signal-to-noise ratio l, one in each of `num_draws` equal strata
    from l_max = l(least_time) to -l_max. Below -l_max the model is taken to predict zero, which
    costs e^-l_max |x|^2 / 2. As E|eps|^2 = D, the integrand is taken less
    sigmoid(l)^2 (|eps|^2 - D): the same mean, and next to no variance where noise hides nothing.

    Args:
        denoise: Posterior mean of the data.
        x: Data (B, *event).
        path: Schedule.
        generators: One for each row (1, B).
        num_draws: Calls of the denoiser, an even number.
        least_time: Where the path starts.

    Returns:
        nats (B,), a "lower bound" in expectation, but for what the mixture over starts gains by the
        noise of the estimate. std_error is from the differences of neighbouring strata, so it is
        rather too large than too small.
    """
    if num_draws < 2 or num_draws % 2:
        raise ValueError(f"num_draws is an even number from 2 on, got {num_draws}.")
    num_dims = x[0].numel()
    top = float(path.log_snr(torch.tensor(least_time, dtype=torch.float64)))
    width = 2 * top / num_draws
    offsets = generators.rand(num_draws)[0].double()
    draws = []
    for i in range(num_draws):
        log_snr = -top + width * (i + offsets[:, i])
        t = path.time_at(log_snr).to(x.device, x.dtype)
        log_snr = log_snr.to(x.device, x.dtype)
        eps = generators.randn(*x.shape[1:], device=x.device, dtype=x.dtype)[0]
        error = (x - denoise(path.mix(x, eps, t), t)).square().flatten(1).sum(1)
        excess = eps.square().flatten(1).sum(1) - num_dims
        draws.append(0.5 * (log_snr.exp() * error - log_snr.sigmoid().square() * excess))
    terms_BN = width * torch.stack(draws, dim=1)
    prior = 0.5 * math.exp(-top) * x.square().flatten(1).sum(1)
    # After how many strata the path may end, in pairs: from where noise and data are alike.
    ends = torch.arange(num_draws, num_draws // 2 - 1, -2, device=x.device).clamp(min=2).unique()
    decoder_M = 0.5 * num_dims * (math.log(2 * math.pi * math.e) + top - width * ends)
    bounds_BM = -(prior[:, None] + terms_BN.cumsum(1)[:, ends - 1] + decoder_M)
    weights_M = torch.full_like(decoder_M, math.log(LATER / max(1, len(ends) - 1)))
    weights_M[-1] = math.log1p(-LATER) if len(ends) > 1 else 0.0
    mixed_BM = bounds_BM + weights_M
    squares_BM = (terms_BN[:, 0::2] - terms_BN[:, 1::2]).square().cumsum(1)[:, ends // 2 - 1]
    return LogProb(
        nats=mixed_BM.logsumexp(1),
        kind="lower bound",
        std_error=(mixed_BM.softmax(1) * squares_BM.sqrt()).sum(1),
        num_dims=torch.full((len(x),), num_dims, device=x.device),
        how=f"variational bound from t = {least_time:g} or later, {num_draws} draws over log-SNR",
    )


def _solve(
    slope: Callable[[Tensor, Tensor], Tensor],
    start: Tensor,
    ends: Tensor,
    *,
    num_dims: int,
    tolerance: float,
) -> Tensor:
    """The state (B, D + K) at ends[1] from that at ends[0], as exact for each row as if alone.

    Raises:
        ValueError: If it takes more than `MOST_STEPS`, or steps of no length.
    """

    def worst(error: Tensor) -> Tensor:
        rms = error[:, :num_dims].square().mean(1).sqrt()
        return torch.maximum(rms, error[:, num_dims:].abs().amax(1)).max()

    times = ends.to(start.device, start.dtype)
    # Left to itself it steps beyond the end, where there is no time.
    options = {"norm": worst, "step_t": times[1:], "max_num_steps": MOST_STEPS}
    accurate = {"rtol": tolerance, "atol": tolerance, "method": "dopri5"}
    try:
        return odeint(slope, start, times, **accurate, options=options)[1]
    except AssertionError as error:
        raise ValueError(
            f"The flow of this model could not be followed ({error}): its network changes too fast,"
            ' or gives NaN. Ask for the bound: likelihood="bound".'
        ) from None


def _angle(path: GaussianPath, t: Tensor) -> Tensor:
    """u = atan(sigma / alpha) at times t."""
    return torch.atan2(path.sigma(t), path.alpha(t))


def _velocity_and_traces(
    denoise: Denoise, y: Tensor, angle: Tensor, path: GaussianPath, probes: Tensor
) -> tuple[Tensor, Tensor]:
    """dy/du (B, *event) and e . d(dy/du)/dy e (B, K) for probes e (K, B, *event)."""
    cosine, sine = angle.double().cos(), angle.double().sin()
    t = path.time_at(2 * (cosine.clamp(min=1e-9).log() - sine.log()))
    radius = (path.alpha(t).square() + path.sigma(t).square()).sqrt().to(y.dtype)
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        x_0 = denoise(radius * y, t.to(y.dtype).expand(len(y)))
        products = [
            torch.autograd.grad(x_0, y, e, retain_graph=i + 1 < len(probes))[0]
            for i, e in enumerate(probes)
        ]
    cosine, sine = cosine.to(y.dtype), sine.to(y.dtype)
    inner = [(e * g).flatten(1).sum(1) for e, g in zip(probes, products, strict=True)]
    squares = probes.square().flatten(2).sum(2).T
    v = (cosine * y.detach() - x_0.detach()) / sine
    return v, (cosine * squares - torch.stack(inner, dim=1)) / sine


def _unit_vectors(x: Tensor) -> Tensor:
    """The unit vectors of the event (D, B, *event)."""
    num_dims = x[0].numel()
    eye = torch.eye(num_dims, device=x.device, dtype=x.dtype).reshape(num_dims, 1, *x.shape[1:])
    return eye.expand(num_dims, *x.shape)


def _signs(x: Tensor, generators: Generators, num_probes: int) -> Tensor:
    """Random signs (K, B, *event), those of each row from its own generator."""
    drawn = generators.rand(num_probes, *x.shape[1:], device=x.device)[0]
    return torch.where(drawn < 0.5, -1.0, 1.0).to(x.dtype).transpose(0, 1)
