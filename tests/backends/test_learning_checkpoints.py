"""Checkpoints of transformers learn in the same loop, and are saved as what they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from mmgen.pipeline import Pipeline
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
    theirs = auto.from_pretrained(tmp_path / "run" / "pipeline")
    assert sum(p.numel() for p in theirs.parameters()) > 0
