"""`mmgen show` of checkpoints that others made, and `mmgen list --foreign`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cli.conftest import Command

from mmgen.backends.recognition.table import table


@pytest.fixture
def marian(tmp_path: Path) -> Path:
    """A folder as transformers lays it out, with weights in a pickle."""
    folder = tmp_path / "org" / "opus"
    folder.mkdir(parents=True)
    content = {"architectures": ["MarianMTModel"], "model_type": "marian"}
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "pytorch_model.bin").touch()
    return folder


def test_show_of_a_folder_of_others(command: Command, marian: Path) -> None:
    done = command("show", marian)
    flat = " ".join(done.out.split())
    assert done.code == 0 and max(map(len, done.out.splitlines())) <= 80
    for part in ("transformers", "translation", "P(text | text)", "MarianMTModel", "pickle only"):
        assert part in flat
    assert "log_prob" in flat
    found = command("show", "org/opus", "--json").json  # A folder here comes before the Hub.
    assert found == {
        "name": "org/opus",
        "library": "transformers",
        "task": "translation",
        "x": "text",
        "y": ["text"],
        "architecture": "MarianMTModel",
        "revision": None,
        "weights": "pickle only",
        "verbs": ["sample", "stream", "best", "log_prob", "known", "classify"],
        "options": [],
        "options_unknown": found["options_unknown"],
    }
    # There are no words in this folder, so how long a text may be is not known.
    assert "org/opus" in found["options_unknown"] and "not known: " in flat


def test_show_tells_the_options_of_a_pipeline_of_diffusers(
    command: Command, tmp_path: Path
) -> None:
    content = {"_class_name": "WanPipeline", "scheduler": ["diffusers", "UniPCMultistepScheduler"]}
    (tmp_path / "model_index.json").write_text(json.dumps(content))
    done = command("show", tmp_path)
    assert done.code == 0 and max(map(len, done.out.splitlines())) <= 80
    for part in ("P(video | text)", "num_frames", "81", "guidance_scale", "5.0", "likelihood"):
        assert part in done.out
    found = {o["name"]: o for o in command("show", tmp_path, "--json").json["options"]}
    assert found["num_frames"]["default"] == 81 and found["num_frames"]["type"] == "int"
    assert found["scheduler"]["default"] == "UniPCMultistepScheduler"


def test_show_of_what_is_no_checkpoint(command: Command, tmp_path: Path) -> None:
    done = command("show", "org/absent")
    assert done.code == 1 and "There is no folder 'org/absent' here" in done.err
    (tmp_path / "empty").mkdir()
    done = command("show", "empty")
    assert done.code == 1 and "holds no saved pipeline" in done.err
    (tmp_path / "empty" / "model_index.json").write_text('{"_class_name": "Own"}')
    done = command("show", "empty", "--json")
    assert done.json["error"]["type"] == "UnknownNameError"
    assert command("show", os.fspath(tmp_path / "nowhere")).code == 1


def test_show_of_a_revision(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for commit, tag, kind in (("1" * 40, "main", "MarianMTModel"), ("2" * 40, "v1", "VitsModel")):
        root = tmp_path / "models--org--name"
        for part in ("refs", f"snapshots/{commit}"):
            (root / part).mkdir(parents=True, exist_ok=True)
        (root / "refs" / tag).write_text(commit)
        content = json.dumps({"architectures": [kind], "model_type": kind[:-5].lower()})
        (root / "snapshots" / commit / "config.json").write_text(content)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    shown = command("show", "org/name", "--json").json
    assert (shown["architecture"], shown["revision"]) == ("MarianMTModel", "1" * 40)
    shown = command("show", "org/name", "--revision", "v1", "--json").json
    assert (shown["architecture"], shown["revision"]) == ("VitsModel", "2" * 40)
    done = command("show", "org/name", "--revision", "v2")
    assert done.code == 1 and "no configuration of org/name in the cache" in done.err
    done = command("show", "text-to-image", "--revision", "v1")
    assert done.code == 2 and "is no Hub id" in done.err


def test_a_pipeline_of_ours_is_never_taken_for_one_of_others(command: Command, saved: Path) -> None:
    other = saved / "config.json"
    other.write_text('{"model_type": "gpt2"}')
    try:
        assert "recipe" in command("show", saved, "--json").json
    finally:
        other.unlink()


def test_list_of_what_is_recognised(command: Command) -> None:
    done = command("list", "--foreign")
    assert done.code == 0 and max(map(len, done.out.splitlines())) <= 80
    for part in ("diffusers", "transformers", "text-to-image", "P(image | text)", "VitsModel"):
        assert part in done.out
    found = command("list", "--foreign", "--json").json
    assert len(found["groups"]) == len(table().groups)
    done = command("list", "--foreign", "--matrix")
    assert done.code == 2 and "not both" in done.err
