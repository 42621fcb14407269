"""Merged symbols: the most frequent neighbours first, and rows that joined are what they were."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.modalities.molecules.merging import learn_merges, merge


def test_the_most_frequent_pair_is_merged_first() -> None:
    rows = [list("abab"), list("abc"), list("bc")]
    # "ab" stands three times, "bc" twice; then "abab" and "abc" once each, which is too rarely.
    assert learn_merges(rows, 10) == ["ab"]
    assert learn_merges([*rows, list("bc"), list("ab")], 10) == ["ab", "bc"]
    assert learn_merges(rows, 0) == []


def test_merges_are_made_of_merges() -> None:
    found = learn_merges([list("abcabc")] * 2, 5)
    assert found[-1] == "abcabc" and "abc" in found
    ranks = {symbol: i for i, symbol in enumerate([*"abc", *found])}
    assert merge(list("abcabc"), ranks) == ["abcabc"]
    assert merge(list("cabcab"), ranks) != ["cabcab"]


def test_the_lower_rank_goes_first() -> None:
    # Either pair could be merged, and then not the other.
    assert merge(list("abc"), {"ab": 0, "bc": 1}) == ["ab", "c"]
    assert merge(list("abc"), {"ab": 1, "bc": 0}) == ["a", "bc"]
    assert merge(["a"], {"ab": 0}) == ["a"]
    assert merge([], {"ab": 0}) == []


def test_a_run_of_one_symbol_is_merged_in_pairs() -> None:
    assert merge(list("aaaaa"), {"aa": 0}) == ["aa", "aa", "a"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("abc", min_size=1, max_size=12), min_size=1, max_size=8))
def test_rows_joined_are_what_they_were(texts: list[str]) -> None:
    found = learn_merges([list(text) for text in texts], 6)
    assert len(set(found)) == len(found) <= 6
    ranks = {symbol: i for i, symbol in enumerate(["a", "b", "c", *found])}
    for text in texts:
        row = merge(list(text), ranks)
        assert "".join(row) == text
        # No pair is left that has a merge.
        assert all(a + b not in ranks for a, b in zip(row, row[1:], strict=False))


@pytest.mark.parametrize("count", [1, 2])
def test_no_more_are_made_than_asked_for(count: int) -> None:
    assert len(learn_merges([list("abcabc")] * 3, count)) == count
