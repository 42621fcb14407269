"""Environments of gymnasium by name."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mmgen.core.errors import MissingDependency, UnknownNameError, close_names

if TYPE_CHECKING:
    import gymnasium

__all__ = ["make_environment", "picture_of"]

_MOST_PIXELS = 320
_MUJOCO = "gymnasium.envs.mujoco."
_PACKAGES = {"gym_pusht": "gym-pusht"}
"""Packages of environments that the extra brings, by what their names begin with."""
_TOUCHING = """
<mujoco><worldbody>
  <geom type="plane" size="1 1 1" margin="0.01"/>
  <body pos="0 0 0.1"><freejoint/><geom size="0.1" margin="0.01"/></body>
</worldbody></mujoco>
"""


def make_environment(
    name: str, *, rendered: bool = False, max_steps: int | None = None
) -> gymnasium.Env:
    """The environment of this name, as gymnasium registers it.

    Args:
        name: Such as "Hopper-v4", or "gym_pusht/PushT-v0", whose first part is imported.
        rendered: Whether pictures of it can be taken. Without a display they are drawn by EGL.
        max_steps: Where episodes are cut; where the environment cuts them if None.

    Raises:
        UnknownNameError: If there is none of that name.
        MissingDependency: If gymnasium, or what the environment itself needs, is not installed.
    """
    gym = _gymnasium()
    package = name.replace(":", "/").partition("/")[0]
    headless = sys.platform == "linux" and not os.environ.get("DISPLAY")
    if rendered and headless:
        # Read once, by mujoco when it is imported; what the user has set stays.
        os.environ.setdefault("MUJOCO_GL", "egl")
    own: dict[str, Any] = {"render_mode": "rgb_array"} if rendered else {}
    if max_steps is not None:
        own["max_episode_steps"] = max_steps
    try:
        with warnings.catch_warnings():
            # An older version is named because the expert was recorded in it.
            warnings.filterwarnings("ignore", message=".*out of date", category=DeprecationWarning)
            warnings.filterwarnings("ignore", message=".*out of date", category=UserWarning)
            if package in _PACKAGES and importlib.util.find_spec(package) is not None:
                # It registers its environments.
                importlib.import_module(package)
            made = gym.make(name, **own)
    except gym.error.DependencyNotInstalled as error:
        raise MissingDependency(
            str(error).split("`")[0][:80].strip() or "a library",
            extra="policies",
            purpose=f"The environment {name}",
        ) from None
    except (gym.error.UnregisteredEnv, ModuleNotFoundError) as error:
        if package in _PACKAGES and importlib.util.find_spec(package) is None:
            raise MissingDependency(
                _PACKAGES[package], extra="policies", purpose=f"The environment {name}"
            ) from None
        names = [str(known) for known in gym.registry]
        raise UnknownNameError(
            f"No environment {name!r}: {error} {close_names(name, names)}"
        ) from None
    if type(made.unwrapped).__module__.startswith(_MUJOCO):
        _follow(made)
        if rendered:
            _draw_quickly(made)
        if (made.spec.version or 0) <= 4:
            _touch_as_before(made)
    return made


def picture_of(environment: gymnasium.Env) -> np.ndarray:
    """What a rendered environment looks like now, uint8 (H, W, 3) of even sides.

    Large pictures are made smaller by a whole number, so that films of an episode fit in memory.
    """
    frame = np.asarray(environment.render())
    step = -(-max(frame.shape[:2]) // _MOST_PIXELS)
    small = frame[::step, ::step]
    return np.ascontiguousarray(small[: small.shape[0] // 2 * 2, : small.shape[1] // 2 * 2])


def _follow(environment: gymnasium.Env) -> None:
    """Let MuJoCo's own camera go along, where there is one.

    gymnasium 1.4 takes a camera that stands still, out of whose sight a robot soon runs.
    """
    renderer = environment.unwrapped.mujoco_renderer
    if renderer.camera_id != -1:
        return
    model = environment.unwrapped.model
    names = [model.camera(i).name for i in range(model.ncam)]
    if "track" in names:
        renderer.camera_id = names.index("track")


def _draw_quickly(environment: gymnasium.Env) -> None:
    """Leave out what makes pictures slow where no graphics card draws them.

    A fifteenth of the time: without shadows, mirrors and several samples a pixel, and in the size
    in which pictures are taken.
    """
    model, renderer = environment.unwrapped.model, environment.unwrapped.mujoco_renderer
    model.light_castshadow[:] = 0
    model.mat_reflectance[:] = 0
    model.vis.quality.offsamples = 0
    renderer.width, renderer.height = _MOST_PIXELS, _MOST_PIXELS


def _touch_as_before(environment: gymnasium.Env) -> None:
    """Let robots of versions up to v4 touch the ground as they did when these were defined.

    A contact begins at a margin, which once was the greater one of the two geoms'. It is their sum
    now, so that a robot touches twice as early: recorded episodes of Ant and Hopper do not replay.
    What never moves gives up its margin, where what moves has one as large.
    """
    if not _margins_add_up():
        return
    model = environment.unwrapped.model
    still = model.body_weldid[model.geom_bodyid] == 0
    if still.any() and not still.all():
        least = model.geom_margin[~still].min()
        model.geom_margin[still & (model.geom_margin <= least)] = 0


@cache
def _margins_add_up() -> bool:
    """Whether this MuJoCo adds the margins of two geoms, asked of two that touch."""
    import mujoco

    model = mujoco.MjModel.from_xml_string(_TOUCHING)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return bool(data.contact[0].includemargin > 0.015)


def _gymnasium() -> Any:
    try:
        import gymnasium
    except ImportError:
        raise MissingDependency(
            "gymnasium", extra="policies", purpose="Running an environment"
        ) from None
    return gymnasium
