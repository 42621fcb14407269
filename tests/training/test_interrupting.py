"""Ctrl-C ends a run with a checkpoint of the step that was done, and the same call goes on."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from mmgen.pipeline import Pipeline
from mmgen.training import fit
from mmgen.training.interrupting import put_off
from mmgen.training.pairs import Pairs

SETTINGS = {
    "steps": 5,
    "batch_size": 2,
    "warmup": 1,
    "precision": "no",
    "statistics_from": 4,
    "checkpoint_every": 100,
    "progress": False,
}


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """As in a terminal: a shell lets what it starts in the background ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class _Colours(Pairs):
    """Classes and pictures of one colour. Ctrl-C is pressed while the batch of a step is read."""

    def __init__(self, presses: tuple[int, ...] = ()) -> None:
        self._reads, self._presses = -4, [2 * step for step in presses]  # after the statistics

    def __len__(self) -> int:
        return 6

    def pair(self, index: int, rng: np.random.Generator) -> tuple[str, np.ndarray]:
        for press in self._presses:
            if press == self._reads:
                signal.raise_signal(signal.SIGINT)
        self._reads += 1
        return "ab"[index % 2], np.full((16, 16, 3), 40 * index, np.uint8)


def trained(folder: Path, pairs: Pairs, **settings: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    pipe = Pipeline.compose(
        x="image", y="label", family="diffusion", size="debug", labels=["a", "b"]
    )
    return fit(pipe, pairs, output=folder, **(SETTINGS | settings)).parts.state_dict()


@pytest.mark.parametrize("workers", [0, 1])
def test_the_step_that_was_done_is_saved(tmp_path: Path, workers: int) -> None:
    if workers:
        # Of what a worker is told nothing comes of it; the run goes on.
        assert trained(tmp_path / "run", _Colours((2,)), workers=1)
        return
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", _Colours((2,)))
    assert json.loads((tmp_path / "run/checkpoint/state.json").read_text())["step"] == 3
    whole = trained(tmp_path / "whole", _Colours())
    resumed = trained(tmp_path / "run", _Colours())
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_one_does_not_wait() -> None:
    with pytest.raises(KeyboardInterrupt), put_off() as found:
        signal.raise_signal(signal.SIGINT)
        assert found.asked
        signal.raise_signal(signal.SIGINT)


def test_who_handles_it_otherwise_goes_on_to() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        with put_off() as found:
            signal.raise_signal(signal.SIGINT)
        assert seen == [signal.SIGINT] and not found.asked
    finally:
        signal.signal(signal.SIGINT, before)
