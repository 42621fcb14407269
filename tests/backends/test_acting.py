"""Pretrained policies behind mmgen's door act as the library's call does, in the robot's units."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from backends import tiny_policies
from backends.tiny_policies import STATISTICS
from PIL import Image
from rounding import same_but_for_rounding
from transformers import AutoTokenizer, PI0ForConditionalGeneration

from mmgen import Pipeline
from mmgen.core.errors import LoadError, SpecError


def _picture(seed: int, width: int = 28, height: int = 28) -> Image.Image:
    draw = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(draw).resize((width, height), Image.Resampling.NEAREST)


VALUES: list[dict[str, Any]] = [
    {"image": _picture(0), "text": "A Red cat", "state": [0.1, 0.2, -1.0, 2.0]},
    {"image": [_picture(1), _picture(2)], "text": "left, number 3", "state": [1.0, -1.0, 0.0, 0.0]},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_policies.pi0(tmp_path_factory.mktemp("pi0"))


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Pipeline:
    return Pipeline.from_pretrained(folder)


@torch.no_grad()
def _expected(folder: Path, value: dict[str, Any], seed: int, **how: Any) -> np.ndarray:
    """The library's own call on what its processor is said to make of a condition."""
    model = PI0ForConditionalGeneration.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pictures = value["image"] if isinstance(value["image"], list) else [value["image"]]
    pixels = np.stack([np.asarray(p, np.float32) / 255 for p in pictures]).transpose(0, 3, 1, 2)
    text = "<image>" * 4 * len(pictures) + "<|end|>" + value["text"] + "\n"
    read = tokenizer(text, return_tensors="pt", padding="max_length", max_length=48)
    mean, std = (np.array(STATISTICS[f"state_{n}"]) for n in ("mean", "std"))
    state = torch.zeros(1, 6)
    state[0, :4] = torch.from_numpy((np.array(value["state"]) - mean) / std)
    found = model.sample_actions(
        state=state,
        input_ids=read["input_ids"],
        attention_mask=read["attention_mask"],
        pixel_values=torch.from_numpy((pixels - 0.5) / 0.5)[None],
        pixel_attention_mask=torch.ones(1, len(pictures), dtype=torch.bool),
        noise=torch.randn(5, 6, generator=torch.Generator().manual_seed(seed))[None],
        **how,
    )
    return found[0, :, :3].numpy() * STATISTICS["actions_std"] + STATISTICS["actions_mean"]


def test_actions_are_those_of_the_library(folder: Path, pipe: Pipeline) -> None:
    found = pipe(VALUES, seed=[3, 4])
    for value, seed, actions in zip(VALUES, (3, 4), found, strict=True):
        assert actions.shape == (5, 3) and actions.dtype == np.float32
        np.testing.assert_allclose(actions, _expected(folder, value, seed), atol=1e-4)
    more = pipe(VALUES[0], seed=3, num_inference_steps=7)
    expected = _expected(folder, VALUES[0], 3, num_steps=7)
    np.testing.assert_allclose(more, expected, atol=1e-4)
    assert not np.allclose(more, found[0], atol=1e-4)


def test_all_that_is_given_counts_and_a_batch_is_each_alone(pipe: Pipeline) -> None:
    base = pipe(VALUES[0], seed=3)
    for change in ({"text": "blue"}, {"image": _picture(5)}, {"state": [0.0, 9.0, 0.0, 0.0]}):
        assert not np.allclose(pipe({**VALUES[0], **change}, seed=3), base, atol=1e-4)
    several = pipe(VALUES, seed=3, num_samples=3)
    assert same_but_for_rounding(several[0][0], base)
    assert same_but_for_rounding(several[1][0], pipe(VALUES[1], seed=6))
    # Of any size and shape.
    assert pipe({**VALUES[0], "image": _picture(0, 90, 40)}, seed=3).shape == (5, 3)


def test_what_is_saved_acts_the_same(folder: Path, pipe: Pipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "saved")
    own = "processor_config.json"
    assert (tmp_path / "saved" / own).read_bytes() == (folder / own).read_bytes()
    again = Pipeline.from_pretrained(tmp_path / "saved")
    assert same_but_for_rounding(again(VALUES[0], seed=1), pipe(VALUES[0], seed=1))
    typed = json.dumps({**VALUES[0], "image": "x.png"})
    assert pipe.encoder.read(typed)["state"] == VALUES[0]["state"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"state": None}, ValueError, "'state' is missing"),
        ({"state": [1.0, 2.0]}, ValueError, "a state of 4 numbers"),
        ({"state": [1.0, float("nan"), 0.0, 0.0]}, ValueError, "finite"),
        ({"image": []}, ValueError, "one for each camera"),
        ({"image": 7}, TypeError, "Expected an image"),
        ({"text": ""}, ValueError, "empty"),
        ({"sound": 1}, ValueError, "'sound' is none of them"),
    ],
)
def test_bad_conditions(
    pipe: Pipeline, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        pipe({**VALUES[0], **change})


def test_what_it_cannot_do(pipe: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="Training of pretrained policies"):
        pipe.loss(pipe.prepare([(VALUES[0], np.zeros((5, 3), np.float32))]))
    folder = tiny_policies.pi0(tmp_path, actions_std=None)
    with pytest.raises(LoadError, match="lacks actions_std, without which its actions have no u"):
        Pipeline.from_pretrained(folder)
    file = folder / "processor_config.json"
    said = json.loads(file.read_text("utf-8"))
    for std in ("wide", [1.0], [1.0, -1.0, 1.0]):
        file.write_text(json.dumps({**said, "actions_std": std}), "utf-8")
        with pytest.raises(LoadError, match="does not say the mean and std of actions"):
            Pipeline.from_pretrained(folder)
