"""Streams: every item once an epoch, over several processes, and from where a run stopped."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from mmgen.core.errors import LoadError
from mmgen.pipeline import Pipeline
from mmgen.training import StreamedPairs, TrainSettings, fit, read_pairs, rehearse
from mmgen.training.batches import Batches
from mmgen.training.streaming import Cursor

WORDS = ["red", "green", "blue", "one", "two", "three"]


class Stream:
    """Numbered pairs, with no length and no index; and how many items were given."""

    given = 0

    def __init__(self, size: int) -> None:
        self._size = size

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for i in range(self._size):
            self.given += 1
            yield WORDS[i % 6], f"{WORDS[i % 5]} {i}"


def numbers(stream: StreamedPairs, seed: int, count: int) -> list[int]:
    return [number for number, _ in islice(stream.shuffled(seed), count)]


@pytest.mark.parametrize("size", [1, 5, 40])
@pytest.mark.parametrize("buffer", [1, 3, 7, 1000])
def test_an_epoch_holds_every_item_once(size: int, buffer: int) -> None:
    stream = StreamedPairs(Stream(size), buffer=buffer)
    found = numbers(stream, 0, 3 * size)
    for epoch in range(3):
        own = found[epoch * size : (epoch + 1) * size]
        assert sorted(own) == list(range(size))
        assert own == list(range(size)) or buffer > 1
    if size == 40 and buffer > 1:
        assert found[:40] != found[40:80] != list(range(40))
        assert numbers(stream, 1, 40) != found[:40]
        # No item comes before the buffer could hold it.
        assert all(number <= place + buffer for place, number in enumerate(found[:40]))
    assert numbers(stream, 0, 3 * size) == found


def test_a_cursor_reads_on_and_uses_only_what_is_asked_for() -> None:
    used = []
    source = Stream(20)
    stream = StreamedPairs(source, buffer=6, read=lambda item: used.append(item) or item)
    whole = [Cursor(stream, seed=3).pair(p) for p in range(50)]
    source.given, used[:] = 0, []
    cursor = Cursor(stream, seed=3)
    places = [0, 1, 7, 8, 19, 20, 33, 49]
    assert [cursor.pair(p) for p in places] == [whole[p] for p in places]
    assert len(used) == len(places) and source.given == 40 + 10 + 6
    assert cursor.pair(5) == whole[5]


def writer() -> Pipeline:
    torch.manual_seed(0)
    pipe = Pipeline.compose(x="text", y="text", family="autoregressive", size="debug")
    pipe.fit_statistics([(word, word) for word in WORDS])
    return pipe


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_share_it_without_overlap_or_gap(world: int) -> None:
    shares: list[list[Any]] = [[] for _ in range(world)]
    settings = TrainSettings(batch_size=2, steps=9, seed=4)
    for process, used in enumerate(shares):
        stream = StreamedPairs(
            Stream(12 * world), buffer=5, read=lambda item, used=used: used.append(item) or item
        )
        own = {"order": None, "first": 3, "process": process, "world": world}
        assert len(list(Batches(writer(), stream, settings, **own))) == 6
    stream = StreamedPairs(Stream(12 * world), buffer=5)
    alone = [Cursor(stream, seed=4).pair(p) for p in range(18 * world)][6 * world :]
    together = [
        pair for batch in range(6) for used in shares for pair in used[2 * batch : 2 * batch + 2]
    ]
    assert together == alone
    # The rest of the first epoch, of which nothing was seen twice.
    assert len(set(together[: 6 * world])) == 6 * world


SETTINGS = {"steps": 8, "batch_size": 4, "precision": "no", "warmup": 1, "progress": False}
SETTINGS |= {"statistics_from": 6}


# Where there is one core.
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_run_on_a_stream_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    class Until(Stream):
        left = 6 + 30

        def __iter__(self) -> Iterator[tuple[str, str]]:
            for item in super().__iter__():
                self.left -= 1
                if self.left < 0:
                    raise KeyError("torn down")
                yield item

    settings = SETTINGS | {"checkpoint_every": 3}
    whole = fit(writer(), Stream(14), output=tmp_path / "a", **settings)
    with pytest.raises(KeyError, match="torn down"):
        fit(writer(), Until(14), output=tmp_path / "b", **settings)
    assert (tmp_path / "b" / "checkpoint").is_dir()
    resumed = fit(writer(), Stream(14), output=tmp_path / "b", **(settings | {"workers": 2}))
    for name, value in whole.parts.state_dict().items():
        assert torch.equal(value, resumed.parts.state_dict()[name])


def test_a_dry_run_of_a_stream_does_not_know_its_epochs() -> None:
    settings = {k: v for k, v in SETTINGS.items() if k != "progress"}
    found = rehearse(writer(), Stream(5), num_steps=1, **settings)
    assert found.num_pairs is None and found.epochs is None and found.seen == 32


class Rows:
    """What a streamed data set of the datasets library gives."""

    def __init__(self, names: tuple[str, ...] | None) -> None:
        self.column_names = names

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield {"target": "two", "source": "one"}
        yield {"target": None, "source": "red"}


@pytest.mark.parametrize("names", [("source", "target"), None])
def test_streamed_data_sets_are_read_by_their_columns(names: tuple[str, ...] | None) -> None:
    pairs = read_pairs(Rows(names), writer())
    assert isinstance(pairs, StreamedPairs)
    cursor = Cursor(StreamedPairs(Rows(names), buffer=1, read=pairs._read), seed=0)
    assert cursor.pair(0) == ("one", "two")
    with pytest.raises(ValueError, match=r"^item 1 of the stream: target is empty"):
        cursor.pair(1)
    with pytest.raises(LoadError, match="A stream has no split 'test'"):
        read_pairs(Rows(names), writer(), split="test")
    with pytest.raises(LoadError, match="no column 'text'"):
        read_pairs(Rows(names), writer(), columns={"x": "text"})


def test_what_cannot_be_read_again_is_refused_or_held() -> None:
    with pytest.raises(TypeError, match=r"can be read again and again, got generator"):
        StreamedPairs(pair for pair in Stream(3))
    with pytest.raises(TypeError, match="an iterable of pairs, got int"):
        StreamedPairs(3)
    with pytest.raises(ValueError, match="at least 1 item"):
        StreamedPairs(Stream(3), buffer=0)
    assert len(read_pairs((pair for pair in Stream(3)), writer())) == 3
    assert read_pairs(lambda: iter(Stream(3)), writer()).first(9) == list(Stream(3))


def test_streams_that_end_for_good_or_hold_no_pairs(tmp_path: Path) -> None:
    once = iter(Stream(3))
    with pytest.raises(ValueError, match="Epoch 1 of the stream holds no pairs"):
        numbers(StreamedPairs(lambda: once), 0, 4)
    with pytest.raises(ValueError, match="at least one pair in the stream"):
        fit(writer(), Stream(0), output=tmp_path / "a", **SETTINGS)
    with pytest.raises(ValueError, match=r"^item 0 of the stream: Expected a pair \(y, x\)"):
        Cursor(StreamedPairs(lambda: ["ab"]), seed=0).pair(0)
    with pytest.raises(TypeError, match="a stream is none"):
        fit(writer(), Stream(3), output=tmp_path / "b", validation=Stream(3), **SETTINGS)
    with pytest.raises(ValueError, match="by_length"):
        fit(writer(), Stream(3), output=tmp_path / "c", by_length=2, **SETTINGS)
