"""Guidance of tokens changes what is drawn and leaves densities alone."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.autoregressive import Autoregressive
from mmgen.families.diffusion import Diffusion
from mmgen.guidance.tokens import TokenGuidance
from mmgen.nn.grid import GridTransformer

SPEC = Spec("text", "tokens", (6,), vocabulary=5)
BATCH = 3


def _model(**choices: float) -> TokenGuidance:
    torch.manual_seed(0)
    base = Autoregressive.debug(spec=SPEC, condition=ConditionSpec(token_dim=32)).eval()
    for parameter in base.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return TokenGuidance(base, **choices)


def _condition() -> Condition:
    tokens = torch.randn(BATCH, 4, 32, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(4) < torch.tensor([4, 2, 3])[:, None]
    null = Condition(BATCH, torch.ones(BATCH, 1, 32), torch.ones(BATCH, 1, dtype=torch.bool))
    return Condition(BATCH, tokens, mask, null=null)


def _seeds(first: int = 0, count: int = BATCH) -> Generators:
    return Generators([list(range(first, first + count))])


def test_the_first_token_has_the_guided_probabilities() -> None:
    model, c, count, scale = _model(), _condition(), 6000, 2.5
    one = c.select(torch.tensor([0]))
    begin = torch.full((1, 1), 5)
    network = model.model.network
    with torch.no_grad():
        given, null = (network(begin, each)[0, 0] for each in (one, one.null))
    wanted = F.softmax(null + scale * (given - null), dim=-1)
    plain = F.softmax(given, dim=-1)
    seeds = Generators([[i] for i in range(count)])
    drawn = model(one, guidance_scale=scale).sample(count, seeds).z[:, 0, 0]
    share = torch.bincount(drawn, minlength=5) / count
    assert (share - wanted).abs().max() < 0.025
    assert (plain - wanted).abs().max() > 0.05


def test_scale_1_is_the_model_itself_and_0_ignores_the_condition() -> None:
    model, c = _model(), _condition()
    plain = model.model(c).sample(1, _seeds()).z
    assert torch.equal(model(c, guidance_scale=1.0).sample(1, _seeds()).z, plain)
    nothing = model.model(c.null).sample(1, _seeds()).z
    assert torch.equal(model(c, guidance_scale=0.0).sample(1, _seeds()).z, nothing)


def test_densities_are_those_of_the_model() -> None:
    model, c = _model(), _condition()
    z = Latent(torch.randint(5, (BATCH, 6)))
    plain, guided = model.model(c), model(c, guidance_scale=4.0)
    assert torch.equal(plain.log_prob(z).nats, guided.log_prob(z).nats)
    assert torch.equal(plain.best(1, num_beams=3)[1], guided.best(1, num_beams=3)[1])


def test_each_of_a_batch_equals_itself_alone() -> None:
    model, c = _model(), _condition()
    batch = model(c, guidance_scale=3.0).sample(1, _seeds()).z[0]
    for i in range(BATCH):
        alone = model(c.select(torch.tensor([i])), guidance_scale=3.0)
        assert torch.equal(alone.sample(1, _seeds(i, 1)).z[0, 0], batch[i])


def test_a_known_beginning_is_kept_and_guided() -> None:
    model, c = _model(), _condition()
    known = torch.randint(5, (BATCH, 6))
    mask = torch.arange(6).expand(BATCH, 6) < torch.tensor([2, 0, 4])[:, None]
    z = model(c, guidance_scale=3.0).completing(Latent(known), mask).sample(1, _seeds()).z[0]
    assert torch.equal(z[mask], known[mask])


def test_rows_that_are_known_whole_need_no_reading() -> None:
    model, c = _model(), _condition()
    known = torch.randint(5, (BATCH, 6))
    mask = torch.tensor([True, False, True])[:, None].expand(BATCH, 6)
    z = model(c, guidance_scale=3.0).completing(Latent(known), mask).sample(1, _seeds()).z[0]
    assert torch.equal(z[mask], known[mask])
    alone = model(c.select(torch.tensor([1])), guidance_scale=3.0).sample(1, _seeds(1, 1)).z[0, 0]
    assert torch.equal(z[1], alone)


def test_what_cannot_be_guided_is_refused() -> None:
    model, c = _model(), _condition()
    with pytest.raises(SpecError, match="needs a condition with a null"):
        model(dataclasses.replace(c, null=None), guidance_scale=2.0)
    network = GridTransformer.debug(condition=ConditionSpec(token_dim=32))
    diffusion = Diffusion(network, spec=Spec("image", "continuous", (3, 16, 16)))
    with pytest.raises(SpecError, match="wraps autoregressive and masked models"):
        TokenGuidance(diffusion)(c, guidance_scale=2.0)
    with pytest.raises(ValueError, match="guidance_scale"):
        TokenGuidance(model.model, guidance_scale=-1.0)
