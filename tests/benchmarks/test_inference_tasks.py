"""The tasks about outliers and about Bayes' rule run from end to end on tiny models."""

from __future__ import annotations

import gzip
import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from mmgen.core.errors import LoadError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def idx_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty images each of noise and of bars, as MNIST and Fashion-MNIST are written."""
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.setenv("MMGEN_DATA", str(tmp_path))
    rng = np.random.default_rng(0)
    bars = np.tile(rng.integers(0, 256, (40, 1, 28), dtype=np.uint8), (1, 28, 1))
    noise = rng.integers(0, 256, (40, 28, 28), dtype=np.uint8)
    labels = np.arange(40, dtype=np.uint8) % 10
    for name, images in (("mnist", bars), ("fashion_mnist", noise)):
        folder = tmp_path / name
        folder.mkdir()
        head = bytes([0, 0, 8, 3]) + np.array([40, 28, 28], ">i4").tobytes()
        with gzip.open(folder / "train-images-idx3-ubyte.gz", "wb") as file:
            file.write(head + images.tobytes())
        head = bytes([0, 0, 8, 1]) + np.array([40], ">i4").tobytes()
        with gzip.open(folder / "train-labels-idx1-ubyte.gz", "wb") as file:
            file.write(head + labels.tobytes())
    return tmp_path


def _run(task: str, folder: Path, *arguments: str) -> dict:
    own = ["--size", "debug", "--steps", "2", "--model", str(folder / "model")]
    own += ["--output", str(folder / "results"), *arguments]
    path = importlib.import_module(f"benchmarks.tasks.{task}").main(own)
    text = path.read_text("utf-8")
    assert str(folder) not in text
    return json.loads(text)["scores"]


def test_outliers(idx_data: Path) -> None:
    scores = _run("outliers", idx_data, "--calibration", "10", "--count", "6")
    for name in ("log_prob", "typicality", "complexity", "together"):
        assert 0 <= scores[name]["auroc"] <= 1
        assert scores[name]["caught"]["count"] == scores[name]["false_alarms"]["count"] == 6
    # What is taken off is the size compressed: noise cannot be, and bars can.
    bits, less = (scores[name]["mean_bits_per_dim"] for name in ("log_prob", "complexity"))
    assert bits[0] - less[0] > bits[1] - less[1] + 1


def test_bayes_digits(idx_data: Path) -> None:
    scores = _run("bayes_digits", idx_data, "--count", "3")
    assert scores["accuracy"]["count"] == 3
    # Two steps from nothing: 256 levels are about as likely as each other.
    assert 7 < scores["bits_per_dim"] < 9
    assert 0 <= scores["surprise_bits"] <= 20


def test_images_are_read_at_any_size(idx_data: Path) -> None:
    idx = importlib.import_module("benchmarks.idx")
    whole, small = (idx.read_images("mnist", size=size) for size in (32, 16))
    assert whole.shape == (40, 32, 32, 3) and small.shape == (40, 16, 16, 3)
    assert (idx.read_images("mnist", size=28) == whole[:, 2:30, 2:30]).all()
    assert not whole[:, :2].any() and whole[:, 2:30, 2:30].any()
    assert abs(float(whole.mean()) - float(small.mean())) < 0.5
    assert idx.read_labels("mnist").tolist() == [i % 10 for i in range(40)]
    with pytest.raises(ValueError, match="divides 32, got 20"):
        idx.read_images("mnist", size=20)
    (idx_data / "mnist" / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"text"))
    with pytest.raises(LoadError, match="no IDX file"):
        idx.read_labels("mnist")
    (idx_data / "mnist" / "train-labels-idx1-ubyte.gz").write_bytes(b"text")
    with pytest.raises(LoadError, match="no gzip file"):
        idx.read_labels("mnist")
