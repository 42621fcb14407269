"""Sequences drawn token by token within a constraint: what is allowed, as the model has it."""

from __future__ import annotations

import pytest
import torch
from markov_chain import chi_square
from token_models import all_ids, as_latent, conditions, lively, spec_pair

from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.families.autoregressive import Autoregressive
from mmgen.families.autoregressive.constraint import Constrained, Constraint
from mmgen.families.autoregressive.warping import Warping

RAGGED, _ = spec_pair(vocabulary=3, longest=4)
COUNT = 600


def _sorted(ids: list[int]) -> bool:
    return ids == sorted(ids)


def _two(ids: list[int]) -> bool:
    return _sorted(ids) and len(ids) >= 2


def _made(plain: Autoregressive) -> Autoregressive:
    constraint = Constraint(_sorted, _two, lambda ids: [])
    return Autoregressive(plain.network, spec=RAGGED, accepts=_two, constraint=constraint)


def _drawn(made: Autoregressive, count: int, first: int = 0, **options: object) -> list[list[int]]:
    seeds = Generators.from_seed(list(range(first, first + count)), num_samples=count, batch=1)
    found = made(conditions(1), **options).sample(count, seeds)
    return [found.z[i, 0, : found.lengths[i, 0]].tolist() for i in range(count)]


def _by_hand(made: Autoregressive) -> dict[tuple[int, ...], float]:
    """Probability of each sequence, from the density of all, token after token renormalised."""
    every = as_latent(all_ids(RAGGED), RAGGED)
    c = conditions(1).select(torch.zeros(len(every.z), dtype=torch.long))
    nats = made(c).log_prob(every).nats.double()
    rows = [tuple(every.z[i, :n].tolist()) for i, n in enumerate(every.lengths.tolist())]
    exact = dict(zip(rows, nats.exp().tolist(), strict=True))

    def mass(beginning: tuple[int, ...]) -> float:
        return sum(p for row, p in exact.items() if row[: len(beginning)] == beginning)

    found = {(): 1.0}
    for length in range(RAGGED.max_length):
        for row in [row for row in found if len(row) == length]:
            ways = {(*row, v): mass((*row, v)) for v in range(3) if _sorted([*row, v])}
            whole = exact[row] if _two(list(row)) else 0.0
            share = found.pop(row) / (sum(ways.values()) + whole)
            found |= {way: p * share for way, p in ways.items()}
            if whole:
                found[row] = whole * share
    return found


def test_samples_are_allowed_and_as_frequent_as_allowed_tokens_are() -> None:
    plain = lively(Autoregressive, RAGGED, factor=3)
    made, want = _made(plain), _by_hand(plain)
    rows = _drawn(made, COUNT, checked=False)
    assert all(_two(row) for row in rows)
    assert not all(_two(row) for row in _drawn(plain, COUNT))
    assert sum(want.values()) == pytest.approx(1.0, abs=1e-5)
    counts = torch.tensor([[rows.count(list(row)) for row in want]])
    p_value = chi_square(counts, torch.tensor([list(want.values())]))
    assert p_value > 1e-3, f"p = {p_value:.4f}"
    # What is allowed from the first token on is what the model draws without a constraint.
    free = _drawn(made, COUNT, checked=False, constrained=False)
    assert free == _drawn(plain, COUNT)
    assert all(row == old for row, old in zip(rows, free, strict=True) if _two(old))
    # A sample is the same alone, and the density is the model's.
    assert [_drawn(made, 1, first=i, checked=False)[0] for i in range(4)] == rows[:4]
    latent = Latent(torch.tensor([[0, 1, 0, 0]]), torch.tensor([2]))
    c = conditions(1)
    assert torch.equal(made(c).log_prob(latent).nats, plain(c).log_prob(latent).nats)


def test_what_is_drawn_where_little_is_allowed() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    before, uniform = torch.zeros(2, 0, dtype=torch.long), torch.full((2,), 0.5)

    def chosen(warping: Warping, constraint: Constraint) -> list[int]:
        return Constrained(warping, constraint, end=2).choose(logits, before, uniform).tolist()

    likeliest = Warping(temperature=0.0)
    allowed = Constraint(lambda ids: ids[-1] != 0, lambda ids: False, lambda ids: [])
    assert chosen(likeliest, allowed) == [1, 1]
    # The second wanted to end while something was open, which 0 alone closes.
    open_ = Constraint(lambda ids: True, lambda ids: False, lambda ids: [0])
    assert chosen(likeliest, open_) == [0, 0]
    second = Constraint(lambda ids: True, lambda ids: False, lambda ids: [1])
    assert chosen(likeliest, second) == [0, 1]
    # What would close it may not come, so something else does.
    barred = Constraint(lambda ids: ids[-1] != 0, lambda ids: False, lambda ids: [0])
    assert chosen(likeliest, barred) == [1, 1]
    # Where nothing is allowed, the sequence ends.
    nothing = Constraint(lambda ids: False, lambda ids: False, lambda ids: [])
    assert chosen(Warping(), nothing) == [2, 2]


def test_what_would_come_again_is_not_drawn_again() -> None:
    asked: list[list[int]] = []

    def accepts(ids: list[int]) -> bool:
        asked.append(ids)
        return False

    plain = lively(Autoregressive, RAGGED, factor=3)
    made = Autoregressive(plain.network, spec=RAGGED, accepts=accepts)
    likeliest = _drawn(made, 1, temperature=0.0)
    assert likeliest == _drawn(plain, 1, temperature=0.0) and not asked
    _drawn(made, 1)
    assert len(asked) > 5
