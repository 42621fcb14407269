"""The benchmark of training runs and says what it measured. It asserts no time."""

from __future__ import annotations

import importlib
import json
import warnings
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)


def _module(name: str) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"benchmarks.speed.{name}")


def test_a_debug_run_records_what_it_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--size", "debug", "--rounds", "2", "--steps", "2", "--skipped", "1"]
    arguments += ["--batch-size", "2", "--no-memory", "--output", str(tmp_path)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _module("training").main(arguments)
    record = json.loads((tmp_path / "speed_training.json").read_text())
    assert record["settings"]["size"] == "debug" and record["settings"]["rounds"] == 2
    scores = record["scores"]
    for name, other in (("language model", "trainer"), ("text to image", "diffusers_loop")):
        own = scores[name]
        assert own["parameters"] > 1000
        for loop in ("mmgen", other):
            spread = own["steps_per_second"][loop]
            assert 0 < spread["low"] <= spread["median"] <= spread["high"]
            assert spread["repeats"] == 2
        assert own[f"mmgen_over_{other}"]["repeats"] == 2
        assert f"{name:16} {other:16} " in capsys.readouterr().out or other != "trainer"
    assert scores["memory"] is None


def test_steps_are_timed_from_batch_to_batch_and_read_in_order() -> None:
    loops = _module("training_loops")
    work = loops.Work(Path("none"), [("a", 0), ("b", 1), ("c", 2)], 2, 3, 1, "no")
    assert work.batch(0) == [("a", 0), ("b", 1)] and work.batch(1) == [("c", 2), ("a", 0)]
    stamped = loops._Stamped(work)
    for count in range(1 + 2 * 4):  # one for statistics, and four batches
        stamped.pair(count % 3, None)
    assert len(stamped.times) == 4
    with pytest.raises(loops._Enough):
        stamped.pair(0, None)
    assert loops._seconds([0.0, 9.0, 10.0, 12.0, 15.0], work) == [1.0, 2.0, 3.0]


def test_the_memory_of_training_is_taken_without_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft")
    made = _module("made")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.language_model(tmp_path / "made", "debug")
        monkeypatch.chdir(tmp_path)
        before = sorted(p.name for p in (tmp_path / "made").iterdir())
        for rank in ("0", "2"):
            how = ["--rank", rank, "--tokens", "4", "--batch-size", "2"]
            _module("training_memory").main([str(tmp_path / "made"), *how])
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == before
    assert [p.name for p in tmp_path.iterdir()] == ["made"]
    assert not torch.is_autocast_enabled("cpu")
