"""Reading a LeRobotDataset v3 folder into pairs (observation, chunk).

The layout: `meta/info.json` (frames per second, features), `meta/episodes/` and `data/` (parquet,
many episodes a file), `meta/tasks.parquet`, `videos/` (mp4, many episodes a file). Windows are
asked for by time relative to the present frame, in seconds; where one reaches beyond its episode,
the first or last frame is repeated and counted as padding.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmgen.core.errors import LoadError, close_names
from mmgen.core.files import read_json
from mmgen.modalities.actions.parquet import numbers, read_table, texts
from mmgen.modalities.actions.video_frames import read_frames
from mmgen.modalities.actions.windows import window
from mmgen.modalities.image import load as load_image

if TYPE_CHECKING:
    import pyarrow

__all__ = ["LeRobotFolder"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")
_HELD = re.compile(r"image|u?int\d*|float\d*")
_FILES = "chunk-*/file-*.parquet"


class LeRobotFolder(Sequence[tuple[dict[str, np.ndarray], np.ndarray]]):
    """Pairs (observation, chunk), one for each frame of a LeRobotDataset v3 folder.

    Numbers are held in memory; images and films are read when asked for.

    Args:
        folder: Where it lies.
        history: Frames of each observation, the present one last.
        horizon: Frames of the chunk, the present one first.
        observations: Names of the observations to give; all numbers and images called
            "observation...", films left out, if not said.
        actions: Name of the actions.
        delta_timestamps: By name, the times to give relative to the present frame, in s, in place
            of what `history` and `horizon` say.
        tolerance: Greatest distance of a time from a frame, in s.

    Raises:
        LoadError: If a file is missing, of another version, or does not hold what it should.
        ValueError: If a name is unknown, or a time falls between frames.
        MissingDependency: If pyarrow is not installed.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        history: int = 1,
        horizon: int,
        observations: Sequence[str] | None = None,
        actions: str = "action",
        delta_timestamps: Mapping[str, Sequence[float]] | None = None,
        tolerance: float = 1e-4,
    ) -> None:
        self.folder = Path(folder)
        self.tolerance, self.actions = tolerance, actions
        self.fps, self.features = _read_info(self.folder / "meta" / "info.json")
        if observations is None:
            observations = [
                name
                for name, feature in self.features.items()
                if name.startswith("observation") and _HELD.fullmatch(feature["dtype"])
            ]
        self.observations = tuple(observations)
        for name in (*self.observations, actions):
            if name not in self.features:
                raise ValueError(f"No feature {name!r}. {close_names(name, self.features)}")
        times = {name: np.arange(1 - history, 1) / self.fps for name in self.observations}
        times[actions] = np.arange(horizon) / self.fps
        for name in delta_timestamps or {}:
            if name not in times:
                raise ValueError(f"Times are given for {name!r}. {close_names(name, times)}")
        times |= {k: np.asarray(v, dtype=np.float64) for k, v in (delta_timestamps or {}).items()}
        self.offsets = {k: _frames_of(v, self.fps, tolerance, k) for k, v in times.items()}
        self._episodes = read_table(self.folder / "meta" / "episodes", _FILES)
        self._read_data()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each observation, as `ObservationEncoder` takes it."""
        return {k: (len(self.offsets[k]), *self._shape(k)) for k in self.observations}

    @property
    def statistics(self) -> dict[str, Any]:
        """What `meta/stats.json` says of each feature: min, max, mean, std, ..."""
        return read_json(self.folder / "meta" / "stats.json")

    def __len__(self) -> int:
        return len(self._episode)

    def __getitem__(self, index: Any) -> Any:
        index = self._checked(index)
        observation = {name: self._window(name, index) for name in self.observations}
        return observation, self._window(self.actions, index)

    def __iter__(self) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
        return (self[i] for i in range(len(self)))

    def padding(self, index: int) -> dict[str, np.ndarray]:
        """Which frames of each window are repeated, boolean; LeRobot's `<name>_is_pad`."""
        rows = np.arange(len(self))
        return {k: self._places(rows, k, self._checked(index))[1] for k in self.offsets}

    def task(self, index: int) -> str:
        """What is to be done at this frame, in words.

        Raises:
            LoadError: If the folder does not say.
        """
        index = self._checked(index)
        table = read_table(self.folder / "meta", "tasks.parquet")
        column = "task" if "task" in table.column_names else "__index_level_0__"
        number = int(self._task[index])
        by_number = dict(
            zip(numbers(table, "task_index").tolist(), texts(table, column), strict=True)
        )
        if number not in by_number:
            raise LoadError(f"Frame {index} names task {number}, which tasks.parquet lacks.")
        return by_number[number]

    def episode(self, index: int) -> int:
        """The number of the episode that this frame is of."""
        return int(self._episode[self._checked(index)])

    def _checked(self, index: Any) -> int:
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
            raise TypeError(f"A pair is asked for by its number, got {index!r:.60}.")
        if not -len(self) <= index < len(self):
            raise IndexError(f"There are {len(self)} frames, got {index}.")
        return int(index) % len(self)

    def _read_data(self) -> None:
        kinds = {k: self.features[k]["dtype"] for k in (*self.observations, self.actions)}
        stored = [k for k, kind in kinds.items() if kind != "video"]
        marks = ["episode_index", "frame_index", "timestamp", "task_index"]
        table = read_table(self.folder / "data", _FILES, columns=[*marks, *stored])
        if not len(table):
            raise LoadError(f"{self.folder / 'data'} holds no frames.")
        self._episode = numbers(table, "episode_index").astype(np.int64)
        self._time = numbers(table, "timestamp").astype(np.float64)
        self._task = numbers(table, "task_index").astype(np.int64)
        # Where the episode of each frame begins, and where it ends.
        starts = np.flatnonzero(np.diff(self._episode, prepend=self._episode[0] - 1))
        ends = np.append(starts[1:], len(self._episode))
        self._start, self._end = (np.repeat(edge, ends - starts) for edge in (starts, ends))
        frame = numbers(table, "frame_index")
        told = dict(
            zip(
                numbers(self._episodes, "episode_index").tolist(),
                numbers(self._episodes, "length").tolist(),
                strict=True,
            )
        )
        found = dict(zip(self._episode[starts].tolist(), (ends - starts).tolist(), strict=True))
        if len(found) != len(starts) or found != told:
            raise LoadError(
                f"The episodes in {self.folder / 'data'} are not those that meta/episodes tells "
                f"of: {len(starts)} with {len(self._episode)} frames, told {len(told)} with "
                f"{sum(told.values())}. The dataset is incomplete, or was not finalised."
            )
        if not np.array_equal(frame, np.arange(len(frame)) - self._start):
            raise LoadError(f"The frames in {self.folder / 'data'} are out of order.")
        self._columns: dict[str, np.ndarray | pyarrow.ChunkedArray] = {}
        for name in stored:
            image = kinds[name] == "image"
            column = table.column(name) if image else numbers(table, name, self._shape(name))
            self._columns[name] = column

    def _shape(self, name: str) -> tuple[int, ...]:
        feature = self.features[name]
        shape = tuple(feature["shape"]) or (1,)
        if feature["dtype"] not in ("image", "video"):
            return shape
        channels_first = str((feature.get("names") or ["height"])[0]).startswith("channel")
        return (*shape[1:], shape[0]) if channels_first else shape

    def _places(self, rows: np.ndarray, name: str, index: int) -> tuple[np.ndarray, np.ndarray]:
        start, end = int(self._start[index]), int(self._end[index])
        return window(rows[start:end], index - start, self.offsets[name])

    def _window(self, name: str, index: int) -> np.ndarray:
        if name in self._columns and isinstance(self._columns[name], np.ndarray):
            return self._places(self._columns[name], name, index)[0]
        places = self._places(np.arange(len(self)), name, index)[0]
        if name in self._columns:
            frames = np.stack([self._image(name, int(i)) for i in places])
        else:
            frames = self._film(name, index, places)
        if frames.shape[1:] != self._shape(name):
            raise LoadError(
                f"{name} has frames {frames.shape[1:]}, info.json says {self._shape(name)}."
            )
        return frames

    def _image(self, name: str, row: int) -> np.ndarray:
        cell = self._columns[name][row].as_py()
        data = cell.get("bytes") if isinstance(cell, dict) else None
        if not data:
            raise LoadError(f"{name} holds no image in frame {row}, only a path to one.")
        try:
            image = load_image(data)
        except ValueError as error:
            raise LoadError(f"{name} of frame {row}: {error}") from None
        return image.permute(1, 2, 0).numpy()

    def _film(self, name: str, index: int, places: np.ndarray) -> np.ndarray:
        row = int(
            np.flatnonzero(numbers(self._episodes, "episode_index") == self._episode[index])[0]
        )
        chunk, file, start = (
            numbers(self._episodes, f"videos/{name}/{what}")[row]
            for what in ("chunk_index", "file_index", "from_timestamp")
        )
        path = (
            self.folder / "videos" / name / f"chunk-{int(chunk):03d}" / f"file-{int(file):03d}.mp4"
        )
        return read_frames(path, self._time[places] + float(start), tolerance=self.tolerance)


