"""`mmgen outliers`: p-values of files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cli.conftest import Command
from PIL import Image

from mmgen.inference import OutlierDetector
from mmgen.pipeline import Pipeline

CHEAP = ("--option", "likelihood=bound", "--option", "num_bound_draws=2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures of noise, and beside them one more and a grey one."""
    folder = tmp_path / "usual"
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = [folder / f"{i:02}.png" for i in range(12)]
    for path in (*paths, tmp_path / "noise.png"):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(path)
    Image.new("RGB", (16, 16), (128, 128, 128)).save(tmp_path / "grey.png")
    (folder / ".hidden").write_text("")
    (folder / "more").mkdir()
    return folder


def test_p_values_are_those_of_the_detector(command: Command, saved: Path, folder: Path) -> None:
    done = command(
        "outliers",
        saved,
        "noise.png",
        "grey.png",
        *("--calibration", folder),
        *CHEAP,
        *("--seed", 5),
        "--json",
    )
    assert done.code == 0, done.err
    found = done.json
    assert found["calibration"] == {"folder": str(folder), "values": 12}
    assert found["scores"] == ["log_prob", "typicality", "complexity"]
    options = {"likelihood": "bound", "num_bound_draws": 2}
    usual = sorted(folder.glob("*.png"))
    detector = OutlierDetector(Pipeline.from_pretrained(saved), usual, seed=5, **options)
    expected = detector.test([Path("noise.png"), Path("grey.png")], seed=5)
    for row, test in zip(found["files"], expected, strict=True):
        assert row["p_value"] == pytest.approx(test.p_value)
        assert row["p_values"] == pytest.approx(test.p_values)
        assert row["scores"] == pytest.approx(test.scores)


def test_a_table_of_chosen_scores(command: Command, saved: Path, folder: Path) -> None:
    scores = ("--score", "complexity", "--score", "log_prob")
    base = ("outliers", saved, "grey.png", "noise.png", "--calibration", folder, *CHEAP, *scores)
    done = command(*base)
    assert done.code == 0 and done.err == ""
    head, _, *rows, _, about, kind = done.out.splitlines()
    assert head.split() == ["x", "p-value", "complexity", "log_prob"]
    for line, row in zip(rows, command(*base, "--json").json["files"], strict=True):
        own = row["p_values"]
        numbers = (row["p_value"], own["complexity"], own["log_prob"])
        assert line.split() == [row["file"], *(f"{p:.3f}" for p in numbers)]
    assert about.endswith("at least 0.077") and kind == "log p(x): lower bound"


def test_rows_of_a_table_can_be_judged(command: Command, tmp_path: Path) -> None:
    torch.manual_seed(0)
    pipe = Pipeline.compose(
        x="properties", y=None, family="normalizing_flow", size="debug", labels=["mass", "height"]
    )
    rng = np.random.default_rng(0)
    rows = [
        dict(zip(("mass", "height"), map(float, r), strict=True)) for r in rng.normal(size=(20, 2))
    ]
    pipe.fit_statistics([(None, r) for r in rows])
    folder = tmp_path / "rows"
    folder.mkdir()
    for i, row in enumerate(rows):
        (folder / f"{i:02}.json").write_text(json.dumps(row))
    (tmp_path / "far.json").write_text(json.dumps({"mass": 90.0, "height": -90.0}))
    saved = pipe.save_pretrained(tmp_path / "pipe")
    base = ("outliers", saved, "far.json", "--calibration", folder)
    done = command(*base, "--score", "log_prob", "--json")
    assert done.code == 0, done.err
    assert done.json["files"][0]["p_value"] == pytest.approx(1 / 21)
    assert done.json["kind"] == "exact"
    done = command(*base)
    assert done.code == 1 and "Leave the score 'complexity' out" in done.err


BAD = {
    "calibration": (2, ["noise.png"], "--calibration"),
    "no_folder": (1, ["noise.png", "--calibration", "no"], "There is no folder 'no'"),
    "empty": (1, ["noise.png", "--calibration", "usual/more"], "no file in the folder"),
    "few": (1, ["noise.png", "--calibration", "few"], "10 values or more, got 1"),
    "score": (1, ["noise.png", "--calibration", "usual", "--score", "odd"], "No score 'odd'"),
    "nowhere": (1, ["c.png", "--calibration", "usual"], "There is no image at 'c.png'"),
    "kind": (1, ["noise.png", "--calibration", "wrong"], "x.txt' as an image"),
    "size": (1, ["noise.png", "--calibration", "small"], "x.png: Expected images of 16 x 16"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_message(command: Command, saved: Path, folder: Path, case: str) -> None:
    for name in ("few", "wrong", "small"):
        (folder.parent / name).mkdir()
    Image.new("RGB", (16, 16)).save(folder.parent / "few" / "x.png")
    Image.new("RGB", (8, 8)).save(folder.parent / "small" / "x.png")
    (folder.parent / "wrong" / "x.txt").write_text("no picture")
    code, arguments, message = BAD[case]
    done = command("outliers", saved, *arguments)
    assert done.code == code and done.out == ""
    assert done.err.startswith("error: ") and message in done.err, done.err
