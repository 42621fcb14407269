"""Lengths are drawn first, and what lies beyond them has no influence."""

from __future__ import annotations

import math

import pytest
import torch

from mmgen.core.condition import Condition
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.diffusion import Diffusion
from mmgen.guidance.lengths import LengthModel
from mmgen.nn.grid import GridTransformer

SPEC = Spec("audio", "continuous", ("T", 2), max_length=6)
BOTH = ConditionSpec(token_dim=4, vector_dim=3)


def model(condition: ConditionSpec = BOTH) -> LengthModel:
    torch.manual_seed(0)
    network = GridTransformer.debug(shape=SPEC.shape, condition=condition)
    built = LengthModel(Diffusion(network, spec=SPEC, num_inference_steps=3))
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    return built.eval()


def condition(batch: int = 3) -> Condition:
    g = torch.Generator().manual_seed(1)
    tokens, vector = torch.randn(batch, 5, 4, generator=g), torch.randn(batch, 3, generator=g)
    return Condition(batch, tokens, torch.arange(5) < torch.tensor([[5], [2], [3]])[:batch], vector)


def test_samples_are_zero_beyond_their_lengths() -> None:
    found = model()(condition()).sample(40, Generators.from_seed(0, num_samples=40, batch=3))
    assert found.z.shape == (40, 3, 6, 2) and found.lengths.shape == (40, 3)
    assert set(found.lengths.flatten().tolist()) == {1, 2, 3, 4, 5, 6}
    beyond = torch.arange(6) >= found.lengths[..., None]
    assert not found.z[beyond].any() and found.z[~beyond].abs().min() > 0


@torch.no_grad()
def test_a_sample_alone_is_that_of_the_batch() -> None:
    built, c = model(), condition()
    seeds = [[5, 6, 7], [8, 9, 10]]
    together = built(c).sample(2, Generators(seeds))
    for b in range(3):
        for n in range(2):
            alone = built(c.select(torch.tensor([b]))).sample(1, Generators([[seeds[n][b]]]))
            assert alone.lengths[0, 0] == together.lengths[n, b]
            assert (alone.z[0, 0] - together.z[n, b]).abs().max() < 1e-5


@torch.no_grad()
def test_lengths_are_drawn_as_often_as_they_are_likely() -> None:
    built, c = model(), condition(1)
    drawn = built(c, num_inference_steps=1).sample(
        600, Generators.from_seed(0, num_samples=600, batch=1)
    )
    shares = torch.bincount(drawn.lengths.flatten() - 1, minlength=6) / 600
    table = built._logits(c).softmax(-1)[0]
    assert (shares - table).abs().max() < 4 * math.sqrt(0.25 / 600)
    fixed = built(c, length=4).sample(3)
    assert (fixed.lengths == 4).all()


@torch.no_grad()
@pytest.mark.parametrize("likelihood", ["ode", "bound"])
def test_padding_does_not_change_the_density(likelihood: str) -> None:
    built, c = model(), condition()
    lengths = torch.tensor([1, 2, 1])
    z = torch.randn(3, 2, 2)
    found = built(c, likelihood=likelihood).log_prob(Latent(z, lengths), Generators([[1, 2, 3]]))
    assert found.num_dims.tolist() == [2, 4, 2]
    if likelihood == "bound":
        assert found.nats.isfinite().all()
        return
    for i, length in enumerate(lengths.tolist()):
        one = built(c.select(torch.tensor([i])))
        alone = one.log_prob(Latent(z[i : i + 1, :length]), Generators([[1 + i]]))
        # The solver's steps are not the same ones; each padded number that counted would be worth
        # 0.9 nats.
        assert abs(float(alone.nats[0] - found.nats[i])) < 0.1


def test_the_loss_ignores_padding_and_teaches_lengths() -> None:
    built = model(ConditionSpec())
    lengths, g = torch.tensor([2, 5]), torch.Generator()
    z = torch.randn(2, 6, 2)
    changed = z.clone()
    changed[0, 2:], changed[1, 5:] = 7.0, -7.0
    losses = [
        built.loss(Latent(x, lengths), Condition(2), generator=g.manual_seed(0))
        for x in (z, changed)
    ]
    assert (losses[0] - losses[1]).abs().max() < 1e-5
    losses[0].sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in built.parameters())


def test_latents_of_one_size_are_refused() -> None:
    network = GridTransformer.debug(shape=(3, 8, 8))
    with pytest.raises(SpecError, match="Leave it out"):
        LengthModel(Diffusion(network, spec=Spec("image", "continuous", (3, 8, 8))))
