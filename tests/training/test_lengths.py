"""Batches of one length: every pair once an epoch, from any place on, and little padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmgen.nn.autoencoder import Autoencoder
from mmgen.pipeline import Pipeline
from mmgen.training import Autoencoding, TrainSettings, fit
from mmgen.training.batches import Batches
from mmgen.training.lengths import OrderByLength, read_lengths
from mmgen.training.pairs import ListedPairs, Pairs, index_at


def numbered(size: int) -> Pairs:
    return ListedPairs([(i, i) for i in range(size)])


def lengths(size: int) -> np.ndarray:
    return np.random.default_rng(0).geometric(0.02, size)


def padding(order: Any, sizes: np.ndarray, batch: int, count: int) -> float:
    """Share of the steps of the first `count` batches that is padding."""
    found = np.array([sizes[order(p)] for p in range(batch * count)]).reshape(count, batch)
    return 1 - found.sum() / (batch * found.max(1).sum())


@pytest.mark.parametrize("size", [1, 2, 5, 24, 100, 101, 257])
@pytest.mark.parametrize(("batch", "pool"), [(1, 3), (4, 3), (8, 1), (7, 50)])
def test_an_epoch_holds_every_pair_once(size: int, batch: int, pool: int) -> None:
    order = OrderByLength(numbered(size), lengths(size), batch_size=batch, pool=pool, seed=3)
    for epoch in (0, 1, 2, 9):
        found = [order(p) for p in range(epoch * size, (epoch + 1) * size)]
        assert sorted(found) == list(range(size))


def test_any_position_goes_on_as_the_whole_run_does() -> None:
    own = {"batch_size": 4, "pool": 5, "seed": 1}
    whole = OrderByLength(numbered(57), lengths(57), **own)
    indices = [whole(p) for p in range(300)]
    for start in (1, 19, 20, 57, 113, 250):
        later = OrderByLength(numbered(57), lengths(57), **own)
        assert [later(p) for p in range(start, 300)] == indices[start:]
    other = OrderByLength(numbered(57), lengths(57), batch_size=4, pool=5, seed=2)
    assert [other(p) for p in range(300)] != indices


def test_batches_hold_pairs_about_as_long_as_each_other() -> None:
    pairs, sizes = numbered(3001), lengths(3001)
    order = OrderByLength(pairs, sizes, batch_size=16, pool=50, seed=0)
    # Five epochs, none of which ends with a batch.
    sorted_share = padding(order, sizes, 16, 930)
    shuffled = padding(lambda p: index_at(pairs, p, seed=0), sizes, 16, 930)
    assert shuffled > 0.6 and sorted_share < 0.12
    # Short and long ones follow each other: a batch tells nothing about the next.
    means = np.array([sizes[order(p)] for p in range(16 * 150)]).reshape(-1, 16).mean(1)
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.3


def test_pairs_of_one_length_stay_shuffled() -> None:
    pairs = numbered(400)
    order = OrderByLength(pairs, np.ones(400, int), batch_size=4, pool=10, seed=0)
    found = [order(p) for p in range(800)]
    assert found[:400] != found[400:] and np.corrcoef(found[:400], range(400))[0, 1] < 0.2


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_it_without_overlap_or_gap(world: int) -> None:
    pairs = numbered(101)
    settings = TrainSettings(batch_size=4, seed=5, by_length=6)
    own = {"order": OrderByLength(pairs, lengths(101), batch_size=4, pool=6, seed=5), "first": 0}
    pipe = Autoencoding(Autoencoder.debug(), size=16)
    shares = [Batches(pipe, pairs, settings, process=p, world=world, **own) for p in range(world)]
    epoch = [where for batch in range(30) for share in shares for where in share.where(batch)][:101]
    assert sorted(epoch) == sorted(pairs.where(i) for i in range(101))


TEXTS = ["red", "a green and blue one", "two", "three stars left of a square", "four red squares"]


def writer() -> Pipeline:
    torch.manual_seed(0)
    pipe = Pipeline.compose(x="text", y="text", family="autoregressive", size="debug")
    pipe.fit_statistics([(text, text) for text in TEXTS])
    return pipe


def texts() -> Pairs:
    return ListedPairs(
        [(text, " ".join(["two"] * (1 + i % 7))) for i, text in enumerate(TEXTS * 3)]
    )


def test_lengths_are_those_of_what_is_prepared() -> None:
    pipe, pairs = writer(), ListedPairs([("red", t) for t in ("two two two", "two", "two two")])
    assert read_lengths(pipe, pairs, seed=0).tolist() == [2, 0, 1]
    # Of one x, the y decides; equals are equal.
    long = "a green and blue one left of three stars and two red squares and a blue square"
    pairs = ListedPairs([(long, "two"), ("red", "two"), ("two", "two")])
    assert read_lengths(pipe, pairs, seed=0).tolist() == [1, 0, 0]
    with pytest.raises(ValueError, match=r"^pair 1: The text is empty"):
        read_lengths(pipe, ListedPairs([("red", "two"), (" ", "two")]), seed=0)
    part = Autoencoding(Autoencoder.debug(), size=16)
    images = ListedPairs([(None, np.zeros((16, 16, 3), np.uint8))] * 3)
    assert read_lengths(part, images, seed=0).tolist() == [0, 0, 0]


class _Stop(Exception):
    pass


class _Until(Pairs):
    """The texts, until so many were read."""

    def __init__(self, left: int) -> None:
        self._pairs, self._left = texts(), left

    def __len__(self) -> int:
        return len(self._pairs)

    def pair(self, index: int, rng: np.random.Generator) -> tuple:
        self._left -= 1
        if self._left < 0:
            raise _Stop
        return self._pairs.pair(index, rng)


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    settings = {"steps": 8, "batch_size": 4, "by_length": 3, "precision": "no", "warmup": 1}
    settings |= {"checkpoint_every": 3, "statistics_from": 8, "progress": False}
    whole = fit(writer(), texts(), output=tmp_path / "a", **settings)
    with pytest.raises(_Stop):
        fit(writer(), _Until(8 + 15 + 4 * 5), output=tmp_path / "b", **settings)
    resumed = fit(writer(), texts(), output=tmp_path / "b", **settings)
    one, two = whole.parts.state_dict(), resumed.parts.state_dict()
    assert not [name for name in one if not torch.equal(one[name], two[name])]
    shuffled = fit(writer(), texts(), output=tmp_path / "c", **(settings | {"by_length": 0}))
    assert not torch.equal(next(shuffled.model.parameters()), next(whole.model.parameters()))
