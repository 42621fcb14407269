"""Models of labels of frames behind mmgen's door: texts summed over their alignments."""

from __future__ import annotations

import itertools
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from backends import tiny_readers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCTC, AutoProcessor

from mmgen import Audio, Pipeline
from mmgen.backends.from_transformers.ctc import AlignedConditional
from mmgen.core.errors import LoadError, SpecError
from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.inference import classify

RATE = 16000
KINDS = ["Wav2Vec2", "Hubert", "WavLM"]


def _sound(seconds: float, pitch: float) -> Audio:
    time = np.arange(round(seconds * RATE)) / RATE
    tones = np.sin(2 * np.pi * pitch * time * (1 + time)) * np.sin(17 * time)
    return Audio(tones.astype(np.float32)[None] / 2, RATE)


SOUNDS = [_sound(s, p) for s, p in ((0.15, 220), (0.4, 700), (0.31, 1500))]


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_readers.ctc(tmp_path_factory.mktemp(request.param), request.param)


def _logits(folder: Path, sound: Audio) -> torch.Tensor:
    model = AutoModelForCTC.from_pretrained(folder).eval()
    read = AutoProcessor.from_pretrained(folder)(
        sound.samples[0], sampling_rate=RATE, return_tensors="pt"
    )
    with torch.no_grad():
        return model(read["input_values"]).logits[0]


def _written(labels: list[int]) -> str:
    """What labels are, by hand."""
    letters = "___?|ABCDEL"
    kept = [label for label, _ in itertools.groupby(labels) if label > 2]
    return "".join(letters[label] for label in kept).replace("|", " ").replace("?", "").strip()


