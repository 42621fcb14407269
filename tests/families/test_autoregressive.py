"""The autoregressive family: exact densities; samples, streams and searches that follow them."""

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
from mmgen.families.autoregressive import Autoregressive
from mmgen.families.autoregressive.excluded import Excluded
from mmgen.families.autoregressive.warping import Warping, draw

SPECS = RAGGED, FIXED = spec_pair(vocabulary=3, longest=4)


def _model(spec: Spec = RAGGED) -> Autoregressive:
    return lively(Autoregressive, spec, factor=3)


def _of_all(made: Autoregressive, c: Condition, spec: Spec) -> tuple[Latent, Tensor]:
    """Every sequence, and log p of each given the one condition."""
    every = as_latent(all_ids(spec), spec)
    given = made(c.select(torch.zeros(len(every.z), dtype=torch.long)))
    return every, given.log_prob(every).nats


def _row(latent: Latent, i: int) -> list[int]:
    return latent.z[i, : None if latent.lengths is None else latent.lengths[i]].tolist()


# Densities ----------------------------------------------------------------------------------------


@either_length(SPECS)
def test_probabilities_of_all_sequences_sum_to_one(spec: Spec) -> None:
    made, c = _model(spec), conditions()
    for b in range(2):
        _, nats = _of_all(made, c.select(torch.tensor([b])), spec)
        assert abs(nats.double().exp().sum() - 1) < 1e-5


def test_log_prob_is_exact_and_says_so() -> None:
    made, c = _model(), conditions()
    latent = Latent(
        torch.tensor([[2, 1, 0, 0], [0, 0, 0, 0], [1, 1, 2, 0]]), torch.tensor([2, 0, 4])
    )
    found = made(c, temperature=0.3, top_k=1).log_prob(latent)
    assert found.kind == "exact"
    assert found.num_dims.tolist() == [3, 1, 4]
    assert found.std_error.tolist() == [0, 0, 0]
    logits = made.network(torch.tensor([[3, 2, 1]]), c.select(torch.tensor([0])))
    logs = logits.log_softmax(-1)[0]
    assert abs(found.nats[0] - (logs[0, 2] + logs[1, 1] + logs[2, 3])) < 1e-5
    assert torch.allclose(made.loss(latent, c), -found.nats / 4, atol=1e-5)


# Samples ------------------------------------------------------------------------------------------


@either_length(SPECS)
def test_samples_are_as_frequent_as_their_density_says(spec: Spec) -> None:
    made, c = _model(spec), conditions(1)
    every, nats = _of_all(made, c, spec)
    index = {tuple(_row(every, i)): i for i in range(len(every.z))}
    given = dataclasses.replace(made(c), rows=2000)
    flat = given.sample(2000, Generators.from_seed(0, num_samples=2000, batch=1)).flatten()
    counts = torch.zeros(1, len(index))
    for i in range(2000):
        counts[0, index[tuple(_row(flat, i))]] += 1
    # Sequences too rare for the approximation are counted together.
    common = nats.exp() > 0.0025
    pooled = [
        torch.cat((x[:, common], x[:, ~common].sum(1, keepdim=True)), 1)
        for x in (counts, nats.exp()[None])
    ]
    assert chi_square(*pooled) > 1e-3


@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.7, "top_p": 0.9, "repetition_penalty": 1.3}, {"max_new_tokens": 2}],
    ids=["plain", "warped", "cut"],
)
def test_each_sample_is_the_same_alone_in_a_batch_and_in_a_stream(
    options: dict[str, float],
) -> None:
    spec = Spec("text", "tokens", ("L",), vocabulary=3, max_length=70)
    made, c = _model(spec), conditions()
    with torch.no_grad():
        made.network.out.bias[3] -= 3  # long sequences, so that rows end one after another
    seeds = [[5, 6, 7], [8, 9, 10]]
    given = made(c, **options)
    together = given.sample(2, Generators(seeds))
    assert together.z.shape == (2, 3, 70)
    places = torch.arange(70)
    assert not together.z[places >= together.lengths[..., None]].any()
    assert len(set(together.lengths.flatten().tolist())) > 1 or "max_new_tokens" in options
    for n, b in itertools.product(range(2), range(3)):
        alone = made(c.select(torch.tensor([b])), **options).sample(1, Generators([[seeds[n][b]]]))
        assert torch.equal(alone.z[0, 0], together.z[n, b])
        assert alone.lengths[0, 0] == together.lengths[n, b]
    pieces = list(given.stream(Generators(seeds[:1])))
    assert torch.equal(pieces[-1].z, together.z[0])
    assert torch.equal(pieces[-1].lengths, together.lengths[0])
    for before, after in itertools.pairwise(pieces):
        assert (after.lengths >= before.lengths).all()
        seen = places < before.lengths[:, None]
        assert torch.equal(before.z[seen], after.z[seen])


