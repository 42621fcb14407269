"""The speed benchmark of translation runs and says what it measured. It asserts no time."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path

import pytest

pytest.importorskip("ctranslate2")

WAYS = {"transformers", "mmgen", "ctranslate2 float32", "ctranslate2 int8"}


def test_a_debug_run_records_what_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent.parent)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    module = importlib.import_module("benchmarks.speed.translation")
    module.main(["--size", "debug", "--repeats", "2", "--output", str(tmp_path)])
    record = json.loads((tmp_path / "speed_translation.json").read_text())
    assert record["settings"]["size"] == "debug" and record["scores"]["parameters"] > 0
    assert set(record["scores"]["batches"]) == {"1", "3"}
    for batch in record["scores"]["batches"].values():
        assert set(batch) == WAYS
        for own in batch.values():
            spread = own["tokens_per_second"]
            assert 0 < spread["low"] <= spread["median"] <= spread["high"]
            assert spread["repeats"] == 2 and 0 <= own["same_texts"] <= 1
        assert batch["transformers"]["times_transformers"]["median"] == 1
        # The door gives what the library gives, and so does the engine in the same precision.
        assert batch["mmgen"]["same_texts"] == batch["ctranslate2 float32"]["same_texts"] == 1
    assert "ctranslate2 int8" in capsys.readouterr().out
    assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
