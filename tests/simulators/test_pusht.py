"""PushT: pushes that are tried are those that happen, and the expert brings the T to its place."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from mmgen.core.errors import LoadError, MissingDependency
from mmgen.simulators.pusht import (
    GOAL,
    Demonstration,
    Expert,
    Table,
    cache_folder,
    demonstrations,
    distance,
    play,
)
from mmgen.simulators.pusht import demonstrations as kept
from mmgen.simulators.pusht.ways import ROOM, clear, free, lengths, nearest, way

EVERYWHERE = np.ones(6, bool)


@pytest.fixture(scope="module")
def table() -> Table:
    pytest.importorskip("gym_pusht")
    return Table()


def test_the_distance_is_of_the_mass() -> None:
    assert distance(GOAL) == 0 and distance(GOAL + [0, 0, 2 * np.pi]) == pytest.approx(0, abs=1e-9)
    assert distance(GOAL + [3, 4, 0]) == pytest.approx(5)
    # A turn about the centre of mass moves the origin, and the mass by its radius of gyration.
    turned = GOAL + [0, 0, 0.01]
    turned[:2] += 45 * np.array([np.sin(turned[2]) - np.sin(GOAL[2]), 0])
    turned[1] -= 45 * (np.cos(turned[2]) - np.cos(GOAL[2]))
    assert distance(turned) == pytest.approx(0.01 * 3000**0.5)


def test_ways_lead_around_the_t() -> None:
    left, right = np.array([-60.0, 80.0]), np.array([60.0, 80.0])
    assert not free(left, right) and free(left, np.array([-60.0, 160.0]))
    points = way(left, right, EVERYWHERE)
    whole = np.concatenate([left[None], points])
    assert all(free(a, b) for a, b in zip(whole[:-1], whole[1:], strict=True))
    length = np.linalg.norm(np.diff(whole, axis=0), axis=1).sum()
    assert length == pytest.approx(lengths(left, right[None], EVERYWHERE)[0])
    assert np.array_equal(points[-1], right) and 150 < length < 220
    assert not clear(np.array([0.0, 15.0])) and clear(np.array([0.0, -ROOM]))
    assert np.allclose(nearest(np.array([[0.0, -40.0], [90.0, 15.0]])), [[0, 0], [60, 15]])


def test_a_push_that_is_tried_is_the_one_that_happens(table: Table) -> None:
    """The same way as gym-pusht's own agent goes, on a table of which the state was set."""
    state = table.start(14)
    expert, states = Expert(table), [state]
    agents = [state[:2]]
    for _ in range(38):
        state, _, _ = table.step(expert.act(state))
        states.append(state)
        agents.append(state[:2])
    # From where the agent stood at the end of each tenth of a second, in straight lines between.
    path = np.concatenate(
        [
            np.linspace(a, b, 10, endpoint=False)
            for a, b in zip(agents[:-1], agents[1:], strict=True)
        ]
    )
    found = table.push(states[0][2:], path)
    moved = distance(states[-1][2:], states[0][2:])
    assert moved > 20
    assert distance(found[-1], states[-1][2:]) < 0.1 * moved


def test_a_push_in_a_mirror_does_the_same_in_a_mirror(table: Table) -> None:
    pose, path = np.array([220.0, 250.0, 0.3]), np.linspace([250.0, 215.0], [240.0, 320.0], 60)
    states = np.column_stack([path, table.push(pose, path)])
    shown = Demonstration(0, states, path, np.zeros(60))
    other = shown.mirrored()
    found = table.push(other.states[0, 2:], other.states[:, :2])
    assert distance(found[-1], other.states[-1, 2:]) < 1.0 < distance(found[-1], found[0])
    assert np.allclose(distance(other.states[:, 2:]), distance(states[:, 2:]))
    assert np.allclose(other.mirrored().states[:, :4], states[:, :4])
    assert np.allclose(other.actions, other.states[:, :2])


def test_the_expert_succeeds_and_does_the_same_again(table: Table) -> None:
    shown = play(14, table=table)
    assert shown.succeeded and len(shown.states) == len(shown.actions) + 1 < 200
    assert shown.actions.min() >= 0 and shown.actions.max() <= 512
    again = play(14, table=Table(), max_steps=30)
    assert np.array_equal(shown.states[:31], again.states)
    # What the expert would have done is kept, not where the agent was led.
    steady = play(14, table=table, sway=0.0, max_steps=5)
    assert np.array_equal(steady.states[0], shown.states[0]) and len(steady.actions) == 5
    assert not np.array_equal(steady.states[-1], shown.states[5])


def test_an_episode_that_starts_near_its_goal(table: Table) -> None:
    starts = [table.start(seed, near=True) for seed in range(20)]
    assert max(distance(s[2:]) for s in starts) < 90
    assert np.array_equal(starts[3], table.start(3, near=True))
    shown = play(2, near=True, table=table)
    assert np.allclose(shown.states[0], starts[2], atol=1e-3) and shown.succeeded


def test_demonstrations_are_played_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gym_pusht")
    played = []

    def short(seed: int, **chosen: object) -> Demonstration:
        played.append(seed)
        # The expert fails in every third.
        scores = np.full(1, 0.5 if seed % 3 == 0 else 1.0, np.float32)
        return Demonstration(seed, np.zeros((2, 5)), np.zeros((1, 2)), scores)

    monkeypatch.setattr(sys.modules[kept.__module__], "play", short)
    told: list[tuple[int, int]] = []
    tell = lambda number, count: told.append((number, count))  # noqa: E731
    assert [d.seed for d in demonstrations(2, folder=tmp_path)] == [1, 2]
    (tmp_path / "000004.part").write_bytes(b"PK")
    assert [d.seed for d in demonstrations(4, folder=tmp_path, progress=tell)] == [1, 2, 4, 5]
    assert played == [0, 1, 2, 3, 4, 5] and told[-1] == (4, 4)
    assert not list(tmp_path.glob("*.part"))
    assert [d.seed for d in demonstrations(1, near=True, folder=tmp_path)] == [1]
    assert (tmp_path / "near-000001.npz").is_file()
    broken = tmp_path / "000002.npz"
    for content in (b"PK", b"junk", None):
        if content is None:
            own = {"states": np.zeros((2, 5)), "actions": np.zeros((3, 2)), "scores": np.ones(3)}
            np.savez(broken, **own)
        else:
            broken.write_bytes(content)
        with pytest.raises(LoadError, match=r"000002.npz' holds no demonstration.*Delete it"):
            demonstrations(2, folder=tmp_path)


def test_where_demonstrations_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MMGEN_PUSHT", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("MMGEN_PUSHT")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "mmgen" / "pusht"


def test_without_gym_pusht(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "gym_pusht.envs", None)
    with pytest.raises(MissingDependency, match=r"gym-pusht.*policies"):
        demonstrations(1, folder=tmp_path)
