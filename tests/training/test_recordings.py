"""Folders of recorded episodes as pairs: their splits are kept apart, what they lack is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmgen.core.errors import LoadError
from mmgen.families.diffusion import model
from mmgen.modalities.actions import ActionChunks, ObservationEncoder
from mmgen.modalities.actions.lerobot import LeRobotFolder
from mmgen.pipeline import Pipeline
from mmgen.training import read_pairs
from mmgen.training.pairs import Pairs

LENGTHS = (5, 3, 4)


def firsts(pairs: Pairs) -> list[float]:
    """The first number of the chunk of each pair: the number of its frame."""
    rng = np.random.default_rng(0)
    return [float(pairs.pair(i, rng)[1][0, 0]) for i in range(len(pairs))]


@pytest.fixture(scope="module")
def policy() -> Pipeline:
    encoder = ObservationEncoder({"observation.state": (2, 1)}, dim=32)
    codec = ActionChunks(3, 2)
    return Pipeline(encoder=encoder, model=model(codec.spec, encoder.spec, "debug"), codec=codec)


@pytest.fixture
def lerobot(tmp_path: Path) -> Callable[..., Path]:
    """Write a LeRobotDataset of three episodes; what is given goes into its info.json."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def write(**more: Any) -> Path:
        folder = tmp_path / "lerobot"
        for part in ("data/chunk-000", "meta/episodes/chunk-000"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        frame = np.concatenate([np.arange(n) for n in LENGTHS])
        index = np.arange(len(frame), dtype=np.float32)
        columns = {
            "episode_index": np.repeat([0, 1, 2], LENGTHS),
            "frame_index": frame,
            "timestamp": frame / 10,
            "task_index": np.zeros(len(frame), int),
            "observation.state": index,
            "action": pa.array(np.stack([index, -index], 1).tolist()),
        }
        pq.write_table(pa.table(columns), folder / "data/chunk-000/file-000.parquet")
        episodes = pa.table({"episode_index": [0, 1, 2], "length": list(LENGTHS)})
        pq.write_table(episodes, folder / "meta/episodes/chunk-000/file-000.parquet")
        features = {
            "observation.state": {"dtype": "float32", "shape": [1], "names": None},
            "action": {"dtype": "float32", "shape": [2], "names": None},
        }
        info = {"codebase_version": "v3.0", "fps": 10, "features": features, **more}
        (folder / "meta" / "info.json").write_text(json.dumps(info))
        return folder

    return write


def test_the_splits_of_lerobot_are_kept_apart(
    lerobot: Callable[..., Path], policy: Pipeline
) -> None:
    folder = lerobot(splits={"train": "0:2", "val": "2:3"})
    assert firsts(read_pairs(folder, policy)) == list(range(8))
    assert firsts(read_pairs(folder, policy, split="train")) == list(range(8))
    assert firsts(read_pairs(folder, policy, split="validation")) == list(range(8, 12))
    with pytest.raises(LoadError, match="no split 'test': its info.json names train, val"):
        read_pairs(folder, policy, split="test")


def test_without_splits_everything_is_to_learn_from(
    lerobot: Callable[..., Path], policy: Pipeline
) -> None:
    folder = lerobot()
    assert len(read_pairs(folder, policy)) == len(read_pairs(folder, policy, split="train")) == 12
    with pytest.raises(LoadError, match="no split 'validation': its info.json names none"):
        read_pairs(folder, policy, split="validation")
    with pytest.raises(LoadError, match="Expected the split train"):
        read_pairs(folder, policy, split="half")


@pytest.mark.parametrize("told", ["80%", "0:2:1", [0, 2]])
def test_splits_of_another_form_are_refused(
    lerobot: Callable[..., Path], policy: Pipeline, told: Any
) -> None:
    with pytest.raises(LoadError, match="expected episodes as 'first:end'"):
        read_pairs(lerobot(splits={"train": told}), policy)


def test_columns_are_not_chosen_in_lerobot(lerobot: Callable[..., Path], policy: Pipeline) -> None:
    folder = lerobot()
    with pytest.raises(LoadError, match="no columns are chosen"):
        read_pairs(folder, policy, columns={"x": "action"})
    data = LeRobotFolder(folder, horizon=3, history=2)
    assert firsts(read_pairs(data, policy)) == list(range(12))
    with pytest.raises(LoadError, match="split says how a table is read"):
        read_pairs(data, policy, split="validation")


def test_pairs_that_are_there_have_no_split_and_no_columns(policy: Pipeline) -> None:
    for pairs in ([("a", "b")], read_pairs([("a", "b")], policy)):
        with pytest.raises(LoadError, match="split says how a table is read"):
            read_pairs(pairs, policy, split="test")
        with pytest.raises(LoadError, match="columns says how a table is read"):
            read_pairs(pairs, policy, columns={"x": "z"})


def test_aligned_lines_and_data_sets_of_a_split(tmp_path: Path) -> None:
    pipe = Pipeline.compose(x="text", y="text", family="autoregressive", size="debug")
    files = [tmp_path / "a.zh", tmp_path / "a.en"]
    for file in files:
        file.write_text("one\ntwo\n")
    assert len(read_pairs(files, pipe, split="train")) == 2
    with pytest.raises(LoadError, match="no split 'validation'"):
        read_pairs(files, pipe, split="validation")

    class Rows(list):
        column_names = ("source", "target")

    class Splits(dict):
        @property
        def column_names(self) -> dict:
            return {name: rows.column_names for name, rows in self.items()}

    rows = Rows([{"source": "a", "target": "b"}])
    with pytest.raises(LoadError, match="no split 'test'"):
        read_pairs(rows, pipe, split="test")
    both = Splits(train=rows, dev=Rows([{"source": "c", "target": "d"}]))
    rng = np.random.default_rng(0)
    assert read_pairs(both, pipe).pair(0, rng) == ("a", "b")
    assert read_pairs(both, pipe, split="validation").pair(0, rng) == ("c", "d")
    with pytest.raises(LoadError, match="none of which is 'test'"):
        read_pairs(both, pipe, split="test")


def test_minari_is_read_for_its_pipeline(tmp_path: Path, policy: Pipeline) -> None:
    h5py = pytest.importorskip("h5py")
    data = tmp_path / "pen-v0" / "data"
    data.mkdir(parents=True)
    with h5py.File(data / "main_data.hdf5", "w") as file:
        for number, length in enumerate(LENGTHS):
            steps = np.arange(length + 1, dtype=np.float64) + 10 * number
            group = file.create_group(f"episode_{number}")
            group["observations"] = steps
            group["actions"] = np.stack([steps, -steps], 1)[:-1]
    (data / "metadata.json").write_text(json.dumps({"total_episodes": 3}))
    folder = data.parent
    pairs = read_pairs(folder, policy)
    assert firsts(pairs) == [0, 1, 2, 3, 4, 10, 11, 12, 20, 21, 22, 23]
    y, x = pairs.pair(5, np.random.default_rng(0))
    assert y["observation.state"].tolist() == [[10.0], [10.0]] and x.shape == (3, 2)
    policy.prepare([(y, x)])
    with pytest.raises(LoadError, match="Minari datasets have none"):
        read_pairs(folder, policy, split="validation")
    with pytest.raises(LoadError, match="no columns are chosen"):
        read_pairs(folder, policy, columns={"x": "actions"})
    with pytest.raises(LoadError, match="Minari dataset, which holds actions"):
        painter = Pipeline.compose(x="image", family="diffusion", size="debug")
        read_pairs(folder, painter)
