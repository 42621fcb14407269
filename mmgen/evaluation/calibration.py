r"""Whether posteriors are as sure as they may be.

Draw theta ~ P(theta) and what is observed of it, and samples of the posterior given that. If the
posteriors are right, the truth is one more sample of each. Two tests look at that:

- **SBC**: the rank of theta among its samples, in each dimension, is uniform.
- **TARP**: so is the share f of samples that lie nearer to a point chosen at random than theta
  does. P(f < level) is the coverage that credible balls around such points have in truth.

Both find posteriors that are too narrow or too wide; SBC finds ones in the wrong place with fewer
pairs. Neither sees what averages out over all observations: the prior itself passes SBC, and passes
TARP with points that know nothing of the observation.

Sources: Validating Bayesian Inference Algorithms with Simulation-Based Calibration (Talts et al.,
2018), Thm. 1 and Alg. 1, arXiv:1804.06788; Sampling-Based Accuracy Testing of Posterior Estimators
for General Inference (Lemos et al., 2023), Alg. 2, arXiv:2302.03026
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Coverage", "rank_p_values", "sbc_ranks", "tarp"]


def sbc_ranks(truths: Tensor, samples: Tensor, *, seed: int = 0) -> Tensor:
    """How many samples of each posterior lie below the truth, in each dimension.

    Args:
        truths: theta (B, D).
        samples: N samples of the posterior of each (N, B, D).
        seed: Of the order among equal values.

    Returns:
        Ranks (B, D), from 0 to N, uniform if the posteriors are right.

    Raises:
        ValueError: If the shapes do not fit, or something is not finite.
    """
    truths, samples = _checked(truths, samples)
    return _rank(truths, samples, torch.Generator().manual_seed(seed))


def rank_p_values(ranks: Tensor, num_samples: int, *, num_bins: int = 10) -> Tensor:
    """p-value of uniformity of ranks in each dimension, by a chi-squared test.

    Args:
        ranks: (B, D), from 0 to N; B should be five times `num_bins` or more.
        num_samples: N.
        num_bins: Of the histogram; at most N + 1.

    Returns:
        (D,). With D of them, compare the least with 0.05 / D.

    Raises:
        ValueError: If ranks are beyond N, or there are fewer than two bins.
    """
    if ranks.ndim != 2 or int(ranks.min()) < 0 or int(ranks.max()) > num_samples:
        raise ValueError(
            f"Ranks are (B, D) from 0 to {num_samples}, the number of samples; got shape "
            f"{tuple(ranks.shape)} from {int(ranks.min())} to {int(ranks.max())}."
        )
    num_bins = min(num_bins, num_samples + 1)
    if num_bins < 2:
        raise ValueError(f"A histogram has two bins or more, got {num_bins}.")
    # Bins differ in how many of the N + 1 ranks they hold, so each has its own expectation.
    bins = torch.arange(num_samples + 1) * num_bins // (num_samples + 1)
    share = torch.bincount(bins, minlength=num_bins).double() / (num_samples + 1)
    expected = (len(ranks) * share)[:, None]
    columns = bins[ranks.cpu()].T
    counts = torch.stack([torch.bincount(c, minlength=num_bins) for c in columns], dim=1)
    statistic = ((counts - expected).square() / expected).sum(0)
    half = torch.full_like(statistic, (num_bins - 1) / 2)
    return torch.special.gammaincc(half, statistic / 2)


@dataclass(frozen=True)
class Coverage:
    """Expected coverage of credible regions.

    Args:
        levels: Credibility (L,), from 0 to 1.
        coverage: How often regions of this credibility hold the truth (L,); equal to `levels` if
            posteriors are right.
        p_value: Of that, by Kolmogorov's test.
        spread: Standard deviation of f over that of a uniform number: above 1 for posteriors that
            are too narrow, below 1 for too wide ones.
    """

    levels: Tensor
    coverage: Tensor
    p_value: float
    spread: float


def tarp(
    truths: Tensor,
    samples: Tensor,
    *,
    seed: int = 0,
    references: Tensor | None = None,
    num_levels: int = 51,
) -> Coverage:
    """Coverage of balls around points chosen at random: in the limit of many points and samples,
    right at all levels if and only if the posteriors are.

    Distances are Euclidean in dimensions standardised by the truths.

    Args:
        truths: theta (B, D).
        samples: N samples of the posterior of each (N, B, D).
        seed: Of the points, and of the order among equal distances.
        references: Points (B, D). Uniform over the box of the truths if None; points that depend on
            what was observed see more.
        num_levels: L.

    Raises:
        ValueError: If the shapes do not fit, or something is not finite.
    """
    truths, samples = _checked(truths, samples)
    generator = torch.Generator().manual_seed(seed)
    if references is None:
        low, high = truths.amin(0), truths.amax(0)
        draws = torch.rand(truths.shape, generator=generator, dtype=torch.float64)
        references = low + (high - low) * draws
    elif references.shape != truths.shape:
        raise ValueError(
            f"Expected a reference for each truth, {tuple(truths.shape)}; got "
            f"{tuple(references.shape)}."
        )
    scale = truths.std(0).clamp(min=1e-12)
    centre = references.double().cpu()
    own = ((truths - centre) / scale).norm(dim=1, keepdim=True)
    others = ((samples - centre) / scale).norm(dim=2, keepdim=True)
    ranks = _rank(own, others, generator)[:, 0]
    # A rank stands for the interval [r, r + 1) / (N + 1): within it, f is drawn evenly.
    jitter = torch.rand(len(ranks), generator=generator, dtype=torch.float64)
    f = (ranks + jitter) / (len(samples) + 1)
    levels = torch.linspace(0, 1, num_levels, dtype=torch.float64)
    coverage = (f < levels[:, None]).double().mean(1)
    return Coverage(levels, coverage, _kolmogorov(f), float(f.std() * math.sqrt(12)))


def _rank(truths: Tensor, samples: Tensor, generator: torch.Generator) -> Tensor:
    """Ranks (B, D) of truths (B, D) among samples (N, B, D), at random among equal ones."""
    below, equal = (samples < truths).sum(0), (samples == truths).sum(0)
    draws = torch.rand(below.shape, generator=generator, dtype=torch.float64)
    return below + ((equal + 1) * draws).floor().long()


def _kolmogorov(f: Tensor) -> float:
    """p-value of values (B,) being uniform on [0, 1], with Stephens' correction for few."""
    f, n = f.sort().values, len(f)
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    distance = float(torch.maximum(steps[1:] - f, f - steps[:-1]).max())
    x = (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n)) * distance
    terms = (2 * (-1) ** (k - 1) * math.exp(-2 * (k * x) ** 2) for k in range(1, 101))
    return min(1.0, max(0.0, sum(terms))) if x > 0.2 else 1.0


def _checked(truths: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
    """Both on the CPU in double precision."""
    if truths.ndim != 2 or samples.ndim != 3 or samples.shape[1:] != truths.shape:
        raise ValueError(
            "Expected truths (B, D) and samples (N, B, D) of their posteriors, got "
            f"{tuple(truths.shape)} and {tuple(samples.shape)}."
        )
    if not len(samples) or not truths.isfinite().all() or not samples.isfinite().all():
        raise ValueError("Truths and samples are finite numbers, and at least one sample of each.")
    return truths.detach().cpu().double(), samples.detach().cpu().double()
