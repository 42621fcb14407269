"""A tiny LeRobotDataset v3 folder, written with pyarrow and read back."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmgen.core.errors import LoadError
from mmgen.families.diffusion import model
from mmgen.modalities.actions import ActionChunks, ObservationEncoder
from mmgen.modalities.actions.lerobot import LeRobotFolder
from mmgen.pipeline import Pipeline
from mmgen.training import check_pairs, read_pairs

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

FPS = 10
LENGTHS = (5, 3, 4)
SIDE = 16


def _frame(index: int) -> np.ndarray:
    """A grey picture that tells its frame, in a way that video compression keeps."""
    return np.full((SIDE, SIDE, 3), 20 * index, np.uint8)


def _png(index: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(_frame(index)).save(buffer, "PNG")
    return buffer.getvalue()


def _write_table(path: Path, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def _data(first: int, episodes: range) -> dict[str, Any]:
    lengths = [LENGTHS[e] for e in episodes]
    count = sum(lengths)
    frame = np.concatenate([np.arange(n) for n in lengths])
    index = first + np.arange(count)
    images = [{"bytes": _png(int(i)), "path": f"{i}.png"} for i in index]
    return {
        "index": index,
        "episode_index": np.repeat(np.array(episodes), lengths),
        "frame_index": frame,
        "timestamp": (frame / FPS).astype(np.float32),
        "task_index": np.repeat([e % 2 for e in episodes], lengths),
        "observation.state": pa.array(
            [[float(i), -float(i)] for i in index], pa.list_(pa.float32())
        ),
        "observation.force": pa.array(index.astype(np.float32)),
        "observation.images.top": pa.array(images),
        "action": pa.FixedSizeListArray.from_arrays(
            pa.array(np.repeat(index * 10.0, 3).astype(np.float32)), 3
        ),
    }


INFO = {
    "codebase_version": "v3.0",
    "fps": FPS,
    "features": {
        "observation.state": {"dtype": "float32", "shape": [2], "names": ["x", "y"]},
        "observation.force": {"dtype": "float32", "shape": [1], "names": None},
        "observation.images.top": {
            "dtype": "image",
            "shape": [3, SIDE, SIDE],
            "names": ["channels", "height", "width"],
        },
        "observation.images.film": {
            "dtype": "video",
            "shape": [SIDE, SIDE, 3],
            "names": ["height", "width", "channels"],
        },
        "action": {"dtype": "float32", "shape": [3], "names": None},
        "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lerobot") / "dataset"
    _write_table(folder / "data/chunk-000/file-000.parquet", **_data(0, range(2)))
    _write_table(folder / "data/chunk-000/file-001.parquet", **_data(8, range(2, 3)))
    _write_table(
        folder / "meta/episodes/chunk-000/file-000.parquet",
        episode_index=[0, 1, 2],
        length=list(LENGTHS),
        **{
            "videos/observation.images.film/chunk_index": [0, 0, 0],
            "videos/observation.images.film/file_index": [0, 0, 0],
            "videos/observation.images.film/from_timestamp": [0.0, 0.5, 0.8],
        },
    )
    _write_table(folder / "meta/tasks.parquet", task_index=[0, 1], task=["push", "lift"])
    (folder / "meta/info.json").write_text(json.dumps(INFO))
    (folder / "meta/stats.json").write_text(json.dumps({"action": {"max": [110.0] * 3}}))
    return folder


@pytest.fixture
def broken(folder: Path, tmp_path: Path) -> Callable[[], LeRobotFolder]:
    """Opens a copy of the folder, to be damaged first."""
    shutil.copytree(folder, tmp_path / "copy")
    return lambda: LeRobotFolder(tmp_path / "copy", horizon=2)


def test_windows_by_steps(folder: Path) -> None:
    data = LeRobotFolder(folder, history=2, horizon=3)
    assert len(data) == 12
    assert data.observations == (
        "observation.state",
        "observation.force",
        "observation.images.top",
    )
    observation, chunk = data[0]
    assert observation["observation.state"].tolist() == [[0, 0], [0, 0]]
    assert chunk.dtype == np.float32 and chunk[:, 0].tolist() == [0, 10, 20]
    # The second episode begins at frame 5, and sees nothing of the first.
    observation, chunk = data[5]
    assert observation["observation.force"].tolist() == [[5], [5]]
    observation, chunk = data[6]
    assert observation["observation.force"].tolist() == [[5], [6]]
    assert chunk[:, 2].tolist() == [60, 70, 70]
    assert (observation["observation.images.top"] == np.stack((_frame(5), _frame(6)))).all()
    assert data.padding(6) == {
        "observation.state": pytest.approx([False, False]),
        "observation.force": pytest.approx([False, False]),
        "observation.images.top": pytest.approx([False, False]),
        "action": pytest.approx([False, False, True]),
    }
    assert data.padding(5)["observation.state"].tolist() == [True, False]
    assert [data.task(i) for i in (0, 5, 8)] == ["push", "lift", "push"]
    assert data.episode(-1) == 2 and data.statistics["action"]["max"] == [110.0] * 3


def test_windows_by_time(folder: Path) -> None:
    data = LeRobotFolder(
        folder,
        horizon=1,
        observations=["observation.state"],
        delta_timestamps={"observation.state": [-0.3, 0.0, 0.1], "action": [-0.1, 0.0, 0.2]},
    )
    observation, chunk = data[3]
    assert observation["observation.state"][:, 0].tolist() == [0, 3, 4]
    assert chunk[:, 0].tolist() == [20, 30, 40]
    assert data.padding(3)["action"].tolist() == [False, False, True]
    with pytest.raises(ValueError, match=r"0.05 s for action falls between frames.* 0.1 s apart"):
        LeRobotFolder(folder, horizon=1, delta_timestamps={"action": [0.05]})
    with pytest.raises(ValueError, match="Times are given for 'actoin'"):
        LeRobotFolder(folder, horizon=1, delta_timestamps={"actoin": [0.0]})
    with pytest.raises(ValueError, match="a list of times in s for action"):
        LeRobotFolder(folder, horizon=0)


def test_pairs_train_an_encoder_and_a_codec(folder: Path) -> None:
    data = LeRobotFolder(folder, history=2, horizon=4)
    encoder = ObservationEncoder(data.shapes, dim=8, num_heads=2)
    codec = ActionChunks(4, 3)
    observations, chunks = zip(*data, strict=True)
    encoder.fit(observations)
    codec.fit(chunks)
    # Two steps of each of two kinds of numbers, two of four patches.
    assert encoder.encode(encoder.prepare(observations)).tokens.shape == (12, 2 + 2 + 2 * 4, 8)
    assert codec.encode(codec.prepare(chunks)).z.abs().max() <= 1


def test_a_pipeline_reads_its_own_windows(folder: Path) -> None:
    data = LeRobotFolder(folder, history=2, horizon=4)
    encoder, codec = ObservationEncoder(data.shapes, dim=8, num_heads=2), ActionChunks(4, 3)
    encoder.fit([y for y, _ in data])
    codec.fit([x for _, x in data])
    diffusion = model(codec.spec, encoder.spec, "debug")
    pipe = Pipeline(encoder=encoder, model=diffusion, codec=codec)
    pairs = read_pairs(folder, pipe)
    assert len(pairs) == len(data) == sum(LENGTHS)
    for index in (0, 7):
        y, x = pairs.pair(index, np.random.default_rng(0))
        wanted_y, wanted_x = data[index]
        assert y.keys() == wanted_y.keys() and (x == wanted_x).all()
        assert all((np.asarray(y[name]) == np.asarray(wanted_y[name])).all() for name in y)
    assert check_pairs(pipe, pairs).good == list(range(sum(LENGTHS)))
    other = Pipeline.compose(x="image", family="diffusion", size="debug")
    with pytest.raises(LoadError, match="holds actions; this pipeline generates image"):
        read_pairs(folder, other)


def test_films(folder: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    path = copy / "videos/observation.images.film/chunk-000/file-000.mp4"
    path.parent.mkdir(parents=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for index in range(sum(LENGTHS)):
            frame = av.VideoFrame.from_ndarray(_frame(index), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    data = LeRobotFolder(
        copy, history=3, horizon=1, observations=["observation.images.film"], tolerance=1e-3
    )
    for index, expected in ((5, (5, 5, 5)), (7, (5, 6, 7)), (11, (9, 10, 11))):
        film = data[index][0]["observation.images.film"]
        assert film.shape == (3, SIDE, SIDE, 3) == data.shapes["observation.images.film"]
        found = film.mean((1, 2, 3)) / 20
        assert np.abs(found - expected).max() < 0.3
    path.write_bytes(b"no film")
    with pytest.raises(LoadError, match="could not be read as a video"):
        data[0]
    path.unlink()
    with pytest.raises(LoadError, match="The dataset is incomplete"):
        data[0]


def test_what_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="No feature 'observation.stat'. Did you mean"):
        LeRobotFolder(folder, horizon=1, observations=["observation.stat"])
    with pytest.raises(LoadError, match=r"There is no info\.json"):
        LeRobotFolder(folder / "nowhere", horizon=1)
    data = LeRobotFolder(folder, horizon=1)
    with pytest.raises(IndexError, match="There are 12 frames"):
        data[12]
    with pytest.raises(TypeError, match="by its number"):
        data["0"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codebase_version": "v2.1"}, "of version v2.1; v3 is read"),
        ({"fps": 0}, "no frames per second"),
        ({"fps": "10"}, "no frames per second"),
        ({"features": []}, "lists no features"),
        ({"features": {"../x": {"dtype": "float32", "shape": [1]}}}, "odd name '../x'"),
        ({"features": {"action": {"dtype": "float32", "shape": [-1]}}}, "no shape"),
        ({"features": {"action": {"dtype": "float32", "shape": [2]}}}, r"does not hold \(2,\)"),
        ({"features": {"action": {"shape": [3]}}}, "no dtype"),
        ({"features": {"action": 3}}, "no shape"),
    ],
)
def test_a_wrong_description_is_refused(
    broken: Callable[[], LeRobotFolder], tmp_path: Path, change: dict, message: str
) -> None:
    (tmp_path / "copy/meta/info.json").write_text(json.dumps(INFO | change))
    with pytest.raises(LoadError, match=message):
        broken()


def test_damaged_tables_are_refused(broken: Callable[[], LeRobotFolder], tmp_path: Path) -> None:
    path = tmp_path / "copy/data/chunk-000/file-001.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LoadError, match="cut short or is no parquet file"):
        broken()
    path.unlink()
    with pytest.raises(LoadError, match=r"2 with 8 frames, told 3 with 12.*was not finalised"):
        broken()
    columns = _data(8, range(2, 3))
    _write_table(path, **{k: v for k, v in columns.items() if k != "action"})
    with pytest.raises(LoadError, match="lacks the column 'action'"):
        broken()
    _write_table(path, **columns | {"action": pa.array([[1.0, 2.0]] * 4)})
    with pytest.raises(LoadError, match="'action'|same columns"):
        broken()
    _write_table(path, **columns | {"frame_index": [0, 2, 1, 3]})
    with pytest.raises(LoadError, match="out of order"):
        broken()
    nan = pa.array([[np.nan] * 2] * 4, pa.list_(pa.float32()))
    _write_table(path, **columns | {"observation.state": nan})
    with pytest.raises(LoadError, match=r"'observation\.state' holds values that are not finite"):
        broken()
    shutil.rmtree(tmp_path / "copy/data")
    with pytest.raises(LoadError, match="The dataset is incomplete"):
        broken()