def _read_info(path: Path) -> tuple[float, dict[str, dict[str, Any]]]:
    info = read_json(path)
    version = str(info.get("codebase_version"))
    if not version.startswith("v3."):
        raise LoadError(
            f"{path} is of version {version}; v3 is read. Convert it with LeRobot's own script."
        )
    fps, features = info.get("fps"), info.get("features")
    if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps < 1e6:
        raise LoadError(f"{path} names no frames per second: fps is {fps!r:.40}.")
    if not isinstance(features, dict):
        raise LoadError(f"{path} lists no features.")
    for name, feature in features.items():
        # Names are part of paths.
        if not _NAME.fullmatch(name):
            raise LoadError(f"{path} has a feature with the odd name {name!r:.60}.")
        shape = feature.get("shape") if isinstance(feature, dict) else None
        if not isinstance(shape, list) or not all(type(s) is int and s > 0 for s in shape):
            raise LoadError(f"{path} gives {name} no shape of whole numbers.")
        if not isinstance(feature.get("dtype"), str):
            raise LoadError(f"{path} gives {name} no dtype.")
    return float(fps), features


def _frames_of(times: np.ndarray, fps: float, tolerance: float, name: str) -> list[int]:
    """Times in s to frames, which they must fall on.

    Raises:
        ValueError: If one does not, or there is none.
    """
    if times.ndim != 1 or not len(times) or not np.isfinite(times).all():
        raise ValueError(f"Expected a list of times in s for {name}, got {times!r:.60}.")
    frames = np.round(times * fps)
    wrong = np.abs(frames / fps - times) > tolerance
    if wrong.any():
        raise ValueError(
            f"The time {times[wrong][0]:g} s for {name} falls between frames, which are "
            f"{1 / fps:g} s apart. Use multiples of that."
        )
    return frames.astype(np.int64).tolist()
