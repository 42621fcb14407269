"""Distances of spectra: known answers, and what they refuse."""

from __future__ import annotations

import math

import pytest
import torch

from mmgen.evaluation.spectra import log_spectral_distance, mel_distance


def _noise(seconds: float = 1.0) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(2, int(8000 * seconds), generator=g)


def test_a_gain_is_as_far_as_its_logarithm() -> None:
    x = _noise()
    y = torch.stack([x[0], 0.5 * x[1]])
    assert torch.allclose(log_spectral_distance(x, y), torch.tensor([0, 2 * math.log10(2)]))
    found = mel_distance(x, y, sampling_rate=8000)
    assert torch.allclose(found, torch.tensor([0, math.log10(2)]), atol=1e-3)
    assert torch.allclose(mel_distance(y, x, sampling_rate=8000), found)


def test_independent_noises_are_as_far_as_two_exponential_powers() -> None:
    # The logarithm of an exponential variable has the variance pi^2 / 6.
    x = _noise(40.0)
    found = float(log_spectral_distance(x[:1], x[1:]))
    assert abs(found - math.pi / math.sqrt(3) / math.log(10)) < 0.02


def test_silence_is_finite_and_each_sound_counts_alone() -> None:
    x = _noise(0.2)
    y = torch.stack([x[0], torch.zeros_like(x[0])])
    for distance in (log_spectral_distance(x, y), mel_distance(x, y, sampling_rate=8000)):
        assert distance.isfinite().all() and distance[0] == 0 and distance[1] > 1
    alone = log_spectral_distance(x[1:], y[1:])
    assert torch.allclose(alone, log_spectral_distance(x, y)[1:])


def test_sounds_that_do_not_compare_are_refused() -> None:
    x = _noise(0.2)
    message = r"got \(2, 1600\) and \(2, 1599\). Cut both"
    with pytest.raises(ValueError, match=message):
        log_spectral_distance(x, x[:, 1:])
    with pytest.raises(ValueError, match=message):
        mel_distance(x, x[:, 1:], sampling_rate=8000)
    with pytest.raises(ValueError, match=r"got \(1600,\)"):
        log_spectral_distance(x[0], x[0])
