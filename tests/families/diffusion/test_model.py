"""The diffusion model trains, whatever its network predicts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from mmgen.core.condition import Condition
from mmgen.core.conditional import Tractable
from mmgen.core.errors import OptionError, SpecError
from mmgen.core.latent import Latent
from mmgen.core.options import resolve_options
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.diffusion import Diffusion
from mmgen.families.diffusion.path import TARGETS, GaussianPath
from mmgen.families.diffusion.samplers import SAMPLERS
from mmgen.families.diffusion.times import UniformTimes
from mmgen.nn.grid import GridTransformer
from mmgen.nn.mlp import ConditionalMLP

VECTOR = Spec("properties", "continuous", (2,))
IMAGE = Spec("image", "continuous", (3, 8, 8))


def _model(**choices: object) -> Diffusion:
    torch.manual_seed(0)
    network = ConditionalMLP(2, dim=32, depth=2, condition=ConditionSpec(vector_dim=3))
    return Diffusion(network, spec=VECTOR, **choices)


def _batch(count: int = 16) -> tuple[Latent, Condition]:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(count, 2, generator=generator)
    return Latent(z), Condition(count, vector=torch.randn(count, 3, generator=generator))


class _Oracle(nn.Module):
    """Predicts the target for data that are standard normal, exactly."""

    condition = ConditionSpec()

    def __init__(self, path: GaussianPath, target: str) -> None:
        super().__init__()
        self.path, self.target = path, target
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, z: Tensor, t: Tensor, c: Condition) -> Tensor:
        alpha, sigma = self.path.alpha(t)[:, None], self.path.sigma(t)[:, None]
        total = alpha**2 + sigma**2
        x_0, eps = alpha / total * z, sigma / total * z
        if self.target == "velocity":
            return self.path.velocity(x_0, eps, t)
        return x_0 if self.target == "data" else eps


def test_every_target_has_the_same_optimum(path: GaussianPath) -> None:
    z = torch.randn(4096, 2, generator=torch.Generator().manual_seed(1))
    losses = []
    for target in TARGETS:
        model = Diffusion(_Oracle(path, target), spec=VECTOR, path=path, target=target)
        generator = torch.Generator().manual_seed(0)
        losses.append(model.loss(Latent(z), Condition(4096), generator=generator))
    assert losses[0].shape == (4096,)
    for loss in losses[1:]:
        assert torch.allclose(loss, losses[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("target", TARGETS)
def test_one_batch_is_learnt(target: str) -> None:
    model = _model(target=target, times=UniformTimes())
    latent, c = _batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def loss() -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return model.loss(latent, c, generator=generator).mean()

    first = float(loss().detach())
    for _ in range(150):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert float(loss().detach()) < 0.2 * first


@pytest.mark.parametrize(
    ("network", "spec"),
    [
        (ConditionalMLP.debug(condition=ConditionSpec(vector_dim=3)), VECTOR),
        (ConditionalMLP.debug(num_dims=(3, 8, 8), condition=ConditionSpec(4, 3)), IMAGE),
        (GridTransformer.debug(condition=ConditionSpec(4, 3)), IMAGE),
    ],
    ids=["mlp", "mlp on events", "transformer"],
)
def test_gradients_reach_every_parameter(network: nn.Module, spec: Spec) -> None:
    model = Diffusion(network, spec=spec)
    generator = torch.Generator().manual_seed(0)
    # Weights that start at zero hold back gradients at the first step only.
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    z = torch.randn(4, *spec.shape, generator=generator)
    tokens = torch.randn(4, 5, 4, generator=generator) if network.condition.token_dim else None
    c = Condition(4, tokens=tokens, vector=torch.randn(4, 3, generator=generator))
    model.loss(Latent(z), c, generator=generator).mean().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_loss_follows_its_generator() -> None:
    model = _model()
    latent, c = _batch()
    losses = [
        model.loss(latent, c, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    ]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])


def test_options_reach_the_conditional() -> None:
    model = _model()
    options = resolve_options(
        model.options(), {"sampler": "heun", "num_inference_steps": 3, "likelihood": "bound"}
    )
    conditional = model(_batch()[1], **options)
    assert isinstance(conditional, Tractable)
    assert isinstance(conditional.sampler, SAMPLERS["heun"])
    assert conditional.num_steps == 3
    assert conditional.log_prob(_batch()[0]).kind == "lower bound"
    with pytest.raises(OptionError, match="num_probes"):
        resolve_options(model.options(), {"num_probe": 3})
    with pytest.raises(ValueError, match="likelihood is one of ode, bound; got 'exact'"):
        resolve_options(model.options(), {"likelihood": "exact"})


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_untrained_samples_are_finite(path: GaussianPath, target: str, name: str) -> None:
    model = _model(path=path, target=target)
    seeds = Generators.from_seed(0, num_samples=1, batch=16)
    z = model(_batch()[1], sampler=name, num_inference_steps=4).sample(1, seeds).z
    assert z.shape == (1, 16, 2)
    assert torch.isfinite(z).all()


def test_density_of_a_network_is_finite_and_leaves_no_gradient() -> None:
    model = _model()
    latent, c = _batch()
    found = model(c).log_prob(latent)
    assert found.nats.shape == (16,)
    assert torch.isfinite(found.nats).all()
    assert not math.isnan(float(found.std_error.sum()))
    assert all(p.grad is None for p in model.parameters())


def test_wrong_choices_are_errors() -> None:
    tokens = Spec("text", "tokens", (8,), vocabulary=10)
    with pytest.raises(SpecError, match="Diffusion works on continuous latents"):
        Diffusion(ConditionalMLP.debug(), spec=tokens)
    with pytest.raises(ValueError, match="target is one of data, noise, velocity; got 'x'"):
        _model(target="x")
