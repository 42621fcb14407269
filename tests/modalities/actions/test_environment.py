"""Environments by name: the ground as it was, pictures that are quick, and what is missing."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from mmgen.core.errors import MissingDependency, UnknownNameError
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
