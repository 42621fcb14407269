"""Right posteriors pass; those too sure, too unsure or biased are found out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmgen.evaluation.calibration import rank_p_values, sbc_ranks, tarp


def _posteriors(
    *, scale: float = 1.0, shift: float = 0.0, batch: int = 400, count: int = 60, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """theta ~ N(0, I) seen with noise of 0.5: truths, posterior samples and posterior means."""
    generator = torch.Generator().manual_seed(seed)
    truths = torch.randn(batch, 2, generator=generator)
    seen = truths + 0.5 * torch.randn(batch, 2, generator=generator)
    variance = 1 / (1 + 4)
    mean = 4 * seen * variance
    noise = torch.randn(count, batch, 2, generator=generator)
    return truths, mean + shift + scale * variance**0.5 * noise, mean


def test_right_posteriors_pass() -> None:
    values, tarps = [], []
    for seed in range(20):
        truths, samples, _ = _posteriors(seed=seed)
        values.append(rank_p_values(sbc_ranks(truths, samples), len(samples)))
        tarps.append(tarp(truths, samples, seed=seed))
    assert 0.3 < torch.stack(values).mean() < 0.7
    assert min(t.p_value for t in tarps) > 0.002
    assert 0.3 < sum(t.p_value for t in tarps) / 20 < 0.7
    assert abs(sum(t.spread for t in tarps) / 20 - 1) < 0.03
    found = tarps[0]
    assert found.levels[0] == found.coverage[0] == 0 and found.coverage[-1] == 1
    assert (found.coverage - found.levels).abs().max() < 0.08


@pytest.mark.parametrize(("scale", "shift"), [(0.6, 0.0), (1.6, 0.0), (1.0, 0.7)])
def test_wrong_posteriors_are_found_out(scale: float, shift: float) -> None:
    truths, samples, _ = _posteriors(scale=scale, shift=shift)
    found = tarp(truths, samples)
    assert rank_p_values(sbc_ranks(truths, samples), len(samples)).min() < 1e-3
    assert found.p_value < 0.01
    if shift == 0:
        assert (found.spread > 1.05) == (scale < 1)


def test_overconfidence_has_the_form_it_is_known_by() -> None:
    truths, samples, _ = _posteriors(scale=0.4, batch=2000)
    found = tarp(truths, samples)
    quarter = found.levels.sub(0.1).abs().argmin()
    assert found.coverage[quarter] > 0.15
    assert found.coverage[-1 - quarter] < 0.85


def test_points_that_know_the_observation_find_a_posterior_that_ignores_it() -> None:
    truths, samples, mean = _posteriors(batch=600)
    prior = torch.randn(samples.shape, generator=torch.Generator().manual_seed(9))
    assert rank_p_values(sbc_ranks(truths, prior), len(prior)).min() > 1e-3
    assert tarp(truths, prior, references=mean).p_value < 1e-3
    assert tarp(truths, samples, references=mean).p_value > 1e-3


def test_equal_values_are_ranked_at_random() -> None:
    ranks = sbc_ranks(torch.zeros(3000, 1), torch.zeros(3, 3000, 1))
    assert torch.bincount(ranks[:, 0]).min() > 650
    assert rank_p_values(ranks, 3)[0] > 1e-3


@pytest.mark.parametrize(
    ("truths", "samples", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(3, 2), r"got \(3, 2\) and \(3, 2\)"),
        (torch.zeros(3, 2), torch.zeros(5, 4, 2), r"got \(3, 2\) and \(5, 4, 2\)"),
        (torch.full((3, 2), torch.nan), torch.zeros(5, 3, 2), "finite"),
        (torch.zeros(3, 2), torch.zeros(0, 3, 2), "at least one sample"),
    ],
)
def test_bad_samples(truths: Tensor, samples: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tarp(truths, samples)


def test_bad_ranks_and_references() -> None:
    with pytest.raises(ValueError, match=r"from 0 to 4, the number of samples; got.*to 5"):
        rank_p_values(torch.full((3, 1), 5), 4)
    with pytest.raises(ValueError, match=r"a reference for each truth, \(3, 2\); got \(2, 2\)"):
        tarp(torch.zeros(3, 2), torch.zeros(4, 3, 2), references=torch.zeros(2, 2))
