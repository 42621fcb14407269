"""Posterior samplers have the closed-form posterior of a Gaussian, and are calibrated."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from mmgen.core.condition import Condition
from mmgen.core.conditional import Completable, Conditional, Tractable
from mmgen.core.errors import SpecError, UnknownNameError
from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.evaluation.calibration import rank_p_values, sbc_ranks, tarp
from mmgen.families.diffusion import Diffusion
from mmgen.families.diffusion.conditional import DiffusionConditional
from mmgen.families.diffusion.measured import measured
from mmgen.families.diffusion.path import GaussianPath, Straight, VariancePreserving
from mmgen.guidance import POSTERIORS, find_posterior, mmps, split_gibbs
from mmgen.operators import Measurement, Operator

MEAN = torch.tensor([0.5, -1.0, 0.2])
ROOT = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [-0.3, 0.2, 0.5]])
COVARIANCE = ROOT @ ROOT.T
MATRIX = torch.tensor([[1.0, 0.5, 0.0], [0.0, -0.4, 1.2]])
SPEC = Spec("properties", "continuous", (3,))


class _Gaussian(nn.Module):
    """The denoiser of N(MEAN, COVARIANCE), exactly."""

    condition = ConditionSpec()

    def __init__(self, path: GaussianPath) -> None:
        super().__init__()
        self.path = path
        values, vectors = torch.linalg.eigh(COVARIANCE)
        self.values, self.vectors = nn.Parameter(values), vectors

    def forward(self, z: Tensor, t: Tensor, c: Condition) -> Tensor:
        alpha, sigma = self.path.alpha(t)[:, None], self.path.sigma(t)[:, None]
        gain = alpha * self.values / (alpha**2 * self.values + sigma**2)
        return MEAN + (gain * ((z - alpha * MEAN) @ self.vectors)) @ self.vectors.T


class _Matrix(Operator):
    """x (B, 3) to MATRIX x (B, 2)."""

    def apply(self, x: Tensor) -> Tensor:
        return x @ MATRIX.T.to(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return y @ MATRIX.to(y)


def _prior(batch: int, path: GaussianPath | None = None, **options: object) -> DiffusionConditional:
    path = path or Straight()
    model = Diffusion(_Gaussian(path), spec=SPEC, path=path, target="data")
    options = {"sampler": "dpmpp_2m", "num_inference_steps": 40} | options
    return dataclasses.replace(model(Condition(batch), **options), rows=20_000)


def _posterior(b: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Mean (B, 3) and covariance (3, 3) of x given b = MATRIX x + noise n."""
    seen = MATRIX @ COVARIANCE @ MATRIX.T + noise**2 * torch.eye(2)
    gain = COVARIANCE @ MATRIX.T @ torch.linalg.inv(seen)
    return MEAN + (b - MATRIX @ MEAN) @ gain.T, COVARIANCE - gain @ MATRIX @ COVARIANCE