def test_fixed_lengths_stream_and_have_no_lengths() -> None:
    made, c = _model(FIXED), conditions()
    drawn = made(c).sample(1, Generators([[1, 2, 3]]))
    assert drawn.lengths is None
    assert drawn.z.shape == (1, 3, 4)
    pieces = list(made(c).stream(Generators([[1, 2, 3]])))
    assert [p.lengths.tolist() for p in pieces[:4]] == [[n] * 3 for n in range(1, 5)]
    assert pieces[-1].lengths is None
    assert torch.equal(pieces[-1].z, drawn.z[0])
    assert "max_new_tokens" not in {o.name for o in made.options()}


def test_more_tokens_go_on_with_the_same_sample() -> None:
    made, c = _model(Spec("text", "tokens", ("L",), vocabulary=3, max_length=20)), conditions()
    seeds = Generators.from_seed(0, num_samples=8, batch=3)
    short = made(c, max_new_tokens=3).sample(8, seeds)
    long = made(c).sample(8, Generators.from_seed(0, num_samples=8, batch=3))
    assert short.lengths.max() == 3
    assert torch.equal(short.lengths, long.lengths.clamp(max=3))
    assert torch.equal(short.z[..., :3], long.z[..., :3])


def test_progress_comes_to_its_end() -> None:
    calls = []
    _model()(conditions()).sample(30, progress=lambda done, total: calls.append((done, total)))
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1] == (8, 8)


def test_bfloat16() -> None:
    made, c = _model(), conditions()
    latent = Latent(torch.randint(3, (3, 4)), torch.tensor([2, 0, 4]))
    exact = made(c).log_prob(latent).nats
    made = made.to(torch.bfloat16)
    assert (made(c).log_prob(latent).nats - exact).abs().max() < 0.1 * exact.abs().max()
    assert made(c).sample(2).z.shape == (2, 3, 4)
    assert made(c).best(2, num_beams=4)[1].isfinite().all()


# Options ------------------------------------------------------------------------------------------

LOGITS = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
NONE = torch.zeros(1, 0, dtype=torch.long)


@pytest.mark.parametrize(
    ("warping", "expected"),
    [
        (Warping(), [0.5, 0.3, 0.15, 0.05]),
        (Warping(top_k=2), [0.625, 0.375, 0, 0]),
        (Warping(top_k=9), [0.5, 0.3, 0.15, 0.05]),
        (Warping(top_p=0.7), [0.625, 0.375, 0, 0]),
        (Warping(top_p=0.81), [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]),
        (Warping(top_p=0.0), [1, 0, 0, 0]),
        (Warping(min_p=0.2), [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]),
        (Warping(min_p=1.0), [1, 0, 0, 0]),
        (Warping(temperature=0.5), [0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365]),
        (Warping(temperature=0.0), [1, 0, 0, 0]),
        # The temperature comes before the rest: 0.25, 0.09, ... of 0.365.
        (Warping(temperature=0.5, top_p=0.7), [0.25 / 0.34, 0.09 / 0.34, 0, 0]),
    ],
)
def test_warped_probabilities_are_the_known_ones(warping: Warping, expected: list[float]) -> None:
    got = warping(LOGITS, NONE).softmax(1)[0]
    assert (got - torch.tensor(expected)).abs().max() < 1e-6


def test_repetition_penalty_lowers_what_came_before() -> None:
    logits = torch.tensor([[2.0, -1.0, 1.0, -3.0]])
    got = Warping(repetition_penalty=2.0)(logits, torch.tensor([[0, 3, 0]]))
    assert got.tolist() == [[1.0, -1.0, 1.0, -6.0]]


def test_draws_follow_the_probabilities_and_never_what_is_excluded() -> None:
    uniform = torch.linspace(0, 1 - 2**-24, 10_001)
    tokens = draw(Warping(top_k=3)(LOGITS, NONE).expand(len(uniform), -1), uniform)
    share = tokens.bincount(minlength=4) / len(uniform)
    assert (share - torch.tensor([0.5, 0.3, 0.15, 0]) / 0.95).abs().max() < 2e-4
    first = draw(torch.tensor([[-math.inf, 0.0]]), torch.zeros(1))
    assert first.tolist() == [1]


