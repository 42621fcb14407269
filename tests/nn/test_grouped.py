"""The transformer on groups of tokens, and its cache."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.spec import ConditionSpec
from mmgen.nn.grouped import GroupedTokenTransformer

BATCH, LENGTH, DIM = 3, 14, 32
SPEC = ConditionSpec(token_dim=DIM, vector_dim=DIM)


def _network(row: int | None) -> GroupedTokenTransformer:
    torch.manual_seed(0)
    network = GroupedTokenTransformer.debug(row=row, condition=SPEC)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def test_a_narrow_small_transformer_is_causal_and_caches_too() -> None:
    torch.manual_seed(0)
    network = GroupedTokenTransformer(
        7, group=4, row=2, dim=(32, 16), depth=1, num_heads=2, condition=SPEC
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    c, ids = _condition(), _ids()
    cache = network.cache()
    parts = [network.extend(piece, c, cache) for piece in ids.split((3, 1, 4, 6), dim=1)]
    whole = network(ids, c)
    assert (torch.cat(parts, dim=1) - whole).abs().max() < 1e-5
    changed = ids.clone()
    changed[:, 9] = (changed[:, 9] + 1) % 7
    assert torch.equal(network(changed, c)[:, :9], whole[:, :9])
    assert network.out.in_features == 16
    whole.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def _condition() -> Condition:
    g = torch.Generator().manual_seed(1)
    mask = torch.arange(4) < torch.arange(2, 5)[:, None]
    tokens = torch.randn(BATCH, 4, DIM, generator=g)
    return Condition(BATCH, tokens, mask, torch.randn(BATCH, DIM, generator=g))


def _ids() -> Tensor:
    return torch.randint(7, (BATCH, LENGTH), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("row", [None, 2])
@pytest.mark.parametrize("pieces", [(1,) * LENGTH, (LENGTH,), (3, 1, 4, 1, 5), (8, 6), (2, 9, 3)])
def test_cached_equals_uncached(row: int | None, pieces: tuple[int, ...]) -> None:
    network, c, ids = _network(row), _condition(), _ids()
    cache = network.cache()
    parts = [network.extend(piece, c, cache) for piece in ids.split(pieces, dim=1)]
    assert cache.length == LENGTH
    assert (torch.cat(parts, dim=1) - network(ids, c)).abs().max() < 1e-5


@pytest.mark.parametrize("place", range(LENGTH))
def test_logits_see_every_token_up_to_their_place_and_none_later(place: int) -> None:
    network, c, ids = _network(2), _condition(), _ids()
    changed = ids.clone()
    changed[:, place] = (ids[:, place] + 1) % 7
    moved = (network(ids, c) - network(changed, c)).abs().amax((0, 2))
    assert moved[:place].numel() == 0 or moved[:place].max() < 1e-6
    assert moved[place:].min() > 1e-6


@pytest.mark.parametrize("seen", [4, 5, 7])
def test_rows_of_a_cache_are_selected(seen: int) -> None:
    network, c, ids = _network(None), _condition(), _ids()
    cache = network.cache()
    network.extend(ids[:, :seen], c, cache)
    index = torch.tensor([2, 0, 0, 1])
    cache.select(index)
    rest = network.extend(ids[index, seen:], c.select(index), cache)
    assert (rest - network(ids[index], c.select(index))[:, seen:]).abs().max() < 1e-5


def test_logits_answer_to_every_part_of_the_condition() -> None:
    network, c, ids = _network(2), _condition(), _ids()
    logits = network(ids, c)
    other = Condition(BATCH, c.tokens.flip(0), c.mask, c.vector)
    assert (network(ids, other) - logits).abs().max() > 1e-4
    other = Condition(BATCH, c.tokens, c.mask, c.vector.flip(0))
    assert (network(ids, other) - logits).abs().max() > 1e-4


def test_every_weight_has_a_gradient_but_those_that_closed_gates_hide() -> None:
    network = _network(2)
    network(_ids(), _condition()).square().mean().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []
