"""A small Minari dataset in the layout that Minari writes, read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmgen.core.errors import LoadError
from mmgen.modalities.actions.minari_folder import is_minari, read_minari
from mmgen.modalities.actions.windows import Windows

h5py = pytest.importorskip("h5py")

LENGTHS = (4, 2, 3)


def put(group: Any, name: str, value: Any) -> None:
    """As Minari adds to an episode: dicts are groups, arrays grow along their first axis."""
    if isinstance(value, tuple):
        value = {f"_index_{i}": part for i, part in enumerate(value)}
    if isinstance(value, dict):
        inner = group.create_group(name)
        for key, part in value.items():
            put(inner, key, part)
    else:
        group.create_dataset(name, data=value, chunks=True, maxshape=(None, *value.shape[1:]))


def write(folder: Path, observe: Callable[[np.ndarray], Any], **more: Any) -> Path:
    """Episodes whose step t has the number t, counted through all of them, in every entry."""
    data = folder / "data"
    data.mkdir(parents=True)
    first = 0
    with h5py.File(data / "main_data.hdf5", "w", track_order=True) as file:
        for number, length in enumerate(LENGTHS):
            steps = np.arange(first, first + length + 1, dtype=np.float64)
            group = file.create_group(f"episode_{number}")
            group.attrs["id"], group.attrs["total_steps"] = number, length
            put(group, "observations", observe(steps))
            put(group, "actions", more.get("actions", lambda s: np.stack([s, -s], 1))(steps[:-1]))
            for name in ("rewards", "terminations", "truncations"):
                put(group, name, np.zeros(length))
            infos = group.create_dataset("infos", (1,), dtype=h5py.string_dtype())
            infos[:] = ["{}"]
            first += length + 1
    told = {"total_episodes": 3, "total_steps": 9, "data_format": "hdf5"}
    (data / "metadata.json").write_text(json.dumps(told | more.get("told", {})))
    return folder


def test_vectors(tmp_path: Path) -> None:
    folder = write(tmp_path / "pen-v0", lambda s: np.stack([s, s, s], 1))
    assert is_minari(folder) and not is_minari(tmp_path)
    episodes = read_minari(folder)
    assert [len(e.actions) for e in episodes] == list(LENGTHS)
    assert [len(e.observations["observation.state"]) for e in episodes] == [5, 3, 4]
    windows = Windows(episodes, history=2, horizon=3)
    assert len(windows) == 9
    observation, chunk = windows[4]  # the first of the second episode
    assert observation["observation.state"].tolist() == [[5.0] * 3] * 2
    assert observation["observation.state"].dtype == chunk.dtype == np.float32
    assert chunk[:, 0].tolist() == [5, 6, 6] and chunk[:, 1].tolist() == [-5, -6, -6]


def test_dicts_tuples_images_and_single_numbers(tmp_path: Path) -> None:
    def observe(steps: np.ndarray) -> dict[str, Any]:
        film = np.repeat(steps.astype(np.uint8), 8 * 8 * 3).reshape(-1, 8, 8, 3)
        return {
            "agent_pos": np.stack([steps, steps], 1),
            "pixels": {"top": film},
            "goal": {"kitchen": steps, "switch": steps > 2},
            "joints": (steps, np.stack([steps] * 4, 1)),
        }

    folder = write(tmp_path / "d", observe)
    found = read_minari(folder)[1].observations
    shapes = {name: array.shape[1:] for name, array in found.items()}
    assert shapes == {
        "observation.state": (2,),
        "observation.images.top": (8, 8, 3),
        "observation.goal.kitchen": (1,),
        "observation.goal.switch": (1,),
        "observation.joints._index_0": (1,),
        "observation.joints._index_1": (4,),
    }
    assert found["observation.images.top"].dtype == np.uint8
    assert found["observation.images.top"][:, 0, 0, 0].tolist() == [5, 6, 7]
    some = read_minari(folder, observations=["observation.goal.kitchen"])
    assert set(some[0].observations) == {"observation.goal.kitchen"}
    with pytest.raises(ValueError, match=r"No observation 'observation.goal.kitchn'.*kitchen"):
        read_minari(folder, observations=["observation.goal.kitchn"])


def test_pixels_alone_are_an_image(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", lambda s: np.zeros((len(s), 4, 4, 3), np.uint8))
    assert set(read_minari(folder)[0].observations) == {"observation.image"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"told": {"data_format": "arrow"}}, "stored as 'arrow'; hdf5 is read"),
        ({"told": {"total_episodes": 4}}, "tells of 4 episodes, main_data.hdf5 holds 3"),
        ({"actions": lambda s: s.astype(np.int64)}, "actions of int64; expected vectors"),
        ({"actions": lambda s: {"a": s}}, "actions of several parts"),
        ({"actions": lambda s: np.stack([s, s * np.nan], 1)}, "not finite"),
        ({"actions": lambda s: np.stack([s[1:]], 1)}, "3 actions has 3 or 4 observations"),
    ],
)
def test_other_datasets_are_refused(tmp_path: Path, more: dict, message: str) -> None:
    folder = write(tmp_path / "d", lambda s: np.stack([s], 1), **more)
    with pytest.raises(LoadError, match=message):
        read_minari(folder)


def test_files_that_are_missing_cut_or_no_hdf5(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", lambda s: np.stack([s], 1))
    file = folder / "data" / "main_data.hdf5"
    whole = file.read_bytes()
    for data in (whole[: len(whole) // 2], b"\x80\x04 no HDF5", b""):
        file.write_bytes(data)
        with pytest.raises(LoadError, match="cut short or is no HDF5"):
            read_minari(folder)
    file.unlink()
    with pytest.raises(LoadError, match="There is no main_data.hdf5"):
        read_minari(folder)


def test_altered_bytes_never_crash(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", lambda s: np.stack([s], 1))
    file = folder / "data" / "main_data.hdf5"
    whole = np.frombuffer(file.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(30):
        data = whole.copy()
        places = rng.integers(0, len(data), 40)
        data[places] = rng.integers(0, 256, 40)
        file.write_bytes(data.tobytes())
        try:
            read_minari(folder)
        except (LoadError, ValueError):
            continue


@pytest.mark.parametrize("what", ["soft", "external", "huge", "raw", "text"])
def test_links_promises_and_other_files_are_not_followed(tmp_path: Path, what: str) -> None:
    folder = write(tmp_path / "d", lambda s: np.stack([s], 1))
    (tmp_path / "secret").write_bytes(bytes(8 * 5))
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        group = file["episode_0"]
        del group["observations"]
        if what == "soft":
            group["observations"] = h5py.SoftLink("/episode_1/observations")
        elif what == "external":
            group["observations"] = h5py.ExternalLink(str(tmp_path / "secret"), "/x")
        elif what == "huge":
            group.create_dataset("observations", (5, 10**12), "f8", chunks=(1, 10**4))
        elif what == "raw":
            raw = [(str(tmp_path / "secret"), 0, 40)]
            group.create_dataset("observations", (5, 1), "f8", external=raw)
        else:
            group.create_dataset("observations", data=["a"] * 5, dtype=h5py.string_dtype())
    with pytest.raises(LoadError, match="no part of a dataset|promises|expected an array"):
        read_minari(folder)