def test_what_is_excluded_is_passed_over_at_its_places() -> None:
    made, c = _model(), conditions()
    end = made.alphabet.end
    given = dataclasses.replace(made(c), excluded=Excluded(anywhere=(1,), first=(end, 0)))
    drawn = given.sample(40)
    assert (drawn.lengths > 0).all() and (drawn.z[..., 0] == 2).all()
    assert not (drawn.z == 1).any() and (drawn.z[..., 1] == 0).any()
    best, nats = given.best(3, num_beams=8)
    assert (best.z[..., 0] == 2).all() and not (best.z == 1).any()
    # Scores are those of the model, which gives what is passed over some probability.
    rows = Latent(best.z[0], best.lengths[0])
    assert torch.allclose(nats[0], made(c).log_prob(rows).nats, atol=1e-5)


def test_greedy_samples_are_the_likeliest_tokens() -> None:
    made, c = _model(FIXED), conditions()
    greedy = made(c, temperature=0.0).sample(1).z[0]
    ids = torch.full((3, 1), 3)
    for n in range(4):
        token = made.network(ids, c)[:, -1].argmax(1, keepdim=True)
        assert torch.equal(token[:, 0], greedy[:, n])
        ids = torch.cat((ids, token), dim=1)


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"temperature": -1.0}, ValueError),
        ({"temperature": math.nan}, ValueError),
        ({"top_k": -1}, ValueError),
        ({"top_k": 1.5}, TypeError),
        ({"top_p": 1.5}, ValueError),
        ({"min_p": -0.1}, ValueError),
        ({"repetition_penalty": 0.0}, ValueError),
        ({"max_new_tokens": 0}, ValueError),
        ({"max_new_tokens": 5}, ValueError),
        ({"num_beams": 4}, OptionError),
    ],
)
def test_bad_options_are_refused(option: dict[str, float], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(option))):
        _model()(conditions(), **option)


# Search -------------------------------------------------------------------------------------------


@either_length(SPECS)
def test_a_full_beam_finds_the_likeliest_in_order(spec: Spec) -> None:
    made, c = _model(spec), conditions()
    found, scores = made(c).best(5, num_beams=3**4)
    assert found.z.shape == (5, 3, 4)
    assert scores.shape == (5, 3)
    for b in range(3):
        every, nats = _of_all(made, c.select(torch.tensor([b])), spec)
        top = nats.topk(5)
        assert (scores[:, b] - top.values).abs().max() < 1e-5
        for n in range(5):
            lengths = None if found.lengths is None else found.lengths[:, b]
            assert _row(Latent(found.z[:, b], lengths), n) == _row(every, top.indices[n])


def test_scores_of_a_narrow_beam_are_log_prob() -> None:
    made, c = _model(), conditions()
    found, scores = made(c).best(2, num_beams=2)
    for n in range(2):
        nats = made(c).log_prob(Latent(found.z[n], found.lengths[n])).nats
        assert (nats - scores[n]).abs().max() < 1e-5
    assert (scores[0] >= scores[1]).all()
    alone = [made(c.select(torch.tensor([b]))).best(2, num_beams=2) for b in range(3)]
    for b, (own, own_scores) in enumerate(alone):
        assert torch.equal(own.z[:, 0], found.z[:, b])
        assert (own_scores[:, 0] - scores[:, b]).abs().max() < 1e-5


def test_a_length_penalty_ranks_by_log_prob_over_length() -> None:
    made, c = _model(), conditions()
    for b in range(3):
        one = c.select(torch.tensor([b]))
        every, nats = _of_all(made, one, RAGGED)
        ranks = nats / (every.lengths + 1) ** 1.5
        count = len(every.z)
        found, scores = made(one).best(count, num_beams=count, length_penalty=1.5)
        top = ranks.topk(count)
        assert (scores[:, 0] - nats[top.indices]).abs().max() < 1e-5
        lengths = found.lengths[:, 0]
        assert (scores[:, 0] / (lengths + 1) ** 1.5 - top.values).abs().max() < 1e-5
    narrow = [made(c).best(1, num_beams=3, length_penalty=a)[0].lengths for a in (0.0, 3.0)]
    assert (narrow[1] >= narrow[0]).all() and narrow[1].sum() > narrow[0].sum()


