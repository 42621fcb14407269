"""What the expert does in many episodes, each played once and kept as a file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mmgen.core.errors import LoadError
from mmgen.simulators.pusht.expert import Expert, distance
from mmgen.simulators.pusht.table import MOST_STEPS, Table

__all__ = ["FOLDER_VARIABLE", "Demonstration", "cache_folder", "demonstrations", "play"]

FOLDER_VARIABLE = "MMGEN_PUSHT"
"""The environment variable that names the folder where demonstrations are kept."""
_SWAY, _KEPT = 3.0, 0.8
"""Deviation in pixels of what the agent's goal is off by, and what is left of it a step later."""

Progress = Callable[[int, int], None]
"""Called with (episodes there are, episodes there shall be)."""


@dataclass(frozen=True)
class Demonstration:
    """An episode of the expert's.

    Args:
        seed: Of gym-pusht's start, and of the sway.
        states: (T + 1, 5), float32.
        actions: What the expert would have done in the first T of them (T, 2), float32.
        scores: The reward of each step (T,), float32: the share of the goal that the T covers, over
            0.95, and at most 1.
    """

    seed: int
    states: np.ndarray
    actions: np.ndarray
    scores: np.ndarray

    @property
    def succeeded(self) -> bool:
        """Whether the T came to cover more than 0.95 of its goal."""
        return bool(self.scores[-1] >= 1)

    def mirrored(self) -> Demonstration:
        """The same in a mirror, on the axis of the T at its goal: as good an episode."""
        turned = np.pi / 2 - self.states[:, 4:] % (2 * np.pi)
        places = [512 - xy[:, ::-1] for xy in (self.states[:, :2], self.states[:, 2:4])]
        states = np.concatenate([*places, turned % (2 * np.pi)], axis=1)
        return replace(self, states=states, actions=512 - self.actions[:, ::-1])


def cache_folder() -> Path:
    """Where demonstrations are kept: the folder that MMGEN_PUSHT names, or one in the cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "mmgen" / "pusht"


def play(
    seed: int,
    *,
    near: bool = False,
    table: Table | None = None,
    sway: float = _SWAY,
    max_steps: int = MOST_STEPS,
) -> Demonstration:
    """An episode of the expert's. The same seed gives the same one.

    The agent's goal is a little off what the expert says, so that it is seen what the expert does
    where it would not have come by itself.

    Args:
        seed: Of the start, as gym-pusht takes it, and of the sway.
        near: Whether it starts near the goal, where who is less skilled spends most of the time.
        table: One to play on, and to try pushes on; a new one if None.
        sway: Standard deviation of what the agent's goal is off by, in pixels.
        max_steps: Where the episode is cut.

    Raises:
        MissingDependency: If gym-pusht is not installed.
    """
    table = Table() if table is None else table
    expert, rng = Expert(table), np.random.default_rng(seed)
    state, done = table.start(seed, near=near), False
    states, actions, scores, off = [state], [], [], np.zeros(2)
    while not done and len(actions) < max_steps:
        action = expert.act(state).clip(0, 512)
        off = _KEPT * off + (1 - _KEPT**2) ** 0.5 * sway * rng.standard_normal(2)
        # The nearer to the goal, the steadier the hand.
        share = float((distance(state[2:]) / 50).clip(0.2, 1))
        state, score, done = table.step((action + share * off).clip(0, 512))
        states.append(state)
        actions.append(action)
        scores.append(score)
    kinds = (states, actions, scores)
    return Demonstration(seed, *(np.array(rows, np.float32) for rows in kinds))


def demonstrations(
    count: int,
    *,
    near: bool = False,
    first_seed: int = 0,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> list[Demonstration]:
    """The first so many episodes in which the expert succeeds, of the seeds from `first_seed` on.

    Those that the folder holds already are not played again, so what was stopped goes on.

    Args:
        count: How many.
        near: Whether they start near the goal.
        first_seed: Seed of the first.
        folder: Where they are kept; `cache_folder()` if None.
        progress: Called after each.

    Raises:
        MissingDependency: If gym-pusht is not installed, and one has yet to be played.
        LoadError: If a file of the folder cannot be read.
    """
    folder = cache_folder() if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Demonstration] = []
    seed, table = first_seed, None
    while len(found) < count:
        path = folder / f"{'near-' if near else ''}{seed:06d}.npz"
        if not path.is_file():
            table = table or Table()
            _write(path, play(seed, near=near, table=table))
        shown = _read(path, seed)
        found += [shown] if shown.succeeded else []
        seed += 1
        if progress is not None:
            progress(len(found), count)
    return found


def _write(path: Path, shown: Demonstration) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez_compressed(file, states=shown.states, actions=shown.actions, scores=shown.scores)
    part.replace(path)


def _read(path: Path, seed: int) -> Demonstration:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            states, actions, scores = (arrays[name] for name in ("states", "actions", "scores"))
    # What is no archive at all is an array to numpy, which is no context.
    except (OSError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile):
        raise _unreadable(path) from None
    steps = len(actions) if actions.ndim == 2 else 0
    if not steps or not (
        states.shape == (steps + 1, 5)
        and actions.shape == (steps, 2)
        and scores.shape == (steps,)
        and all(x.dtype.kind == "f" and np.isfinite(x).all() for x in (states, actions, scores))
    ):
        raise _unreadable(path)
    return Demonstration(seed, states, actions, scores)


def _unreadable(path: Path) -> LoadError:
    return LoadError(
        f"{str(path)!r} holds no demonstration: an archive of states (T + 1, 5), actions (T, 2) "
        "and scores (T,), finite numbers. Delete it, and it is played again."
    )
