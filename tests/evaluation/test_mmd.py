"""The maximum mean discrepancy accepts what is alike and refuses what is not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mmgen.evaluation.mmd import mmd_test


def _normal(count: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(seed)) + shift


def test_p_values_are_uniform_and_the_estimate_is_unbiased_for_alike_samples() -> None:
    found = [mmd_test(_normal(50, i), _normal(60, 100 + i), seed=i) for i in range(40)]
    assert 0.35 < sum(f.p_value for f in found) / 40 < 0.65
    values = torch.tensor([f.squared for f in found])
    assert abs(values.mean()) < 3 * values.std() / math.sqrt(40)


def test_a_shift_is_found_and_has_its_known_size() -> None:
    x, y = _normal(600, 0), _normal(600, 1, shift=1.0)
    found = mmd_test(x, y, seed=0, bandwidth=1.0)
    assert found.p_value == 1 / 200
    # E k for two unit normals in the plane at distance d and h = 1: exp(-d^2 / 6) / 3.
    assert abs(found.squared - 2 / 3 * (1 - math.exp(-2 / 6))) < 0.03
    assert mmd_test(x, y, seed=0) == mmd_test(x, y, seed=0)


def test_the_bandwidth_is_the_median_distance() -> None:
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [7.0]])
    # Distances 1, 2, 3, 4, 6, 7; the lower of the two in the middle.
    assert mmd_test(x, y, seed=0, num_permutations=3).bandwidth == 3.0


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(4, 2), torch.zeros(4, 3), r"got \(4, 2\) and \(4, 3\)"),
        (torch.zeros(1, 2), torch.zeros(4, 2), "from 2 on"),
        (torch.full((3, 1), torch.nan), torch.zeros(3, 1), "NaN or infinity"),
        (torch.zeros(4, 2), torch.zeros(4, 2), "The bandwidth is above 0, got 0"),
    ],
)
def test_bad_samples(x: Tensor, y: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mmd_test(x, y, seed=0)
