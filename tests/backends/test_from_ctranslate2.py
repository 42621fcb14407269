"""CTranslate2 says what transformers says of the same checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
from backends import tiny_translators
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from mmgen import Pipeline
from mmgen.core.errors import LoadError, UnknownNameError

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
    folder = tiny_translators.nllb(tmp_path / "nllb")
    with pytest.raises(LoadError, match=r"writes 20\d languages, and CTranslate2 is not told"):
        Pipeline.from_pretrained(folder, engine="ctranslate2")
    (tmp_path / "config.json").write_text(
        '{"architectures": ["VitsModel"], "model_type": "vits"}', "utf-8"
    )
    with pytest.raises(LoadError, match="CTranslate2 runs"):
        Pipeline.from_pretrained(tmp_path, engine="ctranslate2")
