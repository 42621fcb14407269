"""Csm and Dia behind mmgen's door say what the library says, in a voice that is given."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from backends import tiny_code_speakers
from rounding import same_but_for_rounding
from transformers import (
    AutoProcessor,
    CsmForConditionalGeneration,
    DiaForConditionalGeneration,
    DiaProcessor,
    PocketTTSForConditionalGeneration,
    PocketTTSProcessor,
)
from transformers.generation.streamers import BaseStreamer

from mmgen import Audio, Pipeline
from mmgen.backends.recognition import recognise
from mmgen.modalities.audio.files import save

# The codecs use what torch has replaced.
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")

SHORT, LONG = "A Red cat", "A blue cat sat on the left"
RATES = {"csm": 24000, "dia": 44100, "pocket_tts": 24000}


def _voice(rate: int, pitch: float = 200.0) -> Audio:
    time = np.arange(rate // 5) / rate
    return Audio(np.sin(2 * np.pi * pitch * time * (1 + time)).astype(np.float32)[None] / 2, rate)


@pytest.fixture(scope="module", params=sorted(RATES))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = getattr(tiny_code_speakers, request.param)
    return made(tmp_path_factory.mktemp(request.param, numbered=False))


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Pipeline:
    return Pipeline.from_pretrained(folder)


@pytest.fixture(scope="module")
def once(pipe: Pipeline) -> Audio:
    return pipe(SHORT, seed=1)


def _imitated(folder: Path, text: str = SHORT, pitch: float = 200.0) -> dict[str, Any]:
    voice = _voice(RATES[folder.name], pitch)
    told = {} if folder.name == "pocket_tts" else {"reference_text": "the left"}
    return {"text": text, "reference": voice, **told}


@torch.no_grad()
def _expected(folder: Path, value: Any, seed: int, **how: Any) -> np.ndarray:
    """What the library says for a seed (N,)."""
    value = value if isinstance(value, dict) else {"text": value}
    made = {"csm": _expected_csm, "dia": _expected_dia, "pocket_tts": _expected_pocket_tts}
    return made[folder.name](folder, value, seed, **how).numpy().clip(-1, 1)


@cache
def _loaded(kind: type, reader: type, folder: Path) -> tuple[Any, Any]:
    return kind.from_pretrained(folder).eval(), reader.from_pretrained(folder)


def _expected_csm(folder: Path, value: dict[str, Any], seed: int, **how: Any) -> torch.Tensor:
    model, processor = CsmForConditionalGeneration.from_pretrained(folder), None
    processor = AutoProcessor.from_pretrained(folder)
    messages = [{"role": "0", "content": [{"type": "text", "text": value["text"]}]}]
    if "reference" in value:
        said = [{"type": "text", "text": value["reference_text"]}]
        said.append({"type": "audio", "path": value["reference"].samples[0]})
        messages.insert(0, {"role": "0", "content": said})
    read = processor.apply_chat_template(messages, tokenize=True, return_dict=True)
    drawn = {"do_sample": True, "depth_decoder_do_sample": True}
    torch.manual_seed(seed)
    return model.eval().generate(**read, **drawn, output_audio=True, **how)[0]


def _expected_dia(folder: Path, value: dict[str, Any], seed: int, **how: Any) -> torch.Tensor:
    model, processor = _loaded(DiaForConditionalGeneration, DiaProcessor, folder)
    text, heard = f"[S1] {value['text']}", {}
    if "reference" in value:
        text = f"[S1] {value['reference_text']} {value['text']}"
        heard = {"audio": [value["reference"].samples[0]]}
    with warnings.catch_warnings():
        # Of one text its padding is told to be without use.
        warnings.simplefilter("ignore", UserWarning)
        read = processor(text=[text], **heard)
    torch.manual_seed(seed)
    codes = model.generate(**read, do_sample=True, **how)
    length = processor.get_audio_prompt_len(read["decoder_attention_mask"]) if heard else None
    return processor.batch_decode(codes, audio_prompt_len=length)[0]


def _expected_pocket_tts(
    folder: Path, value: dict[str, Any], seed: int, **how: Any
) -> torch.Tensor:
    model, processor = _loaded(PocketTTSForConditionalGeneration, PocketTTSProcessor, folder)
    content = [{"type": "text", "text": value["text"]}]
    if "reference" in value:
        content.insert(0, {"type": "audio", "audio": value["reference"].samples[0]})
    read = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    torch.manual_seed(seed)
    how = {"return_dict_in_generate": True, **how}
    return processor.decode(model.generate(**read, do_sample=True, **how).audio_latents)[0]


def test_a_sound_is_that_of_the_library(folder: Path, pipe: Pipeline) -> None:
    before = torch.get_rng_state()
    found = {}
    for name, value in (("plain", SHORT), ("imitated", _imitated(folder))):
        found[name] = pipe(value, seed=3)
        assert torch.equal(torch.get_rng_state(), before)
        expected = _expected(folder, value, 3)
        torch.set_rng_state(before)
        assert len(expected) > 60 and np.abs(expected).max() > 1e-4
        np.testing.assert_allclose(found[name].samples[0], expected, atol=1e-5)
        assert found[name].sampling_rate == RATES[folder.name]
    other = pipe(_imitated(folder, pitch=900.0), seed=3)
    assert not _alike(other, found["imitated"]) and not _alike(found["plain"], found["imitated"])


def _alike(one: Audio, other: Audio) -> bool:
    same = one.samples.shape == other.samples.shape
    return same and np.allclose(one.samples, other.samples, atol=1e-6)


def test_each_of_a_batch_is_what_it_is_alone(folder: Path, pipe: Pipeline, once: Audio) -> None:
    value = _imitated(folder)
    (one, another), (other, _) = pipe([SHORT, value], seed=1, num_samples=2)
    assert same_but_for_rounding(one, once) and not _alike(another, one)
    assert same_but_for_rounding(other, pipe(value, seed=3))


def test_options_are_those_of_the_library_s_call(folder: Path, pipe: Pipeline, once: Audio) -> None:
    if folder.name == "csm":
        asked = {"temperature": 0.5, "fine_temperature": 0.7, "max_new_tokens": 2}
        own = {"temperature": 0.5, "depth_decoder_temperature": 0.7, "max_new_tokens": 2}
    elif folder.name == "pocket_tts":
        asked = {"temperature": 0.3, "num_flow_steps": 3, "max_new_tokens": 9}
        asked["eos_threshold"] = 20.0
        own = asked
    else:
        asked = {"temperature": 1.3, "guidance_scale": 2.0, "top_k": 9, "max_new_tokens": 18}
        own = asked
    found = pipe(SHORT, seed=1, **asked)
    np.testing.assert_allclose(found.samples[0], _expected(folder, SHORT, 1, **own), atol=1e-5)
    assert not _alike(found, once)
    # What is set for a call is not kept.
    assert same_but_for_rounding(pipe(SHORT, seed=1), once)


def test_what_is_saved_is_the_librarys_own(folder: Path, pipe: Pipeline, tmp_path: Path) -> None:
    saved = tmp_path / folder.name
    pipe.save_pretrained(saved)
    value = _imitated(folder)
    before = torch.get_rng_state()
    assert same_but_for_rounding(_expected(folder, value, 5), _expected(saved, value, 5))
    torch.set_rng_state(before)
    again = Pipeline.from_pretrained(saved)(value, seed=3)
    assert same_but_for_rounding(again, pipe(value, seed=3))


def test_a_voice_may_be_a_file_and_lasts_for_all_sentences(
    folder: Path, pipe: Pipeline, tmp_path: Path
) -> None:
    value = _imitated(folder)
    save(value["reference"], tmp_path / "me.wav")
    own = {n: x for n, x in value.items() if n == "reference_text"}
    own["reference"] = str(tmp_path / "me.wav")
    found = pipe(pipe.encoder.read_with(SHORT, own), seed=2)
    # A file has levels.
    assert found.samples.shape[1] > 0
    assert _alike(found, pipe({**value, "reference": own["reference"]}, seed=2))
    parts = pipe.encoder.parted(
        {**value, "text": "A Red cat. A blue cat."}, split="sentences", pause=0.1
    ).values
    assert [p["text"] for p in parts] == ["A Red cat.", "A blue cat."]
    assert all(p["reference"] is value["reference"] for p in parts)


def test_a_streamer_of_the_library_is_given_no_sound(folder: Path, pipe: Pipeline) -> None:
    class Kept(BaseStreamer):
        def __init__(self) -> None:
            self.found: list[torch.Tensor] = []

        def put(self, value: torch.Tensor) -> None:
            self.found.append(value)

        def end(self) -> None:
            pass

    kept, before = Kept(), torch.get_rng_state()
    _expected(folder, SHORT, 1, streamer=kept)
    torch.set_rng_state(before)
    # Codes, or nothing but what was asked.
    assert not any(value.is_floating_point() for value in kept.found)
    assert (len(kept.found) > 1) == (folder.name != "pocket_tts")
    first, whole = pipe.given("A Red cat. A blue cat.", pause=0.1).stream(seed=1)
    assert 0 < first.samples.shape[1] < whole.samples.shape[1]
    assert same_but_for_rounding(whole.samples[:, : first.samples.shape[1]], first)


def test_what_it_is_is_told(folder: Path) -> None:
    found = recognise(folder)
    assert (found.task, found.x) == ("text-to-speech", "audio")
    assert set(found.y) == {"text", "audio"}


def test_bad_references(folder: Path, pipe: Pipeline) -> None:
    value = _imitated(folder)
    rate = RATES[folder.name]
    told = (
        ({"reference_text": None}, ValueError, "'reference' is given without 'reference_text'"),
        ({"reference": None}, ValueError, "'reference_text' is given without 'reference'"),
        ({"reference_text": " "}, TypeError, "what the reference says"),
    )
    for change, error, message in (
        *(() if folder.name == "pocket_tts" else told),
        ({"reference": _voice(8000)}, ValueError, f"{rate} Hz, got 8000 Hz.*resample"),
        ({"reference": 7}, TypeError, "Expected a sound"),
        ({"text": ""}, ValueError, "empty"),
        ({"speaker": 1}, ValueError, "'speaker' is none of them"),
    ):
        with pytest.raises(error, match=message):
            pipe({**value, **change})
    if folder.name == "csm":
        long = Audio(np.tile(value["reference"].samples, 40), rate)
        with pytest.raises(ValueError, match="take .* places, and the model has 96"):
            pipe({**value, "reference": long})
    with pytest.raises(ValueError, match=r'at most \d+ tokens, .* give split="sentences"'):
        pipe(LONG * 200, split="never")


def test_a_csm_that_knows_no_conversations(tmp_path: Path) -> None:
    folder = tiny_code_speakers.csm(tmp_path / "csm", chat=False)
    pipe = Pipeline.from_pretrained(folder)
    assert pipe(SHORT, seed=1).samples.shape[1] > 0
    assert not _alike(pipe(SHORT, seed=1), pipe(SHORT, seed=1, speaker=1))
    with pytest.raises(ValueError, match="no chat template"):
        pipe(_imitated(folder))