def test_search_keeps_to_max_new_tokens_and_pays_for_the_end() -> None:
    made, c = _model(), conditions(1)
    every, nats = _of_all(made, c, RAGGED)
    allowed = every.lengths <= 2
    found, scores = made(c, max_new_tokens=2).best(3, num_beams=20)
    assert (scores[:, 0] - nats[allowed].topk(3).values).abs().max() < 1e-5
    assert found.lengths.max() <= 2


def test_search_refuses_what_it_cannot_find() -> None:
    given = _model()(conditions(1), max_new_tokens=1)
    with pytest.raises(ValueError, match="at most num_beams, got 3 of 2"):
        given.best(3, num_beams=2)
    with pytest.raises(ValueError, match="only 4 sequences"):
        given.best(5, num_beams=8)
    with pytest.raises(TypeError, match="num_beams is an integer"):
        given.best(1, num_beams=2.0)


# Completion ---------------------------------------------------------------------------------------


def test_completions_begin_as_known_and_sum_to_one() -> None:
    made, c = _model(), conditions()
    known = Latent(torch.tensor([[2, 1, 9], [-5, 0, 0], [1, 0, 2]]))
    mask = torch.arange(3) < torch.tensor([2, 0, 3])[:, None]
    given = made(c).completing(known, mask)
    drawn = given.sample(6, Generators.from_seed(0, num_samples=6, batch=3))
    for b, count in enumerate((2, 0, 3)):
        assert (drawn.z[:, b, :count] == known.z[b, :count]).all()
        assert (drawn.lengths[:, b] >= count).all()
        one = torch.tensor([b])
        alone = made(c.select(one)).completing(Latent(known.z[one]), mask[one])
        own = alone.sample(6, Generators([[6 * b + n] for n in range(6)]))
        assert torch.equal(own.z[:, 0], drawn.z[:, b])
    every = as_latent(all_ids(RAGGED), RAGGED)
    first = c.select(torch.zeros(len(every.z), dtype=torch.long))
    same = Latent(known.z[:1].expand(len(every.z), -1))
    found = made(first).completing(same, mask[:1].expand(len(every.z), -1)).log_prob(every)
    begins = (every.z[:, :2] == known.z[0, :2]).all(1) & (every.lengths >= 2)
    assert torch.equal(found.nats > -math.inf, begins)
    assert abs(found.nats.exp().sum() - 1) < 1e-5
    assert found.num_dims[begins].tolist() == (every.lengths[begins] - 1).clamp(max=2).tolist()
    best, scores = given.best(2, num_beams=20)
    top = found.nats.topk(2)
    assert torch.equal(best.z[:, 0], every.z[top.indices])
    assert (scores[:, 0] - top.values).abs().max() < 1e-5
    last = list(given.stream(Generators([[0, 6, 12]])))[-1]
    assert torch.equal(last.z, drawn.z[0])


def test_a_known_end_stays() -> None:
    made, c = _model(), conditions(2)
    known = Latent(torch.tensor([[2, 1, 0], [0, 0, 0]]), torch.tensor([2, 1]))
    mask = torch.tensor([[True, True, True], [True, False, False]])
    given = made(c).completing(known, mask)
    drawn = given.sample(5)
    assert (drawn.lengths[:, 0] == 2).all()
    assert (drawn.lengths[:, 1] >= 1).all()
    latent = Latent(torch.tensor([[2, 1], [0, 1]]), torch.tensor([2, 2]))
    assert given.log_prob(latent).nats[0] == 0
    again = given.completing(latent, torch.tensor([[True, False], [True, True]]))
    assert (again.sample(5).z[:, 0, :2] == torch.tensor([2, 1])).all()
    assert (again.sample(5).lengths[:, 0] == 2).all()
    assert (again.sample(5).z[:, 1, :2] == torch.tensor([0, 1])).all()
    with pytest.raises(SpecError, match="contradicts"):
        given.completing(Latent(torch.zeros(2, 1, dtype=torch.long)), torch.ones(2, 1).bool())


def test_new_tokens_are_counted_from_what_is_known() -> None:
    made, c = _model(), conditions(1)
    known, mask = Latent(torch.tensor([[2, 1]])), torch.ones(1, 2, dtype=torch.bool)
    lengths = made(c, max_new_tokens=1).completing(known, mask).sample(50).lengths
    assert set(lengths.flatten().tolist()) == {2, 3}


