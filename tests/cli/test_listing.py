"""`mmgen list` and `mmgen show`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from cli.conftest import SCENES, Command

from mmgen import hub
from mmgen.modalities import modality_names
from mmgen.version import __version__

EMOJI = "text-to-image:emoji"


def test_list_shows_every_pipeline_in_80_columns(command: Command) -> None:
    done = command("list")
    assert done.code == 0
    table = done.out.partition(" alone means ")[0].splitlines()[:-1]
    assert max(map(len, table)) <= 80
    for name, recipe in hub.recipes().items():
        line = next(row for row in done.out.splitlines() if row.startswith(f"{name} "))
        assert f"P({recipe.card.x} | {recipe.card.y})" in done.out
        assert recipe.card.family in line
        assert line.split()[-1] == ("shipped" if recipe.weights.is_file() else "train")
    assert f"text-to-image alone means {SCENES}" in done.out


def test_list_as_json(command: Command) -> None:
    rows = {row["name"]: row for row in command("list", "--json").json}
    assert rows.keys() == hub.recipes().keys()
    card = hub.recipes()[SCENES].card
    assert rows[SCENES] == {
        "name": SCENES,
        "default": True,
        "x": "image",
        "y": "text",
        "family": card.family,
        "parameters": card.parameters,
        "weights": hub.recipes()[SCENES].weights.is_file(),
        "summary": card.summary,
    }


def test_show_tells_the_card_and_the_options(command: Command) -> None:
    done = command("show", EMOJI)
    card = hub.recipes()[EMOJI].card
    flat = " ".join(done.out.split())
    assert done.code == 0
    table = done.out.partition(" alone means ")[0].splitlines()[:-1]
    assert max(map(len, table)) <= 80
    for part in (EMOJI, "P(image | text)", card.licence, *card.scores):
        assert part in flat
    assert "num_inference_steps 25" in flat and "At least 1, at most 10000." in flat
    assert "One of: euler, heun" in flat


def test_show_as_json(command: Command) -> None:
    found = command("show", EMOJI, "--json").json
    assert found["recipe"] == EMOJI
    assert found["card"] == hub.recipes()[EMOJI].card.as_dict()
    options = {o["name"]: o for o in found["options"]}
    assert options["num_inference_steps"]["default"] == 25
    assert options["num_inference_steps"]["type"] == "int"
    assert options["sampler"]["choices"][0] == "euler"


def test_show_of_a_folder_tells_what_is_in_it(command: Command, saved: Path) -> None:
    found = command("show", saved, "--json").json
    manifest = json.loads((saved / "pipeline.json").read_text())
    assert found["choices"] == manifest["choices"] and found["files"] == manifest["sha256"]
    flat = " ".join(command("show", saved).out.split())
    assert "size=16" in flat and "model.safetensors" in flat and f"mmgen {__version__}" in flat


def test_show_of_a_composed_folder_needs_no_card(
    command: Command, composed: Callable[..., Path]
) -> None:
    done = command("show", composed("text", ["a red square", "a blue square"]))
    assert done.code == 0
    assert "family=diffusion" in " ".join(done.out.split()) and "unknown_words" in done.out


def test_a_wrong_name_lists_the_close_ones(command: Command, tmp_path: Path) -> None:
    done = command("show", "text-to-image:scene")
    assert done.code == 1 and f"Did you mean '{SCENES}'" in done.err
    done = command("show", "text-to-image:scene", "--json")
    assert done.json["error"]["type"] == "UnknownNameError"
    (tmp_path / "pipeline.json").write_text("{")
    done = command("show", tmp_path)
    assert done.code == 1 and "does not hold JSON" in done.err


def test_the_matrix_tells_what_can_be_composed(command: Command) -> None:
    done = command("list", "--matrix")
    assert done.code == 0 and max(map(len, done.out.splitlines())) <= 80
    assert "normalizing_flow" in done.out
    rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines() if line.strip()}
    assert rows["Y"] == ["actions", "audio", "image", *modality_names()[3:]]
    assert rows["several"] == rows["nothing"] == rows["text"]
    assert rows["text"][rows["Y"].index("text")] == "AM"
    assert set("DGV") <= set(rows["audio"][rows["Y"].index("video")])
    found = command("list", "--matrix", "--json").json
    assert {"diffusion", "gan", "vae"} <= set(found["families"]["image"])
    assert set(found["families"]["text"]) == {"autoregressive", "masked"}
    assert {"nothing", "audio", "label", "several of them"} <= set(found["conditions"])
