"""The masked family: a bound, samples that follow it, and completions of any part."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch
from markov_chain import (
    chain_log_prob,
    chain_pairs,
    chain_spec,
    chi_square,
    count_transitions,
    train_on_chain,
    transitions,
)
from token_models import all_ids, as_latent, conditions, either_length, lively, spec_pair
from torch import Tensor
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.errors import OptionError, SpecError
from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.masked import Masked
from mmgen.families.masked.bound import possible_logits
from mmgen.families.masked.filling import ORDERS, Filling

SPECS = RAGGED, FIXED = spec_pair(vocabulary=2, longest=3)
LONG, _ = spec_pair(vocabulary=3, longest=12)


def _model(spec: Spec = RAGGED) -> Masked:
    return lively(Masked, spec, factor=2)


@torch.no_grad()
def _ordered_log_probs(made: Masked, ids: Tensor, c: Condition, known: Tensor) -> Tensor:
    """log p of ids (S, L), revealed one by one in every order of what is not known (orders, S)."""
    c = c.select(torch.zeros(len(ids), dtype=torch.long))
    totals = []
    for order in itertools.permutations((~known).nonzero()[:, 0].tolist()):
        seen = torch.where(known, ids, made.alphabet.num_targets)
        total = torch.zeros(len(ids))
        for n in order:
            logs = possible_logits(made.network, seen, c, made.alphabet)[:, n].log_softmax(1)
            total += logs.gather(1, ids[:, n : n + 1])[:, 0]
            seen[:, n] = ids[:, n]
        totals.append(total)
    return torch.stack(totals)


def _frequencies(drawn: Latent, ids: Tensor, spec: Spec) -> Tensor:
    """How often each of the sequences came (1, S)."""
    flat = drawn.flatten()
    places = torch.arange(ids.shape[1])
    got = flat.z
    if spec.varies:
        got = torch.where(places < flat.lengths[:, None], flat.z, spec.vocabulary)
    return (got[:, None] == ids).all(2).float().sum(0, keepdim=True)


NOTHING = torch.zeros(3, dtype=torch.bool)


# A small model, worked out in full ----------------------------------------------------------------


@either_length(SPECS)
def test_probabilities_of_all_sequences_sum_to_one_in_every_order(spec: Spec) -> None:
    totals = _ordered_log_probs(_model(spec), all_ids(spec), conditions(1), NOTHING)
    assert (totals.double().exp().sum(1) - 1).abs().max() < 1e-5


@either_length(SPECS)
def test_log_prob_is_the_mean_over_orders(spec: Spec) -> None:
    made, c, ids = _model(spec), conditions(1), all_ids(spec)
    every = c.select(torch.zeros(len(ids), dtype=torch.long))
    seeds = Generators.from_seed(0, num_samples=1, batch=len(ids))
    found = made(every, num_bound_draws=200).log_prob(as_latent(ids, spec), seeds)
    totals = _ordered_log_probs(made, ids, c, NOTHING)
    mean, exact = totals.mean(0), totals.logsumexp(0) - math.log(len(totals))
    assert found.kind == "lower bound"
    assert found.std_error.max() < 0.2
    assert ((found.nats - mean).abs() < 4 * found.std_error + 1e-5).all()
    assert (mean <= exact + 1e-6).all()
    content = (ids < spec.vocabulary).sum(1)
    assert found.num_dims.tolist() == (content + spec.varies).clamp(max=3).tolist()


def test_loss_is_the_bound() -> None:
    made, c, ids = _model(), conditions(1), all_ids(RAGGED)[5:6]
    many = c.select(torch.zeros(2000, dtype=torch.long))
    latent = as_latent(ids.expand(2000, -1), RAGGED)
    with torch.no_grad():
        loss = made.loss(latent, many, generator=torch.Generator().manual_seed(0))
    exact = -_ordered_log_probs(made, ids, c, NOTHING).mean() / 3
    assert abs(loss.mean() - exact) < 4 * loss.std() / math.sqrt(2000)


@either_length(SPECS)
def test_samples_are_as_frequent_as_the_model_says(spec: Spec) -> None:
    made, c, ids = _model(spec), conditions(1), all_ids(spec)
    given = dataclasses.replace(made(c), rows=2000)
    drawn = given.sample(2000, Generators.from_seed(0, num_samples=2000, batch=1))
    exact = _ordered_log_probs(made, ids, c, NOTHING).exp().mean(0, keepdim=True)
    assert chi_square(_frequencies(drawn, ids, spec), exact) > 1e-3


@pytest.mark.parametrize(
    ("z", "length", "mask"),
    [
        ((9, 1, 9), None, (False, True, False)),
        ((0, 9, 9), None, (True, False, False)),
        ((9, 9, 0), 2, (False, False, True)),
        ((9, 0, 1), None, (False, True, True)),
        ((1, 9, 9), 1, (False, True, False)),
    ],
)
def test_completions_are_as_frequent_as_the_model_says(
    z: tuple[int, ...], length: int | None, mask: tuple[bool, ...]
) -> None:
    made, c = _model(), conditions(1)
    known = Latent(torch.tensor([z]), None if length is None else torch.tensor([length]))
    given = made(c, num_bound_draws=200).completing(known, torch.tensor([mask]))
    given = dataclasses.replace(given, rows=1000)
    drawn = given.sample(1000, Generators.from_seed(0, num_samples=1000, batch=1))
    wanted = [2 if length is not None and n >= length else z[n] for n in range(3)]
    asked = there = torch.tensor(mask)
    if 2 in wanted:
        there = there | (torch.arange(3) > next(n for n in range(3) if mask[n] and wanted[n] == 2))
    ids = all_ids(RAGGED)
    ids = ids[(ids[:, asked] == torch.tensor(wanted)[asked]).all(1)]
    totals = _ordered_log_probs(made, ids, c, there)
    exact = totals.exp().mean(0, keepdim=True)
    assert abs(exact.sum() - 1) < 1e-5
    counts = _frequencies(drawn, ids, RAGGED)
    assert counts.sum() == 1000
    assert len(ids) == 1 or chi_square(counts, exact) > 1e-3
    found = made(c.select(torch.zeros(len(ids), dtype=torch.long)), num_bound_draws=200)
    same = Latent(
        known.z.expand(len(ids), -1), None if length is None else known.lengths.expand(len(ids))
    )
    given = found.completing(same, torch.tensor([mask]).expand(len(ids), -1))
    bound = given.log_prob(
        as_latent(ids, RAGGED), Generators.from_seed(0, num_samples=1, batch=len(ids))
    )
    assert ((bound.nats - totals.mean(0)).abs() < 4 * bound.std_error + 1e-5).all()


# Samples ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("steps", [1, 4, 12])
def test_each_sample_is_the_same_alone_and_ends_once(order: str, steps: int) -> None:
    made, c = _model(LONG), conditions()
    options = {"order": order, "num_inference_steps": steps, "temperature": 0.8}
    seeds = [[5, 6, 7], [8, 9, 10]]
    together = made(c, **options).sample(2, Generators(seeds))
    assert together.z.shape == (2, 3, 12)
    assert (together.z < 3).all()
    assert not together.z[torch.arange(12) >= together.lengths[..., None]].any()
    for n, b in itertools.product(range(2), range(3)):
        alone = made(c.select(torch.tensor([b])), **options).sample(1, Generators([[seeds[n][b]]]))
        assert torch.equal(alone.z[0, 0], together.z[n, b])
        assert alone.lengths[0, 0] == together.lengths[n, b]


@pytest.mark.parametrize("order", ORDERS)
def test_known_tokens_stay_whatever_the_steps(order: str) -> None:
    made, c = _model(LONG), conditions(1)
    given = made(c, order=order, num_inference_steps=2)
    g = torch.Generator().manual_seed(0)
    for _ in range(20):
        length = int(torch.randint(1, 13, (), generator=g))
        z = torch.randint(3, (1, 12), generator=g)
        mask = torch.rand(1, 12, generator=g) < 0.4
        lengths = torch.tensor([length])
        drawn = given.completing(Latent(z, lengths), mask).sample(10)
        content = mask & (torch.arange(12) < length)
        assert (drawn.z[:, 0, content[0]] == z[content]).all()
        last = int(content.nonzero()[:, 1].max()) if content.any() else -1
        assert (drawn.lengths > last).all()
        ends = mask & ~content
        if ends.any():
            assert (drawn.lengths <= int(ends.nonzero()[:, 1].min())).all()


def test_what_is_not_known_has_no_influence() -> None:
    made, c = _model(LONG), conditions(2)
    mask = torch.tensor([[True, False, True, False], [False, False, True, True]])
    z = torch.tensor([[1, 0, 2, 0], [0, 0, 1, 1]])
    other = torch.where(mask, z, -7)
    seeds = [[1, 2]]
    a = made(c).completing(Latent(z), mask).sample(1, Generators(seeds))
    b = made(c).completing(Latent(other), mask).sample(1, Generators(seeds))
    assert torch.equal(a.z, b.z)


def test_completing_twice_keeps_both() -> None:
    made, c = _model(LONG), conditions(1)
    first = made(c).completing(Latent(torch.tensor([[2, 0]])), torch.tensor([[True, False]]))
    second = first.completing(
        Latent(torch.tensor([[0, 0, 1]])), torch.tensor([[False, False, True]])
    )
    drawn = second.sample(10).z[:, 0]
    assert (drawn[:, [0, 2]] == torch.tensor([2, 1])).all()
    with pytest.raises(SpecError, match="contradicts"):
        second.completing(Latent(torch.tensor([[1]])), torch.tensor([[True]]))
    with pytest.raises(SpecError, match="contradicts"):
        end = Latent(torch.tensor([[0, 0]]), torch.tensor([1]))
        second.completing(end, torch.tensor([[False, True]]))


def test_all_known_is_drawn_as_it_is() -> None:
    made, c = _model(LONG), conditions(2)
    latent = Latent(torch.randint(3, (2, 12)), torch.tensor([12, 5]))
    given = made(c, num_bound_draws=2).completing(latent, torch.ones(2, 12, dtype=torch.bool))
    drawn = given.sample(3)
    assert (drawn.lengths == latent.lengths).all()
    assert torch.equal(drawn.z[0, 0], latent.z[0])
    assert torch.equal(drawn.z[0, 1, :5], latent.z[1, :5])
    found = given.log_prob(latent)
    assert found.nats.tolist() == [0, 0]
    assert found.num_dims.tolist() == [0, 0]
    moved = Latent((latent.z + 1) % 3, latent.lengths)
    assert (given.log_prob(moved).nats == -math.inf).all()


def test_counts_of_revealed_places_add_up() -> None:
    for order, steps, left in itertools.product(ORDERS, (1, 3, 7, 20), (1, 2, 11, 20)):
        filling = Filling(steps, order=order)
        now, counts = torch.tensor([left, 0]), []
        for step in range(steps):
            count = filling._count(now, step)
            counts.append(int(count[0]))
            assert count[1] == 0
            now = now - count
        assert now.tolist() == [0, 0]
        assert order == "random" or steps != 7 or left != 20 or counts[0] < counts[-2]


def test_zero_temperature_takes_the_likeliest() -> None:
    made, c = _model(FIXED), conditions(1)
    drawn = made(c, temperature=0.0, num_inference_steps=1).sample(5).z
    hidden = torch.full((1, 3), 2)
    best = possible_logits(made.network, hidden, c, made.alphabet).argmax(2)
    assert (drawn == best).all()


def test_progress_and_bfloat16() -> None:
    made, c = _model(LONG), conditions()
    latent = Latent(torch.randint(3, (3, 12)), torch.tensor([2, 0, 12]))
    exact = made(c, num_bound_draws=16).log_prob(latent, Generators([[1, 2, 3]])).nats
    made, calls = made.to(torch.bfloat16), []
    half = made(c, num_bound_draws=16).log_prob(latent, Generators([[1, 2, 3]])).nats
    assert (half - exact).abs().max() < 0.05 * exact.abs().max()
    given = made(c, num_inference_steps=5)
    assert given.sample(30, progress=lambda *done: calls.append(done)).z.shape == (30, 3, 12)
    assert calls == sorted(calls)
    assert calls[-1] == (10, 10)


# Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"num_inference_steps": 0}, ValueError),
        ({"temperature": -0.5}, ValueError),
        ({"order": "left"}, ValueError),
        ({"num_bound_draws": 3}, ValueError),
        ({"top_k": 4}, OptionError),
    ],
)
def test_bad_options_are_refused(option: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(option))):
        _model()(conditions(), **option)


def test_wrong_masks_are_refused() -> None:
    given, known = _model()(conditions()), Latent(torch.zeros(3, 2, dtype=torch.long))
    with pytest.raises(SpecError, match="boolean mask of the shape"):
        given.completing(known, torch.ones(3, 3, dtype=torch.bool))
    with pytest.raises(SpecError, match="boolean mask of the shape"):
        given.completing(known, torch.ones(3, 2))
    with pytest.raises(SpecError, match="from 0 to 1, got 5"):
        given.completing(Latent(known.z + 5), torch.ones(3, 2, dtype=torch.bool))


def test_broken_weights_are_found() -> None:
    made = _model()
    with torch.no_grad():
        made.network.out.bias.fill_(math.nan)
    with pytest.raises(ValueError, match="not finite"):
        made(conditions()).sample(1)


# A known answer -----------------------------------------------------------------------------------


# Short sequences, so that a short training will do.
LONGEST = 5


def _given(y: Tensor) -> Condition:
    """The condition of a chain as one token."""
    return Condition(len(y), F.one_hot(y, 2).float()[:, None])


@pytest.fixture(scope="module")
def trained() -> Masked:
    """A tiny one, trained on a chain given by a token."""
    torch.manual_seed(0)
    made = Masked.debug(spec=chain_spec(LONGEST), condition=ConditionSpec(token_dim=2))
    return train_on_chain(made, _given, batch=128, steps=200, longest=LONGEST)


def test_bound_of_a_chain_is_below_the_truth_and_not_far(trained: Masked) -> None:
    latent, y = chain_pairs(300, torch.Generator().manual_seed(1), LONGEST)
    seeds = Generators.from_seed(0, num_samples=1, batch=300)
    found = trained(_given(y), num_bound_draws=16).log_prob(latent, seeds)
    gap = (found.nats - chain_log_prob(latent, y)).mean()
    error = found.std_error.square().sum().sqrt() / 300
    assert -0.3 < gap < 3 * error, f"gap {gap:.4f} +- {error:.4f} nats"


def test_samples_of_a_chain_move_as_it_does(trained: Masked) -> None:
    y = torch.arange(2).repeat(200)
    drawn = trained(_given(y)).sample(1, Generators.from_seed(0, num_samples=1, batch=400))
    counts = count_transitions(Latent(drawn.z[0], drawn.lengths[0]), y).flatten(0, 1)
    share = counts / counts.sum(1, keepdim=True)
    distance = (share - transitions().flatten(0, 1)).abs().sum(1) / 2
    assert distance.max() < 0.15, f"total variation {distance.max():.3f}"
    swapped = (share - transitions().flip(0).flatten(0, 1)).abs().sum(1) / 2
    assert swapped.min() > 0.3
