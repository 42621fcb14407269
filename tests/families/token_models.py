"""What tests of token families share: tiny models, conditions for them, all sequences."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.spec import ConditionSpec, Spec

__all__ = ["BOTH", "all_ids", "as_latent", "conditions", "either_length", "lively", "spec_pair"]

BOTH = ConditionSpec(token_dim=32, vector_dim=32)


def spec_pair(vocabulary: int, longest: int) -> tuple[Spec, Spec]:
    """The types of sequences of at most so many tokens, and of exactly so many."""
    own = {"vocabulary": vocabulary}
    return (
        Spec("text", "tokens", ("L",), max_length=longest, **own),
        Spec("text", "tokens", (longest,), **own),
    )


def either_length(specs: tuple[Spec, Spec]) -> pytest.MarkDecorator:
    """Run a test with both types."""
    return pytest.mark.parametrize("spec", specs, ids=["ragged", "fixed"])


def lively(family: Any, spec: Spec, *, factor: float) -> Model:
    """A tiny model whose predictions are far from even, the more so with a greater factor."""
    torch.manual_seed(0)
    made = family.debug(spec=spec, condition=BOTH)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        made.network.out.weight.mul_(factor)
    return made.eval()


def conditions(batch: int = 3) -> Condition:
    """One to `batch` tokens, and a vector."""
    g = torch.Generator().manual_seed(1)
    tokens, vector = torch.randn(batch, 4, 32, generator=g), torch.randn(batch, 32, generator=g)
    return Condition(batch, tokens, torch.arange(4) < torch.arange(batch)[:, None] + 1, vector)


def all_ids(spec: Spec) -> Tensor:
    """Every sequence, ends (the vocabulary's size) beyond its content."""
    longest = spec.max_length or spec.shape[0]
    lengths = range(longest + 1) if spec.varies else (longest,)
    rows = [s for n in lengths for s in itertools.product(range(spec.vocabulary), repeat=n)]
    return torch.tensor([(*row, *(spec.vocabulary,) * (longest - len(row))) for row in rows])


def as_latent(ids: Tensor, spec: Spec) -> Latent:
    """Ids with ends beyond their content as latents."""
    lengths = (ids < spec.vocabulary).sum(1)
    return Latent(torch.where(ids < spec.vocabulary, ids, 0), lengths if spec.varies else None)
