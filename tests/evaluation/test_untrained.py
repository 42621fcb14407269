"""What a quick run measures of a recipe that ships no weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmgen import hub
from mmgen.core.errors import LoadError
from mmgen.evaluation.suite import Asked, Suite
from mmgen.evaluation.task import find_tasks
from mmgen.pipeline import Pipeline

MAZE = "image-to-actions:maze"


@pytest.fixture
def _without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.Recipe, "weights", tmp_path / "none.safetensors")


def _suite(output: Path, said: list[str], **asked: object) -> Suite:
    options = ("num_inference_steps=1",)
    chosen = find_tasks("tasks", ("mazes",))
    return Suite(chosen, Asked(options=options, **asked), output, said.append)


@pytest.mark.usefixtures("_without_weights")
def test_it_is_trained_for_three_steps_and_measured(tmp_path: Path) -> None:
    said: list[str] = []
    suite = _suite(tmp_path, said, quick=True)
    path = suite.run()["mazes"]
    record = json.loads(path.read_text("utf-8"))
    assert record["scores"]["first"]["count"] == 8 and record["scores"]["exact"]["share"] == 1
    assert suite.hardly == {"mazes"} and not suite.failed
    assert said[1] == f"    {MAZE} ships no weights: it learns for three steps"
    folder = tmp_path / "models" / "image-to-actions_maze"
    found = Pipeline.from_pretrained(folder)
    assert found.recipe == MAZE
    assert '"step": 3' in (folder / "log.jsonl").read_text("utf-8")
    # A run that was stopped before its task was done takes what has been trained.
    before = (folder / "pipeline" / "model.safetensors").read_bytes()
    assert _suite(tmp_path, said, quick=True).run()["mazes"] == path
    assert (folder / "pipeline" / "model.safetensors").read_bytes() == before


@pytest.mark.usefixtures("_without_weights")
def test_all_of_a_task_wants_weights(tmp_path: Path) -> None:
    suite = _suite(tmp_path, [])
    with pytest.raises(LoadError, match=f"{MAZE} ships no weights.*mmgen train {MAZE}"):
        suite.run()
    assert not suite.hardly and not (tmp_path / "models").exists()
