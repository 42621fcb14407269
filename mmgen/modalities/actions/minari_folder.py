"""Reading the episodes of a Minari dataset that lies in HDF5.

The layout: `data/metadata.json` (format, number of episodes and steps) and `data/main_data.hdf5`, a
group `episode_<i>` for each, which holds `actions` (T, ...), `observations` (T + 1, ...) and more
that is not read here. An observation of several parts is a group of groups and arrays, in a space
that is a tuple called `_index_0`, `_index_1`, ...
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmgen.core.errors import LoadError, MissingDependency, close_names
from mmgen.core.files import read_json
from mmgen.modalities.actions.spaces import named
from mmgen.modalities.actions.windows import Episode

if TYPE_CHECKING:
    import h5py

__all__ = ["is_minari", "read_minari"]

_METADATA, _DATA = "metadata.json", "main_data.hdf5"
_DEEPEST = 3
# Deflate makes at most 1032 bytes of one.
_EXPANSION = 1100


def is_minari(folder: Path) -> bool:
    """Whether a folder holds a Minari dataset."""
    return (folder / "data" / _METADATA).is_file()


def read_minari(
    folder: str | os.PathLike[str], *, observations: Sequence[str] | None = None
) -> list[Episode]:
    """The episodes of a dataset, held in memory.

    Observations have the names of `mmgen.modalities.actions.spaces.named`: an array is
    "observation.state", or "observation.image" if its steps are (H, W, 3); of several, each is
    "observation.<key>". Numbers become float32, a single one a vector of one.

    Args:
        folder: Where it lies: what Minari calls the dataset's id.
        observations: Names of those to read; all if not said.

    Raises:
        LoadError: If a file is missing, broken, of another format, or holds what it should not.
        ValueError: If there is no observation of a name.
        MissingDependency: If h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise MissingDependency(
            "h5py", extra="policies", purpose="Reading Minari datasets"
        ) from None
    data = Path(folder) / "data"
    told = read_json(data / _METADATA)
    if told.get("data_format", "hdf5") != "hdf5":
        raise LoadError(
            f"{data} is stored as {told['data_format']!r:.20}; hdf5 is read. Write it again with "
            "data_format='hdf5', by Minari itself."
        )
    if not (data / _DATA).is_file():
        raise LoadError(f"There is no {_DATA} in {data}. The dataset is incomplete.")
    try:
        with h5py.File(data / _DATA, "r", locking=False) as file:
            count = _count(file, told, data)
            groups = (_member(file, f"episode_{i}", h5py.Group) for i in range(count))
            return [_episode(group, observations) for group in groups]
    except (OSError, RuntimeError, KeyError) as error:
        raise LoadError(f"{data / _DATA} is cut short or is no HDF5 file: {error}") from None


def _count(file: h5py.File, told: Mapping[str, Any], data: Path) -> int:
    """Number of episodes, as both files say."""
    there = sum(name.startswith("episode_") for name in file)
    if told.get("total_episodes") != there or not there:
        raise LoadError(
            f"{data / _METADATA} tells of {told.get('total_episodes')!r:.20} episodes, {_DATA} "
            f"holds {there}. The dataset is incomplete."
        )
    return there


def _episode(group: h5py.Group, names: Sequence[str] | None) -> Episode:
    import h5py

    actions = _arrays(_member(group, "actions"))
    if isinstance(actions, Mapping) or not np.issubdtype(actions.dtype, np.floating):
        what = "several parts" if isinstance(actions, Mapping) else str(actions.dtype)
        raise LoadError(
            f"{group.name} has actions of {what}; expected vectors of real numbers (T, A), of a "
            "Box. Actions that are chosen from a set are not read."
        )
    found = _arrays(_member(group, "observations", (h5py.Group, h5py.Dataset)))
    if isinstance(found, Mapping):
        found = named(found)
    else:
        found = {f"observation.{'image' if found.ndim == 4 else 'state'}": found}  # noqa: PLR2004
    for name in names or ():
        if name not in found:
            raise ValueError(f"No observation {name!r}. {close_names(name, found)}")
    kept = {name: _as_steps(found[name]) for name in (found if names is None else names)}
    try:
        return Episode(kept, actions.astype(np.float32))
    except (ValueError, TypeError) as error:
        raise LoadError(f"{group.name} of {group.file.filename}: {error}") from None


def _as_steps(array: np.ndarray) -> np.ndarray:
    """Images as they are, numbers as float32 vectors."""
    if array.ndim == 4 and array.dtype == np.uint8:  # noqa: PLR2004
        return array
    return (array[:, None] if array.ndim == 1 else array).astype(np.float32)


def _arrays(item: h5py.Group | h5py.Dataset, depth: int = 0) -> Any:
    """The array of a dataset, or a dict of those in a group."""
    import h5py

    if isinstance(item, h5py.Group):
        if depth == _DEEPEST:
            raise LoadError(f"{item.name} has parts within parts of parts. They are not read.")
        return {name: _arrays(_member(item, name), depth + 1) for name in item}
    if item.dtype.kind not in "biuf" or item.ndim < 1:
        raise LoadError(f"{item.name} holds {item.dtype}, expected an array of numbers.")
    # Nothing that a few bytes promise is believed, and no other file is read.
    stored = item.id.get_storage_size()
    if item.is_virtual or item.external or item.nbytes > _EXPANSION * stored:
        raise LoadError(
            f"{item.name} promises {item.nbytes} bytes, of which {stored} are in the file."
        )
    array = item[()]
    if not np.isfinite(array).all():
        raise LoadError(f"{item.name} holds values that are not finite numbers.")
    return array


def _member(group: h5py.Group, name: str, kind: Any = None) -> Any:
    """What a group holds itself, by name: no link to elsewhere is followed."""
    import h5py

    link = group.get(name, getlink=True)
    if link is None:
        raise LoadError(f"{group.name} in {group.file.filename} has no {name}.")
    item = group[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(item, kind or (h5py.Group, h5py.Dataset)):
        raise LoadError(f"{group.name}/{name} in {group.file.filename} is no part of a dataset.")
    return item
