"""The order of pairs: each once an epoch, taken up anywhere, the same in any process."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from mmgen.nn.autoencoder import Autoencoder
from mmgen.training import Autoencoding, TrainSettings
from mmgen.training.batches import Batches
from mmgen.training.pairs import DrawnPairs, ListedPairs, Pairs, batch_at, index_at

SIZES = (1, 2, 3, 4, 5, 7, 16, 17, 63, 64, 65, 100, 255, 257, 1000)


def _numbered(size: int) -> Pairs:
    return ListedPairs([(i, -i) for i in range(size)])


def _drawn(index: int, rng: np.random.Generator) -> tuple[int, float]:
    return index, float(rng.random())


def _indices(pairs: Pairs, first: int, count: int, *, seed: int = 0) -> list[int]:
    return [y for y, _ in batch_at(pairs, first, count, seed=seed)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", [0, 1, 12_345])
def test_an_epoch_holds_every_index_once(size: int, seed: int) -> None:
    pairs = _numbered(size)
    for epoch in (0, 1, 7):
        found = _indices(pairs, epoch * size, size, seed=seed)
        assert sorted(found) == list(range(size))


def test_epochs_and_seeds_differ_in_order() -> None:
    pairs = _numbered(1000)
    orders = [_indices(pairs, first, 1000, seed=s) for first, s in ((0, 0), (1000, 0), (0, 1))]
    orders.append(list(range(1000)))
    for i, one in enumerate(orders):
        for other in orders[i + 1 :]:
            same = sum(a == b for a, b in zip(one, other, strict=True))
            assert same < 20  # one is expected of two independent orders


@pytest.mark.parametrize("start", [0, 1, 31, 99, 100, 101, 250, 2**40])
def test_any_position_goes_on_as_the_whole_run_does(start: int) -> None:
    pairs = DrawnPairs(_drawn, 100)
    whole = batch_at(pairs, start, 150, seed=3)
    parts = [p for at in range(0, 150, 25) for p in batch_at(pairs, start + at, 25, seed=3)]
    assert whole == parts


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_processes_share_a_run_without_overlap_or_gap(world: int) -> None:
    pairs, settings = DrawnPairs(_drawn, 101), TrainSettings(batch_size=4, seed=5)
    own = {"order": partial(index_at, pairs, seed=5), "first": 0, "world": world}
    shares = [
        Batches(Autoencoding(Autoencoder.debug(), size=16), pairs, settings, process=p, **own)
        for p in range(world)
    ]
    together = [where for batch in range(6) for share in shares for where in share.where(batch)]
    alone = [pairs.where(index_at(pairs, place, seed=5)) for place in range(6 * 4 * world)]
    assert together == alone


def test_draws_follow_from_the_place_in_the_run() -> None:
    pairs = DrawnPairs(_drawn, 50)
    first, second = batch_at(pairs, 0, 50, seed=0), batch_at(pairs, 50, 50, seed=0)
    assert {y for y, _ in first} == {y for y, _ in second}
    assert not {x for _, x in first} & {x for _, x in second}
    assert batch_at(pairs, 0, 50, seed=0) == first
    assert not {x for _, x in first} & {x for _, x in batch_at(pairs, 0, 50, seed=1)}


# The module is run by itself: importing all of mmgen would take longer than all other tests here.
_PROGRAM = """
import runpy, sys
module = runpy.run_path(sys.argv[1])
pairs = module["DrawnPairs"](lambda index, rng: (index, rng.random()), 1000)
print([(y, float(x)) for y, x in module["batch_at"](pairs, 990, 20, seed=7)])
"""


def test_another_process_gives_the_same_order() -> None:
    pairs = DrawnPairs(_drawn, 1000)
    here = str(batch_at(pairs, 990, 20, seed=7))
    environment = os.environ | {"PYTHONHASHSEED": "4321"}
    there = subprocess.run(
        [sys.executable, "-c", _PROGRAM, inspect.getfile(batch_at)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == here


def test_order_stays_what_it_was() -> None:
    # Runs that stopped go on by this order: changing it breaks them.
    assert _indices(_numbered(10), 0, 10) == [6, 8, 0, 2, 5, 7, 4, 1, 9, 3]


def test_drawn_pairs_refuse_an_empty_epoch() -> None:
    with pytest.raises(ValueError, match="at least one pair, got 0"):
        DrawnPairs(_drawn, 0)