class _Shared(Generators):
    """All samples from one generator: quick, where only their law counts."""

    def __init__(self, num_samples: int, batch: int, generator: torch.Generator) -> None:
        self.shape, self._generator = (num_samples, batch), generator

    def flat(self) -> Generators:
        return _Shared(1, self.shape[0] * self.shape[1], self._generator)

    def select(self, index: torch.Tensor) -> Generators:
        return _Shared(1, len(index), self._generator)

    def randn(self, *event: int, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(*self.shape, *event, generator=self._generator, dtype=dtype)


def _samples(conditional: Conditional, num_samples: int) -> Tensor:
    generators = _Shared(num_samples, conditional.batch, torch.Generator().manual_seed(0))
    return conditional.sample(num_samples, generators).z


@pytest.mark.parametrize("path", [Straight(), VariancePreserving()], ids=repr)
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_measured_denoiser_is_exact(path: GaussianPath, noise: float) -> None:
    b = torch.tensor([[1.0, -2.0], [0.0, 0.5], [3.0, 1.0]])
    measurement = Measurement(_Matrix(), b, noise)
    prior = _prior(3, path)
    denoise = measured(prior.denoise, measurement, path=path, num_iterations=4, tolerance=1e-6)
    mean, covariance = _posterior(b, noise)
    z = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    for t in (0.05, 0.3, 0.7, 0.95):
        at = torch.full((3,), t)
        alpha, sigma = float(path.alpha(at)[0]), float(path.sigma(at)[0])
        gain = alpha * torch.linalg.inv(alpha**2 * covariance + sigma**2 * torch.eye(3))
        expected = mean + (z - alpha * mean) @ gain @ covariance
        assert torch.allclose(denoise(z, at, prior.c), expected, atol=2e-3), f"t = {t}"


@pytest.mark.parametrize("name", POSTERIORS)
@pytest.mark.parametrize("noise", [0.2, 0.6])
def test_mean_and_covariance_are_those_of_the_posterior(name: str, noise: float) -> None:
    b = torch.tensor([[1.5, -1.0]])
    count = 4000
    enough = {"mmps": 4, "split_gibbs": 200}[name]
    prior, measurement = _prior(1), Measurement(_Matrix(), b, noise)
    found = find_posterior(name)(prior, measurement, num_iterations=enough)
    z = _samples(found, count)[:, 0]
    mean, covariance = _posterior(b, noise)
    off = (z.mean(0) - mean[0]).norm() / covariance.trace().sqrt()
    assert off < 0.05, f"mean off by {off:.3f} standard deviations"
    error = (z.T.cov() - covariance).norm() / covariance.norm()
    assert error < 0.05, f"covariance off by {error:.3f}"
    seen = (MATRIX @ z.T.cov() @ MATRIX.T).diagonal()
    true = (MATRIX @ covariance @ MATRIX.T).diagonal()
    ratio = (seen / true - 1).abs().max()
    assert ratio < 0.08, f"variance of what is measured off by {ratio:.3f}"


class _Modes(nn.Module):
    """The denoiser of N(+-1.5, 0.1) in each of two numbers that have the same sign."""

    condition = ConditionSpec()

    def __init__(self) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.tensor([1.5, 1.5]))

    def forward(self, z: Tensor, t: Tensor, c: Condition) -> Tensor:
        alpha, sigma = (1 - t)[:, None], t[:, None]
        variance = 0.1 * alpha**2 + sigma**2
        sign = torch.tanh(alpha / variance * (z @ self.centre)[:, None])
        mean = sign * self.centre
        return mean + 0.1 * alpha / variance * (z - alpha * mean)


class _Difference(Operator):
    """x_0 - x_1 / 2, so that both modes are likely."""

    def apply(self, x: Tensor) -> Tensor:
        return x[:, :1] - 0.5 * x[:, 1:]

    def adjoint(self, y: Tensor) -> Tensor:
        return torch.cat((y, -0.5 * y), dim=1)


@pytest.mark.parametrize(("name", "tolerance"), [("mmps", 0.2), ("split_gibbs", 0.1)])
def test_both_modes_of_a_posterior_are_found(name: str, tolerance: float) -> None:
    b, noise, count = 0.05, 0.4, 2000
    spec = Spec("properties", "continuous", (2,))
    model = Diffusion(_Modes(), spec=spec, target="data", num_inference_steps=40)
    prior = dataclasses.replace(model(Condition(1)), rows=count)
    measurement = Measurement(_Difference(), torch.tensor([[b]]), noise)
    z = _samples(find_posterior(name)(prior, measurement), count)[:, 0]
    # Of each mode, what is measured has the mean +-0.75 and the variance 0.125 + noise^2.
    seen = 0.125 + noise**2
    share = torch.sigmoid(torch.tensor(2 * 0.75 * b / seen))
    above = z[z[:, 0] > 0]
    assert abs(len(above) / count - share) < 0.1, f"share {len(above) / count:.3f}"
    gain = 0.1 * torch.tensor([1.0, -0.5]) / seen
    mean = 1.5 + gain * (b - 0.75)
    std = (0.1 - gain * torch.tensor([0.1, -0.05])).sqrt()
    assert (above.mean(0) - mean).abs().max() < tolerance
    assert (above.std(0) / std - 1).abs().max() < tolerance


