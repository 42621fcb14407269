"""Recorded episodes from .npz archives of numbered arrays."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmgen.core.errors import LoadError
from mmgen.core.npy import MAX_BYTES, parse_npy
from mmgen.modalities.actions.windows import Episode

__all__ = ["read_rollouts", "returns_of"]

STATE = "observation.state"


def read_rollouts(
    path: str | os.PathLike[str],
    *,
    low: float | Sequence[float] | None = None,
    high: float | Sequence[float] | None = None,
) -> list[Episode]:
    """The episodes of an archive of `observation_<k>` (T, F) and `action_<k>` (T, A), k = 0, 1, ...

    Observations are named "observation.state", as `spaces.named` names those of an environment.

    Args:
        path: The .npz file.
        low: Least actions that the environment carries out, to which recorded ones are clipped: an
            expert that asks for more gets no more.
        high: Greatest actions, likewise.

    Raises:
        LoadError: If there is no such file, or it holds no episodes.
    """
    arrays = _arrays(Path(path), ("observation", "action"))
    clip = low is not None or high is not None
    return [
        Episode({STATE: observation}, np.clip(action, low, high) if clip else action)
        for observation, action in zip(arrays["observation"], arrays["action"], strict=True)
    ]


def returns_of(path: str | os.PathLike[str]) -> list[float]:
    """The sum of `reward_<k>` of each episode of such an archive.

    Raises:
        LoadError: As `read_rollouts`.
    """
    return [float(r.astype(np.float64).sum()) for r in _arrays(Path(path), ("reward",))["reward"]]


def _arrays(path: Path, names: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """The arrays <name>_0, <name>_1, ... of an archive, for each name as many."""
    if not path.is_file():
        raise LoadError(f"There is no file of rollouts at {str(path)!r}.")
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    try:
        with zipfile.ZipFile(path) as archive:
            inside = {i.filename: i.file_size for i in archive.infolist()}
            if sum(inside.values()) > MAX_BYTES:
                raise LoadError(f"{str(path)!r} unpacks to more than {MAX_BYTES} bytes.")
            k = 0
            while all(f"{name}_{k}.npy" in inside for name in names):
                for name in names:
                    entry = f"{name}_{k}.npy"
                    found[name].append(parse_npy(archive.read(entry), f"{entry} of {path.name}"))
                k += 1
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        raise LoadError(f"Could not read {str(path)!r} as rollouts: {error}") from None
    if not found[names[0]]:
        raise LoadError(f"{str(path)!r} holds no {' and '.join(f'{n}_0' for n in names)}.")
    return found
