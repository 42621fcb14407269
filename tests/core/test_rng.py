"""Seeds and generators: a sample depends on its own seed and on nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.core.rng import MAX_SEED, Generators, derive_seeds, expand_seeds


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**40), st.integers(1, 4), st.integers(1, 4))
def test_each_sample_draws_what_it_draws_alone(seed: int, num_samples: int, batch: int) -> None:
    block = Generators.from_seed(seed, num_samples=num_samples, batch=batch).randn(3)
    for b in range(batch):
        for n in range(num_samples):
            own = torch.Generator().manual_seed(seed + b * num_samples + n)
            assert torch.equal(block[n, b], torch.randn(3, generator=own))


def test_flat_rows_are_the_same_generators() -> None:
    a = Generators.from_seed(0, num_samples=2, batch=3)
    b = Generators.from_seed(0, num_samples=2, batch=3)
    assert torch.equal(a.randn(4).flatten(0, 1)[2:5], b.select(torch.arange(2, 5)).randn(4)[0])


def test_a_list_of_seeds_is_taken_as_it_is() -> None:
    assert expand_seeds([5, 3], 2) == [5, 3]
    assert expand_seeds(5, 3) == [5, 6, 7]
    assert len(set(expand_seeds(None, 4))) == 4


@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        (-1, ValueError, "between 0"),
        (MAX_SEED, ValueError, "between 0"),
        ([1], ValueError, "Expected 2 seeds"),
        (True, TypeError, "integer"),
        ("1", TypeError, "integer"),
        ([1, 2.0], TypeError, "integer"),
    ],
)
def test_bad_seeds_are_refused(seed: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        expand_seeds(seed, 2)


def test_derived_seeds_follow_from_one_and_differ() -> None:
    seeds = derive_seeds(3, 40)
    assert derive_seeds(3, 7) == seeds[:7]
    assert len({*seeds, *derive_seeds(4, 40)}) == 80
    assert expand_seeds(seeds, 40) == seeds


def test_those_of_one_condition_are_its_column() -> None:
    drawn = Generators.from_seed(7, num_samples=3, batch=2).randn(4)
    own = Generators.from_seed(7, num_samples=3, batch=2).of(1)
    assert own.shape == (3, 1)
    assert torch.equal(own.randn(4), drawn[:, 1:])
