"""CTranslate2 says what transformers says of the same checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from backends import tiny_translators
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from mmgen import Pipeline
from mmgen.core.errors import LoadError, UnknownNameError
from mmgen.core.latent import Latent

pytest.importorskip("ctranslate2")

PROMPTS = ["A Red cat", "A blue cat sat on the left, number 3"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mmgen" / "ctranslate2"


@pytest.fixture
def exact_gpt2(gpt2: Path, tmp_path: Path) -> Path:
    """With as many rows as words, as the converter wants them."""
    tokenizer = AutoTokenizer.from_pretrained(gpt2, unk_token="<|end|>")
    model = AutoModelForCausalLM.from_pretrained(gpt2)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    return tmp_path / "gpt2"


@pytest.mark.parametrize("name", ["marian", "exact_gpt2"])
def test_greedy_texts_and_scores_are_alike(
    name: str, cache: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(name)
    plain = Pipeline.from_pretrained(folder)
    engine = Pipeline.from_pretrained(folder, engine="ctranslate2")
    options = {"temperature": 0.0, "max_new_tokens": 10, "seed": 0}
    assert engine(PROMPTS, **options) == plain(PROMPTS, **options)
    assert [engine(prompt, **options) for prompt in PROMPTS] == engine(PROMPTS, **options)
    answer = "A Red cat sat on the right." if name == "marian" else " sat on the right."
    found, expected = (
        p.given(PROMPTS).log_prob([answer] * len(PROMPTS)).nats for p in (engine, plain)
    )
    assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-3)
    made = list(cache.iterdir())
    Pipeline.from_pretrained(folder, engine="ctranslate2")
    assert list(cache.iterdir()) == made and len(made) == 1


def test_beams_and_their_scores_are_alike(marian: Path, tmp_path: Path) -> None:
    model = AutoModelForSeq2SeqLM.from_pretrained(marian)
    # Both beams of libraries keep an end only where it is among the likeliest tokens.
    model.final_logits_bias[0, 0] = 3.0
    model.save_pretrained(tmp_path / "ending")
    tokenizer = AutoTokenizer.from_pretrained(marian)
    tokenizer.save_pretrained(tmp_path / "ending")
    plain = Pipeline.from_pretrained(tmp_path / "ending")
    engine = Pipeline.from_pretrained(tmp_path / "ending", engine="ctranslate2")
    for prompt in PROMPTS:
        ours, theirs = (
            p.given(prompt, max_new_tokens=12).best(2, num_beams=6) for p in (plain, engine)
        )
        assert [b.value for b in ours] == [b.value for b in theirs]
        for one, other in zip(ours, theirs, strict=True):
            assert one.nats == pytest.approx(other.nats, abs=1e-3)
        ids = model.generate(
            **tokenizer(prompt, return_tensors="pt"), num_beams=6, length_penalty=0.0, max_length=13
        )
        assert tokenizer.decode(ids[0], skip_special_tokens=True) == theirs[0].value


def test_eight_bits_and_searches(marian: Path) -> None:
    pipe = Pipeline.from_pretrained(marian, engine="ctranslate2", compute_type="int8")
    together = pipe(PROMPTS, max_new_tokens=8)
    assert together == [pipe(p, max_new_tokens=8) for p in PROMPTS]
    with pytest.raises(ValueError, match="temperature"):
        pipe(PROMPTS, temperature=1.0)
    best = pipe.given(PROMPTS[0], max_new_tokens=8).best(2, num_beams=4)
    assert best[0].nats >= best[1].nats
    longer = pipe.given(PROMPTS[0], max_new_tokens=8).best(2, num_beams=4, length_penalty=2.0)
    # In nats of the whole text, of about six a token with random weights: not divided by lengths.
    assert len({value for value, _ in longer}) == 2
    assert all(-200 < nats < -6 for _, nats in longer)


def test_what_it_cannot_run(marian: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="No engine"):
        Pipeline.from_pretrained(marian, engine="onnx")
    with pytest.raises(ValueError, match="compute_type is one of"):
        Pipeline.from_pretrained(marian, engine="ctranslate2", compute_type="int3")
    with pytest.raises(TypeError, match="no engine"):
        Pipeline.from_pretrained("text-to-image:emoji", engine="ctranslate2")
    (tmp_path / "config.json").write_text(
        '{"architectures": ["VitsModel"], "model_type": "vits"}', "utf-8"
    )
    with pytest.raises(LoadError, match="CTranslate2 runs"):
        Pipeline.from_pretrained(tmp_path, engine="ctranslate2")


@pytest.mark.parametrize("name", ["m2m100", "mbart", "mbart50", "nllb"])
def test_languages_are_written_as_without_the_engine(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    folder = tiny_translators.TRANSLATORS[name](tmp_path / name)
    plain = Pipeline.from_pretrained(folder)
    engine = Pipeline.from_pretrained(folder, engine="ctranslate2")
    assert {o.name for o in engine.options()} >= {"source_lang", "target_lang", "split", "prefix"}
    values = [
        {"text": PROMPTS[0], "target_lang": "German", "source_lang": "en"},
        {"text": PROMPTS[1], "target_lang": "zh-CN"},
        {"text": f"{PROMPTS[1]}. {PROMPTS[0]}.", "target_lang": "fr"},
    ]
    options = {"temperature": 0.0, "max_new_tokens": 8, "seed": 0}
    found = engine(values, split="sentences", **options)
    assert found == plain(values, split="sentences", **options) and len(set(found)) == 3
    ours, theirs = (p.given(values[:2]).log_prob(["A Red cat."] * 2).nats for p in (plain, engine))
    assert theirs.tolist() == pytest.approx(ours.tolist(), abs=1e-3)
    # The two number tokens in orders of their own.
    places = {own: place for place, own in enumerate(plain.codec.token_ids)}
    moved = torch.tensor([places[own] for own in engine.codec.token_ids])
    for value in values[:2]:
        latent, nats = engine.given(value, max_new_tokens=6).conditional.best(2, num_beams=6)
        for z, length, score in zip(latent.z[:, 0], latent.lengths[:, 0], nats[:, 0], strict=True):
            same = Latent(moved[z[None, : int(length)]])
            again = plain.given(value).conditional.log_prob(same).nats
            assert float(again) == pytest.approx(float(score), abs=1e-3)
    with pytest.raises(ValueError, match="is no language of this model"):
        engine("A cat.", target_lang="tlh")
    if name != "mbart":
        with pytest.raises(ValueError, match="languages. Give target_lang"):
            engine("A cat.")


def test_beams_of_a_language_that_ends(tmp_path: Path) -> None:
    folder = tiny_translators.nllb(tmp_path)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    # Both beams of libraries keep an end only where it is among the likeliest tokens.
    likely = model.lm_head.weight.data.norm(dim=1).argmax()
    model.lm_head.weight.data[2] = 0.9 * model.lm_head.weight.data[likely]
    model.save_pretrained(folder)
    plain = Pipeline.from_pretrained(folder)
    engine = Pipeline.from_pretrained(folder, engine="ctranslate2")
    tokenizer = AutoTokenizer.from_pretrained(folder, src_lang="eng_Latn")
    for prompt in PROMPTS:
        value = {"text": prompt, "source_lang": "en", "target_lang": "de"}
        latent, nats = engine.given(value, max_new_tokens=8).conditional.best(1, num_beams=4)
        assert int(latent.lengths[0, 0]) > 0
        # What was cut is ranked by itself here, by the libraries without an end.
        (asked,) = engine.encoder.prepare([value])["asked"]
        own = engine.model.engine.generate([asked], longest=8, beam_size=4)[0][0][0]
        ids = model.generate(
            **tokenizer(prompt, return_tensors="pt"),
            forced_bos_token_id=tokenizer.convert_tokens_to_ids("deu_Latn"),
            num_beams=4,
            length_penalty=0.0,
            max_new_tokens=9,
        )[0].tolist()
        # What it begins with, the language, what it says, and the end if it was not cut.
        assert own == [i for i in ids[2:] if i != 2]
        _, ours = plain.given(value, max_new_tokens=8).conditional.best(1, num_beams=4)
        assert float(ours) >= float(nats) - 1e-3


def test_what_is_asked_of_an_engine(marian: Path, exact_gpt2: Path) -> None:
    plain = Pipeline.from_pretrained(marian)
    engine = Pipeline.from_pretrained(marian, engine="ctranslate2")
    text, options = "A Red cat sat. A blue cat.\n\nA Red cat.", {"max_new_tokens": 8}
    assert engine(text, **options) == plain(text, temperature=0.0, **options)
    with pytest.raises(ValueError, match="not told of terms.*without engine="):
        engine({"text": "A Red cat.", "glossary": {"Red": "blue"}})
    with pytest.raises(ValueError, match=r"at most 64 tokens, got .*nothing is cut"):
        engine(text * 9, split="never")
    write, faster = (
        Pipeline.from_pretrained(exact_gpt2, **how) for how in ({}, {"engine": "ctranslate2"})
    )
    value = {"prefix": "A Red", "suffix": " on the left"}
    assert faster(value, **options) == write(value, temperature=0.0, **options)
    with pytest.raises(ValueError, match="at most 47 tokens"):
        faster("A Red cat " * 40)
