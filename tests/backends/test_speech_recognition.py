"""Pretrained speech recognition models behind mmgen's door write what the library's calls write."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from backends import tiny_readers
from transformers import (
    AutoModelForSpeechSeq2Seq,
    AutoProcessor,
    Speech2TextForConditionalGeneration,
    WhisperForConditionalGeneration,
)

from mmgen import Audio, Pipeline
from mmgen.backends.from_transformers.sounds import in_windows
from mmgen.core.errors import LoadError
from mmgen.inference import classify

RATE = 16000
TEXT = " A Red cat sat on the left"


def _sound(*, seconds: float, pitch: float) -> Audio:
    time = np.arange(round(seconds * RATE)) / RATE
    tones = np.sin(2 * np.pi * pitch * time) + np.sin(2 * np.pi * 2.7 * pitch * time * (1 + time))
    return Audio((tones / 3).astype(np.float32)[None], RATE)


SOUNDS = [_sound(seconds=s, pitch=p) for s, p in ((0.4, 220), (0.93, 700), (0.61, 1500))]


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_readers.whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def speech2text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_readers.speech2text(tmp_path_factory.mktemp("speech2text"))


@pytest.fixture(scope="module")
def moonshine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_readers.moonshine(tmp_path_factory.mktemp("moonshine"))


@pytest.fixture(params=["whisper", "speech2text", "moonshine"])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["whisper", "speech2text"])
def limited(request: pytest.FixtureRequest) -> Path:
    """Those that hear so much at once and no more."""
    return request.getfixturevalue(request.param)


def _original(folder: Path) -> tuple[Any, Any]:
    return AutoModelForSpeechSeq2Seq.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(
        folder
    )


def _inputs(processor: Any, sound: Audio) -> dict[str, torch.Tensor]:
    return processor(sound.samples[0], sampling_rate=RATE, return_tensors="pt")


def test_greedy_texts_are_those_of_generate(folder: Path) -> None:
    model, processor = _original(folder)
    found = Pipeline.from_pretrained(folder)(SOUNDS, temperature=0.0, max_new_tokens=12, seed=0)
    more = {"task": "transcribe"} if isinstance(model, WhisperForConditionalGeneration) else {}
    for sound, text in zip(SOUNDS, found, strict=True):
        ids = model.generate(
            **_inputs(processor, sound), do_sample=False, max_new_tokens=12, num_beams=1, **more
        )
        assert text == processor.tokenizer.decode(ids[0], skip_special_tokens=True)
    assert len(set(found)) > 1


def test_an_array_and_its_rate_are_one_sound(folder: Path) -> None:
    pipe, options = Pipeline.from_pretrained(folder), {"temperature": 0.0, "max_new_tokens": 6}
    expected = pipe(SOUNDS[1], seed=0, **options)
    assert pipe((SOUNDS[1].samples[0], RATE), seed=0, **options) == expected
    pair = (torch.from_numpy(SOUNDS[1].samples), RATE)
    assert pipe([pair, SOUNDS[0]], seed=0, **options) == pipe([SOUNDS[1], SOUNDS[0]], **options)
    assert pipe.given(pair).log_prob(TEXT).nats.shape == (1,)


def test_languages_and_tasks_are_those_of_generate(whisper: Path) -> None:
    model, processor = _original(whisper)
    asked = [("de", "transcribe"), ("english", "translate"), ("<|de|>", "translate")]
    pipe = Pipeline.from_pretrained(whisper)
    found = pipe(
        [{"audio": SOUNDS[0], "language": lang, "task": task} for lang, task in asked],
        temperature=0.0,
        max_new_tokens=12,
        seed=0,
    )
    for (language, task), text in zip(asked, found, strict=True):
        inputs = _inputs(processor, SOUNDS[0])
        ids = model.generate(**inputs, language=language, task=task, max_new_tokens=12)
        assert text == processor.tokenizer.decode(ids[0], skip_special_tokens=True)
    assert len(set(found)) == 3
    for part, name in (("language", "fr"), ("task", "sing"), ("language", 7)):
        with pytest.raises(ValueError, match=f"no {part} of this model"):
            pipe({"audio": SOUNDS[0], part: name})


def test_what_is_not_said_is_taken_from_the_configuration(whisper: Path, tmp_path: Path) -> None:
    model, processor = _original(whisper)
    model.generation_config.language, model.generation_config.task = "de", "translate"
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    pipe = Pipeline.from_pretrained(tmp_path)
    text = pipe(SOUNDS[1], temperature=0.0, max_new_tokens=12)
    ids = model.generate(**_inputs(processor, SOUNDS[1]), max_new_tokens=12)
    assert text == processor.tokenizer.decode(ids[0], skip_special_tokens=True)
    assert pipe({"audio": SOUNDS[1], "language": "en"}, temperature=0.0) != text


def test_a_batch_gives_what_each_sound_gives_alone(folder: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    together = pipe(SOUNDS, seed=[5, 6, 7], max_new_tokens=8)
    alone = [pipe(s, seed=n, max_new_tokens=8) for s, n in zip(SOUNDS, (5, 6, 7), strict=True)]
    assert together == alone
    nats = pipe.given(SOUNDS).log_prob([TEXT] * 3).nats
    for sound, own in zip(SOUNDS, nats, strict=True):
        assert torch.allclose(pipe.given(sound).log_prob(TEXT).nats, own, rtol=1e-5, atol=1e-4)


def test_log_prob_is_the_sum_by_hand(folder: Path) -> None:
    model, processor = _original(folder)
    pipe = Pipeline.from_pretrained(folder)
    value: Any = SOUNDS[0]
    begin = [model.config.decoder_start_token_id]
    if isinstance(model, WhisperForConditionalGeneration):
        value = {"audio": SOUNDS[0], "language": "de"}
        marks = ["<|de|>", "<|transcribe|>", "<|notimestamps|>"]
        begin += processor.tokenizer.convert_tokens_to_ids(marks)
    target = processor.tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    decoder_input_ids = torch.tensor([begin + target])
    with torch.no_grad():
        found = model(**_inputs(processor, SOUNDS[0]), decoder_input_ids=decoder_input_ids)
    log_p = found.logits[0, len(begin) - 1 :].log_softmax(-1)
    ids = [*target, model.generation_config.eos_token_id]
    by_hand = sum(float(row[i]) for row, i in zip(log_p, ids, strict=True))
    told = pipe.given(value).log_prob(TEXT)
    assert told.kind == "exact"
    assert math.isclose(float(told.nats), by_hand, abs_tol=1e-3)


def test_the_best_texts_have_the_scores_of_log_prob(folder: Path) -> None:
    given = Pipeline.from_pretrained(folder).given(SOUNDS[1], max_new_tokens=5)
    latent, nats = given.conditional.best(2, num_beams=3)
    for z, length, score in zip(latent.z[:, 0], latent.lengths[:, 0], nats[:, 0], strict=True):
        again = given.conditional.log_prob(type(latent)(z[None, : int(length)])).nats
        assert math.isclose(float(again), float(score), abs_tol=1e-3)
    best = given.best(1, num_beams=3)[0]
    assert best.nats >= float(given.log_prob(given.sample(1, seed=0)[0]).nats) - 1e-3


def test_which_text_explains_a_sound(folder: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    nats = [float(pipe.given(s).log_prob(TEXT).nats) for s in SOUNDS]
    assert classify(pipe, TEXT, SOUNDS).best is SOUNDS[int(np.argmax(nats))]


def test_what_is_saved_is_the_librarys_own(folder: Path, tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    pipe.save_pretrained(tmp_path / "saved")
    before, processor = _original(folder)
    after, again = _original(tmp_path / "saved")
    for key, value in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[key], value)
    name = processor.feature_extractor.model_input_names[0]
    read = [_inputs(p, SOUNDS[0])[name] for p in (processor, again)]
    assert torch.equal(*read)
    loaded = Pipeline.from_pretrained(tmp_path / "saved")
    assert loaded(SOUNDS[0], seed=1, max_new_tokens=6) == pipe(SOUNDS[0], seed=1, max_new_tokens=6)


def test_sounds_of_another_rate_or_more_channels_are_refused(folder: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    half = Audio(SOUNDS[0].samples[:, ::2].copy(), RATE // 2)
    with pytest.raises(ValueError, match="16000 Hz, got 8000 Hz.*resample"):
        pipe(half)
    with pytest.raises(ValueError, match="one channel"):
        pipe(Audio(np.repeat(SOUNDS[0].samples, 2, axis=0), RATE))


def test_nothing_that_is_too_long_is_cut(limited: Path) -> None:
    pipe = Pipeline.from_pretrained(limited)
    with pytest.raises(ValueError, match=r"at most (1 s|150 frames), got 1\.6 s.*nothing is cut"):
        pipe(_sound(seconds=1.6, pitch=300))
    whole = _sound(seconds=1.0, pitch=300)
    assert isinstance(pipe(whole, max_new_tokens=3), str)
    with pytest.raises(ValueError, match="at most"):
        pipe.given(whole).log_prob(TEXT * 9)


def test_a_sound_that_fills_no_frame(moonshine: Path) -> None:
    pipe = Pipeline.from_pretrained(moonshine)
    sound = _sound(seconds=1.0, pitch=300).samples
    assert isinstance(pipe(Audio(sound[:, :895], RATE), max_new_tokens=2), str)
    with pytest.raises(ValueError, match="too short for one frame"):
        pipe(Audio(sound[:, :894], RATE))


def test_a_long_sound_is_heard_in_parts_if_asked(limited: Path) -> None:
    pipe = Pipeline.from_pretrained(limited)
    # Sounds with rests between: whatever fits, they are cut in the rests.
    parts = [_sound(seconds=0.7, pitch=p).samples for p in (300, 900, 1400)]
    rest = np.random.default_rng(0).normal(size=(1, 2400)).astype(np.float32) * 1e-4
    long = Audio(np.concatenate([parts[0], rest, parts[1], rest, parts[2]], axis=1), RATE)
    with pytest.raises(ValueError, match='split="windows"'):
        pipe(long)
    most = pipe.encoder._window
    windows = in_windows(long.samples[0], most, step=320)
    assert np.array_equal(np.concatenate(windows), long.samples[0])
    assert len(windows) > 1 and max(map(len, windows)) <= most
    assert 0.7 * RATE < len(windows[0]) < 0.85 * RATE or most > 1.2 * RATE
    for length in (most + 1, most + 500, 2 * most, 5 * most + 7):
        noise = np.random.default_rng(1).normal(size=length).astype(np.float32)
        cut = in_windows(noise, most, step=320)
        assert np.array_equal(np.concatenate(cut), noise)
        assert most // 3 <= min(map(len, cut)) and max(map(len, cut)) <= most
    asked = {"split": "windows", "temperature": 0.0, "max_new_tokens": 6}
    found = pipe([long, SOUNDS[0]], **asked)
    each = [pipe(Audio(w[None], RATE), **asked) for w in windows]
    between = "" if "whisper" in str(limited) else " "
    assert found == [between.join(each), pipe(SOUNDS[0], **asked)]
    # Of a whole text nobody knows which words belong to which part.
    with pytest.raises(ValueError, match="parts"):
        pipe.given(long, split="windows").log_prob(TEXT)
    drawn = pipe.given(long, split="windows", max_new_tokens=4)
    assert drawn.sample(2, seed=3)[0] == drawn.sample(1, seed=3)[0]


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (None, ValueError, "Give one, not None"),
        (7, TypeError, "Expected a sound"),
        ({"text": "A cat"}, ValueError, "'array' is missing"),
        ({"audio": SOUNDS[0], "speaker": "me"}, TypeError, "'speaker' is none of these"),
        ({"audio": None}, TypeError, "Expected a sound"),
        (Audio(np.zeros((1, 0), np.float32), RATE), ValueError, "got 0"),
    ],
)
def test_bad_sounds(folder: Path, value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Pipeline.from_pretrained(folder)(value)


def test_what_cannot_be_heard_or_chosen(speech2text: Path) -> None:
    pipe = Pipeline.from_pretrained(speech2text)
    # Of silence and of a single frame there is no spread to divide by.
    for samples in (np.zeros((1, 4000), np.float32), SOUNDS[0].samples[:, :420]):
        with pytest.raises(ValueError, match="silent, or too short"):
            pipe(Audio(samples, RATE))
    with pytest.raises(ValueError, match="one language alone"):
        pipe({"audio": SOUNDS[0], "language": "en"})


def test_whisper_of_one_language(whisper: Path, tmp_path: Path) -> None:
    model, processor = _original(whisper)
    for name in ("lang_to_id", "task_to_id"):
        delattr(model.generation_config, name)
    model.generation_config.is_multilingual = False
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    text = Pipeline.from_pretrained(tmp_path)(SOUNDS[1], temperature=0.0, max_new_tokens=12)
    ids = model.generate(**_inputs(processor, SOUNDS[1]), max_new_tokens=12)
    assert text == processor.tokenizer.decode(ids[0], skip_special_tokens=True)


def test_speech2text_of_several_languages(tmp_path: Path) -> None:
    folder = tiny_readers.speech2text(tmp_path, multilingual=True)
    model, processor = _original(folder)
    pipe = Pipeline.from_pretrained(folder)
    found = pipe(
        [SOUNDS[0], {"audio": SOUNDS[0], "language": "de"}], temperature=0.0, max_new_tokens=8
    )
    for text, language in zip(found, ("fr", "de"), strict=True):
        begin = processor.tokenizer.lang_code_to_id[language]
        inputs = _inputs(processor, SOUNDS[0])
        ids = model.generate(**inputs, forced_bos_token_id=begin, max_new_tokens=9, num_beams=1)
        assert text == processor.tokenizer.decode(ids[0], skip_special_tokens=True)
    assert found[0] != found[1]
    with pytest.raises(ValueError, match="no language of this model"):
        pipe({"audio": SOUNDS[0], "language": "tlh"})


def test_checkpoints_that_lack_something(speech2text: Path, tmp_path: Path) -> None:
    model = Speech2TextForConditionalGeneration.from_pretrained(speech2text)
    _, processor = _original(speech2text)
    model.save_pretrained(tmp_path)
    processor.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(LoadError, match="AutoFeatureExtractor"):
        Pipeline.from_pretrained(tmp_path)


def test_a_class_that_is_not_loaded_is_named(tmp_path: Path) -> None:
    content = {"architectures": ["SeamlessM4TForSpeechToText"], "model_type": "seamless_m4t"}
    (tmp_path / "config.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(LoadError, match=r"SeamlessM4T.*not loaded yet.*Whisper"):
        Pipeline.from_pretrained(tmp_path)
