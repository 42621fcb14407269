"""P(Z | c, b) for b = A x + s n: posterior sampling, one function a method.

Each takes the conditional of a diffusion model and a measurement with a row for each condition, and
gives a conditional. Both are exact for Gaussian data in the limits that their classes state.
"""

from __future__ import annotations

from collections.abc import Callable

from mmgen.core.conditional import Conditional
from mmgen.core.errors import SpecError, UnknownNameError, close_names
from mmgen.families.diffusion.conditional import DiffusionConditional
from mmgen.families.diffusion.measured import Measured
from mmgen.guidance.gibbs import SplitGibbs
from mmgen.operators.measurement import Measurement

__all__ = ["POSTERIORS", "Posterior", "find_posterior", "mmps", "split_gibbs"]

Posterior = Callable[[Conditional, Measurement], Conditional]
"""P(Z | c) and a measurement to P(Z | c, b)."""


def mmps(
    conditional: Conditional, measurement: Measurement, *, num_iterations: int = 3
) -> Conditional:
    """Moment matching posterior sampling: gradients of the network tell covariances.

    About `num_iterations` + 2 backward passes a step. The sampler and its steps are those of the
    conditional.

    Args:
        conditional: Of a diffusion model.
        measurement: A row for each condition.
        num_iterations: Most conjugate gradient iterations at each call of the network. As many as
            there are measured numbers solve their system if the denoiser is exact; with a trained
            network more than a few diverge, its derivative not being quite a covariance.

    Raises:
        SpecError: If the conditional is not one of diffusion.

    Source: Learning Diffusion Priors from Observations by Expectation Maximization (Rozet et al.,
    2024), Alg. 3, arXiv:2405.13712
    """
    return Measured(_diffusion(conditional), measurement, num_iterations)


def split_gibbs(
    conditional: Conditional,
    measurement: Measurement,
    *,
    num_iterations: int = 100,
    least: float = 0.03,
) -> Conditional:
    """Split Gibbs sampling: draws from the prior and from the measurement in turn.

    Seven calls of the network an iteration, no gradient, and no Gaussian approximation of the
    prior: within a mode of the posterior it is the closer of the two. How much each mode weighs is
    settled where the split is about as wide as modes are apart, so what a measurement tells between
    them is partly lost. The error falls as one over the number of iterations, and grows as the
    measurement gets more exact: for three correlated Gaussian numbers of which two combinations are
    measured with an error of a tenth, means are off by 0.17 standard deviations after 60.

    Args:
        conditional: Of a diffusion model.
        measurement: A row for each condition.
        num_iterations: More are slower and closer to the posterior.
        least: Least distance between the two, in units of z; lower is closer to the posterior, if
            the network knows such low noise.

    Raises:
        SpecError: If the conditional is not one of diffusion.

    Source: Principled Probabilistic Imaging using Diffusion Models as Plug-and-Play Priors (Wu et
    al., 2024), Alg. 1, arXiv:2405.18782
    """
    return SplitGibbs(_diffusion(conditional), measurement, num_iterations, least)


POSTERIORS: dict[str, Posterior] = {"mmps": mmps, "split_gibbs": split_gibbs}


def find_posterior(name: str) -> Posterior:
    """The method of this name.

    Raises:
        UnknownNameError: If there is none.
    """
    if name not in POSTERIORS:
        raise UnknownNameError(f"No posterior {name!r}. {close_names(name, POSTERIORS)}")
    return POSTERIORS[name]


def _diffusion(conditional: Conditional) -> DiffusionConditional:
    if not isinstance(conditional, DiffusionConditional):
        raise SpecError(
            "Posterior sampling through an operator needs a model of diffusion; this one gives "
            f"{type(conditional).__name__}. Use the diffusion family for this X."
        )
    return conditional
