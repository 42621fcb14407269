"""Held-out pairs: the best weights are the result, and a run may end early."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmgen.core.errors import LoadError
from mmgen.pipeline import Pipeline
from mmgen.training import fit
from mmgen.training.pairs import ListedPairs

SETTINGS = {
    "batch_size": 8,
    "warmup": 1,
    "log_every": 5,
    "precision": "no",
    "ema": 0.0,
    "validate_every": 5,
    "validation_from": 64,
    "sample_every": 0,
    "progress": False,
}


def points(count: int, *, seed: int, mean: float) -> ListedPairs:
    """Of a Gaussian about (mean, -mean)."""
    x = np.random.default_rng(seed).normal(size=(count, 2)) * 0.1 + (mean, -mean)
    return ListedPairs([(None, {"a": a, "b": b}) for a, b in x.tolist()])


def flow() -> Pipeline:
    torch.manual_seed(0)
    pipe = Pipeline.compose(
        x="properties", family="normalizing_flow", size="debug", labels=["a", "b"]
    )
    pipe.fit_statistics(points(256, seed=9, mean=0.0)._pairs)
    return pipe


def measured(folder: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(r["step"], r["validation_loss"]) for r in rows if "validation_loss" in r]


def nats(pipe: Pipeline, pairs: ListedPairs) -> float:
    values = [x for _, x in pairs._pairs]
    return float(pipe.given([None] * len(values)).log_prob(values).nats.mean())


def test_the_loss_is_that_of_the_held_out_pairs(tmp_path: Path) -> None:
    pairs, held_out = points(64, seed=0, mean=0.2), points(64, seed=1, mean=0.2)
    settings = SETTINGS | {"steps": 20, "learning_rate": 3e-3, "validation": held_out}
    pipe = fit(flow(), pairs, output=tmp_path, **settings)
    found = measured(tmp_path)
    assert [step for step, _ in found] == [0, 5, 10, 15, 20]
    first, best = found[0][1], min(loss for _, loss in found)
    assert best < first
    # The flow's loss is in nats for each of two dimensions.
    gain = (nats(pipe, held_out) - nats(flow(), held_out)) / 2
    assert gain == pytest.approx(first - best, rel=1e-3)
    kept = json.loads((tmp_path / "best" / "best.json").read_text())
    assert kept["loss"] == pytest.approx(best, abs=1e-5)
    again = fit(flow(), pairs, output=tmp_path, **settings)
    assert nats(again, held_out) == nats(pipe, held_out)


def test_the_best_weights_win_and_the_run_ends(tmp_path: Path) -> None:
    # It learns what is elsewhere than what is held out, so it only gets worse.
    pipe = fit(
        flow(),
        points(64, seed=0, mean=1.0),
        output=tmp_path,
        validation=points(64, seed=1, mean=0.0),
        steps=100,
        learning_rate=1e-2,
        patience=3,
        **SETTINGS,
    )
    found = measured(tmp_path)
    steps, losses = zip(*found, strict=True)
    best = int(np.argmin(losses))
    assert best + 3 == len(found) - 1 and steps[-1] < 100
    held_out = points(64, seed=1, mean=0.0)
    loss = (nats(flow(), held_out) - nats(pipe, held_out)) / 2
    assert loss == pytest.approx(losses[best] - losses[0], abs=1e-3)


def test_a_stopped_run_knows_what_was_best(tmp_path: Path) -> None:
    pairs, held_out = points(64, seed=0, mean=0.0), points(64, seed=1, mean=0.0)
    settings = SETTINGS | {"checkpoint_every": 10, "learning_rate": 3e-3}

    def run(folder: Path, steps: int) -> Pipeline:
        return fit(flow(), pairs, output=folder, validation=held_out, steps=steps, **settings)

    class Stop(Exception):
        pass

    class Until(ListedPairs):
        def __init__(self) -> None:
            super().__init__(pairs._pairs)
            self.left = 8 * 13

        def pair(self, index: int, rng: np.random.Generator) -> tuple:
            self.left -= 1
            if self.left < 0:
                raise Stop
            return super().pair(index, rng)

    whole = run(tmp_path / "a", 20)
    with pytest.raises(Stop):
        fit(flow(), Until(), output=tmp_path / "b", validation=held_out, steps=20, **settings)
    resumed = run(tmp_path / "b", 20)
    ours, theirs = whole.parts.state_dict(), resumed.parts.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_patience_needs_something_to_wait_for(tmp_path: Path) -> None:
    pairs = points(4, seed=0, mean=0.0)
    with pytest.raises(ValueError, match=r"patience=2 waits .*Give validation, or leave patience"):
        fit(flow(), pairs, output=tmp_path / "run", patience=2, **SETTINGS)
    assert not (tmp_path / "run").exists()
    (tmp_path / "file").touch()
    with pytest.raises(LoadError, match="is a file. Name a folder"):
        fit(flow(), pairs, output=tmp_path / "file", steps=1, **SETTINGS)
