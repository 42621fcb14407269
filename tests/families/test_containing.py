"""Searches for sequences that contain phrases, beside all sequences that there are."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from mmgen.core.condition import Condition
from mmgen.core.latent import Latent
from mmgen.core.spec import Spec
from mmgen.families.autoregressive import Autoregressive
from mmgen.families.autoregressive.conditional import AutoregressiveConditional
from mmgen.families.autoregressive.containing import ContainingConditional, Phrases

SPEC = Spec("text", "tokens", ("L",), vocabulary=3, max_length=4)


@pytest.fixture(scope="module")
def model() -> Autoregressive:
    torch.manual_seed(0)
    found = Autoregressive.debug(spec=SPEC)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return found.eval()


def _holds(ids: tuple[int, ...], phrase: tuple[int, ...]) -> bool:
    return any(ids[i : i + len(phrase)] == phrase for i in range(len(ids)))


def _all(inner: AutoregressiveConditional, most: int, phrases: Phrases) -> list[float]:
    """log p of every sequence that contains the phrases, likeliest first."""
    found = []
    for length in range(most + 1):
        for ids in product(range(3), repeat=length):
            if all(_holds(ids, p) for p in phrases):
                z = torch.tensor([ids], dtype=torch.long)
                found.append(float(inner.log_prob(Latent(z, torch.tensor([length]))).nats))
    return sorted(found, reverse=True)


@pytest.mark.parametrize(
    ("phrases", "most"),
    [((), None), (((2,),), None), (((1, 1),), 3), (((0, 2), (1,)), None), (((2, 2, 0),), 4)],
)
def test_a_wide_beam_finds_the_true_order(
    model: Autoregressive, phrases: Phrases, most: int | None
) -> None:
    inner = model(Condition(1), max_new_tokens=most)
    found, nats = ContainingConditional(inner, (phrases,)).best(4, num_beams=130)
    expected = _all(inner, most or SPEC.max_length, phrases)
    assert nats[:, 0].tolist() == pytest.approx(expected[:4], abs=1e-4)
    for z, length in zip(found.z[:, 0], found.lengths[:, 0], strict=True):
        assert all(_holds(tuple(z[: int(length)].tolist()), p) for p in phrases)


def test_a_narrow_beam_holds_its_phrases_too(model: Autoregressive) -> None:
    inner = model(Condition(2), temperature=0.0)
    rows = (((2, 2),), ((0, 1), (2,)))
    sampled = ContainingConditional(inner, rows).sample(2)
    assert sampled.z.shape[:2] == (2, 2) and torch.equal(sampled.z[0], sampled.z[1])
    for b, phrases in enumerate(rows):
        ids = tuple(sampled.z[0, b, : int(sampled.lengths[0, b])].tolist())
        assert all(_holds(ids, p) for p in phrases)
    # A row of a batch is what it is alone.
    alone = ContainingConditional(model(Condition(1), temperature=0.0), rows[1:]).sample()
    length = int(alone.lengths[0, 0])
    assert alone.z[0, 0, :length].tolist() == sampled.z[0, 1, :length].tolist()


def test_what_cannot_be(model: Autoregressive) -> None:
    with pytest.raises(ValueError, match="searched for, not drawn"):
        ContainingConditional(model(Condition(1)), (((1,),),)).sample()
    short = model(Condition(1), max_new_tokens=1)
    with pytest.raises(ValueError, match="Found 0 of 1 sequences of at most 1 tokens"):
        ContainingConditional(short, (((1, 1),),)).best(1, num_beams=4)
    with pytest.raises(ValueError, match="num_best is at least 1"):
        ContainingConditional(short, (((1,),),)).best(5, num_beams=4)
