"""The transformer on tokens, and its cache."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mmgen.core.condition import Condition
from mmgen.core.spec import ConditionSpec
from mmgen.nn.tokens import TokenTransformer
from mmgen.nn.transformer import Transformer, grid_positions

BATCH, LENGTH, DIM = 3, 9, 32
CONDITIONS = {
    "none": ConditionSpec(),
    "tokens": ConditionSpec(token_dim=DIM),
    "vector": ConditionSpec(vector_dim=DIM),
    "both": ConditionSpec(token_dim=DIM, vector_dim=DIM),
}


def _condition(spec: ConditionSpec) -> Condition:
    g = torch.Generator().manual_seed(1)
    tokens = torch.randn(BATCH, 4, DIM, generator=g) if spec.token_dim else None
    mask = torch.arange(4) < torch.arange(2, 5)[:, None] if spec.token_dim else None
    vector = torch.randn(BATCH, DIM, generator=g) if spec.vector_dim else None
    return Condition(BATCH, tokens, mask, vector)


def _network(spec: ConditionSpec, *, causal: bool = True) -> TokenTransformer:
    return _generic(TokenTransformer.debug(condition=spec, causal=causal))


def _generic(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module


def _ids() -> Tensor:
    return torch.randint(7, (BATCH, LENGTH), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("spec", CONDITIONS.values(), ids=CONDITIONS)
@pytest.mark.parametrize("pieces", [(1,) * LENGTH, (LENGTH,), (4, 1, 1, 3), (1, 6, 2)])
def test_cached_equals_uncached(spec: ConditionSpec, pieces: tuple[int, ...]) -> None:
    network, c, ids = _network(spec), _condition(spec), _ids()
    cache = network.cache()
    parts = [network.extend(piece, c, cache) for piece in ids.split(pieces, dim=1)]
    assert cache.length == LENGTH
    assert (torch.cat(parts, dim=1) - network(ids, c)).abs().max() < 1e-5


def test_a_cache_outgrows_its_room() -> None:
    network = _network(ConditionSpec())
    ids = torch.randint(7, (1, 70))
    cache = network.cache()
    parts = [network.extend(piece, Condition(1), cache) for piece in ids.split(1, dim=1)]
    assert (torch.cat(parts, dim=1) - network(ids, Condition(1))).abs().max() < 1e-5


def test_rows_of_a_cache_are_selected() -> None:
    spec = CONDITIONS["both"]
    network, c, ids = _network(spec), _condition(spec), _ids()
    cache = network.cache()
    network.extend(ids[:, :5], c, cache)
    index = torch.tensor([2, 0, 0, 1])
    cache.select(index)
    rest = network.extend(ids[index, 5:], c.select(index), cache)
    assert (rest - network(ids[index], c.select(index))[:, 5:]).abs().max() < 1e-5


def test_only_a_causal_network_is_extended() -> None:
    network = _network(ConditionSpec(), causal=False)
    with pytest.raises(ValueError, match="Only a causal transformer"):
        network.extend(_ids(), Condition(BATCH), network.cache())


def test_a_transformer_on_two_axes_is_extended() -> None:
    module = _generic(Transformer.debug(causal=True))
    x, modulation, tokens = (torch.randn(2, n, 32) for n in (6, 1, 4))
    inputs = {"modulation_BD": modulation[:, 0], "tokens_BMD": tokens}
    positions = grid_positions(2, 3)
    whole = module(x, positions, **inputs)
    cache = TokenTransformer.debug().cache()
    first = module.extend(x[:, :2], positions[:2], cache, **inputs)
    second = module.extend(x[:, 2:], positions[2:], cache, **inputs)
    assert (torch.cat((first, second), dim=1) - whole).abs().max() < 1e-5


def test_causal_logits_do_not_see_later_tokens() -> None:
    ids = _ids()
    changed = ids.clone()
    changed[:, 5:] = (ids[:, 5:] + 1) % 7
    for causal in (True, False):
        network = _network(ConditionSpec(), causal=causal)
        moved = (network(ids, Condition(BATCH)) - network(changed, Condition(BATCH))).abs()
        assert (moved[:, :5].max() < 1e-6) == causal
        assert moved[:, 5:].max() > 1e-3


def test_places_differ_though_all_tokens_are_alike() -> None:
    network = _network(ConditionSpec(), causal=False)
    logits = network(torch.zeros(1, 40, dtype=torch.long), Condition(1))[0]
    assert torch.cdist(logits, logits).fill_diagonal_(1).min() > 1e-3


def test_logits_answer_to_tokens_and_vector() -> None:
    spec = CONDITIONS["both"]
    network, c, ids = _network(spec), _condition(spec), _ids()
    out = network(ids, c)
    for other in (
        Condition(BATCH, c.tokens + 1, c.mask, c.vector),
        Condition(BATCH, c.tokens, c.mask, c.vector + 1),
    ):
        assert (network(ids, other) - out).abs().max() > 1e-3
    beyond = Condition(BATCH, c.tokens + (~c.mask)[..., None], c.mask, c.vector)
    assert torch.equal(network(ids, beyond), out)
