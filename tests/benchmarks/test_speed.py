"""The speed benchmark runs and says what it measured. It asserts no time."""

from __future__ import annotations

import importlib
import json
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parent.parent.parent
PIPELINES = {"mmgen", "diffusers-unet", "diffusers-pixart"}


def _module(name: str) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"benchmarks.speed.{name}")


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)


@pytest.fixture
def record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _module("text_to_image").main(["--quick", "--output", str(tmp_path)])
    assert torch.get_num_threads() == threads
    assert "diffusers-pixart" in capsys.readouterr().out
    return json.loads((tmp_path / "speed_text_to_image.json").read_text())


def test_a_quick_run_records_what_it_measured(record: dict[str, Any]) -> None:
    settings, scores = record["settings"], record["scores"]
    assert settings["weights"] == "debug"
    assert settings["repeats"] == 2
    assert settings["threads"] == torch.get_num_threads()
    assert settings["options"]["num_inference_steps"] == 4
    assert set(settings["references"]) == PIPELINES - {"mmgen"}
    assert {"torch", "diffusers"} <= set(record["versions"])
    assert set(scores["batches"]) == {"1", "8"}
    for batch in scores["batches"].values():
        assert set(batch) == PIPELINES
        for name, own in batch.items():
            assert own["network_calls"] == 4
            assert own["gflop_per_image"] > 0
            for part in ("call", "loop", "network"):
                spread = own["seconds_per_image"][part]
                assert 0 < spread["low"] <= spread["median"] <= spread["high"]
                assert spread["repeats"] == 2
            assert ("over_mmgen" in own) == (name != "mmgen")
    assert set(scores["limit"]["gflops"]) == {"float32", "bfloat16"}
    assert set(scores["parameters"]) == PIPELINES
    assert scores["peak_memory_mb"] is None and scores["first"] is None


def test_calls_are_those_that_the_run_made() -> None:
    layer, x = torch.nn.Linear(3, 5), torch.ones(2, 3)
    calls = _module("calls").Calls.of(layer, lambda: [layer(x), layer(input=2 * x)])
    assert [len(a) + len(k) for a, k in calls.arguments] == [1, 1]
    assert calls.flops() == 2 * (2 * 2 * 3 * 5)
    assert not layer._forward_pre_hooks


def test_a_spread_is_the_middle_half() -> None:
    spread = _module("timing").Spread.of([4.0, 1.0, 3.0, 2.0, 5.0])
    assert (spread.low, spread.median, spread.high, spread.repeats) == (2.0, 3.0, 4.0, 5)


def test_cases_take_turns_after_one_run_each() -> None:
    order: list[str] = []
    cases = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds = _module("timing").interleave(cases, 2)
    assert order == ["a", "b"] * 3
    assert {name: len(own) for name, own in seconds.items()} == {"a": 2, "b": 2}