@pytest.mark.parametrize("name", POSTERIORS)
def test_posteriors_are_calibrated(name: str) -> None:
    batch, count, noise = 200, 20, 0.5
    generator = torch.Generator().manual_seed(1)
    truths = MEAN + torch.randn(batch, 3, generator=generator) @ ROOT.T
    b = truths @ MATRIX.T + noise * torch.randn(batch, 2, generator=generator)
    prior = _prior(batch, num_inference_steps=20)
    z = _samples(find_posterior(name)(prior, Measurement(_Matrix(), b, noise)), count)
    assert rank_p_values(sbc_ranks(truths, z), count).min() > 0.01
    assert tarp(truths, z).p_value > 0.01
    narrow = z.mean(0) + 0.5 * (z - z.mean(0))
    assert tarp(truths, narrow).p_value < 0.01


@pytest.mark.parametrize("name", POSTERIORS)
def test_sample_i_of_a_batch_equals_the_sample_alone(name: str) -> None:
    b = torch.tensor([[1.5, -1.0], [0.0, 0.0], [-2.0, 1.0]])
    prior, measurement = _prior(3, num_inference_steps=8), Measurement(_Matrix(), b, 0.2)
    method = find_posterior(name)
    batch = method(prior, measurement).sample(2, Generators([[1, 2, 3], [4, 5, 6]])).z
    index = torch.tensor([1])
    alone = dataclasses.replace(prior, c=prior.c.select(index))
    found = method(alone, measurement.select(index)).sample(1, Generators([[5]])).z
    assert torch.allclose(batch[1, 1], found[0, 0], atol=1e-5)
    parts = dataclasses.replace(prior, rows=2)
    chunked = method(parts, measurement).sample(2, Generators([[1, 2, 3], [4, 5, 6]])).z
    assert torch.allclose(batch, chunked, atol=1e-5)


def test_an_exact_measurement_is_met() -> None:
    b = torch.tensor([[1.5, -1.0]])
    z = _samples(mmps(_prior(1), Measurement(_Matrix(), b, 0.0)), 50)[:, 0]
    assert (z @ MATRIX.T - b).abs().max() < 1e-2
    z = _samples(split_gibbs(_prior(1), Measurement(_Matrix(), b, 0.0)), 200)[:, 0]
    assert (z @ MATRIX.T - b).std() < 0.06


def test_what_is_behind_a_codec_is_measured() -> None:
    b = torch.tensor([[1.5, -1.0]])
    scale, shift = torch.tensor([2.0, 0.5, 1.0]), torch.tensor([0.1, 0.0, -1.0])

    class _Scaled(_Matrix):
        """MATRIX on what the codec had before its scale and shift."""

        def apply(self, x: Tensor) -> Tensor:
            return super().apply(x / scale)

        def adjoint(self, y: Tensor) -> Tensor:
            return super().adjoint(y) / scale

    offset = MATRIX @ (shift / scale)
    through = Measurement(_Scaled(), b + offset, 0.3, signal=lambda z: z * scale + shift)
    prior = _prior(1, num_inference_steps=10)
    for method in (mmps, split_gibbs):
        plain = _samples(method(prior, Measurement(_Matrix(), b, 0.3)), 3)
        assert torch.allclose(_samples(method(prior, through), 3), plain, atol=1e-3)


def test_a_posterior_has_no_density_and_leaves_no_gradients() -> None:
    found = mmps(_prior(1), Measurement(_Matrix(), torch.zeros(1, 2), 0.1))
    assert not isinstance(found, Tractable)
    with torch.inference_mode():
        z = found.sample(2).z
    assert not z.requires_grad