def test_a_gap_is_left_to_the_masked_family() -> None:
    known, mask = Latent(torch.tensor([[2, 1]])), torch.tensor([[False, True]])
    with pytest.raises(SpecError, match="family masked"):
        _model()(conditions(1)).completing(known, mask)


# Types --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latent", "text"),
    [
        (Latent(torch.zeros(3, 4)), "integers, got torch.float32"),
        (Latent(torch.zeros(2, 4, dtype=torch.long)), r"shape \(3, L\).* got \(2, 4\)"),
        (Latent(torch.zeros(3, 5, dtype=torch.long)), r"at most 4; got \(3, 5\)"),
        (Latent(torch.full((3, 4), 3)), "from 0 to 2, got 3"),
        (Latent(torch.zeros(3, 4, dtype=torch.long), torch.tensor([1, 2, 5])), "0 to 4"),
    ],
)
def test_wrong_latents_are_refused(latent: Latent, text: str) -> None:
    with pytest.raises(SpecError, match=text):
        _model()(conditions()).log_prob(latent)


# A known answer -----------------------------------------------------------------------------------


def _given(y: Tensor) -> Condition:
    """The condition of a chain as a vector."""
    return Condition(len(y), vector=F.one_hot(y, 2).float())


@pytest.fixture(scope="module")
def trained() -> Autoregressive:
    """A tiny one, trained on a chain given by a vector."""
    torch.manual_seed(0)
    made = Autoregressive.debug(spec=chain_spec(), condition=ConditionSpec(vector_dim=2))
    return train_on_chain(made, _given, batch=64, steps=250)


def test_density_of_a_chain_is_the_true_one(trained: Autoregressive) -> None:
    latent, y = chain_pairs(1000, torch.Generator().manual_seed(1))
    found = trained(_given(y)).log_prob(latent)
    gap = chain_log_prob(latent, y) - found.nats
    assert gap.mean().abs() < 0.05, f"gap {gap.mean():.4f} nats"
    assert gap.abs().max() < 1.5, f"worst {gap.abs().max():.4f} nats"


def test_samples_of_a_chain_move_as_it_does(trained: Autoregressive) -> None:
    y = torch.arange(2).repeat(250)
    drawn = trained(_given(y)).sample(1, Generators.from_seed(0, num_samples=1, batch=500))
    counts = count_transitions(Latent(drawn.z[0], drawn.lengths[0]), y)
    p_value = chi_square(counts.flatten(0, 1), transitions().flatten(0, 1))
    assert p_value > 1e-3, f"p = {p_value:.4f}"
    swapped = chi_square(counts.flip(0).flatten(0, 1), transitions().flatten(0, 1))
    assert swapped < 1e-6


# Samples that will do -----------------------------------------------------------------------------


def test_what_is_refused_is_drawn_again() -> None:
    plain = _model(RAGGED)
    made = Autoregressive(plain.network, spec=RAGGED, accepts=lambda ids: ids == sorted(ids))
    c = conditions(2)

    def drawn(model: Autoregressive, count: int, **options: bool) -> list[list[list[int]]]:
        seeds = Generators.from_seed(list(range(2 * count)), num_samples=count, batch=2)
        found = model(c, **options).sample(count, seeds)
        return [
            [_row(Latent(found.z[i], found.lengths[i]), b) for b in range(2)] for i in range(count)
        ]

    rows, before = drawn(made, 300), drawn(plain, 300)
    flat = [(row, old) for pair, olds in zip(rows, before, strict=True)
            for row, old in zip(pair, olds, strict=True)]  # fmt: skip
    assert all(row == sorted(row) for row, _ in flat)
    # What will do at once stays, and is not all.
    assert all(row == old for row, old in flat if old == sorted(old))
    assert any(row != old for row, old in flat)
    # Sample 0 of the first condition is the same alone.
    assert drawn(made, 1)[0][0] == rows[0][0]
    assert drawn(made, 300, checked=False) == before
    # They are as frequent as the model says, given that they will do; its density is as it was.
    every, nats = _of_all(made, c.select(torch.tensor([0])), RAGGED)
    assert torch.equal(nats, _of_all(plain, c.select(torch.tensor([0])), RAGGED)[1])
    all_rows = [_row(every, i) for i in range(len(every.z))]
    kept = torch.tensor([row == sorted(row) for row in all_rows])
    counts = torch.tensor([sum(row == pair[0] for pair in rows) for row in all_rows])
    want = nats[kept].double().softmax(0) * 300
    assert ((counts[kept] - want).square() / want.clamp(min=1)).sum() < 80
