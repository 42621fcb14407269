"""Episodes cut into pairs: what was observed up to a step, and the actions from there on.

Conventions are those of LeRobot: where a window reaches beyond its episode, the first or last step
is repeated, and a mask says where.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmgen.modalities.actions.files import load

__all__ = ["Episode", "Windows", "window"]


def window(steps: np.ndarray, index: int, offsets: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The steps of an episode at index + offsets, its ends repeated beyond them.

    Args:
        steps: (T, ...).
        index: The present step.
        offsets: Steps relative to it; 0 is itself, -1 the one before.

    Returns:
        The steps (len(offsets), ...), and which of them are padding, boolean (len(offsets),).
    """
    places = index + np.asarray(offsets, dtype=np.int64)
    inside = places.clip(0, len(steps) - 1)
    return steps[inside], inside != places


@dataclass(frozen=True)
class Episode:
    """One episode: T actions, and T or T + 1 observations (with the one after the last action).

    Args:
        observations: By name, each (T, ...) or (T + 1, ...); numbers (T, size) or images uint8
            (T, H, W, 3).
        actions: (T, A), in the environment's own units.

    Raises:
        ValueError: If the lengths do not agree.
    """

    observations: Mapping[str, np.ndarray]
    actions: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", load(self.actions))
        steps = len(self.actions)
        for name, array in self.observations.items():
            if not isinstance(array, np.ndarray) or array.ndim < 2:
                raise TypeError(f"Expected {name} as an array of (steps, ...), got {array!r:.60}.")
            if len(array) not in (steps, steps + 1):
                raise ValueError(
                    f"An episode of {steps} actions has {steps} or {steps + 1} observations; "
                    f"{name} has {len(array)}."
                )


class Windows(Sequence[tuple[dict[str, np.ndarray], np.ndarray]]):
    """Pairs (observation, chunk), one for each step of each episode.

    The observation holds the last `history` steps, the present one included; the chunk the actions
    from the present one on.

    Args:
        episodes: Where they come from.
        history: Steps of observation.
        horizon: Steps of action.
        complete: Leave out the last steps of an episode, whose chunk would need padding.

    Raises:
        ValueError: If there are none.
    """

    def __init__(
        self, episodes: Sequence[Episode], *, history: int, horizon: int, complete: bool = False
    ) -> None:
        for name, count in (("history", history), ("horizon", horizon)):
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ValueError(f"{name} is an integer of at least 1, got {count!r}.")
        self.episodes = list(episodes)
        self.history, self.horizon = history, horizon
        spare = horizon - 1 if complete else 0
        counts = [max(0, len(e.actions) - spare) for e in self.episodes]
        self._ends = np.cumsum(counts, dtype=np.int64)
        if not sum(counts):
            raise ValueError(
                f"No episode holds a chunk of {horizon} steps. Give longer ones, or a shorter "
                "horizon."
            )

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: Any) -> Any:
        episode, step = self._place(index)
        past = range(1 - self.history, 1)
        observation = {k: window(v, step, past)[0] for k, v in episode.observations.items()}
        return observation, window(episode.actions, step, range(self.horizon))[0]

    def __iter__(self) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
        return (self[i] for i in range(len(self)))

    def padding(self, index: int) -> np.ndarray:
        """Which actions of a chunk only repeat the last one, boolean (horizon,)."""
        episode, step = self._place(index)
        return window(episode.actions, step, range(self.horizon))[1]

    def _place(self, index: Any) -> tuple[Episode, int]:
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
            raise TypeError(f"A window is asked for by its number, got {index!r:.60}.")
        if not -len(self) <= index < len(self):
            raise IndexError(f"There are {len(self)} windows, got {index}.")
        index = int(index) % len(self)
        episode = int(np.searchsorted(self._ends, index, side="right"))
        return self.episodes[episode], index - int(self._ends[episode - 1] if episode else 0)
