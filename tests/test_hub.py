"""Saving and loading: what was saved comes back, and nothing else is taken for it."""

from __future__ import annotations

import errno
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmgen import hub
from mmgen.core import files
from mmgen.core.card import Card
from mmgen.core.errors import LoadError, SpecError, UnknownNameError
from mmgen.pipeline import Pipeline


@pytest.fixture
def saved(tmp_path: Path, pixels_pipe: Pipeline) -> Path:
    return pixels_pipe.save_pretrained(tmp_path / "saved")


def reseal(folder: Path, name: str) -> None:
    """Make the manifest agree with a file that was tampered with."""
    import hashlib

    manifest = json.loads((folder / "pipeline.json").read_text())
    manifest["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "pipeline.json").write_text(json.dumps(manifest))


def test_save_and_load_give_equal_samples(saved: Path, pixels_pipe: Pipeline) -> None:
    loaded = Pipeline.from_pretrained(saved)
    a, b = (p("a green star", num_samples=2, seed=0) for p in (pixels_pipe, loaded))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert loaded.card == pixels_pipe.card


def test_saving_over_a_saved_pipeline_replaces_it(saved: Path, pixels_pipe: Pipeline) -> None:
    pixels_pipe.save_pretrained(saved)
    assert Pipeline.from_pretrained(saved)
    assert [p.name for p in saved.parent.iterdir()] == ["saved"]


def test_saving_over_something_else_is_refused(tmp_path: Path, pixels_pipe: Pipeline) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"cat")
    with pytest.raises(ValueError, match="no saved pipeline"):
        pixels_pipe.save_pretrained(tmp_path / "photos")
    assert (tmp_path / "photos" / "cat.png").read_bytes() == b"cat"


def test_a_pipeline_by_hand_cannot_be_saved(tmp_path: Path, pixels_pipe: Pipeline) -> None:
    pipe = Pipeline(encoder=pixels_pipe.encoder, model=pixels_pipe.model, codec=pixels_pipe.codec)
    with pytest.raises(SpecError, match="by hand"):
        pipe.save_pretrained(tmp_path / "x")


def test_a_truncated_file_is_refused(saved: Path) -> None:
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(LoadError, match="cut short or altered"):
        Pipeline.from_pretrained(saved)


def test_an_altered_file_is_refused(saved: Path) -> None:
    weights = saved / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-50] ^= 0xFF
    weights.write_bytes(bytes(data))
    with pytest.raises(LoadError, match="checksum differs"):
        Pipeline.from_pretrained(saved)


@pytest.mark.parametrize(
    "name", ["codec.safetensors", "model.safetensors", "encoder.text.tokenizer.model"]
)
def test_a_missing_file_is_refused(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(LoadError, match=f"There is no {name}"):
        Pipeline.from_pretrained(saved)


def test_missing_statistics_are_refused(saved: Path) -> None:
    state = load_file(saved / "codec.safetensors")
    del state["std"]
    save_file(state, saved / "codec.safetensors")
    reseal(saved, "codec.safetensors")
    with pytest.raises(LoadError, match=r"codec.*missing \['std'\].*statistics"):
        Pipeline.from_pretrained(saved)


def test_statistics_that_are_not_numbers_are_refused(saved: Path) -> None:
    state = load_file(saved / "codec.safetensors")
    save_file({**state, "std": state["std"] * torch.nan}, saved / "codec.safetensors")
    reseal(saved, "codec.safetensors")
    with pytest.raises(LoadError, match="not finite"):
        Pipeline.from_pretrained(saved)


def test_a_newer_format_is_refused(saved: Path) -> None:
    manifest = json.loads((saved / "pipeline.json").read_text())
    manifest |= {"format": hub.FORMAT + 1, "mmgen_version": "9.9"}
    (saved / "pipeline.json").write_text(json.dumps(manifest))
    with pytest.raises(LoadError, match=r"written by mmgen 9\.9.*Upgrade"):
        Pipeline.from_pretrained(saved)


class _Bomb:
    def __reduce__(self) -> tuple:
        return (os.mkdir, ("exploded",))


@pytest.mark.parametrize("kind", ["torch", "pickle"])
def test_a_pickle_is_refused_unopened(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if kind == "torch":
        torch.save({"bomb": _Bomb()}, saved / "model.safetensors")
    else:
        (saved / "model.safetensors").write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(LoadError, match="is a pickle"):
        Pipeline.from_pretrained(saved)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"format": 1}', '{"format": "x"}'])
def test_a_broken_manifest_is_refused(saved: Path, content: str) -> None:
    (saved / "pipeline.json").write_text(content)
    with pytest.raises(LoadError, match="pipeline.json"):
        Pipeline.from_pretrained(saved)


def test_a_path_in_the_manifest_is_refused(saved: Path) -> None:
    manifest = json.loads((saved / "pipeline.json").read_text())
    manifest["sha256"]["encoder./../../secret"] = "0"
    (saved / "pipeline.json").write_text(json.dumps(manifest))
    with pytest.raises(LoadError, match="not a manifest"):
        Pipeline.from_pretrained(saved)


def test_a_recipe_that_is_none_is_refused(saved: Path) -> None:
    manifest = json.loads((saved / "pipeline.json").read_text())
    manifest["recipe"] = "os.system"
    (saved / "pipeline.json").write_text(json.dumps(manifest))
    with pytest.raises(UnknownNameError, match="No pipeline 'os.system'"):
        Pipeline.from_pretrained(saved)


def test_a_folder_that_is_no_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no pipeline.json"):
        Pipeline.from_pretrained(tmp_path)


def test_a_full_disk_leaves_what_was_there(
    saved: Path, pixels_pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p.name: p.read_bytes() for p in saved.iterdir()}
    written = []

    def full(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        pixels_pipe.save_pretrained(saved)
    assert {p.name: p.read_bytes() for p in saved.iterdir()} == before
    assert [p.name for p in saved.parent.iterdir()] == ["saved"]


def test_a_full_disk_leaves_nothing_new(
    tmp_path: Path, pixels_pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        pixels_pipe.save_pretrained(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_shipped_weights_round_trip(
    tmp_path: Path, pixels_pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = hub.find_recipe("text-to-image:emoji")
    folder = tmp_path / "text_to_image"
    folder.mkdir()
    copy = folder / "emoji.py"
    copy.write_text(source.path.read_text())
    recipe = hub.Recipe(source.name, copy, True)
    with pytest.raises(LoadError, match="ships no weights"):
        hub.read_shipped(recipe)
    hub.write_shipped(recipe, pixels_pipe.parts)
    fresh = Pipeline.debug("text-to-image:emoji")
    hub.fill_parts(fresh.parts, hub.read_shipped(recipe))
    for name, parameter in pixels_pipe.parts.named_parameters():
        assert torch.equal(parameter.half(), fresh.parts.get_parameter(name).half())
    assert torch.equal(fresh.codec.std, pixels_pipe.codec.std)
    recipe.weights.write_bytes(recipe.weights.read_bytes()[:-10])
    with pytest.raises(LoadError, match="cut short|checksum"):
        hub.read_shipped(recipe)


def test_cards_are_read_without_running_the_recipe() -> None:
    for name, recipe in hub.recipes().items():
        assert isinstance(recipe.card, Card)
        assert recipe.card == recipe.module().CARD, name
