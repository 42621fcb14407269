"""Densities of closed-form denoisers are the densities of their distributions."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.families.diffusion.likelihood import bound_log_prob, flow_log_prob
from mmgen.families.diffusion.path import GaussianPath, Straight


def _seeds(batch: int) -> Generators:
    return Generators([list(range(batch))])


@pytest.mark.parametrize("name", ["gaussian", "plane"])
def test_flow_is_exact(request: pytest.FixtureRequest, path: GaussianPath, name: str) -> None:
    mixture = request.getfixturevalue(name)
    x = mixture.sample(32)
    found = mixture.conditional(path, 32).log_prob(Latent(x))
    assert (found.nats - mixture.log_prob(x)).abs().max() < 1e-3
    assert found.kind == "exact"
    assert torch.equal(found.std_error, torch.zeros(32))
    assert found.num_dims.tolist() == [mixture.mean.shape[1]] * 32
    assert "tolerance 1e-05" in found.how


def test_flow_is_exact_in_single_precision(plane: Any, path: GaussianPath) -> None:
    x = plane.sample(32).float()
    found = plane.conditional(path, 32).log_prob(Latent(x))
    assert found.nats.dtype == torch.float32
    assert (found.nats - plane.log_prob(x.double())).abs().max() < 2e-3


def test_density_integrates_to_one(line: Any, path: GaussianPath) -> None:
    x = torch.linspace(-5, 5, 401, dtype=torch.float64)
    found = dataclasses.replace(line.conditional(path, 401), rows=401).log_prob(Latent(x[:, None]))
    assert abs(torch.trapezoid(found.nats.exp(), x) - 1) < 1e-3


def test_probes_estimate_the_divergence(wide: Any, path: GaussianPath) -> None:
    x = wide.sample(16)
    true = wide.log_prob(x)
    found = flow_log_prob(wide.denoiser(path), x, path=path, generators=_seeds(16), num_probes=16)
    assert found.kind == "estimate"
    assert found.std_error.shape == (16,)
    assert (found.std_error > 0).all()
    score = (found.nats - true) / found.std_error
    assert score.abs().max() < 4
    assert "16 random probes" in found.how


def test_probes_depend_on_their_own_seed_alone(wide: Any) -> None:
    x = wide.sample(4)
    denoise = wide.denoiser(Straight())

    def score(rows: list[int]) -> torch.Tensor:
        generators = Generators([[7 + row for row in rows]])
        return flow_log_prob(denoise, x[rows], path=Straight(), generators=generators).nats

    assert torch.allclose(score([0, 1, 2, 3])[2:3], score([2]), atol=1e-3)


@pytest.mark.parametrize("name", ["gaussian", "plane", "wide"])
def test_bound_is_tight_for_the_true_denoiser(
    request: pytest.FixtureRequest, path: GaussianPath, name: str
) -> None:
    mixture = request.getfixturevalue(name)
    x = mixture.sample(64)
    found = bound_log_prob(
        mixture.denoiser(path), x, path=path, generators=_seeds(64), num_draws=256
    )
    assert found.kind == "lower bound"
    gap = found.nats - mixture.log_prob(x)
    error = found.std_error.square().sum().sqrt() / 64
    assert error < 0.2
    assert gap.mean().abs() < 4 * error
    # The stated errors are those seen.
    assert 0.8 < gap.square().mean().sqrt() / found.std_error.square().mean().sqrt() < 1.25


def test_bound_of_a_worse_denoiser_is_lower(plane: Any, path: GaussianPath) -> None:
    x = plane.sample(64)
    exact = plane.denoiser(path)

    def shrunk(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return exact(z, t) * (1 - 0.3 * path.sigma(t)[:, None])

    found = bound_log_prob(shrunk, x, path=path, generators=_seeds(64), num_draws=256)
    error = found.std_error.square().sum().sqrt() / 64
    assert (found.nats - plane.log_prob(x)).mean() < -4 * error


def test_errors_that_noise_would_hide_do_not_ruin_the_bound(wide: Any, path: GaussianPath) -> None:
    """From the least time alone a constant error of 0.05 costs a thousand nats a dimension."""
    x = wide.sample(16)
    exact = wide.denoiser(path)
    found = bound_log_prob(
        lambda z, t: exact(z, t) + 0.05, x, path=path, generators=_seeds(16), num_draws=128
    )
    gap = (found.nats - wide.log_prob(x)) / x[0].numel()
    assert -3 < gap.mean() < 0
    assert found.std_error.max() < x[0].numel()


def test_a_flow_that_cannot_be_followed_says_so(plane: Any) -> None:
    def broken(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return z * torch.nan

    own = {"path": Straight(), "generators": _seeds(2)}
    with pytest.raises(ValueError, match=r'could not be followed .*likelihood="bound"'):
        flow_log_prob(broken, plane.sample(2), **own)


def test_bound_is_chosen_by_name(plane: Any) -> None:
    x = plane.sample(3)
    conditional = dataclasses.replace(
        plane.conditional(Straight(), 3), likelihood="bound", num_bound_draws=8
    )
    found = conditional.log_prob(Latent(x), _seeds(3))
    assert found.kind == "lower bound"
    assert "8 draws" in found.how


def test_odd_number_of_draws_is_an_error(plane: Any) -> None:
    with pytest.raises(ValueError, match="num_draws is an even number from 2 on, got 3"):
        bound_log_prob(
            plane.denoiser(Straight()),
            plane.sample(1),
            path=Straight(),
            generators=_seeds(1),
            num_draws=3,
        )


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_flow_works_where_gradients_are_off(plane: Any, context: type) -> None:
    conditional = plane.conditional(Straight(), 4)
    with context():
        x = plane.sample(4)
        found = conditional.log_prob(Latent(x))
        assert not torch.is_grad_enabled()
    assert (found.nats - plane.log_prob(x.clone())).abs().max() < 1e-3
    assert not found.nats.requires_grad


def test_chunks_do_not_change_densities(plane: Any) -> None:
    x = plane.sample(7)
    whole = plane.conditional(Straight(), 7)
    parts = dataclasses.replace(whole, rows=3)
    assert torch.allclose(whole.log_prob(Latent(x)).nats, parts.log_prob(Latent(x)).nats, atol=1e-3)


def test_bits_per_dim(gaussian: Any) -> None:
    x = gaussian.sample(2)
    found = gaussian.conditional(Straight(), 2).log_prob(Latent(x))
    assert torch.allclose(found.bits_per_dim, -found.nats / (3 * math.log(2)))


def test_latent_of_another_shape_is_an_error(plane: Any) -> None:
    with pytest.raises(SpecError, match=r"Expected latents of shape \(..., 2\), got \(4, 3\)"):
        plane.conditional(Straight(), 4).log_prob(Latent(torch.zeros(4, 3)))
    with pytest.raises(SpecError, match=r"each of 4 conditions, got z of shape \(3, 2\)"):
        plane.conditional(Straight(), 4).log_prob(Latent(torch.zeros(3, 2)))
