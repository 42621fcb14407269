"""`mmgen generate`: what it writes and says, and what it refuses."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.conftest import Command
from PIL import Image
from rounding import same_but_for_rounding

from mmgen.cli.console import progress_bar
from mmgen.core import files
from mmgen.modalities import audio
from mmgen.pipeline import Pipeline

CAPTION = "a red circle"


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_it_writes_what_the_pipeline_draws_with_that_seed(
    command: Command, saved: Path, tmp_path: Path
) -> None:
    done = command("generate", saved, CAPTION, "--output", "circle.png", "--seed", 7)
    assert done.code == 0 and done.err == ""
    lines = done.out.splitlines()
    assert lines[0] == "circle.png"
    assert f"{saved} (text-to-image:emoji)" in lines[1]
    assert lines[2].split() == ["seed", "7"]
    assert lines[3].split() == ["steps", "25"]
    assert "to load" in lines[5] and "to sample" in lines[5]
    expected = np.asarray(Pipeline.from_pretrained(saved)(CAPTION, seed=7))
    assert same_but_for_rounding(pixels(tmp_path / "circle.png"), expected)


def test_what_fits_a_line_is_said_too(command: Command, tmp_path: Path) -> None:
    pipe = Pipeline.compose(
        x="label", y=None, family="autoregressive", size="debug", labels=["day", "night"]
    )
    folder = pipe.save_pretrained(tmp_path / "labels")
    expected = pipe(None, num_samples=3, seed=1)
    done = command("generate", folder, "-n", 3, "--seed", 1, "-o", "x.txt")
    assert done.out.splitlines()[:4] == [*expected, "x.txt"]
    told = command("generate", folder, "-n", 3, "--seed", 1, "-o", "y.txt", "--json").json
    assert told["values"] == [expected]


def test_a_drawn_seed_is_told_and_gives_the_same_again(
    command: Command, saved: Path, tmp_path: Path
) -> None:
    first = command("generate", saved, CAPTION, "-o", "a.png", "--steps", 2)
    seed = first.out.split("--seed ")[1].split()[0]
    command("generate", saved, CAPTION, "-o", "b.png", "--steps", 2, "--seed", seed)
    other = command("generate", saved, CAPTION, "-o", "c.png", "--steps", 2)
    assert same_but_for_rounding(pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png"))
    assert f"--seed {seed}" not in other.out


def test_json_is_all_there_is_on_stdout(command: Command, saved: Path) -> None:
    done = command(
        "generate",
        saved,
        CAPTION,
        "a green star",
        "-n",
        2,
        "--seed",
        4,
        "--json",
        "--steps",
        2,
        "--guidance-scale",
        3,
        "--negative-prompt",
        "a blue square",
        "-o",
        "x.png",
    )
    found = done.json
    assert done.code == 0
    assert found["file"] == "x.png" and found["name"] == str(saved)
    assert found["conditions"] == [CAPTION, "a green star"] and found["seeds"] == [4, 5, 6, 7]
    assert found["options"]["num_inference_steps"] == 2
    assert found["options"]["guidance_scale"] == 3.0
    assert found["options"]["negative_prompt"] == "a blue square"
    assert found["seconds"].keys() == {"load", "sample"} and "mmgen_version" in found


def test_several_samples_and_conditions_make_a_grid(
    command: Command, saved: Path, tmp_path: Path
) -> None:
    command("generate", saved, CAPTION, "-n", 4, "--seed", 0, "--steps", 2, "-o", "samples.png")
    command("generate", saved, CAPTION, "a green star", "--steps", 2, "-o", "titles.png")
    alone = np.asarray(Pipeline.from_pretrained(saved)(CAPTION, seed=3, num_inference_steps=2))
    sheet = pixels(tmp_path / "samples.png")
    assert sheet.shape == (40, 40, 3)
    assert np.abs(sheet[22:38, 22:38].astype(int) - alone).max() <= 1
    assert pixels(tmp_path / "titles.png").shape[0] > 40


def test_a_name_is_made_from_the_condition_and_nothing_is_overwritten(
    command: Command, saved: Path, tmp_path: Path
) -> None:
    names = [command("generate", saved, "a Red, circle", "--steps", 1).out.split()[0] for _ in "ab"]
    assert names == ["a-red-circle.png", "a-red-circle-2.png"]
    assert {p.name for p in tmp_path.iterdir()} == set(names)
    long = command("generate", saved, " ".join([CAPTION] * 8), "--steps", 1)
    assert len(long.out.split()[0]) < 70


def test_with_is_refused_where_the_condition_is_one_value(
    command: Command, composed: Callable[..., Path]
) -> None:
    done = command("generate", composed("text", [CAPTION]), CAPTION, "--with", "style=x")
    assert done.code == 1 and done.out == ""
    for part in ("one value", "'style'", "Leave that out"):
        assert part in done.err


def _typed(kind: str, folder: Path) -> tuple[Any, str]:
    """A value of a condition, and how it is typed."""
    rng = np.random.default_rng(0)
    if kind == "image":
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / "y.png")
        return folder / "y.png", str(folder / "y.png")
    if kind == "audio":
        sound = audio.Audio(rng.uniform(-1, 1, (1, 800)).astype(np.float32), 8_000)
        audio.save(sound, folder / "y.wav")
        return folder / "y.wav", str(folder / "y.wav")
    if kind == "actions":
        value = {"state": [[0.0, 1.0, 2.0], [1.0, 1.0, 2.0]]}
        return value, json.dumps(value)
    value = {"day": 2.5, "night": -1.0}
    return value, json.dumps(value)


@pytest.mark.parametrize("kind", ["image", "audio", "actions", "properties"])
def test_conditions_of_every_kind_can_be_typed(
    command: Command, composed: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    value, text = _typed(kind, tmp_path)
    other = {"day": 1.0, "night": 1.0} if kind == "properties" else value
    folder = composed(kind, [value, other])
    done = command("generate", folder, text, "-o", tmp_path / "x.png", "--steps", 2, "--seed", 3)
    assert done.code == 0, done.err
    expected = Pipeline.from_pretrained(folder)(value, seed=3, num_inference_steps=2)
    assert same_but_for_rounding(pixels(tmp_path / "x.png"), expected)


def test_named_values_come_from_a_file_or_are_refused(
    command: Command, composed: Callable[..., Path], tmp_path: Path
) -> None:
    value = {"day": 2.5, "night": -1.0}
    folder = composed("properties", [value, {"day": 0.0, "night": 0.0}])
    (tmp_path / "y.json").write_text(json.dumps(value))
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for text, path in zip((json.dumps(value), tmp_path / "y.json"), paths, strict=True):
        done = command("generate", folder, text, "-o", path, "--steps", 1, "--seed", 0)
        assert done.code == 0, done.err
    assert np.array_equal(*map(pixels, paths))
    for text in ("day=2.5", "[1, 2]", "3"):
        done = command("generate", folder, text)
        assert done.code == 1 and "properties as a JSON object" in done.err
    done = command("generate", folder, "nowhere.json")
    assert done.code == 1 and "no nowhere.json" in done.err


def test_the_ending_is_the_format(command: Command, saved: Path, tmp_path: Path) -> None:
    command("generate", saved, CAPTION, "--steps", 1, "-o", tmp_path / "x.JPG")
    with Image.open(tmp_path / "x.JPG") as image:
        assert image.format == "JPEG"


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("num_inference_steps=3", "num_inference_steps", 3),
        ("guidance_rescale=0.5", "guidance_rescale", 0.5),
        ("sampler=euler", "sampler", "euler"),
        ("negative_prompt=a red circle", "negative_prompt", "a red circle"),
    ],
)
def test_an_option_is_read_in_its_own_type(
    command: Command, saved: Path, text: str, name: str, value: Any
) -> None:
    done = command("generate", saved, CAPTION, "--json", "--option", text)
    found = done.json["options"][name]
    assert found == value and type(found) is type(value)


def test_parts_of_a_composite_condition(command: Command, composed: Callable[..., Path]) -> None:
    pair = {"text": "a red square", "label": "day"}
    folder = composed(["text", "label"], [pair, {"text": "a blue square", "label": "night"}])
    base = ("generate", folder, "--seed", 1, "--option", "num_inference_steps=2")
    both = command(*base, "a red square", "--with", "label=night", "-o", "both.png")
    part = command(*base, "--with", "label=night")
    assert both.code == part.code == 0
    assert part.out.startswith("night.png")
    pipe = Pipeline.from_pretrained(folder)
    for file, y in (("both.png", pair | {"label": "night"}), ("night.png", {"label": "night"})):
        assert same_but_for_rounding(pixels(Path(file)), pipe(y, seed=1, num_inference_steps=2))
    wrong = command(*base, "a red square", "--with", "lable=night")
    assert wrong.code == 1 and "'lable'" in wrong.err and "'label'" in wrong.err
    twice = command(*base, "a red square", "--with", "text=a blue square")
    assert twice.code == 1 and "text is given twice" in twice.err


def test_a_pipeline_of_no_condition_needs_none(
    command: Command, composed: Callable[..., Path]
) -> None:
    folder = composed(None, [None, None])
    assert command("generate", folder).out.startswith("sample.png")
    wrong = command("generate", folder, CAPTION)
    assert wrong.code == 1 and "takes no condition" in wrong.err


BAD = {
    "pipeline": (1, ["text-to-imaeg", CAPTION], ["'text-to-imaeg'", "'text-to-image'"]),
    "no_condition": (2, ["{saved}"], ["CONDITION", "Say what to generate image from"]),
    "empty": (1, ["{saved}", ""], ["The text is empty"]),
    "blank": (1, ["{saved}", "  "], ["The text is empty"]),
    "unseen": (1, ["{saved}", "a red dragon"], ["'dragon'", "never seen", "unknown_words"]),
    "samples_0": (1, ["{saved}", CAPTION, "-n", "0"], ["at least 1", "got 0"]),
    "samples_many": (1, ["{saved}", CAPTION, "-n", "1000000000"], ["at most 10000", "1000000000"]),
    "steps_0": (1, ["{saved}", CAPTION, "--steps", "0"], ["num_inference_steps is at least 1"]),
    "guidance": (1, ["{saved}", CAPTION, "--guidance-scale", "-1"], ["guidance_scale is at least"]),
    "guidance_nan": (1, ["{saved}", CAPTION, "--guidance-scale", "nan"], ["finite"]),
    "seed_negative": (1, ["{saved}", CAPTION, "--seed", "-1"], ["between 0 and 2**63 - 1, got -1"]),
    "seed_text": (2, ["{saved}", CAPTION, "--seed", "abc"], ["--seed"]),
    "seed_large": (1, ["{saved}", CAPTION, "--seed", str(2**63)], ["between 0 and 2**63 - 1"]),
    "folder": (1, ["{saved}", CAPTION, "-o", "no/x.png"], ["There is no folder 'no'"]),
    "a_folder": (1, ["{saved}", CAPTION, "-o", "{saved}"], ["'emoji' cannot hold an image"]),
    "wav": (1, ["{saved}", CAPTION, "-o", "x.wav"], ["'x.wav' cannot hold an image", ".png"]),
    "txt": (1, ["{saved}", CAPTION, "-o", "x.txt"], ["'x.txt' cannot hold an image", "'x.png'"]),
    "no_ending": (1, ["{saved}", CAPTION, "-o", "x"], ["'x' cannot hold an image"]),
    "option": (
        1,
        ["{saved}", CAPTION, "--option", "num_steps=3"],
        ["Unknown option 'num_steps'", "'num_inference_steps'", "This pipeline takes", "sampler"],
    ),
    "option_value": (
        1,
        ["{saved}", CAPTION, "--option", "num_inference_steps=few"],
        ["num_inference_steps is an integer, got 'few'"],
    ),
    "option_choice": (1, ["{saved}", CAPTION, "--option", "sampler=x"], ["one of euler"]),
    "option_form": (2, ["{saved}", CAPTION, "--option", "sampler"], ["name=value, got 'sampler'"]),
    "option_twice": (
        1,
        ["{saved}", CAPTION, "--steps", "2", "--option", "num_inference_steps=3"],
        ["num_inference_steps is given twice"],
    ),
    "device": (1, ["{saved}", CAPTION, "--device", "gpu"], ["no device 'gpu'", "cpu"]),
    "flag": (2, ["{saved}", CAPTION, "--sed", "3"], ["--sed", "mmgen generate --help"]),
    "no_pipeline": (1, [".", CAPTION], ["no pipeline.json", "text-to-image:scenes"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_message(command: Command, saved: Path, tmp_path: Path, case: str) -> None:
    code, arguments, parts = BAD[case]
    done = command("generate", *(a.format(saved=saved) for a in arguments))
    assert done.code == code and done.out == ""
    assert done.err.startswith("error: ")
    assert all(part in done.err for part in parts), done.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("case", ["empty", "pipeline", "wav", "seed_text", "no_condition"])
def test_an_error_as_json_is_on_stdout(command: Command, saved: Path, case: str) -> None:
    code, arguments, parts = BAD[case]
    done = command("generate", "--json", *(a.format(saved=saved) for a in arguments))
    error = done.json["error"]
    assert done.code == code and done.err == ""
    assert error.keys() == {"type", "message"} and parts[0] in error["message"]


@pytest.mark.parametrize(
    "wrong", [["-o", "x.wav"], ["-o", "no/x.png"], ["-n", "0"], ["--seed", "-1"], ["--device", "x"]]
)
def test_what_can_be_checked_is_checked_before_loading(
    command: Command, saved: Path, wrong: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr(Pipeline, "from_pretrained", load)
    done = command("generate", saved, CAPTION, *wrong)
    assert done.code == 1 and "AssertionError" not in done.err


def test_debug_shows_where(command: Command, saved: Path) -> None:
    done = command("--debug", "generate", saved, "")
    assert done.code == 1
    assert "in check" in done.err and "error: The text is empty" in done.err


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(
    command: Command, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    old = tmp_path / "old.png"
    old.write_bytes(b"old")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, call, full)
    done = command("generate", saved, CAPTION, "--steps", 1, "-o", old)
    assert done.code == 1 and done.out == ""
    assert "No space left on device" in done.err and "Free some space" in done.err
    assert old.read_bytes() == b"old" and list(tmp_path.iterdir()) == [old]


def test_a_cut_file_is_refused(command: Command, pixels_pipe: Pipeline, tmp_path: Path) -> None:
    folder = pixels_pipe.save_pretrained(tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    done = command("generate", folder, CAPTION)
    assert done.code == 1 and "model.safetensors" in done.err and "cut short" in done.err
    manifest = folder / "pipeline.json"
    manifest.write_text(json.dumps({"format": 1}))
    assert "recipe, choices, sha256 is missing" in command("generate", folder, CAPTION).err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "Stopped."),
        (MemoryError("2 GB"), 1, "Not enough memory"),
        (ImportError("no module av"), 1, "no module av"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 1, "that you may write to"),
        (KeyError("z"), 1, "This is a fault of mmgen"),
    ],
)
def test_any_failure_is_one_message(
    command: Command,
    saved: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    message: str,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Pipeline, "from_pretrained", fail)
    done = command("generate", saved, CAPTION)
    assert done.code == code and message in done.err


def test_progress_is_shown_on_a_terminal_and_only_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for forced, shown in (("1", True), ("", False)):
        monkeypatch.setenv("FORCE_COLOR", forced)
        with progress_bar("Sampling", after=0) as step:
            for done in range(1, 4):
                step(done, 3)
        said = capsys.readouterr()
        assert said.out == "" and ("Sampling" in said.err) == shown
