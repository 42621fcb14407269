"""Costly values are made once, in blocks, when they are needed."""

from __future__ import annotations

import pytest

from mmgen.training.pool import Pool


def test_blocks_are_made_at_first_sight_and_kept() -> None:
    asked: list[range] = []

    def make(places: range) -> list[int]:
        asked.append(places)
        return [i * i for i in places]

    pool = Pool(make, size=10, block=4)
    assert len(pool) == 10 and not asked
    assert pool[5] == 25 and pool[6] == 36 and asked == [range(4, 8)]
    assert pool[9] == 81 and asked[1:] == [range(8, 10)]
    assert [pool[i] for i in range(10)] == [i * i for i in range(10)]
    assert len(asked) == 3


@pytest.mark.parametrize("index", [-1, 10])
def test_what_is_not_there_is_not_made(index: int) -> None:
    with pytest.raises(IndexError, match="from 0 to 9"):
        Pool(list, size=10, block=4)[index]


def test_a_pool_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Pool(list, size=0, block=4)