def test_the_likeliest_labels_are_the_librarys_transcript(folder: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    # Such a model hears sounds of any length at once.
    assert [option.name for option in pipe.options()] == ["temperature"]
    found = pipe(SOUNDS, temperature=0.0)
    processor = AutoProcessor.from_pretrained(folder)
    for sound, text in zip(SOUNDS, found, strict=True):
        labels = _logits(folder, sound).argmax(-1)
        shown = processor.batch_decode(labels[None])[0]
        for special in ("<s>", "</s>", "<unk>"):
            shown = shown.replace(special, "")
        assert text == shown.strip() == _written(labels.tolist())
    assert len(set(found)) > 1


def test_a_batch_gives_what_each_sound_gives_alone(folder: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    together = pipe(SOUNDS, seed=[5, 6, 7])
    assert together == [pipe(s, seed=n) for s, n in zip(SOUNDS, (5, 6, 7), strict=True)]
    assert pipe(SOUNDS[1], seed=6, num_samples=2)[0] == together[1]
    texts = ["A", "", "A"]
    nats = pipe.given(SOUNDS).log_prob(texts).nats
    for sound, text, own in zip(SOUNDS, texts, nats, strict=True):
        assert torch.allclose(pipe.given(sound).log_prob(text).nats, own[None], atol=1e-4)


def test_log_prob_is_the_loss_of_the_library(folder: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    model = AutoModelForCTC.from_pretrained(folder).eval()
    model.config.ctc_loss_reduction = "sum"
    processor = AutoProcessor.from_pretrained(folder)
    read = processor(SOUNDS[1].samples[0], sampling_rate=RATE, return_tensors="pt")
    text = "ALL BELL"
    labels = torch.tensor([processor.tokenizer(text)["input_ids"]])
    with torch.no_grad():
        loss = model(read["input_values"], labels=labels).loss
    found = pipe.given(SOUNDS[1]).log_prob(text)
    assert found.kind == "exact" and found.num_dims.tolist() == [len(text)]
    assert math.isclose(float(found.nats), -float(loss), rel_tol=1e-4)


def _conditional(**settings: Any) -> AlignedConditional:
    logits = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1))
    given = {"log_p": logits.log_softmax(-1), "counts": torch.tensor([4, 3]), "blank": 1}
    return AlignedConditional(**given, temperature=1.0, **settings)


def _of(text: tuple[int, ...]) -> Latent:
    return Latent(torch.tensor([[*text, 0]] * 2), torch.tensor([len(text)] * 2))


def test_probabilities_of_all_texts_sum_to_one_and_samples_follow_them() -> None:
    given = _conditional()
    texts = [t for n in range(5) for t in itertools.product((0, 1), repeat=n)]
    p = torch.stack([given.log_prob(_of(t)).nats.exp() for t in texts])
    assert torch.allclose(p.sum(0), torch.ones(2), atol=1e-5)
    # By hand: all labels of three frames that are read as one text.
    rows = given.log_p[1, :3].exp()
    by_hand = sum(
        float(rows[0, a] * rows[1, b] * rows[2, c])
        for a, b, c in itertools.product(range(3), repeat=3)
        if [x for x, _ in itertools.groupby((a, b, c)) if x != 1] == [0, 2]
    )
    assert math.isclose(float(p[texts.index((0, 1)), 1]), by_hand, rel_tol=1e-5)
    drawn = given.sample(2000, Generators.from_seed(0, num_samples=2000, batch=2))
    for b in range(2):
        seen = [
            tuple(z[:n].tolist()) for z, n in zip(drawn.z[:, b], drawn.lengths[:, b], strict=True)
        ]
        share = torch.tensor([seen.count(t) / len(seen) for t in texts])
        assert (share - p[:, b]).abs().max() < 0.04
    assert given.log_prob(_of((0, 0, 0, 0))).nats.tolist() == [-math.inf] * 2
    with pytest.raises(SpecError, match="one row for each"):
        given.log_prob(Latent(torch.zeros(3, 2, dtype=torch.long)))


def test_gradients_flow_to_the_labels(folder: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    tensors = pipe.prepare([(SOUNDS[1], "ALL"), (SOUNDS[0], "")])
    losses = pipe.loss(tensors)
    nats = pipe.given([SOUNDS[1], SOUNDS[0]]).log_prob(["ALL", ""]).nats
    assert torch.allclose(losses, -nats, rtol=1e-4)
    losses.sum().backward()
    assert pipe.model.model.lm_head.weight.grad.abs().sum() > 0


def test_which_sound_a_text_is_of(folder: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    nats = [float(pipe.given(s).log_prob("A").nats) for s in SOUNDS]
    assert classify(pipe, "A", SOUNDS).best is SOUNDS[int(np.argmax(nats))]


def test_what_is_saved_is_the_librarys_own(folder: Path, tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    pipe.save_pretrained(tmp_path / "saved")
    before, after = (_logits(f, SOUNDS[0]) for f in (folder, tmp_path / "saved"))
    torch.testing.assert_close(after, before)
    again = Pipeline.from_pretrained(tmp_path / "saved")
    assert again(SOUNDS[1], seed=1) == pipe(SOUNDS[1], seed=1)


def test_weights_that_only_training_takes_may_be_missing(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    weights = load_file(copy / "model.safetensors")
    unused = [key for key in weights if key.endswith("masked_spec_embed")]
    assert len(unused) == 1
    del weights[unused[0]]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    whole = Pipeline.from_pretrained(folder)
    assert Pipeline.from_pretrained(copy)(SOUNDS[1], seed=1) == whole(SOUNDS[1], seed=1)
    del weights["lm_head.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(LoadError, match="lm_head.weight"):
        Pipeline.from_pretrained(copy)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Audio(SOUNDS[0].samples[:, :20], RATE), "too short for one frame"),
        (Audio(SOUNDS[0].samples, 8000), "Resample"),
        ({"audio": SOUNDS[0], "language": "en"}, "one language alone"),
        (None, "Give one, not None"),
    ],
)
def test_bad_sounds(folder: Path, value: object, message: str) -> None:
    pipe = Pipeline.from_pretrained(folder)
    with pytest.raises(ValueError, match=message):
        pipe(value)
    with pytest.raises(SpecError, match="no"):
        pipe.given(SOUNDS[0]).best(1, num_beams=2)
