"""`mmgen train`: what it makes, where it goes on, what it refuses."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from cli.conftest import SCENES, Command

from mmgen import hub
from mmgen.pipeline import Pipeline
from mmgen.training import Pairs

SMALL = {
    "steps": 2,
    "batch_size": 2,
    "compile": False,
    "precision": "no",
    "statistics_from": 256,
    "sample_every": 0,
    "checkpoint_every": 1,
}


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The recipe of scenes, of narrow networks, with a training of two steps."""
    module = hub.find_recipe(SCENES).module()
    narrow = {name: module.DEBUG[name] for name in module.DEBUG.keys() - {"size", "channel"}}
    monkeypatch.setattr(module, "build", functools.partial(module.build, **narrow))
    monkeypatch.setattr(module, "TRAINING", SMALL)
    monkeypatch.setattr(module, "PRETRAINING", {"codec": SMALL})
    # What a run sets here is taken back after the test.
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", "cpu")
    return module


class Stopping(Pairs):
    """Pairs during which Ctrl-C comes, once a file is there."""

    def __init__(self, pairs: Pairs, file: Path) -> None:
        self._pairs, self._file = pairs, file

    def __len__(self) -> int:
        return len(self._pairs)

    def pair(self, index: int, rng: np.random.Generator) -> tuple[Any, Any]:
        if self._file.exists():
            raise KeyboardInterrupt
        return self._pairs.pair(index, rng)


def test_it_makes_a_pipeline_that_generates(
    command: Command, recipe: ModuleType, tmp_path: Path
) -> None:
    done = command("train", "text-to-image", "--device", "cpu", "--learning-rate", 1e-4)
    folder = Path("runs") / "text_to_image_scenes" / "pipeline"
    assert done.code == 0, done.err
    assert f"Training {SCENES}" in done.out and "2 steps of 2 pairs" in done.out
    assert "First its codec, for 2 steps" in done.out
    assert "Going on" not in done.out
    assert f"mmgen generate {folder} '{recipe.PREVIEW[0]}'" in done.out
    used = command("generate", folder, recipe.PREVIEW[0], "--option", "unknown_words=allow")
    assert used.code == 0, used.err


def test_the_seed_decides_the_weights(command: Command, recipe: ModuleType) -> None:
    states = []
    for output, seed in (("a", 3), ("b", 3), ("c", 4)):
        torch.manual_seed(len(states))
        assert command("train", SCENES, "-o", output, "--steps", 1, "--seed", seed).code == 0
        states.append(Pipeline.from_pretrained(Path(output) / "pipeline").model.state_dict())
    a, b, c = states
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not all(torch.equal(a[k], c[k]) for k in a)


def test_stopped_it_says_how_to_go_on_and_does(
    command: Command, recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = recipe.pairs("train")
    file = tmp_path / "run" / "checkpoint" / "state.json"
    with monkeypatch.context() as patch:
        patch.setattr(recipe, "pairs", lambda split: Stopping(pairs, file))
        done = command("train", SCENES, "-o", "run")
    assert done.code == 130
    assert "of step 1, is whole" in done.err and "goes on from it" in done.err
    assert not (tmp_path / "run" / "pipeline").exists()
    done = command("train", SCENES, "-o", "run")
    assert done.code == 0 and "Going on from step 1" in done.out
    assert (tmp_path / "run" / "pipeline" / "pipeline.json").is_file()
    other = command("train", SCENES, "-o", "run", "--batch-size", 3)
    assert other.code == 1 and "batch_size was 2, is now 3" in other.err


def test_stopped_before_the_first_checkpoint(
    command: Command, recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = recipe.pairs("train")
    monkeypatch.setattr(recipe, "pairs", lambda split: Stopping(pairs, tmp_path))
    done = command("train", SCENES, "-o", "run")
    assert done.code == 130 and "before the first checkpoint" in done.err


def test_weights_are_shipped_if_asked(
    command: Command, recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not beside the real recipe.
    here = dataclasses.replace(hub.find_recipe(SCENES), path=tmp_path / "scenes.py")
    here.path.write_bytes(hub.find_recipe(SCENES).path.read_bytes())
    monkeypatch.setattr(hub, "find_recipe", lambda name: here)
    monkeypatch.setattr(hub.Recipe, "module", lambda self: recipe)
    assert command("train", SCENES, "--steps", 1).code == 0
    assert not here.weights.exists()
    assert f"Shipped {here.weights}" in command("train", SCENES, "-o", "b", "--ship").out
    assert hub.read_shipped(here).tensors["model"]


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (1, ["text-to-image:scene"], f"Did you mean '{SCENES}'"),
        (1, [SCENES, "--steps", "0"], "steps is at least 1, got 0"),
        (1, [SCENES, "--batch-size", "-1"], "batch_size is at least 1, got -1"),
        (1, [SCENES, "--learning-rate", "0"], "learning_rate is above 0"),
        (1, [SCENES, "--seed", "-1"], "seed is at least 0"),
        (1, [SCENES, "--device", "cuda:99"], "no device 'cuda:99'"),
        (2, [SCENES, "--precision", "int8"], "--precision"),
        (2, [SCENES, "--steps", "few"], "--steps"),
        (1, [SCENES, "-o", "file/run"], "Not a directory"),
    ],
)
def test_bad_input_is_one_message(
    command: Command, recipe: ModuleType, tmp_path: Path, code: int, arguments: list, message: str
) -> None:
    (tmp_path / "file").touch()
    done = command("train", *arguments)
    assert done.code == code and message in done.err
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_recipe_without_pairs_cannot_be_trained(
    command: Command, recipe: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(recipe, "PREVIEW")
    done = command("train", SCENES)
    assert done.code == 1 and "cannot be trained: it has no PREVIEW" in done.err


def test_a_dry_run_measures_each_stage_and_writes_nothing(
    command: Command, recipe: ModuleType, tmp_path: Path
) -> None:
    done = command("train", "text-to-image", "--dry-run", "--device", "cpu")
    assert done.code == 0, done.err
    assert "First its codec would take:" in done.out and f"{SCENES} would take:" in done.out
    assert done.out.count(" s a step, ") == 2
    assert not list(tmp_path.iterdir())
