"""Samplers converge at their order, and each sample is its own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.diffusion import Diffusion
from mmgen.families.diffusion.path import GaussianPath, Straight
from mmgen.families.diffusion.samplers import SAMPLERS, Ancestral, Heun, Sampler
from mmgen.families.diffusion.times import step_times
from mmgen.nn.grid import GridTransformer

References = dict[tuple[type[GaussianPath], str], Tensor]


def _start(count: int = 64, num_dims: int = 2) -> Tensor:
    return torch.randn(count, num_dims, generator=torch.Generator().manual_seed(0)).double()


def _run(
    sampler: Sampler,
    denoise: Callable[..., Tensor],
    path: GaussianPath,
    times: Tensor,
    z: Tensor | None = None,
) -> Tensor:
    z = _start() if z is None else z
    generators = Generators([list(range(len(z)))])
    return sampler.run(
        denoise, z, times, path=path, generators=generators, on_step=lambda done: None
    )


def _times(path: GaussianPath, grid: str, num_steps: int) -> Tensor:
    if grid == "whole":
        return step_times(num_steps)
    return path.time_at(torch.linspace(-4, 4, num_steps + 1, dtype=torch.float64))


@pytest.fixture(scope="module")
def references() -> References:
    """What is nearly exact, by path and grid: the same for all samplers."""
    return {}


def _order(
    sampler: Sampler,
    denoise: Callable[..., Tensor],
    path: GaussianPath,
    grid: str,
    references: References,
) -> float:
    """Mean slope of the log error over two halvings of the step."""

    key = type(path), grid
    if key not in references:
        references[key] = _run(Heun(), denoise, path, _times(path, grid, 4096))
    found = [_run(sampler, denoise, path, _times(path, grid, n)) for n in (64, 256)]
    errors = [(z - references[key]).square().mean().sqrt().item() for z in found]
    return math.log2(errors[0] / errors[1]) / 2


@pytest.mark.parametrize(
    ("name", "grid", "least", "most"),
    [
        ("euler", "whole", 0.95, 1.05),
        ("heun", "whole", 1.95, 2.1),
        # Steps of equal t are not of equal log SNR: the order is 2 but for a logarithm.
        ("dpmpp_2m", "whole", 1.4, 2.1),
        ("dpmpp_2m", "middle", 1.9, 2.15),
    ],
)
def test_order(
    plane: Any,
    path: GaussianPath,
    references: References,
    name: str,
    grid: str,
    least: float,
    most: float,
) -> None:
    order = _order(SAMPLERS[name](), plane.denoiser(path), path, grid, references)
    assert least <= order <= most, f"order {order:.2f}"


def test_ancestral_without_noise_has_order_one(
    plane: Any, path: GaussianPath, references: References
) -> None:
    order = _order(Ancestral(eta=0.0), plane.denoiser(path), path, "whole", references)
    assert 0.85 <= order <= 1.2, f"order {order:.2f}"


def _ancestral_variance(path: GaussianPath, variance: float, num_steps: int, eta: float) -> float:
    """Variance after ancestral steps on N(0, variance), exactly: every step is linear."""
    times = step_times(num_steps)
    alpha, sigma = path.alpha(times).tolist(), path.sigma(times).tolist()
    value = 1.0
    for a, a_s, s, s_s in zip(alpha, alpha[1:], sigma, sigma[1:], strict=False):
        fresh = eta**2 * (s_s / s) ** 2 * (s**2 - (a / a_s * s_s) ** 2)
        keep = math.sqrt(s_s**2 - fresh) / s
        gain = a * variance / (a**2 * variance + s**2)
        value = (keep + (a_s - a * keep) * gain) ** 2 * value + fresh
    return value


def test_ancestral_is_the_recursion_and_has_weak_order_one(
    gaussian: Any, path: GaussianPath
) -> None:
    true = float(gaussian.variance[0])
    z = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0)).double()
    drawn = _run(Ancestral(), gaussian.denoiser(path), path, step_times(12), z)
    expected = _ancestral_variance(path, true, 12, 1.0)
    error = expected * math.sqrt(2 / drawn.numel())
    assert abs(drawn.var(0).mean() - expected) < 4 * error
    assert torch.allclose(drawn.mean(0), gaussian.mean[0], atol=4 * math.sqrt(true / 20_000))
    gaps = [abs(_ancestral_variance(path, true, n, 1.0) - true) for n in (50, 100, 200)]
    orders = [math.log2(a / b) for a, b in zip(gaps, gaps[1:], strict=False)]
    assert all(0.85 <= order <= 1.15 for order in orders), orders


def test_eta_out_of_range_is_an_error() -> None:
    with pytest.raises(ValueError, match="eta lies between 0 and 1, got 1.5"):
        Ancestral(eta=1.5)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_few_steps_are_finite_and_reported(
    plane: Any, path: GaussianPath, name: str, num_steps: int
) -> None:
    done: list[int] = []
    z = SAMPLERS[name]().run(
        plane.denoiser(path),
        _start(),
        step_times(num_steps),
        path=path,
        generators=Generators([list(range(64))]),
        on_step=done.append,
    )
    assert torch.isfinite(z).all()
    assert done == list(range(1, num_steps + 1))
    if num_steps == 1 and name in ("dpmpp_2m", "ancestral"):
        # One step from pure noise, exact in its linear part, is the mean of the data.
        assert torch.allclose(z, (plane.weight @ plane.mean).expand_as(z), atol=1e-9)


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_leave_their_start_alone(plane: Any, name: str) -> None:
    z = _start()
    kept = z.clone()
    _run(SAMPLERS[name](), plane.denoiser(Straight()), Straight(), step_times(5), z)
    assert torch.equal(z, kept)


@pytest.mark.parametrize("name", SAMPLERS)
def test_sample_of_a_batch_is_the_sample_alone(name: str) -> None:
    torch.manual_seed(0)
    network = GridTransformer.debug(condition=ConditionSpec(vector_dim=4)).eval()
    for parameter in network.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    model = Diffusion(network, spec=Spec("image", "continuous", (3, 8, 8)))
    c = Condition(5, vector=torch.randn(5, 4))
    seeds = [[11, 3, 8, 2, 30], [7, 1, 9, 6, 5]]
    options = {"sampler": name, "num_inference_steps": 6}
    together = model(c, **options).sample(2, Generators(seeds)).z
    assert together.shape == (2, 5, 3, 8, 8)
    for n, row in enumerate(seeds):
        for b, seed in enumerate(row):
            alone = model(c.select(torch.tensor([b])), **options).sample(1, Generators([[seed]])).z
            assert (alone[0, 0] - together[n, b]).abs().max() < 1e-5


def test_chunks_do_not_change_samples(plane: Any) -> None:
    whole = plane.conditional(Straight(), 6)
    parts = dataclasses.replace(whole, rows=4)
    seen: list[tuple[int, int]] = []
    seeds = Generators.from_seed(3, num_samples=2, batch=6)
    again = Generators.from_seed(3, num_samples=2, batch=6)
    z = whole.sample(2, seeds).z
    in_parts = parts.sample(2, again, progress=lambda done, total: seen.append((done, total))).z
    assert torch.allclose(z, in_parts, atol=1e-6)
    assert seen[-1] == (30, 30)
