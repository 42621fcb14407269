"""Recorded episodes to pairs, and to the policies that learn from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mmgen.core.errors import LoadError
from mmgen.training import TrainSettings
from mmgen.training.imitation import SETTINGS, Imitation

STATE = "observation.state"


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Imitation:
    """An expert of two episodes of 6 and 5 steps, who asks for more than is carried out."""
    monkeypatch.setenv("MMGEN_DATA", str(tmp_path))
    (tmp_path / "robots").mkdir()
    rows = {}
    for k, steps in enumerate((6, 5)):
        state = np.arange(3 * steps, dtype=np.float32).reshape(steps, 3) + 100 * k
        rows[f"observation_{k}"] = state
        rows[f"action_{k}"] = np.linspace(-2, 2, 2 * steps, dtype=np.float32).reshape(steps, 2)
    np.savez(tmp_path / "robots" / "expert.npz", **rows)
    return Imitation(
        expert="robots/expert.npz",
        num_states=3,
        num_actions=2,
        history=2,
        horizon=3,
        bounds=(-1.0, 0.5),
    )


def test_pairs_are_windows_of_what_is_carried_out(task: Imitation) -> None:
    pairs = task.pairs()
    # No chunk is longer than its episode.
    assert len(pairs) == 4 + 3 and pairs.fixed
    seen, chunk = pairs.pair(1, np.random.default_rng(0))
    assert seen[STATE].tolist() == [[0, 1, 2], [3, 4, 5]]
    asked = np.linspace(-2, 2, 12, dtype=np.float32).reshape(6, 2)
    assert chunk == pytest.approx(asked[1:4].clip(-1, 0.5))
    # The first observation stands for those before it, also in the second episode.
    assert pairs.pair(4, np.random.default_rng(0))[0][STATE].tolist() == [[100, 101, 102]] * 2


def test_blurred_actions_are_drawn_anew_within_the_bounds(task: Imitation) -> None:
    exact, pairs = task.pairs(), dataclasses.replace(task, blur=0.1).pairs()
    assert len(pairs) == len(exact) and not pairs.fixed
    (seen, chunk), (same, wanted) = (p.pair(1, np.random.default_rng(0)) for p in (pairs, exact))
    assert (seen[STATE] == same[STATE]).all()
    assert chunk.dtype == np.float32 and chunk.min() >= -1 and chunk.max() <= 0.5
    assert (chunk == pairs.pair(1, np.random.default_rng(0))[1]).all()
    assert (chunk != pairs.pair(1, np.random.default_rng(1))[1]).any()
    # A tenth of their deviation, which is 0.6 at most.
    assert 0 < np.abs(chunk - wanted).max() < 0.3


@pytest.mark.parametrize("kind", ["diffusion", "tokens"])
def test_policies_fit_the_pairs(task: Imitation, kind: str) -> None:
    pipe = getattr(task, kind)(dim=32, depth=1)
    learnt = [task.pairs().pair(i, np.random.default_rng(0)) for i in range(7)]
    pipe.fit_statistics(learnt)
    assert pipe.loss(pipe.prepare(learnt)).isfinite().all()
    chunk = pipe(learnt[0][0], seed=0)
    assert chunk.shape == (3, 2)
    # A bin's middle lies within the range that was seen, and diffusion is clipped to the bounds.
    assert chunk.min() >= -1 and chunk.max() <= 0.5


def test_without_bounds_it_learns_what_the_expert_asks_for(task: Imitation) -> None:
    free = dataclasses.replace(task, bounds=None)
    asked = np.linspace(-2, 2, 12, dtype=np.float32).reshape(6, 2)
    assert free.pairs().pair(1, np.random.default_rng(0))[1] == pytest.approx(asked[1:4])
    blurred = dataclasses.replace(free, blur=0.1).pairs().pair(0, np.random.default_rng(0))[1]
    assert blurred.min() < -1.5 and blurred.dtype == np.float32
    pipe = free.fitted(free.diffusion(dim=32, depth=1, attentive=False))
    assert not pipe.codec.clip and pipe(free.standing()[0], seed=0).shape == (3, 2)


def test_a_preview_and_statistics_without_any_data(task: Imitation) -> None:
    assert task.standing(1.5) == [{STATE: [[1.5, 0.0, 0.0]] * 2}]
    pipe = task.fitted(task.diffusion(dim=32, depth=1))
    assert pipe(task.standing(1.5)[0], seed=0).shape == (3, 2)


def test_settings_lack_the_steps_alone() -> None:
    assert "steps" not in SETTINGS
    assert TrainSettings(**SETTINGS, steps=7).batch_size == 64


def test_without_its_archive_it_says_where_that_should_be(
    task: Imitation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MMGEN_DATA")
    with pytest.raises(LoadError, match=r"robots/expert.npz.*MMGEN_DATA is not set"):
        task.pairs()
