"""Checkpoints of others learn in the same loop, and are saved as what they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from rounding import same_but_for_rounding
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from mmgen.core.errors import SpecError
from mmgen.modalities.video.value import Video
from mmgen.pipeline import Pipeline
from mmgen.push import what_to_push
from mmgen.training import fit

SETTINGS = {
    "steps": 40,
    "batch_size": 4,
    "warmup": 2,
    "precision": "no",
    "ema": 0.5,
    "learning_rate": 2e-2,
    "sample_every": 0,
    "validate_every": 40,
    "progress": False,
}
PAIRS = [("one two", " three"), ("a b", " c"), ("red green", " blue"), ("do re", " mi")]


@pytest.mark.parametrize(
    ("name", "auto"), [("gpt2", AutoModelForCausalLM), ("t5", AutoModelForSeq2SeqLM)]
)
@pytest.mark.parametrize("lora_rank", [0, 4])
def test_a_language_model_learns(
    name: str, auto: type, lora_rank: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if lora_rank:
        pytest.importorskip("peft")
    folder = tmp_path / "pairs"
    folder.mkdir()
    rows = [{"prompt": y, "completion": x} for y, x in PAIRS]
    (folder / "train.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    pipe = Pipeline.from_pretrained(request.getfixturevalue(name))
    ys, xs = map(list, zip(*PAIRS, strict=True))
    before = pipe.given(ys).log_prob(xs).nats
    run = {"output": tmp_path / "run", "validation": PAIRS, "lora_rank": lora_rank}
    fit(pipe, folder, **run, **SETTINGS)
    after = pipe.given(ys).log_prob(xs).nats
    assert float(after.mean()) > float(before.mean()) + 3
    loaded = Pipeline.from_pretrained(tmp_path / "run")
    assert torch.allclose(loaded.given(ys).log_prob(xs).nats, after, atol=1e-4)
    card = loaded.card
    assert card == pipe.card and card.data.startswith("4 pairs, fingerprint ")
    assert card.trained.startswith(
        f"From {Path(pipe.origin).name}: 40 steps of 4 pairs by adamw at 0.02"
    )
    assert "before)" in card.scores["loss on held-out pairs"]
    assert card.trained in what_to_push(tmp_path / "run", "me/mine").readme
    theirs = auto.from_pretrained(tmp_path / "run" / "pipeline")
    assert sum(p.numel() for p in theirs.parameters()) > 0


def _pictures(size: int) -> list[tuple[str, Image.Image]]:
    return [(f"a {c} one", Image.new("RGB", (size, size), c)) for c in ("red", "green", "blue")]


@pytest.mark.parametrize(("name", "lora_rank"), [("sd", 0), ("sd3", 4), ("ddpm", 0)])
def test_a_diffusion_model_learns(
    name: str, lora_rank: int, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    if lora_rank:
        pytest.importorskip("peft")
    pipe = Pipeline.from_pretrained(checkpoints(name))
    pairs = _pictures(pipe.codec.size)
    if name == "ddpm":
        pairs = [(None, x) for _, x in pairs]
    held = {k: v.clone() for k, v in pipe.parts.state_dict().items()}
    run = {"output": tmp_path / "run", "validation": pairs * 8, "lora_rank": lora_rank}
    fit(pipe, pairs, **run, **(SETTINGS | {"learning_rate": 3e-3, "batch_size": 6}))
    rows = [json.loads(r) for r in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [row["validation_loss"] for row in rows if "validation_loss" in row]
    assert losses[-1] < (0.97 if lora_rank else 0.9) * losses[0]
    now = pipe.parts.state_dict()
    changed = {k for k in held if not torch.equal(held[k], now[k])}
    assert changed and all(".unet." in k or ".transformer." in k for k in changed)
    image = pipe(pairs[0][0], seed=0, num_inference_steps=2)
    again = Pipeline.from_pretrained(tmp_path / "run")(pairs[0][0], seed=0, num_inference_steps=2)
    assert same_but_for_rounding(image, again)
    diffusers.DiffusionPipeline.from_pretrained(tmp_path / "run" / "pipeline")


def test_a_pipeline_that_is_only_called_cannot_learn(
    checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("cogvideox_video"))
    film = Video(np.zeros((9, 16, 16, 3), np.uint8), 8.0)
    pairs = [({"text": "a", "video": film}, film)]
    with pytest.raises(SpecError, match="is only called, so it cannot learn"):
        fit(pipe, pairs, output=tmp_path, **SETTINGS)
