"""What people complain of in plain calls of transformers that speak or hear, and what is done here.

Each test shows both sides: the library's call goes wrong on it, and the pipeline does not.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from backends import tiny_readers, tiny_speakers
from backends.tiny_vits import tiny_vits
from transformers import (
    AutoProcessor,
    BarkModel,
    VitsModel,
    VitsTokenizer,
    WhisperForConditionalGeneration,
    pipeline,
)

from mmgen import Audio, Pipeline
from mmgen.modalities.audio.files import save

# The vocoder of VITS uses what torch has replaced.
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")

RATE = 16000


@pytest.fixture(scope="module")
def vits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vits(tmp_path_factory.mktemp("vits"))


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_readers.whisper(tmp_path_factory.mktemp("whisper"))


def _sound(seconds: float) -> Audio:
    time = np.arange(round(seconds * RATE)) / RATE
    tones = np.sin(2 * np.pi * 300 * time * (1 + time)) / 3
    return Audio(tones.astype(np.float32)[None], RATE)


def test_a_sound_has_no_seed_and_loses_its_channels(vits: Path) -> None:
    speak = pipeline("text-to-audio", model=str(vits))
    with pytest.raises(TypeError, match="seed"):
        speak("a cat", seed=1)
    # Channels and time are promised, and the channels are left out where there is one.
    assert speak("a cat")["audio"].ndim == 1
    pipe = Pipeline.from_pretrained(vits)
    found = pipe("a cat", seed=1)
    assert found.samples.shape[0] == 1
    assert np.array_equal(found.samples, pipe("a cat", seed=1).samples)


def test_what_is_too_long_is_not_said(tmp_path: Path) -> None:
    folder = tiny_speakers.bark(tmp_path)
    model, processor = (
        BarkModel.from_pretrained(folder).eval(),
        AutoProcessor.from_pretrained(folder),
    )
    most = model.generation_config.semantic_config["max_input_semantic_length"]
    text = "a red cat sat on the left of a blue square a cat sat on the left"

    def said(text: str) -> torch.Tensor:
        torch.manual_seed(3)
        read = processor(text=text, return_tensors="pt", max_length=most)
        with torch.no_grad():
            return model.generate(**read, do_sample=True)[0]

    # Whatever comes after is not heard, and nothing tells.
    assert torch.equal(said(f"{text} {text}"), said(f"{text} {text} {text}"))
    pipe = Pipeline.from_pretrained(folder)
    with pytest.raises(ValueError, match=f'at most {most} tokens, .* give split="sentences"'):
        pipe(f"{text} {text}", split="never")
    own = {o.name: o.default for o in pipe.encoder.options()}
    parts = pipe.encoder.parted(f"{text} {text}", **own).values
    assert " ".join(p["text"] for p in parts) == f"{text} {text}" and len(parts) > 1


def test_what_a_voice_has_no_sound_for_is_dropped(vits: Path) -> None:
    tokenizer = VitsTokenizer.from_pretrained(vits)
    assert tokenizer("a cat 7 ö")["input_ids"] == tokenizer("a cat")["input_ids"]
    pipe = Pipeline.from_pretrained(vits)
    with pytest.warns(UserWarning, match="no sound for '7', 'ö', .*'a cat 7 ö'"):
        found = pipe("a cat 7 ö", seed=1)
    # Marks and capitals have none of their own, and nobody misses it.
    assert np.array_equal(pipe("A cat!", seed=1).samples, found.samples)


def test_nothing_is_heard_until_all_is_said(vits: Path) -> None:
    text, calls = "A cat. A red cat sat! A cat sat.", []
    speak = pipeline("text-to-audio", model=str(vits))
    with pytest.raises(ValueError, match="generate_kwargs"):
        speak(text, generate_kwargs={"streamer": object()})
    pipe = Pipeline.from_pretrained(vits)
    pipe.model.model.register_forward_hook(lambda *_: calls.append(1))
    heard = []
    for sound in pipe.given(text).stream(seed=1):
        heard.append((len(calls), sound.samples.shape[1]))
    assert [n for n, _ in heard] == [1, 2, 3]
    lengths = [n for _, n in heard]
    assert lengths == sorted(lengths) and len(set(lengths)) == 3


def test_there_is_no_pause_where_a_paragraph_ends(vits: Path) -> None:
    tokenizer = VitsTokenizer.from_pretrained(vits)
    text = "A cat sat.\n\nA red cat."
    # Not even a blank: the last word of one and the first of the next become one.
    assert tokenizer(text)["input_ids"] == tokenizer("a cat sata red cat")["input_ids"]
    pipe = Pipeline.from_pretrained(vits)
    more = pipe(text, seed=1, pause=0.1).samples.shape[1]
    assert more - pipe(text, seed=1, pause=0.0).samples.shape[1] == round(0.2 * RATE)
    line = text.replace("\n\n", " ")
    assert more - pipe(line, seed=1, pause=0.1).samples.shape[1] == round(0.1 * RATE)
    whole = pipe("a cat sat\na red cat", seed=1, split="never").samples
    assert np.array_equal(whole, pipe("a cat sat a red cat", seed=1, split="never").samples)


def test_a_voice_cannot_be_trained(vits: Path) -> None:
    model, tokenizer = VitsModel.from_pretrained(vits), VitsTokenizer.from_pretrained(vits)
    read = tokenizer("a cat", return_tensors="pt")
    with pytest.raises(NotImplementedError, match="Training"):
        model(**read, labels=torch.zeros(1, model.config.spectrogram_bins, 60))
    pipe = Pipeline.from_pretrained(vits)
    loss = pipe.loss(pipe.prepare([("a cat", _sound(0.1))]), condition_dropout=0.0)
    loss.mean().backward()
    assert loss.isfinite().all()
    assert any(p.grad is not None and p.grad.any() for p in pipe.model.model.parameters())


def test_a_file_cannot_be_heard_without_another_program(
    whisper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(_sound(0.4), tmp_path / "talk.wav")
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    hear = pipeline("automatic-speech-recognition", model=str(whisper))
    with pytest.raises(ValueError, match="ffmpeg"):
        hear(str(tmp_path / "talk.wav"))
    pipe = Pipeline.from_pretrained(whisper)
    asked = {"temperature": 0.0, "max_new_tokens": 6}
    found = pipe(str(tmp_path / "talk.wav"), **asked)
    assert found == pipe((tmp_path / "talk.wav").read_bytes(), **asked) and found


def test_the_end_of_a_long_sound_is_not_heard(whisper: Path) -> None:
    model = WhisperForConditionalGeneration.from_pretrained(whisper).eval()
    processor = AutoProcessor.from_pretrained(whisper)

    def heard(sound: Audio) -> list[int]:
        read = processor(sound.samples[0], sampling_rate=RATE, return_tensors="pt")
        return model.generate(**read, max_new_tokens=6, language="de")[0].tolist()

    long, short = _sound(3.0), _sound(1.0)
    assert heard(long) == heard(short)
    pipe = Pipeline.from_pretrained(whisper)
    asked = {"temperature": 0.0, "max_new_tokens": 6}
    value = {"audio": long, "language": "de"}
    with pytest.raises(ValueError, match="at most 1 s, got 3 s.*nothing is cut"):
        pipe(value, **asked)
    whole = pipe(value, split="windows", **asked)
    assert len(whole) > len(pipe({"audio": short, "language": "de"}, **asked))
