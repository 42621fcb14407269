"""Environments of gymnasium by name."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from mmgen.core.errors import MissingDependency, UnknownNameError, close_names

if TYPE_CHECKING:
    import gymnasium

__all__ = ["make_environment", "picture_of"]

_MOST_PIXELS = 320


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
            made = gym.make(name, **own)
    except gym.error.DependencyNotInstalled as error:
        raise MissingDependency(
            str(error).split("`")[0][:80].strip() or "a library",
            extra="policies",
            purpose=f"The environment {name}",
        ) from None
    except (gym.error.UnregisteredEnv, ModuleNotFoundError) as error:
        names = [str(known) for known in gym.registry]
        raise UnknownNameError(
            f"No environment {name!r}: {error} {close_names(name, names)}"
        ) from None
    _follow(made)
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
    renderer = getattr(environment.unwrapped, "mujoco_renderer", None)
    if renderer is None or renderer.camera_id != -1:
        return
    model = environment.unwrapped.model
    names = [model.camera(i).name for i in range(model.ncam)]
    if "track" in names:
        renderer.camera_id = names.index("track")


def _gymnasium() -> Any:
    try:
        import gymnasium
    except ImportError:
        raise MissingDependency(
            "gymnasium", extra="policies", purpose="Running an environment"
        ) from None
    return gymnasium
