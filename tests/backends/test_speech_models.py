"""Pretrained speech models behind mmgen's door say what the library's own calls say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from backends.tiny_parts import encodec
from backends.tiny_tokenizers import pieces
from backends.tiny_vits import tiny_vits
from rounding import same_but_for_rounding
from transformers import (
    EncodecFeatureExtractor,
    GenerationConfig,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForConditionalGeneration,
    MusicgenProcessor,
    T5Config,
    T5Tokenizer,
    VitsModel,
    VitsTokenizer,
    pipeline,
)

from mmgen import Pipeline
from mmgen.backends.recognition.table import table
from mmgen.backends.recognition.verbs import WHY_NOT, verbs_of
from mmgen.core.errors import LoadError

# The vocoder of VITS uses what torch has replaced.
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")

SHORT, LONG = "a cat", "a red cat sat on the left of a blue square"


@pytest.fixture(scope="module")
def vits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vits(tmp_path_factory.mktemp("vits"))


@pytest.fixture(scope="module")
def musicgen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("musicgen")
    pieces(folder, "spiece", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    tokenizer = T5Tokenizer.from_pretrained(folder, extra_ids=0)
    config = MusicgenConfig(
        text_encoder=T5Config(
            vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2
        ).to_dict(),
        audio_encoder=encodec(target_bandwidths=[5.0], codebook_size=32),
        decoder=MusicgenDecoderConfig(
            vocab_size=32,
            num_codebooks=2,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            ffn_dim=32,
            pad_token_id=32,
            bos_token_id=32,
        ).to_dict(),
    )
    torch.manual_seed(0)
    model = MusicgenForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        max_length=30, decoder_start_token_id=32, pad_token_id=32, bos_token_id=32
    )
    model.save_pretrained(folder)
    feature_extractor = EncodecFeatureExtractor(sampling_rate=1000)
    MusicgenProcessor(feature_extractor, tokenizer).save_pretrained(folder)
    return folder


def test_music_is_that_of_the_library(musicgen: Path) -> None:
    found = Pipeline.from_pretrained(musicgen)(["A Red cat", "blue"], seed=[3, 4])
    model = MusicgenForConditionalGeneration.from_pretrained(musicgen)
    processor = MusicgenProcessor.from_pretrained(musicgen)
    before = torch.get_rng_state()
    torch.manual_seed(3)
    with torch.no_grad():
        expected = model.generate(
            **processor(text="A Red cat", return_tensors="pt"), do_sample=True, guidance_scale=3.0
        )
    torch.set_rng_state(before)
    np.testing.assert_allclose(found[0].samples, expected[0].numpy().clip(-1, 1), atol=1e-6)
    assert found[0].sampling_rate == 1000 and found[0].samples.shape[1] > 0


def test_a_sound_is_that_of_the_library(vits: Path) -> None:
    pipe = Pipeline.from_pretrained(vits)
    before = torch.get_rng_state()
    found = pipe(LONG, seed=3, speaking_rate=0.5)
    assert torch.equal(torch.get_rng_state(), before)
    model, tokenizer = VitsModel.from_pretrained(vits), VitsTokenizer.from_pretrained(vits)
    model.speaking_rate = 0.5
    torch.manual_seed(3)
    with torch.no_grad():
        expected = model(**tokenizer(LONG, return_tensors="pt")).waveform
    torch.set_rng_state(before)
    np.testing.assert_allclose(found.samples, expected.numpy().clip(-1, 1), atol=1e-6)
    assert found.sampling_rate == 16000
    # What is set for a call is not kept.
    assert pipe.model.model.speaking_rate == 1.0


def test_each_of_a_batch_has_its_own_length_and_seed(vits: Path) -> None:
    pipe = Pipeline.from_pretrained(vits)
    together = pipe([SHORT, LONG], seed=[1, 2])
    alone = [pipe(SHORT, seed=1), pipe(LONG, seed=2)]
    for one, other in zip(together, alone, strict=True):
        assert same_but_for_rounding(one, other)
    assert together[0].samples.shape[1] < together[1].samples.shape[1]
    again = pipe(SHORT, seed=1, num_samples=2)
    assert same_but_for_rounding(again[0], alone[0])


def test_a_long_text_is_planned_by_sentences_and_streamed(vits: Path) -> None:
    pipe = Pipeline.from_pretrained(vits)
    sentences = ["A cat.", "A red cat sat on the left of a blue square!", "A cat sat."]
    text = "{} {} \n\n--\n{}".format(*sentences)
    own = {"split": "sentences", "pause": 0.25}
    assert [v["text"] for v in pipe.encoder.parted(text, **own).values] == sentences
    whole = pipe(text, seed=7)
    chunks = list(pipe.given(text).stream(seed=7))
    assert len(chunks) == 3 and same_but_for_rounding(chunks[-1], whole)
    lengths = [c.samples.shape[1] for c in chunks]
    for chunk, length in zip(chunks, lengths, strict=True):
        # A sound that was heard does not change while it goes on.
        assert same_but_for_rounding(chunk, whole.samples[:, :length])
    pauses = (0.25, 0.5)
    for length, pause in zip(lengths, pauses, strict=False):
        samples = round(pause * whole.sampling_rate)
        assert not whole.samples[:, length : length + samples].any()
        assert whole.samples[:, length + samples :][:, :200].any()
    close = pipe(text, seed=7, pause=0.0)
    missing = whole.samples.shape[1] - close.samples.shape[1]
    assert missing == sum(round(p * whole.sampling_rate) for p in pauses)
    together = pipe([text, SHORT], seed=[7, 8], pause=0.0)
    assert same_but_for_rounding(together[0], close)
    assert not same_but_for_rounding(pipe(text, seed=7, split="never"), whole)
    # What is one sentence comes at once, as ever.
    (once,) = pipe.given(SHORT).stream(seed=1)
    assert same_but_for_rounding(once, pipe(SHORT, seed=1))


def test_the_library_returns_the_padding_of_a_batch_as_sound(vits: Path) -> None:
    speak = pipeline("text-to-audio", model=str(vits))
    texts = [SHORT, LONG]
    single = [speak(t)["audio"].shape[-1] for t in texts]
    both = [found["audio"].shape[-1] for found in speak(texts, batch_size=2)]
    assert single[0] < single[1] and both[0] == both[1]
    first, second = (speak(SHORT)["audio"] for _ in range(2))
    assert first.shape != second.shape or not np.allclose(first, second)
    pipe = Pipeline.from_pretrained(vits)
    found = pipe(texts, seed=[1, 2])
    assert found[0].samples.shape[1] < found[1].samples.shape[1]
    assert same_but_for_rounding(found[0], pipe(SHORT, seed=1))


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [("", ValueError, "empty"), (None, ValueError, "missing"), (7, TypeError, "Expected a text")],
)
def test_bad_texts(vits: Path, value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Pipeline.from_pretrained(vits)(value)


def test_a_class_that_is_not_loaded_is_named(tmp_path: Path) -> None:
    for name, kind, why in (
        ("VibeVoiceForConditionalGeneration", "vibevoice", "names the class of diffusers"),
        ("FastSpeech2ConformerModel", "fastspeech2_conformer", "spectrograms alone; FastSpeech2C"),
    ):
        content = {"architectures": [name], "model_type": kind}
        (tmp_path / "config.json").write_text(json.dumps(content), "utf-8")
        with pytest.raises(LoadError, match=rf"{name}.*{why}.*not loaded yet.*VitsModel"):
            Pipeline.from_pretrained(tmp_path)


def test_what_is_not_loaded_for_a_reason_is_recognised() -> None:
    for name in WHY_NOT:
        (group,) = (g for g in table().groups if name in g.architectures)
        assert not verbs_of(group.library, group.task, name)
