"""Environments by name: the ground as it was, pictures that are quick, and what is missing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from mmgen.core.errors import MissingDependency, UnknownNameError
from mmgen.modalities.actions import read_rollouts
from mmgen.modalities.actions.environment import make_environment, picture_of

pytest.importorskip("gymnasium")


def _margins(name: str) -> set[float]:
    """Margins of the contacts of a robot that lies on the ground."""
    env = make_environment(name, max_steps=60)
    env.reset(seed=0)
    found = set()
    for _ in range(60):
        env.step(np.zeros(env.action_space.shape, np.float32))
        data = env.unwrapped.data
        found |= {round(float(c.includemargin), 6) for c in data.contact[: data.ncon]}
    env.close()
    return found


def test_robots_of_old_touch_the_ground_where_they_did() -> None:
    """Of two geoms with a margin of 0.01 the contact has one of 0.01, whatever MuJoCo is there."""
    pytest.importorskip("mujoco")
    assert _margins("Ant-v4") == {0.01}


@pytest.mark.skipif("MMGEN_DATA" not in os.environ, reason="needs the set actions of MMGEN_DATA")
def test_a_recorded_ant_replays() -> None:
    """From each recorded state the recorded action leads to the next; by 2.5 off where it did not.

    Recorded are 13 positions, of which x and y are left out, and 14 velocities.
    """
    pytest.importorskip("mujoco")
    path = Path(os.environ["MMGEN_DATA"]) / "actions" / "mujoco_Ant-v4_expert.npz"
    states = read_rollouts(path)[0].observations["observation.state"]
    actions = read_rollouts(path)[0].actions
    env, off = make_environment("Ant-v4"), []
    for t in range(0, 999, 20):
        env.reset(seed=0)
        env.unwrapped.set_state(np.concatenate([[0.0, 0.0], states[t, :13]]), states[t, 13:])
        off.append(np.abs(env.step(actions[t])[0] - states[t + 1]).max())
    env.close()
    assert max(off) < 0.01


def test_newer_versions_are_left_alone() -> None:
    pytest.importorskip("mujoco")
    env = make_environment("Ant-v5")
    assert (env.unwrapped.model.geom_margin == 0.01).all()
    env.close()


def test_pictures_follow_and_are_small() -> None:
    pytest.importorskip("mujoco")
    env = make_environment("Hopper-v4", rendered=True)
    env.reset(seed=0)
    model, renderer = env.unwrapped.model, env.unwrapped.mujoco_renderer
    assert model.camera(renderer.camera_id).name == "track"
    assert picture_of(env).shape == (320, 320, 3) and picture_of(env).std() > 10
    env.close()


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="Hopper-v4"):
        make_environment("Hoper-v4")
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    with pytest.raises(MissingDependency, match=r"gym_pusht/PushT-v0 needs gym-pusht.*\[policies"):
        make_environment("gym_pusht/PushT-v0")
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(MissingDependency, match=r"needs gymnasium.*\[policies"):
        make_environment("Hopper-v4")
