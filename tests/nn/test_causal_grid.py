"""Convolutions in the order of reading: what each place sees, and reading on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.spec import ConditionSpec
from mmgen.nn.causal_grid import CausalGridNetwork

BATCH, LENGTH, ROW, DIM = 2, 46, 4, 8
SPEC = ConditionSpec(token_dim=DIM, vector_dim=DIM)


def _network() -> CausalGridNetwork:
    torch.manual_seed(0)
    network = CausalGridNetwork.debug(condition=SPEC)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.double()


def _condition() -> Condition:
    g = torch.Generator().manual_seed(1)
    mask = torch.arange(3) < torch.tensor([[2], [3]])
    tokens = torch.randn(BATCH, 3, DIM, generator=g).double()
    return Condition(BATCH, tokens, mask, torch.randn(BATCH, DIM, generator=g).double())


def _ids() -> Tensor:
    return torch.randint(7, (BATCH, LENGTH), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("place", [1, 3, 4, 9, 13])
def test_a_place_sees_what_was_read_around_it_and_nothing_later(place: int) -> None:
    network, c, ids = _network(), _condition(), _ids()
    changed = ids.clone()
    changed[:, place] = (ids[:, place] + 1) % 7
    moved = (network(ids, c) - network(changed, c)).abs().amax((0, 2))
    assert moved[:place].max() == 0
    # The id at a place is that of the cell before it: the next row is seen on both sides of it.
    below = [n for n in range(place, place + ROW + 2) if n < LENGTH]
    assert moved[below].min() > 1e-9


@pytest.mark.parametrize("pieces", [(1,) * LENGTH, (3, 1, 6, 10, 26), (LENGTH,)])
def test_reading_on_equals_reading_at_once(pieces: tuple[int, ...]) -> None:
    network, c, ids = _network(), _condition(), _ids()
    cache = network.cache()
    parts = [network.extend(piece, c, cache) for piece in ids.split(pieces, dim=1)]
    assert cache.length == LENGTH
    assert (torch.cat(parts, dim=1) - network(ids, c)).abs().max() < 1e-9


def test_rows_of_a_cache_are_selected() -> None:
    network, c, ids = _network(), _condition(), _ids()
    cache = network.cache()
    network.extend(ids[:, :9], c, cache)
    cache.select(torch.tensor([1, 1]))
    both = torch.tensor([1, 1])
    c = Condition(BATCH, c.tokens[both], c.mask[both], c.vector[both])
    last = network.extend(ids[both, 9:10], c, cache)
    assert (last - network(ids[both, :10], c)[:, -1:]).abs().max() < 1e-9


def test_conditions_count_and_what_is_masked_does_not() -> None:
    network, c, ids = _network(), _condition(), _ids()
    whole = network(ids, c)
    hidden = c.tokens.clone()
    hidden[0, 2] += 1
    assert torch.equal(network(ids, Condition(BATCH, hidden, c.mask, c.vector)), whole)
    hidden[0, 1] += 1
    assert not torch.equal(network(ids, Condition(BATCH, hidden, c.mask, c.vector))[0], whole[0])
    whole.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
