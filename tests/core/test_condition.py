"""Conditions: selecting, stacking and joining keep what is there and what is not."""

from __future__ import annotations

import torch

from mmgen.core.condition import Condition


def condition(batch: int, length: int, *, masked: bool = False) -> Condition:
    tokens = torch.randn(batch, length, 4)
    mask = torch.rand(batch, length) > 0.3 if masked else None
    return Condition(batch, tokens, mask, torch.randn(batch, 5))


def test_select_follows_the_index_in_its_null_too() -> None:
    c = condition(3, 2).with_null(condition(3, 1))
    picked = c.select(torch.tensor([2, 0, 2]))
    assert picked.batch == 3
    assert torch.equal(picked.tokens, c.tokens[[2, 0, 2]])
    assert torch.equal(picked.null.vector, c.null.vector[[2, 0, 2]])


def test_stack_pads_and_masks() -> None:
    a, b = condition(2, 3), condition(1, 5, masked=True)
    both = Condition.stack([a, b])
    assert both.batch == 3 and both.tokens.shape == (3, 5, 4)
    assert both.mask[:2].tolist() == [[True] * 3 + [False] * 2] * 2
    assert torch.equal(both.mask[2], b.mask[0])
    assert torch.equal(both.vector, torch.cat([a.vector, b.vector]))


def test_join_puts_tokens_in_a_row_and_adds_vectors() -> None:
    a, b = condition(2, 3), condition(2, 1)
    both = Condition.join([a, b])
    assert torch.equal(both.tokens, torch.cat([a.tokens, b.tokens], 1))
    assert torch.equal(both.vector, a.vector + b.vector)
    assert Condition.join([Condition(2), Condition(2)]).tokens is None


def test_to_changes_precision_of_real_parts_only() -> None:
    c = condition(2, 3, masked=True).to("cpu", torch.bfloat16)
    assert c.tokens.dtype == c.vector.dtype == torch.bfloat16
    assert c.mask.dtype == torch.bool
