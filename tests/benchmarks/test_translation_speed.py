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
    # One decoder layer of width 32 (self-attention, a query and an output for the source, and four
    # times as wide a perceptron), and the output layer of 400 words, in float32.
    assert record["scores"]["bytes_per_token"] == 4 * (14 * 32**2 + 32 * 400)
    assert set(record["scores"]["share_of_limit"]) == WAYS
    assert record["scores"]["gigabytes_per_second"]["median"] > 0.1
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


def test_the_same_checkpoints_by_a_door_and_by_their_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent.parent)
    module = importlib.import_module("benchmarks.speed.checkpoints")
    module.main([*module.TASK.quick, "--output", str(tmp_path)])
    record = json.loads((tmp_path / "speed_checkpoints.json").read_text())
    text, image = (record["scores"][name] for name in module.CHECKPOINTS)
    assert text["same_output"] and image["same_output"]
    # Of each of two layers twelve squares of the width, and the output layer of GPT-2's words.
    assert text["bytes_per_token"] == 4 * (2 * 12 * 48**2 + 50_257 * 48)
    assert set(text["share_of_limit"]) == {"mmgen", "library"} and text["peak_memory_mb"] is None


def test_pipelines_of_tokens_beside_generate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent.parent)
    module = importlib.import_module("benchmarks.speed.decoding")
    module.main(["--quick", "--output", str(tmp_path)])
    record = json.loads((tmp_path / "speed_decoding.json").read_text())
    assert record["settings"]["tokens"] == 4
    for name, subject in module.SUBJECTS.items():
        found = record["scores"][name]
        assert found["weights"] == "debug"
        for count in subject.batches:
            own = found[str(count)]
            assert set(own["tokens_per_second"]) == {"mmgen", "network", "transformers"}
            ours, theirs = own["bytes_per_token"].values()
            # A gated perceptron is rounded to a multiple of eight.
            assert ours == pytest.approx(theirs, rel=0.1)
            # So little of a tiny network that it rounds to nothing, but measured.
            assert own["times_transformers"]["repeats"] == 1 and 0 <= own["share_of_limit"] < 1
        assert found["peak_memory_mb"] is None
    for way in ("mmgen", "transformers"):
        module.alone("translation", way, 4)
    with pytest.raises(SystemExit):
        module.main(["--tokens", "99"])


def test_a_policy_beside_diffusers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent.parent)
    module = importlib.import_module("benchmarks.speed.policies")
    module.main(["--quick", "--output", str(tmp_path)])
    scores = json.loads((tmp_path / "speed_policies.json").read_text())["scores"]
    assert scores["seconds_of_actions"] == 8 / module.HERTZ
    assert scores["peak_memory_mb"] is None
    for way in ("mmgen", "diffusers"):
        module.alone(way)
    for count in module.BATCHES:
        own = scores["batches"][str(count)]
        assert own["network_calls"] > 1 and 0 < own["share_of_limit"]
        assert set(own["seconds"]) == {"mmgen", "network", "diffusers"}
