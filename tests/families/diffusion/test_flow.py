"""The flow of a diffusion model is a map that can be undone, and codes are standard normal."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from mmgen.core.conditional import Invertible
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.families.diffusion.path import GaussianPath, Straight


def test_data_comes_back_from_its_code(plane: Any, path: GaussianPath) -> None:
    conditional = plane.conditional(path, 64)
    assert isinstance(conditional, Invertible)
    x = plane.sample(64)
    code = conditional.encode(Latent(x))
    assert (conditional.decode(code).z - x).abs().max() < 1e-3


def test_codes_come_back_from_their_data(plane: Any, path: GaussianPath) -> None:
    conditional = plane.conditional(path, 64)
    code = torch.randn(64, 2, dtype=torch.float64)
    assert (conditional.encode(conditional.decode(code)) - code).abs().max() < 1e-3


def test_codes_of_a_gaussian_are_its_standardised_values(gaussian: Any, path: GaussianPath) -> None:
    x = gaussian.sample(32)
    code = gaussian.conditional(path, 32).encode(Latent(x))
    expected = (x - gaussian.mean) / gaussian.variance.sqrt()
    assert (code - expected).abs().max() < 1e-2


def test_codes_of_samples_are_standard_normal(plane: Any) -> None:
    count = 2000
    conditional = dataclasses.replace(plane.conditional(Straight(), count), rows=count)
    code = conditional.encode(Latent(plane.sample(count)))
    assert code.mean(0).abs().max() < 4 / count**0.5
    assert (code.T.cov() - torch.eye(2)).abs().max() < 0.15


def test_codes_do_not_depend_on_neighbours(plane: Any) -> None:
    x = plane.sample(7)
    whole = plane.conditional(Straight(), 7)
    parts = dataclasses.replace(whole, rows=3)
    alone = plane.conditional(Straight(), 1).encode(Latent(x[2:3]))
    assert torch.allclose(whole.encode(Latent(x)), parts.encode(Latent(x)), atol=1e-3)
    assert torch.allclose(whole.encode(Latent(x))[2:3], alone, atol=1e-3)


def test_code_of_another_shape_is_an_error(plane: Any) -> None:
    conditional = plane.conditional(Straight(), 4)
    with pytest.raises(SpecError, match=r"Expected codes of shape \(..., 2\), got \(4, 3\)"):
        conditional.decode(torch.zeros(4, 3))
    with pytest.raises(SpecError, match="one code for each of 4 conditions"):
        conditional.decode(torch.zeros(3, 2))
    with pytest.raises(SpecError, match="one latent for each of 4 conditions"):
        conditional.encode(Latent(torch.zeros(3, 2)))
