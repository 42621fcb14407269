"""VITS checkpoints learn by the one loop, adversarially, and stay checkpoints of their library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from backends.tiny_vits import tiny_vits
from torch.nn.utils.rnn import pad_sequence
from transformers import VitsModel, VitsTokenizer

from mmgen import Audio, Pipeline
from mmgen.core.latent import Latent
from mmgen.training import check_pairs, fit
from mmgen.training.pairs import IndexedPairs, ListedPairs

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")

RATE, HOP = 16000, 16
SETTINGS = {
    "batch_size": 2,
    "warmup": 1,
    "ema": 0.0,
    "precision": "no",
    "learning_rate": 2e-3,
    "sample_every": 0,
    "progress": False,
}


@pytest.fixture
def vits(tmp_path: Path) -> Path:
    return tiny_vits(tmp_path / "vits")


def tone(hz: float, seconds: float = 0.1) -> Audio:
    time = np.arange(round(seconds * RATE)) / RATE
    return Audio(0.5 * np.sin(2 * np.pi * hz * time, dtype=np.float32)[None], RATE)


PAIRS = [("a cat", tone(500.0)), ("a dog sat", tone(1500.0, 0.13))]


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("stochastic", [True, False])
def test_it_learns_a_pair_by_heart_and_is_saved_as_its_library_does(
    tmp_path: Path, stochastic: bool
) -> None:
    folder = tiny_vits(tmp_path / "vits", use_stochastic_duration_prediction=stochastic)
    pipe = Pipeline.from_pretrained(folder)
    before = weights(pipe.model.model)

    def error() -> float:
        own = {"generator": torch.Generator().manual_seed(0), "condition_dropout": 0.0}
        return float(pipe.loss(pipe.prepare(PAIRS), **own).mean().detach())

    first = error()
    fit(pipe, PAIRS, output=tmp_path / "run", steps=40, **SETTINGS)
    assert error() < 0.7 * first
    again = VitsModel.from_pretrained(tmp_path / "run" / "pipeline")
    after = weights(again)
    assert before.keys() == after.keys()
    # The flow, the posterior, the prior, the durations and the decoder have all learnt.
    learnt = {
        name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])
    }
    assert learnt == {name.partition(".")[0] for name in before}
    tokenizer = VitsTokenizer.from_pretrained(tmp_path / "run" / "pipeline")
    torch.manual_seed(3)
    with torch.no_grad():
        expected = again(**tokenizer("a cat", return_tensors="pt")).waveform.numpy()
    found = Pipeline.from_pretrained(tmp_path / "run")("a cat", seed=3)
    np.testing.assert_allclose(found.samples, expected.clip(-1, 1), atol=1e-5)


def test_each_phase_moves_its_own_and_every_parameter_is_reached(vits: Path) -> None:
    pipe = Pipeline.from_pretrained(vits)
    pipe.parts.train()
    tensors = pipe.prepare(PAIRS)
    assert pipe.phases == ("discriminator", "generator")
    own = {phase: list(pipe.phase_parameters(phase)) for phase in pipe.phases}
    assert {*map(id, own["discriminator"])}.isdisjoint(map(id, own["generator"]))
    for phase, parameters in own.items():
        loss = pipe.loss(tensors, generator=torch.Generator().manual_seed(0), phase=phase)
        assert loss.shape == (2,) and loss.isfinite().all()
        pipe.parts.zero_grad()
        loss.sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in parameters)
    others = own["generator"]
    pipe.parts.zero_grad()
    pipe.loss(tensors, phase="discriminator").sum().backward()
    assert all(p.grad is None for p in others)


def test_the_same_draws_give_the_same_loss_whatever_else_is_drawn(vits: Path) -> None:
    pipe = Pipeline.from_pretrained(vits)
    pipe.parts.train()
    losses = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        before = torch.get_rng_state()
        own = torch.Generator().manual_seed(0)
        losses.append(pipe.loss(pipe.prepare(PAIRS), generator=own, phase="generator"))
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*losses)


def test_a_loss_of_a_batch_is_of_its_pairs(vits: Path) -> None:
    learning = Pipeline.from_pretrained(vits).model.learning
    ids, there = learning._ids([text for text, _ in PAIRS])
    assert ids.shape == there.shape and there.sum(1).tolist() == [11, 19]
    lengths = torch.tensor([sound.samples.shape[1] for _, sound in PAIRS])
    rows = [torch.from_numpy(sound.samples).mT for _, sound in PAIRS]
    latent = Latent(pad_sequence(rows, batch_first=True), lengths)
    assert learning.loss(latent, [text for text, _ in PAIRS], phase=None).shape == (2,)


def test_a_stopped_run_goes_on_to_the_same_weights(vits: Path, tmp_path: Path) -> None:
    whole = fit(Pipeline.from_pretrained(vits), PAIRS, output=tmp_path / "a", steps=6, **SETTINGS)
    often = {"checkpoint_every": 3, **SETTINGS}

    class Stop(Exception):
        pass

    class Until(list):
        left = 8

        def __getitem__(self, index: int) -> tuple[str, Audio]:
            self.left -= 1
            if self.left < 0:
                raise Stop
            return super().__getitem__(index)

    with pytest.raises(Stop):
        fit(
            Pipeline.from_pretrained(vits),
            IndexedPairs(Until(PAIRS)),
            output=tmp_path / "b",
            steps=6,
            **often,
        )
    resumed = fit(Pipeline.from_pretrained(vits), PAIRS, output=tmp_path / "b", steps=6, **often)
    ours, theirs = weights(whole.parts), weights(resumed.parts)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_cannot_be_learnt_is_named(vits: Path, tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(vits)
    with pytest.raises(ValueError, match=r"'a long text.* has 4 frames of 1 ms.* 29 tokens"):
        pipe.loss(pipe.prepare([("a long text ok", tone(500.0, 4 * HOP / RATE))]))
    with pytest.raises(ValueError, match="phase is one of discriminator, generator"):
        pipe.loss(pipe.prepare(PAIRS), phase="both")
    with pytest.raises(ValueError, match="nothing of the discriminator would be trained"):
        fit(pipe, PAIRS, output=tmp_path / "run", steps=1, only=["model.model"], **SETTINGS)
    stereo = Audio(np.zeros((2, 1600), np.float32), RATE)
    pairs = [*PAIRS, ("a cat", stereo), ("", tone(500.0)), ("a cat", tone(500.0))]
    report = check_pairs(pipe, ListedPairs(pairs))
    assert [bad.where for bad in report.bad] == ["pair 2", "pair 3"]
    assert "channel" in report.bad[0].message and "empty" in report.bad[1].message
