"""Classifier-free guidance wraps a model and leaves its density alone."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from mmgen.core.condition import Condition
from mmgen.core.conditional import Conditional
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.options import resolve_options
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.diffusion import Diffusion
from mmgen.guidance import ClassifierFreeGuidance
from mmgen.nn.grid import GridTransformer

SPEC = Spec("image", "continuous", (3, 8, 8))


class _Counting(nn.Module):
    """A network that notes the size of each batch it is called with."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.condition = network, network.condition
        self.calls: list[int] = []

    def forward(self, z: Tensor, t: Tensor, c: Condition) -> Tensor:
        self.calls.append(len(z))
        return self.network(z, t, c)


def _model(**choices: float) -> ClassifierFreeGuidance:
    torch.manual_seed(0)
    network = GridTransformer.debug(condition=ConditionSpec(token_dim=4, vector_dim=6)).eval()
    for parameter in network.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    diffusion = Diffusion(_Counting(network), spec=SPEC, num_inference_steps=5)
    return ClassifierFreeGuidance(diffusion, **choices)


def _condition(batch: int = 3) -> Condition:
    """Tokens of several lengths, and a null that is shorter than the longest."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randn(batch, 5, 4, generator=generator)
    mask = torch.arange(5) < torch.tensor([5, 2, 3, 4])[:batch, None]
    vector = torch.randn(batch, 6, generator=generator)
    null = Condition(batch, torch.ones(batch, 1, 4), None, torch.zeros(batch, 6))
    return Condition(batch, tokens, mask, vector, null)


def _seeds(batch: int = 3) -> Generators:
    return Generators([list(range(batch))])


def _sample(model: Model, c: Condition, **options: float) -> Tensor:
    return model(c, **options).sample(1, _seeds(c.batch)).z[0]


def test_scale_one_is_the_model_itself() -> None:
    model, c = _model(), _condition()
    assert torch.equal(_sample(model, c, guidance_scale=1.0), _sample(model.model, c))
    assert torch.equal(
        _sample(model, dataclasses.replace(c, null=None), guidance_scale=1.0),
        _sample(model.model, c),
    )


def test_scale_zero_is_the_null() -> None:
    model, c = _model(), _condition()
    assert torch.equal(_sample(model, c, guidance_scale=0.0), _sample(model.model, c.null))


def test_scale_is_linear_in_one_step() -> None:
    model, c = _model(), _condition()
    zero, one, three = (
        _sample(model, c, guidance_scale=scale, num_inference_steps=1) for scale in (0.0, 1.0, 3.0)
    )
    assert torch.allclose(three, zero + 3 * (one - zero), atol=1e-4)
    assert (three - one).abs().max() > 1e-3


def test_one_call_a_step_inside_the_interval_and_half_of_it_outside() -> None:
    model, c = _model(), _condition()
    calls = model.model.network.calls
    _sample(model, c, guidance_scale=3.0)
    assert calls == [6] * 5
    calls.clear()
    # Steps start at t = 1, 0.8, 0.6, 0.4, 0.2.
    _sample(model, c, guidance_scale=3.0, guidance_start=0.3, guidance_stop=0.7)
    assert calls == [3, 3, 6, 6, 3]
    calls.clear()
    _sample(model, c, guidance_scale=1.0)
    assert calls == [3] * 5


def test_interval_without_steps_changes_nothing() -> None:
    model, c = _model(), _condition()
    guided = _sample(model, c, guidance_scale=3.0, guidance_start=0.41, guidance_stop=0.59)
    assert torch.equal(guided, _sample(model.model, c))


def test_rescale_keeps_the_contrast() -> None:
    model, c = _model(), _condition()
    t = torch.full((3,), 0.5)
    z = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(2))

    @torch.no_grad()
    def predict(scale: float, rescale: float) -> Tensor:
        return model(c, guidance_scale=scale, guidance_rescale=rescale).denoise(z, t, c)

    def contrast(x: Tensor) -> Tensor:
        return x.flatten(1).std(1)

    plain, guided, full, half = predict(1, 0), predict(8, 0), predict(8, 1), predict(8, 0.5)
    assert torch.allclose(contrast(full), contrast(plain), rtol=1e-4)
    assert torch.allclose(contrast(half), (contrast(plain) + contrast(guided)) / 2, rtol=1e-4)
    assert not torch.allclose(contrast(guided), contrast(plain), rtol=1e-2)


def test_batch_is_each_alone() -> None:
    model, c = _model(guidance_scale=3.0), _condition(4)
    together = _sample(model, c)
    for i in range(4):
        alone = model(c.select(torch.tensor([i]))).sample(1, Generators([[i]])).z[0, 0]
        assert (alone - together[i]).abs().max() < 1e-5


def test_chunks_see_their_own_conditions() -> None:
    model, c = _model(guidance_scale=3.0), _condition(4)
    whole = model(c)
    parts = dataclasses.replace(whole, rows=3).sample(1, _seeds(4)).z
    assert (parts - whole.sample(1, _seeds(4)).z).abs().max() < 1e-5


def test_density_is_that_of_the_model() -> None:
    model, c = _model(), _condition()
    latent = Latent(torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(3)))
    options = {"likelihood": "bound", "num_bound_draws": 4}
    guided = model(c, guidance_scale=5.0, **options).log_prob(latent, _seeds())
    assert torch.equal(guided.nats, model.model(c, **options).log_prob(latent, _seeds()).nats)


def test_loss_and_weights_are_those_of_the_model() -> None:
    model, c = _model(), _condition()
    latent = Latent(torch.randn(3, 3, 8, 8))
    losses = [
        m.loss(latent, c, generator=torch.Generator().manual_seed(0)) for m in (model, model.model)
    ]
    assert torch.equal(*losses)
    assert all(name.startswith("model.") for name in model.state_dict())
    assert model.spec == SPEC and model.condition == model.model.condition


def test_options_are_those_of_both() -> None:
    model = _model(guidance_scale=2.0)
    options = resolve_options(model.options(), {"num_inference_steps": 3})
    assert options["guidance_scale"] == 2.0 and options["num_inference_steps"] == 3
    with pytest.raises(ValueError, match="guidance_scale is at least 0.0, got -1.0"):
        resolve_options(model.options(), {"guidance_scale": -1})
    with pytest.raises(ValueError, match="guidance_rescale is at most 1.0, got 2.0"):
        _model(guidance_rescale=2.0)


def test_wrong_uses_are_errors() -> None:
    model, c = _model(), _condition()
    with pytest.raises(SpecError, match="guidance_scale 4 needs a condition with a null"):
        model(dataclasses.replace(c, null=None))
    with pytest.raises(ValueError, match="at most guidance_stop, got 0.8 and 0.2"):
        model(c, guidance_start=0.8, guidance_stop=0.2)
    with pytest.raises(SpecError, match="_Fixed gives _Point"):
        ClassifierFreeGuidance(_Fixed())(c)


class _Point(Conditional):
    """Always the same latent."""

    def sample(
        self,
        num_samples: int = 1,
        generators: Generators | None = None,
        *,
        progress: object = None,
    ) -> Latent:
        return Latent(torch.zeros(num_samples, 1, 2))


class _Fixed(Model):
    """A model of another family."""

    spec = SPEC
    condition = ConditionSpec()

    def forward(self, c: Condition, **options: object) -> Conditional:
        return _Point()

    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        return torch.zeros(len(latent.z))
