"""A dry run measures real steps, and leaves the pipeline and the disk as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmgen.nn.autoencoder import Autoencoder
from mmgen.pipeline import Pipeline
from mmgen.training import Autoencoding, rehearse
from mmgen.training.pairs import Pairs

SETTINGS = {"steps": 10, "batch_size": 2, "precision": "no", "statistics_from": 4}


class Counted(Pairs):
    """Pictures of one of two classes, and how many of them were read."""

    read = 0

    def __len__(self) -> int:
        return 5

    def pair(self, index: int, rng: np.random.Generator) -> tuple:
        self.read += 1
        return index % 2, np.full((16, 16, 3), 50 * index, np.uint8)


def painter() -> Pipeline:
    labels = ["a", "b"]
    pipe = Pipeline.compose(x="image", y="label", family="diffusion", size="debug", labels=labels)
    pipe.fit_statistics([("a", np.zeros((16, 16, 3), np.uint8))])
    return pipe


def weights(pipe: Pipeline | Autoencoding) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in pipe.parts.state_dict().items()}


@pytest.mark.parametrize("how", [{}, {"lora_rank": 2}, {"only": ["model.model.network.out"]}])
def test_a_dry_run_tells_what_a_run_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: dict
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    pipe, pairs = painter(), Counted()
    before = weights(pipe)
    found = rehearse(
        pipe, pairs, num_steps=2, accumulation=3, **SETTINGS, **how, ema=0.5, learning_rate=0.1
    )
    after = weights(pipe)
    assert before.keys() == after.keys()
    assert not [name for name in before if not torch.equal(before[name], after[name])]
    assert not list(tmp_path.iterdir()) and not pipe.parts.training
    # Three steps of three batches of two; and what statistics were taken from.
    assert pairs.read == 3 * 3 * 2 + 4
    assert (found.num_pairs, found.seen, found.epochs) == (5, 60, 12)
    total = sum(p.numel() for p in pipe.parts.parameters())
    assert found.parameters == total
    assert found.trained == total if not how else 0 < found.trained < total / 2
    assert all(p.requires_grad for p in pipe.parts.parameters())
    assert 0 < found.step_seconds and found.seconds == pytest.approx(10 * found.step_seconds)
    assert found.memory_gb > 0.05 and found.device == "cpu"
    if not how:
        # Weights, their average, two moments and a step of each.
        assert found.checkpoint_gb * 1e9 == pytest.approx(16 * total, rel=0.05)


def test_held_out_pairs_are_measured_and_counted(tmp_path: Path) -> None:
    found = rehearse(
        painter(), Counted(), validation=Counted(), num_steps=1, validate_every=4, **SETTINGS
    )
    # Before the first of ten steps, after four, eight and ten.
    assert found.num_validations == 4 and found.validation_seconds > 0
    assert found.seconds > 10 * found.step_seconds


def test_parts_that_are_trained_first_rehearse_too() -> None:
    part = Autoencoding(Autoencoder.debug(), size=16)
    before = weights(part)
    found = rehearse(
        part,
        [Counted().pair(i, np.random.default_rng(0)) for i in range(3)],
        num_steps=1,
        **SETTINGS,
    )
    assert found.trained == found.parameters
    assert all(torch.equal(value, before[name]) for name, value in weights(part).items())


def test_a_loss_that_is_no_number_is_found_before_the_run() -> None:
    pipe = painter()
    with torch.no_grad():
        pipe.model.model.network.out.weight.fill_(torch.inf)
    before = weights(pipe)
    with pytest.raises(FloatingPointError, match=r"batch 0, by step 1: pair \d"):
        rehearse(pipe, Counted(), num_steps=1, **SETTINGS)
    assert all(torch.equal(value, before[name]) for name, value in weights(pipe).items())
    with pytest.raises(ValueError, match="num_steps is at least 1"):
        rehearse(pipe, Counted(), num_steps=0, **SETTINGS)
