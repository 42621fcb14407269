"""The tasks of policies run from end to end on tiny pipelines, and say what they measured."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mmgen.core.errors import LoadError, SpecError
from mmgen.pipeline import Pipeline
from mmgen.simulators.mazes import paced_path, shortest_way
from mmgen.simulators.pusht import Table, play

ROOT = Path(__file__).parents[2]


@pytest.fixture
def task(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the task that the test is about."""
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module(f"benchmarks.tasks.{request.param}")


@pytest.mark.parametrize("task", ["mazes"], indirect=True)
def test_mazes(task: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = Pipeline.debug("image-to-actions:maze")
    chosen = ["--count", "3", "--tries", "2", "--output", str(tmp_path)]
    path = task.main([*chosen, "--option", "num_inference_steps=2"], pipe=pipe)
    record = json.loads(path.read_text("utf-8"))
    scores = record["scores"]
    assert all(scores[k]["count"] == 3 for k in ("first", "best", "marked", "known", "straight"))
    # Whatever the weights, known ends come back to the last bit.
    assert scores["exact"]["share"] == 1
    assert record["settings"]["options"]["num_inference_steps"] == 2
    assert len(list(tmp_path.glob("*.png"))) == 1
    assert "exact" in capsys.readouterr().out


@pytest.mark.parametrize("task", ["mazes"], indirect=True)
def test_demonstrations_succeed_and_chance_does_not(
    task: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def demonstrated(pipe: object, cases: list, *rest: object, **shown: object) -> list:
        return [paced_path(shortest_way(c.maze, c.start, c.goal), 25) for c in cases]

    monkeypatch.setattr(task, "_plans", demonstrated)
    cases = task._cases(60)
    scores, plans = task.run(None, cases, seed=0, tries=2, options={})
    assert scores["first"]["share"] == scores["marked"]["share"] == 1
    assert scores["straight"]["share"] < 0.4
    assert sum(entry["count"] for entry in scores["by_length"].values()) == 60
    # A plan for another maze, or the same one backwards, is none.
    assert not any(c.succeeds(p[::-1]) for c, p in zip(cases, plans, strict=True))
    others = zip(cases, plans[1:] + plans[:1], strict=True)
    assert sum(c.succeeds(p) for c, p in others) < 6


@pytest.mark.parametrize("task", ["mazes"], indirect=True)
def test_mazes_take_planners_alone(task: ModuleType, tmp_path: Path) -> None:
    other = Pipeline.debug("observation-to-actions:hopper")
    with pytest.raises(SpecError, match="a plan is actions of 2 numbers.*image-to-actions:maze"):
        task.main(["--count", "1", "--output", str(tmp_path)], pipe=other)


@pytest.mark.parametrize("task", ["locomotion"], indirect=True)
def test_locomotion(
    task: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("mujoco")
    saved = Pipeline.debug("observation-to-actions:hopper").save_pretrained(tmp_path / "tiny")
    chosen = ["--pipeline", str(saved), "--count", "2", "--max-steps", "5"]
    chosen += ["--output", str(tmp_path / "results")]
    monkeypatch.delenv("MMGEN_DATA", raising=False)
    with pytest.raises(LoadError, match="'actions'.*MMGEN_DATA is not set"):
        task.main(chosen)
    folder = tmp_path / "data" / "actions"
    folder.mkdir(parents=True)
    np.savez(folder / "mujoco_Hopper-v4_expert.npz", reward_0=np.full(10, 2.0, np.float32))
    monkeypatch.setenv("MMGEN_DATA", str(tmp_path / "data"))
    record = json.loads(task.main(chosen).read_text("utf-8"))
    scores = record["scores"]
    assert scores["return"]["expert"] == 20 and scores["return"]["count"] == 2
    assert scores["random"]["count"] == 2 and len(scores["episodes"]) == 2
    mean = np.mean([e["total"] for e in scores["episodes"]])
    assert scores["return"]["relative"] == pytest.approx(mean / 20, abs=1e-3)
    assert record["settings"]["num_action_steps"] == 2
    assert "to the end" in capsys.readouterr().out


@pytest.mark.parametrize("task", ["pusht"], indirect=True)
def test_pusht(
    task: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("gym_pusht")
    monkeypatch.setenv("MMGEN_PUSHT", str(tmp_path / "kept"))
    saved = Pipeline.debug("observation-to-actions:pusht").save_pretrained(tmp_path / "tiny")
    chosen = ["--pipeline", str(saved), "--count", "2", "--max-steps", "9", "--output"]
    chosen += [str(tmp_path / "results"), "--demonstrations", "1"]
    record = json.loads(task.main(chosen).read_text("utf-8"))
    scores = record["scores"]
    for own in (scores, scores["expert"], scores["replay"]):
        assert own["success"]["count"] == own["score"]["count"] == 2
        assert own["score"]["low"] <= own["score"]["mean"] <= own["score"]["high"]
    best = [e["best"] for e in scores["episodes"]]
    assert scores["score"]["mean"] == pytest.approx(np.mean(best), abs=1e-4)
    assert record["settings"]["num_action_steps"] == 8
    assert len(list((tmp_path / "results").glob("*.png"))) == 1
    assert "expert" in capsys.readouterr().out


@pytest.mark.parametrize("task", ["pusht"], indirect=True)
def test_a_demonstration_that_is_played_again_succeeds(task: ModuleType) -> None:
    pytest.importorskip("gym_pusht")
    # Without sway, what was done is what is kept.
    shown = play(14, sway=0.0)
    scores = task._replayed(Table(), 14, [shown], 300)
    assert shown.succeeded and np.allclose(scores, shown.scores, atol=1e-3)
    # Next to nothing of it is left in an episode that starts otherwise.
    assert max(task._replayed(Table(), 15, [shown], 300)) < 1