def test_completing_is_conditioning() -> None:
    prior = _prior(1)
    assert isinstance(prior, Completable)
    known = Latent(torch.tensor([[torch.nan, 0.7, torch.nan]]))
    mask = torch.tensor([[False, True, False]])
    z = _samples(prior.completing(known, mask), 4000)[:, 0]
    assert torch.equal(z[:, 1], torch.full((4000,), 0.7))
    rest, gain = [0, 2], COVARIANCE[[0, 2], 1] / COVARIANCE[1, 1]
    mean = MEAN[rest] + gain * (0.7 - MEAN[1])
    covariance = COVARIANCE[rest][:, rest] - torch.outer(gain, COVARIANCE[1, rest])
    assert (z[:, rest].mean(0) - mean).norm() < 0.05 * covariance.trace().sqrt()
    assert (z[:, rest].T.cov() - covariance).norm() < 0.06 * covariance.norm()


def test_rows_complete_their_own_masks() -> None:
    prior = _prior(2, num_inference_steps=6)
    known = Latent(torch.tensor([[9.0, 0.7, -1.0], [0.1, 9.0, 9.0]]))
    mask = torch.tensor([[False, True, True], [True, False, False]])
    batch = prior.completing(known, mask).sample(1, Generators([[0, 1]])).z[0]
    assert torch.equal(batch[mask], known.z[mask])
    alone = dataclasses.replace(prior, c=Condition(1)).completing(Latent(known.z[1:]), mask[1:])
    assert torch.allclose(alone.sample(1, Generators([[1]])).z[0, 0], batch[1], atol=1e-5)
    everything = prior.completing(known, torch.ones(2, 3, dtype=torch.bool))
    assert torch.equal(everything.sample(1).z[0], known.z)


class _Sequence(nn.Module):
    """The denoiser of standard normal numbers."""

    condition = ConditionSpec()

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, z: Tensor, t: Tensor, c: Condition) -> Tensor:
        t = t[:, None, None]
        return self.one * (1 - t) / ((1 - t) ** 2 + t**2) * z


def test_sequences_of_several_lengths_are_completed() -> None:
    spec = Spec("audio", "continuous", ("T", 2), max_length=6)
    model = Diffusion(_Sequence(), spec=spec, target="data", num_inference_steps=5)
    z = torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(0))
    z[1, 3:] = 0
    known, mask = Latent(z, torch.tensor([4, 3])), torch.zeros(2, 4, 2, dtype=torch.bool)
    mask[:, 1] = True
    found = model(Condition(2)).completing(known, mask).sample(3)
    assert found.z.shape == (3, 2, 6, 2) and found.lengths.tolist() == [[4, 3]] * 3
    assert torch.equal(found.z[:, :, 1], z[:, 1].expand(3, 2, 2))
    assert not found.z[:, 0, 4:].any() and not found.z[:, 1, 3:].any()
    assert (found.z[:, 0, 3].abs() > 1e-3).all()


def test_bad_input() -> None:
    prior = _prior(2)
    with pytest.raises(SpecError, match=r"shape of the known latents \(2, 3\), got.*\(2, 2\)"):
        prior.completing(Latent(torch.zeros(2, 3)), torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(SpecError, match="each of 2 conditions, got z of shape"):
        prior.completing(Latent(torch.zeros(3, 3)), torch.ones(3, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="NaN or infinity where the mask is true"):
        prior.completing(Latent(torch.full((2, 3), torch.nan)), torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="finite numbers; this one has NaN"):
        Measurement(_Matrix(), torch.full((2, 2), torch.nan), 0.1)
    for noise in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="from 0 on; got"):
            Measurement(_Matrix(), torch.zeros(2, 2), noise)
    with pytest.raises(SpecError, match=r"measures \(2,\) of a value; the measurement is \(3,\)"):
        mmps(prior, Measurement(_Matrix(), torch.zeros(2, 3), 0.1)).sample()
    with pytest.raises(UnknownNameError, match="No posterior 'mmpss'. Did you mean 'mmps'"):
        find_posterior("mmpss")
    found = mmps(prior, Measurement(_Matrix(), torch.zeros(2, 2), 0.1))
    with pytest.raises(SpecError, match="needs a model of diffusion; this one gives Measured"):
        split_gibbs(found, Measurement(_Matrix(), torch.zeros(2, 2), 0.1))
