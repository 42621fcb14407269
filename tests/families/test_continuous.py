"""What the families on continuous latents have in common: layouts, conditions, lengths, seeds."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.conditional import Invertible, Tractable
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.options import resolve_options
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families import energy, gan, normalizing_flow, vae

FAMILIES = {"normalizing_flow": normalizing_flow, "vae": vae, "gan": gan, "energy": energy}
QUICK = {
    "energy": {"num_inference_steps": 3, "num_proposals": 3, "num_importance_draws": 4},
    "vae": {"num_importance_draws": 4},
}
LAYOUTS = {
    "number": (Spec("properties", "continuous", (1,)), ConditionSpec(None, 5)),
    "numbers": (Spec("actions", "continuous", (5,)), ConditionSpec(7, 5)),
    "sequence": (Spec("audio", "continuous", (6, 3)), ConditionSpec(7, None)),
    "image": (Spec("image", "continuous", (2, 8, 8)), ConditionSpec(7, 5)),
    "film": (Spec("video", "continuous", (3, 1, 4, 4)), ConditionSpec()),
}
VARYING = {
    "sequence": (Spec("audio", "continuous", ("T", 3), max_length=6), ConditionSpec(7, 5)),
    "film": (Spec("video", "continuous", ("T", 2, 4, 4), max_length=6), ConditionSpec()),
}
LENGTHS = torch.tensor([3, 6, 1])
BATCH = 3

each_family = pytest.mark.parametrize("family", FAMILIES)
each_layout = pytest.mark.parametrize("layout", LAYOUTS)


def _model(family: str, spec: Spec, condition: ConditionSpec) -> Model:
    """A tiny one at a generic point: no weight at the zero where it may start."""
    torch.manual_seed(0)
    module: ModuleType = FAMILIES[family]
    model = module.model(spec, condition, "debug")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def _condition(condition: ConditionSpec) -> Condition:
    g = torch.Generator().manual_seed(1)
    tokens = mask = vector = None
    if condition.token_dim:
        tokens = torch.randn(BATCH, 4, condition.token_dim, generator=g)
        mask = torch.arange(4) < torch.arange(2, BATCH + 2)[:, None]
    if condition.vector_dim:
        vector = torch.randn(BATCH, condition.vector_dim, generator=g)
    return Condition(BATCH, tokens, mask, vector)


def _latent(spec: Spec) -> Tensor:
    shape = [6 if isinstance(size, str) else size for size in spec.shape]
    return torch.randn(BATCH, *shape, generator=torch.Generator().manual_seed(2))


def _losses(model: Model, latent: Latent, c: Condition, seed: int = 0) -> list[Tensor]:
    turns: list[dict[str, Any]] = [{"phase": phase} for phase in model.phases] or [{}]
    return [
        model.loss(latent, c, generator=torch.Generator().manual_seed(seed), **turn)
        for turn in turns
    ]


def _sampled(family: str, model: Model, c: Condition, seeds: list[list[int]]) -> Latent:
    return model(c, **QUICK.get(family, {})).sample(len(seeds), Generators(seeds))


@each_family
@each_layout
def test_it_trains_and_samples_on_every_layout(family: str, layout: str) -> None:
    spec, condition = LAYOUTS[layout]
    model, c, latent = _model(family, spec, condition), _condition(condition), _latent(spec)
    losses = _losses(model, Latent(latent), c)
    for loss, again in zip(losses, _losses(model, Latent(latent), c), strict=True):
        assert loss.shape == (BATCH,)
        assert torch.equal(loss, again)
    sum(loss.sum() for loss in losses).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent
    torch.optim.SGD(model.parameters(), lr=1e-3).step()
    drawn = _sampled(family, model, c, [[5, 6, 7], [8, 9, 10]])
    assert drawn.z.shape == (2, *latent.shape)
    assert drawn.z.isfinite().all()
    assert drawn.lengths is None
    for b in range(BATCH):
        alone = _sampled(family, model, c.select(torch.tensor([b])), [[8 + b]])
        assert (alone.z[0, 0] - drawn.z[1, b]).abs().max() < 1e-4


@each_family
@pytest.mark.parametrize("layout", VARYING)
def test_padding_never_matters(family: str, layout: str) -> None:
    spec, condition = VARYING[layout]
    model = _model(family, spec, condition)
    c, z = _condition(condition).with_lengths(LENGTHS), _latent(spec)
    there = (torch.arange(6) < LENGTHS[:, None]).reshape(BATCH, 6, *[1] * (z.ndim - 2))
    junk = Latent(torch.where(there, z, 100.0), LENGTHS)
    clean = Latent(torch.where(there, z, 0.0), LENGTHS)
    for loss, other in zip(_losses(model, clean, c), _losses(model, junk, c), strict=True):
        assert torch.allclose(loss, other, atol=1e-5)
    drawn = _sampled(family, model, c, [[5, 6, 7]])
    assert torch.equal(drawn.lengths, LENGTHS[None])
    assert not drawn.z[0][~there.expand_as(z)].any()
    assert drawn.z[0][there.expand_as(z)].all()
    for b in range(BATCH):
        one, length = torch.tensor([b]), int(LENGTHS[b])
        alone = _sampled(family, model, c.select(one), [[5 + b]])
        assert alone.z.shape[2] == length
        assert (alone.z[0, 0] - drawn.z[0, b, :length]).abs().max() < 1e-4
    conditional = model(c, **QUICK.get(family, {}))
    if not isinstance(conditional, Tractable):
        return
    seeds = [[0, 1, 2]]
    found = conditional.log_prob(junk, Generators(seeds))
    per_step = z[0, 0].numel()
    assert found.num_dims.tolist() == [3 * per_step, 6 * per_step, per_step]
    for b in range(BATCH):
        one, length = torch.tensor([b]), int(LENGTHS[b])
        alone = model(c.select(one), **QUICK.get(family, {})).log_prob(
            Latent(z[one, :length], LENGTHS[one]), Generators([[b]])
        )
        assert torch.allclose(alone.nats, found.nats[one], atol=1e-3, rtol=1e-5)


@each_family
def test_saved_and_loaded(family: str) -> None:
    spec, condition = LAYOUTS["numbers"]
    model, c = _model(family, spec, condition), _condition(condition)
    other = FAMILIES[family].model(spec, condition, "debug")
    seeds = [[1, 2, 3]]
    before = _sampled(family, other, c, seeds).z
    other.load_state_dict(model.state_dict())
    expected = _sampled(family, model, c, seeds).z
    assert torch.equal(_sampled(family, other, c, seeds).z, expected)
    assert not torch.equal(before, expected)


@each_family
def test_what_does_not_fit_is_refused(family: str) -> None:
    build, none = FAMILIES[family].model, ConditionSpec()
    tokens = Spec("text", "tokens", (8,), vocabulary=10)
    with pytest.raises(SpecError, match="continuous latents; this codec gives tokens"):
        build(tokens, none, "debug")
    wide = Spec("image", "continuous", ("C", 8, 8), max_length=8)
    with pytest.raises(SpecError, match="vary in time only.* use diffusion"):
        build(wide, none, "debug")
    five = Spec("video", "continuous", (1, 2, 3, 4, 4))
    with pytest.raises(SpecError, match="one to four axes"):
        build(five, none, "debug")
    spec, condition = VARYING["sequence"]
    model = _model(family, spec, condition)
    with pytest.raises(SpecError, match="this condition has no lengths"):
        model(_condition(condition))
    c = _condition(condition).with_lengths(LENGTHS)
    with pytest.raises(SpecError, match=r"lengths \[6, 6, 6\], their condition \[3, 6, 1\]"):
        _losses(model, Latent(_latent(spec), torch.full((BATCH,), 6)), c)
    conditional = model(c)
    if isinstance(conditional, Tractable):
        with pytest.raises(SpecError, match="one latent for each of 3 conditions"):
            conditional.log_prob(Latent(_latent(spec)[:2], LENGTHS[:2]))


@each_family
def test_options_and_debug(family: str) -> None:
    module = FAMILIES[family]
    names = {
        "normalizing_flow": "NormalizingFlow",
        "vae": "VariationalAutoencoder",
        "gan": "GenerativeAdversarial",
        "energy": "EnergyBased",
    }
    model = getattr(module, names[family]).debug()
    options = resolve_options(model.options(), QUICK.get(family, {}))
    conditional = model(Condition(2), **options)
    assert conditional.sample().z.shape == (1, 2, 2)
    kinds = {"normalizing_flow": "exact", "vae": "lower bound", "energy": "estimate"}
    assert isinstance(conditional, Tractable) == (family in kinds)
    assert isinstance(conditional, Invertible) == (family in ("normalizing_flow", "vae"))
    if isinstance(conditional, Tractable):
        found = conditional.log_prob(Latent(torch.randn(2, 2)))
        assert found.kind == kinds[family]
        assert found.nats.shape == found.std_error.shape == found.num_dims.shape == (2,)
        assert found.nats.isfinite().all()
