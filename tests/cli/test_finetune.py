"""`mmgen finetune` and `mmgen pairs check`, from a folder to a pipeline."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from mmgen.pipeline import Pipeline
from mmgen.training.locking import locked
from tests.cli.conftest import Command


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pipe = Pipeline.compose(x="image", y="text", family="diffusion", size="debug")
    pipe.fit_statistics([("a red one", Image.new("RGB", (16, 16), "red"))] * 4)
    return pipe.save_pretrained(tmp_path_factory.mktemp("base") / "pipe")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    folder = tmp_path / "pairs"
    for split in ("train", "validation"):
        (folder / split).mkdir(parents=True)
        rows = []
        for colour in ("red", "green", "blue"):
            Image.new("RGB", (20, 16), colour).save(folder / split / f"{colour}.png")
            rows.append({"file_name": f"{colour}.png", "text": f"{colour} {split}"})
        text = "\n".join(json.dumps(row) for row in rows)
        (folder / split / "metadata.jsonl").write_text(text)
    return folder


def test_check_names_what_does_not_fit(command: Command, base: Path, pairs: Path) -> None:
    done = command("pairs", "check", pairs, "--for", base)
    assert done.code == 1
    assert "3 pairs, 0 of which" in done.out and "x is read from file_name" in done.out
    assert "metadata.jsonl, line 2" in done.out and "Resize" in done.out
    done = command("pairs", "check", pairs, "--for", base, "--adapt", "--json")
    found = json.loads(done.out)
    assert done.code == 0 and found["count"] == 3 and not found["bad"]
    assert found["columns"] == {"y": {"": ["text"]}, "x": ["file_name"]} and not found["unread"]
    rows = (pairs / "train" / "metadata.jsonl").read_text().replace("file_name", "image")
    (pairs / "train" / "metadata.jsonl").write_text(rows.replace('{"', '{"note": 1, "'))
    assert "Nothing is read from note." in command("pairs", "check", pairs, "--for", base).out
    assert found["numbers"]["x.width"] == [16, 16, 16]


def test_finetune_learns_a_folder(
    command: Command, base: Path, pairs: Path, tmp_path: Path
) -> None:
    settings = ("--steps", 4, "--batch-size", 2, "--precision", "no", "--learning-rate", 0.01)
    run = ("finetune", base, "--pairs", pairs, "--output", tmp_path / "run", *settings)
    done = command(*run)
    assert done.code == 1 and "3 of 3 pairs cannot be learnt from" in done.err
    assert "--max-bad 1" in done.err and not (tmp_path / "run").exists()
    done = command(*run, "--adapt")
    assert done.code == 0, done.err
    assert "3 pairs\n" in done.out and "3 held-out pairs" in done.out
    rows = [json.loads(r) for r in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [row["validation_loss"] for row in rows if "validation_loss" in row]
    assert len(losses) == 2
    ours, theirs = (Pipeline.from_pretrained(p) for p in (tmp_path / "run", base))
    assert str(ours.parts.state_dict()) != str(theirs.parts.state_dict())
    assert command("show", tmp_path / "run").code == 0


def test_finetune_refuses_what_makes_no_sense(
    command: Command, base: Path, pairs: Path, tmp_path: Path
) -> None:
    run = ("finetune", base, "--pairs", pairs, "--output", tmp_path / "run")
    done = command(*run, "--lora-rank", 2, "--only", "model")
    assert done.code == 1 and "leave out only or it" in done.err
    done = command(*run, "--max-bad", 2)
    assert done.code == 2 and "--max-bad" in done.err
    (pairs / "validation" / "metadata.jsonl").write_text("\n")
    done = command(*run, "--adapt")
    assert done.code == 1 and "metadata.jsonl holds no rows" in done.err
    shutil.rmtree(pairs / "validation")
    done = command(*run, "--adapt", "--patience", 3)
    assert done.code == 1 and "Give validation, or leave patience out" in done.err
    assert not (tmp_path / "run").exists()
    done = command(*run, "--lora-target", "query")
    assert done.code == 1 and "Give lora_rank, or leave lora_targets out" in done.err
    done = command(*run, "--adapt", "--only", "nonsense")
    assert done.code == 1 and "There are: encoder, encoder.embed," in done.err
    done = command(*run, "--column", "x=picture")
    assert done.code == 1 and "no column 'picture'" in done.err
    done = command("finetune", base, "--pairs", tmp_path / "gone", "--output", tmp_path / "run")
    assert done.code == 1 and "no file or folder" in done.err


def test_a_folder_that_no_run_can_be_written_to_is_refused_first(
    command: Command, base: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "busy").mkdir()
    with locked(tmp_path / "busy"):
        for name, said in (("file", "is a file"), ("busy", "in use by another run")):
            # Before the pairs are read, which are not even there.
            done = command("finetune", base, "--pairs", "gone", "--output", tmp_path / name)
            assert done.code == 1 and said in done.err, done.err


def test_options_reach_the_run(command: Command, base: Path, pairs: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    settings = ("--steps", 2, "--batch-size", 2, "--precision", "no", "--adapt", "--sample-every")
    chosen = ("--lora-rank", 2, "--lora-target", "query", "--gradient-checkpointing")
    run = ("finetune", base, "--pairs", pairs, "--output", tmp_path / "run")
    done = command(*run, *settings, 1, *chosen)
    assert done.code == 0, done.err
    state = json.loads((tmp_path / "run" / "checkpoint" / "state.json").read_text())["settings"]
    assert state["lora_targets"] == ["query"] and state["gradient_checkpointing"]
    names = {p.name for p in (tmp_path / "run").glob("samples_*")}
    assert names == {"samples_0000001.png", "samples_0000002.png"}
    done = command(*run, "--adapt", "--statistics", "new", "--lora-rank", 2)
    assert done.code == 1 and "Leave out lora_rank or statistics" in done.err


def test_a_dry_run_tells_what_it_would_take_and_writes_nothing(
    command: Command, base: Path, pairs: Path, tmp_path: Path
) -> None:
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    settings = ("--steps", 30, "--batch-size", 2, "--precision", "no", "--adapt")
    run = ("finetune", base, "--pairs", pairs, "--output", tmp_path / "run", *settings)
    done = command(*run, "--dry-run")
    assert done.code == 0, done.err
    assert "30 steps of 2 pairs would take:" in done.out
    assert "60 seen of 3, 20 epochs" in done.out and " s a step, " in done.out
    assert "2 measurements of" in done.out and "of which are trained" in done.out
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
