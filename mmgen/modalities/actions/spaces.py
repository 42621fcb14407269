"""Gymnasium's spaces to codecs and observations, with the names that LeRobot gives them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mmgen.core.errors import MissingDependency, SpecError
from mmgen.modalities.actions.chunks import ActionChunks
from mmgen.modalities.actions.windows import window

if TYPE_CHECKING:
    import gymnasium

__all__ = ["History", "codec_of", "named", "shapes_of"]

_NAMES = {
    "pixels": "observation.image",
    "agent_pos": "observation.state",
    "environment_state": "observation.environment_state",
}


def codec_of(
    space: gymnasium.spaces.Space, *, horizon: int, clip: bool = True, **choices: Any
) -> ActionChunks:
    """The codec for chunks of the actions that a Box allows.

    Args:
        space: The environment's action space.
        horizon: Steps of a chunk.
        clip: Whether decoded actions are clipped to the bounds, if there are any.
        choices: Further arguments of `ActionChunks`.

    Raises:
        SpecError: If the space is no Box of real vectors.
        MissingDependency: If gymnasium is not installed.
    """
    box = _box(space, "actions")
    if len(box.shape) != 1 or not np.issubdtype(box.dtype, np.floating):
        raise SpecError(f"Expected actions in a Box of real vectors, got {space}.")
    bounded = bool(np.isfinite(box.low).any() or np.isfinite(box.high).any())
    bounds = {"low": box.low.tolist(), "high": box.high.tolist()}
    return ActionChunks(horizon, box.shape[0], **bounds, clip=clip and bounded, **choices)


def named(observation: Any) -> dict[str, np.ndarray]:
    """One observation of an environment as arrays by name, without history.

    An array is "observation.state", or "observation.image" if it is (H, W, 3); of a dict, each
    entry is "observation.<key>", and `pixels`, `agent_pos` and `environment_state`, and cameras
    within `pixels`, have the names that LeRobot gives them.
    """
    if not isinstance(observation, Mapping):
        array = np.asarray(observation)
        name = "image" if array.ndim == 3 else "state"
        return {f"observation.{name}": array}
    found = {}
    for key, value in observation.items():
        if isinstance(value, Mapping):
            inside = "images" if key == "pixels" else key
            found |= {f"observation.{inside}.{k}": np.asarray(v) for k, v in value.items()}
        else:
            found[_NAMES.get(key, f"observation.{key}")] = np.asarray(value)
    return found


def shapes_of(space: gymnasium.spaces.Space, *, history: int) -> dict[str, tuple[int, ...]]:
    """The shapes of `named` observations over `history` steps, as `ObservationEncoder` takes them.

    Raises:
        SpecError: If the space holds anything but Boxes of vectors and of 8-bit images.
        MissingDependency: If gymnasium is not installed.
    """
    boxes = _named_boxes(space)
    for name, box in boxes.items():
        image = len(box.shape) == 3 and box.shape[2] == 3 and box.dtype == np.uint8
        if not image and len(box.shape) != 1:
            raise SpecError(
                f"{name} is {box}; an observation is a vector, or an image uint8 (H, W, 3)."
            )
    return {name: (history, *box.shape) for name, box in boxes.items()}


def _named_boxes(space: gymnasium.spaces.Space) -> dict[str, gymnasium.spaces.Box]:
    """The Boxes of an observation space by the names of `named`."""
    dicts = _spaces().Dict
    if not isinstance(space, dicts):
        box = _box(space, "observation")
        return {f"observation.{'image' if len(box.shape) == 3 else 'state'}": box}
    found = {}
    for key, value in space.items():
        if isinstance(value, dicts):
            inside = "images" if key == "pixels" else key
            found |= {f"observation.{inside}.{k}": _box(v, k) for k, v in value.items()}
        else:
            found[_NAMES.get(key, f"observation.{key}")] = _box(value, key)
    return found


class History:
    """The last observations of a running environment, as `ObservationEncoder` takes them.

    Args:
        steps: How many. At the start of an episode the first one is repeated.
    """

    def __init__(self, steps: int) -> None:
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ValueError(f"steps is an integer of at least 1, got {steps!r}.")
        self._seen: deque[dict[str, np.ndarray]] = deque(maxlen=steps)
        self.steps = steps

    def reset(self) -> None:
        """Forget all: a new episode begins."""
        self._seen.clear()

    def add(self, observation: Any) -> dict[str, np.ndarray]:
        """Take the newest observation and give the window that ends with it."""
        self._seen.append({k: v.copy() for k, v in named(observation).items()})
        past = range(1 - self.steps, 1)
        last = len(self._seen) - 1
        return {
            name: window(np.stack([seen[name] for seen in self._seen]), last, past)[0]
            for name in self._seen[-1]
        }


def _spaces() -> Any:
    try:
        from gymnasium import spaces
    except ImportError:
        raise MissingDependency(
            "gymnasium", extra="policies", purpose="Reading an environment's spaces"
        ) from None
    return spaces


def _box(space: Any, what: str) -> gymnasium.spaces.Box:
    if not isinstance(space, _spaces().Box):
        raise SpecError(f"Expected {what} in a Box, got {space!r:.80}.")
    return space
