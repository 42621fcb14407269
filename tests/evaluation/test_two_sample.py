"""Two-sample tests accept what is alike and refuse what is not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmgen.evaluation.two_sample import c2st, energy_test


def _normal(count: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(seed)) + shift


def test_p_values_are_uniform_for_alike_samples() -> None:
    values = [energy_test(_normal(60, i), _normal(80, 100 + i), seed=i) for i in range(40)]
    assert 0.35 < sum(values) / 40 < 0.65
    assert min(values) >= 1 / 200


def test_shifted_samples_are_told_apart() -> None:
    x, y = _normal(300, 0), _normal(300, 1, shift=1.0)
    assert energy_test(x, y, seed=0) == 1 / 200
    # Two unit normals at a distance of sqrt(2): the best accuracy is Phi(sqrt(2) / 2) = 0.760.
    assert 0.70 < c2st(x, y, seed=0, num_folds=3, steps=100) < 0.82


def test_same_seed_same_accuracy_and_no_trace() -> None:
    x, y = _normal(100, 0), _normal(100, 1)
    torch.manual_seed(5)
    first = c2st(x, y, seed=0, num_folds=2, steps=20)
    after = torch.rand(())
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(()))
    assert c2st(x, y, seed=0, num_folds=2, steps=20) == first


def test_points_of_other_sizes_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"got \(4, 2\) and \(4, 3\). Flatten"):
        energy_test(torch.zeros(4, 2), torch.zeros(4, 3), seed=0)
