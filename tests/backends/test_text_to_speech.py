"""SpeechT5, Bark and FastSpeech2Conformer behind mmgen's door say what the library says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from backends import tiny_speakers
from rounding import same_but_for_rounding
from transformers import (
    AutoProcessor,
    BarkModel,
    FastSpeech2ConformerWithHifiGan,
    SpeechT5ForTextToSpeech,
    SpeechT5HifiGan,
)

from mmgen import Pipeline
from mmgen.backends.from_transformers.voices import VOICES
from mmgen.backends.recognition.verbs import ARCHITECTURES
from mmgen.core.errors import LoadError
from mmgen.modalities.audio.files import save

# The vocoders use what torch has replaced.
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")

SHORT, LONG = "a cat", "a red cat sat on the left of a blue square"
SPEAKER = [0.3, -1.0, 0.5, 0.2]
MORE = {"maxlenratio": 4.0}


@pytest.fixture(scope="module")
def speecht5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_speakers.speecht5(tmp_path_factory.mktemp("speecht5"))


@pytest.fixture(scope="module")
def bark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_speakers.bark(tmp_path_factory.mktemp("bark"))


@pytest.fixture(scope="module")
def fastspeech2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_speakers.fastspeech2(tmp_path_factory.mktemp("fastspeech2"))


@pytest.fixture(params=["speecht5", "bark"])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def _value(folder: Path, text: str) -> Any:
    return {"text": text, "speaker": SPEAKER} if "speecht5" in str(folder) else text


def _options(folder: Path) -> dict[str, Any]:
    return dict(MORE) if "speecht5" in str(folder) else {}


def _expected(folder: Path, text: str, seed: int) -> torch.Tensor:
    """What the library says for a seed (N,)."""
    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor(text=text, return_tensors="pt")
    if "bark" in str(folder):
        model = BarkModel.from_pretrained(folder).eval()
        torch.manual_seed(seed)
        return model.generate(**inputs, do_sample=True)[0]
    model = SpeechT5ForTextToSpeech.from_pretrained(folder).eval()
    vocoder = SpeechT5HifiGan.from_pretrained(folder / "vocoder").eval()
    voice = torch.tensor([SPEAKER])
    torch.manual_seed(seed)
    return model.generate_speech(inputs["input_ids"], voice, vocoder=vocoder, **MORE)


def test_a_sound_is_that_of_the_library(folder: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    before = torch.get_rng_state()
    found = pipe(_value(folder, LONG), seed=3, **_options(folder))
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad():
        expected = _expected(folder, LONG, 3)
    assert found.samples.shape[1] > 40 and np.abs(found.samples).max() > 1e-3
    np.testing.assert_allclose(found.samples[0], expected.numpy().clip(-1, 1), atol=1e-5)
    assert found.sampling_rate == (1000 if "bark" in str(folder) else 8000)


def test_each_of_a_batch_has_its_own_length_and_seed(folder: Path) -> None:
    pipe, more = Pipeline.from_pretrained(folder), _options(folder)
    values = [_value(folder, SHORT), _value(folder, LONG)]
    together = pipe(values, seed=[1, 2], **more)
    alone = [pipe(value, seed=s, **more) for value, s in zip(values, (1, 2), strict=True)]
    for one, other in zip(together, alone, strict=True):
        assert same_but_for_rounding(one, other)
    assert together[0].samples.shape != together[1].samples.shape
    again = pipe(values[0], seed=1, num_samples=2, **more)
    assert same_but_for_rounding(again[0], alone[0])
    assert not same_but_for_rounding(again[1], alone[0])


def test_what_is_saved_is_the_librarys_own(folder: Path, tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    saved = tmp_path / folder.name
    pipe.save_pretrained(saved)
    assert same_but_for_rounding(_expected(folder, SHORT, 5), _expected(saved, SHORT, 5))
    value, more = _value(folder, SHORT), _options(folder)
    again = Pipeline.from_pretrained(saved)(value, seed=1, **more)
    assert same_but_for_rounding(again, pipe(value, seed=1, **more))


def test_a_speaker_is_heard_and_may_be_a_file(speecht5: Path, tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(speecht5)
    np.save(tmp_path / "me.npy", np.array([SPEAKER]))
    values = [SPEAKER, torch.tensor(SPEAKER), str(tmp_path / "me.npy"), [1.0, 0.0, 0.0, 0.0]]
    found = [pipe({"text": SHORT, "speaker": v}, seed=1, **MORE).samples for v in values]
    for same in found[1:3]:
        np.testing.assert_allclose(same, found[0], atol=1e-6)
    assert not np.allclose(found[3], found[0], atol=1e-3)
    typed = json.dumps({"text": SHORT, "speaker": str(tmp_path / "me.npy")})
    assert pipe.encoder.read(typed) == {"text": SHORT, "speaker": str(tmp_path / "me.npy")}
    with pytest.raises(ValueError, match='"speaker": ...'):
        pipe.encoder.read(SHORT)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (SHORT, ValueError, "'speaker' is missing"),
        ({"text": SHORT, "speaker": None}, ValueError, "'speaker' is missing"),
        ({"speaker": SPEAKER}, ValueError, "'text' is missing"),
        ({"text": SHORT, "speaker": SPEAKER, "image": 1}, ValueError, "'image' is none of them"),
        ({"text": SHORT, "speaker": SPEAKER[:3]}, ValueError, r"shape \(4,\), got \(3,\)"),
        ({"text": SHORT, "speaker": [float("nan")] * 4}, ValueError, "finite"),
        ({"text": SHORT, "speaker": [0.0] * 4}, ValueError, "not all zero"),
        ({"text": SHORT, "speaker": ["a"]}, TypeError, "array of 4 numbers"),
        ({"text": SHORT, "speaker": "me.wav"}, ValueError, ".npy"),
        ({"text": "", "speaker": SPEAKER}, ValueError, "empty"),
        ({"text": 7, "speaker": SPEAKER}, TypeError, "Expected a text"),
    ],
)
def test_bad_conditions(
    speecht5: Path, value: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Pipeline.from_pretrained(speecht5)(value)


def test_what_is_too_long_is_spoken_in_pieces(speecht5: Path) -> None:
    pipe = Pipeline.from_pretrained(speecht5)
    value = {"text": f"{LONG} {LONG}, {SHORT}", "speaker": SPEAKER}
    with pytest.raises(ValueError, match=r'at most 60 tokens, .* give split="sentences"'):
        pipe(value, split="never")
    own = {o.name: o.default for o in pipe.encoder.options()}
    parts = pipe.encoder.parted(value, **own).values
    assert " ".join(part["text"] for part in parts) == value["text"] and len(parts) > 1
    assert all(part["speaker"] == SPEAKER for part in parts)
    with pytest.raises(ValueError, match="'speaker' is missing"):
        pipe("One. Two.")
    # Each of them is said, without a pause within the sentence.
    found = pipe(value, seed=1, **MORE).samples.shape[1]
    tokens = [len(pipe.encoder.tokenizers[0](p["text"])["input_ids"]) for p in parts]
    assert found >= 0.9 * sum(tokens) * 2 * MORE["maxlenratio"]


def test_a_text_of_which_nothing_is_said(bark: Path) -> None:
    pipe = Pipeline.from_pretrained(bark)
    found = pipe("a cat", num_samples=12, seed=0, max_new_tokens=1)
    lengths = [x.samples.shape for x in found]
    # The first code that is drawn may be the end of them.
    assert (1, 0) in lengths and any(n > 0 for _, n in lengths)
    silent = lengths.index((1, 0))
    assert pipe("a cat", seed=silent, max_new_tokens=1).samples.shape == (1, 0)
    with pytest.raises(ValueError, match="no samples cannot be written"):
        save(found[silent], "x.wav")


def test_options_are_those_of_the_library_s_call(bark: Path) -> None:
    asked = {"temperature": 0.6, "fine_temperature": 0.8, "max_new_tokens": 9, "min_eos_p": 0.4}
    found = Pipeline.from_pretrained(bark)(LONG, seed=5, **asked)
    model, processor = BarkModel.from_pretrained(bark).eval(), AutoProcessor.from_pretrained(bark)
    torch.manual_seed(5)
    with torch.no_grad():
        expected = model.generate(
            **processor(text=LONG, return_tensors="pt"),
            do_sample=True,
            semantic_temperature=0.6,
            coarse_temperature=0.6,
            fine_temperature=0.8,
            semantic_max_new_tokens=9,
            min_eos_p=0.4,
        )[0]
    np.testing.assert_allclose(found.samples[0], expected.numpy().clip(-1, 1), atol=1e-5)


def test_voices_that_a_checkpoint_brings(bark: Path) -> None:
    pipe = Pipeline.from_pretrained(bark)
    named = {o.name: o for o in pipe.options()}
    assert named["voice_preset"].choices == ("calm",)
    calm, other = pipe(SHORT, seed=1, voice_preset="calm"), pipe(SHORT, seed=1)
    assert calm.samples.shape != other.samples.shape or not np.allclose(calm.samples, other.samples)
    with pytest.raises(ValueError, match="voice_preset is one of calm"):
        pipe(SHORT, voice_preset="../elsewhere/voice")
    brief = pipe(LONG, seed=1, max_new_tokens=4, temperature=0.7, fine_temperature=1.0)
    # A code of sound is made of four samples, and there are three for two of meaning.
    assert 0 < brief.samples.shape[1] <= 4 * 3 / 2 * 4
    with pytest.raises(ValueError, match="at most 16 tokens"):
        pipe(LONG + " " + LONG, split="never")


def test_a_model_without_a_vocoder(speecht5: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(speecht5, tmp_path / "copy")
    shutil.rmtree(folder / "vocoder")
    with pytest.raises(LoadError, match="a vocoder makes sounds. Save a SpeechT5HifiGan into"):
        Pipeline.from_pretrained(folder)


def test_phonemes_sound_as_those_of_the_library(fastspeech2: Path, tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(fastspeech2)
    values = ["HH AH0 L OW1", "T AA K IY , B AE1 D AA M L AH0 N ."]
    found = pipe(values, seed=0, speaker=1)
    model = FastSpeech2ConformerWithHifiGan.from_pretrained(fastspeech2).eval()
    words = json.loads((fastspeech2 / "vocab.json").read_text("utf-8"))
    for value, sound in zip(values, found, strict=True):
        ids = torch.tensor([[words[w] for w in [*value.split(), "<sos/eos>"]]])
        with torch.no_grad():
            expected = model(ids, speaker_ids=torch.tensor([[1]])).waveform[0]
        np.testing.assert_allclose(sound.samples[0], expected.numpy().clip(-1, 1), atol=1e-5)
        assert sound.sampling_rate == 8000 and np.abs(sound.samples).max() > 1e-3
        # Nothing of it is drawn.
        assert same_but_for_rounding(pipe(value, seed=9, speaker=1), sound)
    assert found[0].samples.shape[1] < found[1].samples.shape[1]
    slower = pipe(values[0], speaker=1, speaking_speed=3.0)
    assert slower.samples.shape[1] > found[0].samples.shape[1]
    assert model.model.config.speaking_speed == 1.0
    assert not np.allclose(pipe(values[0]).samples, found[0].samples, atol=1e-4)
    pipe.save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "vocab.json").read_bytes() == (
        fastspeech2 / "vocab.json"
    ).read_bytes()
    again = Pipeline.from_pretrained(tmp_path / "saved")(values[0], speaker=1)
    assert same_but_for_rounding(again, found[0])


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("hello", ValueError, "no phoneme of this model.*not words"),
        ("HH <unk>", ValueError, "no phoneme of this model"),
        (" ", ValueError, "no phonemes"),
        (None, ValueError, "'phonemes' is missing"),
        ({"text": "hello"}, ValueError, "'text' is none of them"),
        (7, TypeError, "as a text"),
    ],
)
def test_bad_phonemes(
    fastspeech2: Path, value: object, error: type[Exception], message: str
) -> None:
    pipe = Pipeline.from_pretrained(fastspeech2)
    with pytest.raises(error, match=message):
        pipe(value)


def test_a_vocabulary_of_phonemes_that_is_none(fastspeech2: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(fastspeech2, tmp_path / "copy"))
    for content, message in (('{"AA": 0}', "lacks '<sos/eos>'"), ("[]", "names no phonemes")):
        (folder / "vocab.json").write_text(content, "utf-8")
        with pytest.raises(LoadError, match=message):
            Pipeline.from_pretrained(folder)
    (folder / "vocab.json").unlink()
    with pytest.raises(LoadError, match="vocab.json"):
        Pipeline.from_pretrained(folder)


def test_those_that_speak_are_those_that_are_told_of() -> None:
    tasks = ("text-to-speech", "text-to-audio")
    assert set(VOICES) == {n for task in tasks for n in ARCHITECTURES["transformers", task]}
