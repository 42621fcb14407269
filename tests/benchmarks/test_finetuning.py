"""Fine-tunings are measured before and after, and the documentation says what the records do."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from mmgen.evaluation.results import marked
from mmgen.evaluation.task import Task
from mmgen.pipeline import Pipeline
from mmgen.training.pairs import ListedPairs

ROOT = Path(__file__).parents[2]
TASK = Task(
    summary="It learns.",
    protocol=1,
    minutes=1,
    quick=("--quick",),
    quick_minutes=1,
    shown=(("loss", "loss/after", "lower", "{loss/before} before"),),
)
PAIRS = [(f"number {i % 4}", f"that is {i % 4}") for i in range(12)]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)


def module(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarks.finetuning.{name}")


def test_it_is_measured_before_and_after(tmp_path: Path) -> None:
    measured = module("measured")
    torch.manual_seed(0)
    pipe = Pipeline.compose(x="text", y="text", family="autoregressive", size="debug")
    pipe.fit_statistics(PAIRS)
    base = pipe.save_pretrained(tmp_path / "base")

    def judge(pipe: Pipeline) -> Mapping[str, float]:
        return {"own": measured.held_out_loss(pipe, ListedPairs(PAIRS[:2]))}

    case = measured.Case(
        name="made",
        task=TASK,
        learnt=ListedPairs(PAIRS),
        held_out=ListedPairs(PAIRS[:4]),
        settings={"steps": 20, "batch_size": 4, "learning_rate": 1e-2, "warmup": 1, "ema": 0.5},
        judge=judge,
        conditions=["number 1"],
        options={"max_new_tokens": 8},
        real={"own": 0.0},
    )
    given = ["--pipeline", str(base), "--output", str(tmp_path / "records")]
    asked = measured.case_parser("made", TASK, None).parse_args(given)
    path, before, after = measured.finetuned(case, asked)
    record = json.loads(path.read_text("utf-8"))
    scores = record["scores"]
    assert path.name == "finetuning_made.json" and record["settings"]["steps"] == 20
    assert scores["loss"]["after"] < scores["loss"]["before"]
    assert scores["loss"]["before"] == measured.held_out_loss(pipe, ListedPairs(PAIRS[:4]))
    assert scores["own"]["after"] < scores["own"]["before"] and scores["own"]["real"] == 0.0
    assert scores["seconds"] > 0 < scores["cpu_seconds"] and scores["peak_memory_mb"] > 100
    assert scores["samples"] == [{"y": "number 1", "before": before[0], "after": after[0]}]


def test_blueprints_are_edges_and_are_told_apart() -> None:
    style = module("emoji_style")
    picture = np.full((16, 16, 3), 255, np.uint8)
    picture[4:12, 4:12] = 0
    drawn = style.blueprint(picture)
    assert (drawn[0, 0] == style.PAPER).all() and (drawn[8, 8] == style.PAPER).all()
    assert (drawn[4, 8] == style.INK).all()
    other = style.blueprint(picture.transpose(1, 0, 2)[::-1] // np.array([1, 2, 3], np.uint8))
    moved = np.roll(drawn, 4, axis=0)
    same = style.judged([drawn, moved], [drawn, moved])
    assert same["own"] == 1.0 and 0.5 < same["paper"] < 1
    assert style.judged([moved, drawn], [drawn, moved])["own"] == 0.0
    assert style.judged([picture, picture], [drawn, other])["paper"] == 0.0


def test_fields_are_found_in_sentences() -> None:
    e2e = module("passages_e2e")
    fields = "name[The Mill], eatType[pub], food[Italian], area[riverside], near[Burger King]"
    said = e2e.fields_said(fields, "the mill is an Italian pub at the riverside.")
    assert said == [True, True, True, False]


def test_the_table_of_the_documentation_is_that_of_the_records() -> None:
    made = module("table")
    shown = marked(made.DOCUMENT.read_text("utf-8"), made.TABLE)
    assert shown == made.table(), "Make it again: python -m benchmarks.finetuning.table"
