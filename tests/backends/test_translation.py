"""Translators of many languages: told by codes or names, and answering as their library does."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from backends import tiny_translators
from backends.tiny_translators import TRANSLATORS
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from mmgen import Pipeline
from mmgen.backends.from_transformers.languages import named_language
from mmgen.core.latent import Latent

TEXTS = ["A Red cat sat on the left.", "blue", "A blue cat, number 3"]
GREEDY = {"temperature": 0.0, "max_new_tokens": 10}
# Names that people use, and what each tokenizer calls the languages.
NAMED = {
    "nllb": ("eng_Latn", {"deu_Latn": "de", "zho_Hant": "zh-TW", "arb_Arab": "Arabic"}),
    "m2m100": ("en", {"de": "deu_Latn", "zh": "zh-Hans", "ar": "ara"}),
    "mbart": ("en_XX", {"de_DE": "de", "zh_CN": "zh", "ar_AR": "Arabic"}),
    "mbart50": ("en_XX", {"de_DE": "German", "zh_CN": "zho_Hans", "pt_XX": "pt-BR"}),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {n: build(tmp_path_factory.mktemp(n)) for n, build in TRANSLATORS.items()}


@pytest.fixture(scope="module", params=sorted(TRANSLATORS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(name: str, made: dict[str, Path]) -> Path:
    return made[name]


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Pipeline:
    return Pipeline.from_pretrained(folder)


def _original(folder: Path, source: str | None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if source is not None:
        tokenizer.src_lang = source
    return AutoModelForSeq2SeqLM.from_pretrained(folder).eval(), tokenizer


def _id(tokenizer: PreTrainedTokenizerBase, code: str) -> int:
    own = getattr(tokenizer, "lang_code_to_token", {}).get(code, code)
    return tokenizer.convert_tokens_to_ids(own)


def _begin(name: str, language: int) -> list[int]:
    return [language] if name == "mbart" else [2, language]


def _told(name: str, language: int) -> dict[str, int]:
    """How the library's own call is told the language."""
    return {"decoder_start_token_id" if name == "mbart" else "forced_bos_token_id": language}


def test_each_language_is_written_as_the_library_writes_it(
    name: str, folder: Path, pipe: Pipeline
) -> None:
    source, languages = NAMED[name]
    model, tokenizer = _original(folder, source)
    written = {}
    for code, asked in languages.items():
        found = pipe(
            [{"text": t, "target_lang": asked, "source_lang": "en"} for t in TEXTS], **GREEDY
        )
        assert found == pipe(TEXTS, target_lang=code, source_lang="English", **GREEDY)
        assert found[0] == pipe(TEXTS[0], target_lang=code, **GREEDY)
        for text, own in zip(TEXTS, found, strict=True):
            inputs = tokenizer(text, return_tensors="pt")
            ids = model.generate(
                **inputs,
                **_told(name, _id(tokenizer, code)),
                max_new_tokens=10 + (name != "mbart"),
                num_beams=1,
                forced_eos_token_id=None,
            )
            # M2M100 shows the names of languages and rows without a word, which are no text.
            expected = tokenizer.decode(ids[0], skip_special_tokens=True)
            assert own.split() == re.sub(r"__[a-z]+__|<unk>", "", expected).split()
        written[code] = found
    assert len({tuple(w) for w in written.values()}) == len(languages)


def test_the_language_of_a_text_is_told_as_well(name: str, folder: Path, pipe: Pipeline) -> None:
    code = next(iter(NAMED[name][1]))
    french = next(c for c in pipe.encoder.languages.targets if c.startswith("fr"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.src_lang = french
    value = {"text": TEXTS[0], "source_lang": "fr", "target_lang": code}
    ids = pipe.encoder.prepare([value])["ids"][0].tolist()
    assert ids == tokenizer(TEXTS[0])["input_ids"]
    assert ids != pipe.encoder.prepare([{**value, "source_lang": "en"}])["ids"][0].tolist()
    # And is forgotten again.
    before = pipe.encoder.prepare([{"text": TEXTS[0], "target_lang": code}])["ids"][0].tolist()
    assert before == pipe.encoder.prepare([{**value, "source_lang": "en"}])["ids"][0].tolist()


def test_scores_are_sums_by_hand(name: str, folder: Path, pipe: Pipeline) -> None:
    source, languages = NAMED[name]
    model, tokenizer = _original(folder, source)
    for code, asked in languages.items():
        given = pipe.given(TEXTS[0], target_lang=asked)
        found = given.log_prob("A blue cat.")
        target = tokenizer("A blue cat.", add_special_tokens=False)["input_ids"]
        begin = _begin(name, _id(tokenizer, code))
        with torch.no_grad():
            logits = model(
                **tokenizer(TEXTS[0], return_tensors="pt"),
                decoder_input_ids=torch.tensor([[*begin, *target]]),
            ).logits[0, len(begin) - 1 :]
        log_p = logits.log_softmax(-1)
        by_hand = sum(float(log_p[n, i]) for n, i in enumerate([*target, 2]))
        assert math.isclose(float(found.nats), by_hand, abs_tol=1e-3) and found.kind == "exact"
        first, second = given.best(2, num_beams=4)
        assert first.nats >= second.nats
        latent, nats = given.conditional.best(2, num_beams=4)
        again = given.conditional.log_prob(Latent(latent.z[0, :, : int(latent.lengths[0, 0])])).nats
        assert math.isclose(float(again), float(nats[0, 0]), abs_tol=1e-3)


def test_a_batch_of_languages_gives_what_each_gives_alone(name: str, pipe: Pipeline) -> None:
    codes = list(NAMED[name][1])
    values = [{"text": t, "target_lang": c} for t, c in zip(TEXTS, codes, strict=True)]
    together = pipe(values, seed=[4, 5, 6], max_new_tokens=8)
    assert together == [
        pipe(v, seed=s, max_new_tokens=8) for v, s in zip(values, (4, 5, 6), strict=True)
    ]
    # Sentence by sentence, all of them in the language that is asked for.
    text = f"{TEXTS[0]} {TEXTS[2]}."
    alone = pipe([TEXTS[0], f"{TEXTS[2]}."], target_lang=codes[1], **GREEDY)
    joined = pipe(text, split="sentences", target_lang=codes[1], **GREEDY)
    # No blank between sentences of a script that has none.
    assert joined.split() == " ".join(a.strip() for a in alone).split()


def test_a_language_that_is_none_of_the_model_s(name: str, pipe: Pipeline) -> None:
    wrong = {"nllb": "deu_Latin", "m2m100": "dee", "mbart": "de_D", "mbart50": "de_D"}[name]
    close = next(iter(NAMED[name][1]))
    for part in ("target_lang", "source_lang"):
        with pytest.raises(ValueError, match=f"'{wrong}' is no language.*'{close}'"):
            pipe({"text": "A cat.", "target_lang": close, part: wrong})
        with pytest.raises(TypeError, match="by its code or name, got 7"):
            pipe({"text": "A cat.", "target_lang": close, part: 7})
    if name == "mbart":
        assert pipe("A cat.", **GREEDY) == pipe("A cat.", target_lang="ro_RO", **GREEDY)
    else:
        # The library writes whatever is likeliest first.
        with pytest.raises(ValueError, match=r"writes \d+ languages. Give target_lang"):
            pipe("A cat.")


def test_what_is_saved_writes_the_same(name: str, pipe: Pipeline, tmp_path: Path) -> None:
    pipe.given("A cat.", target_lang="de").log_prob("blue")
    pipe.save_pretrained(tmp_path / "saved")
    again = Pipeline.from_pretrained(tmp_path / "saved")
    one, other = (p(TEXTS, target_lang="de", **GREEDY) for p in (pipe, again))
    assert one == other


@pytest.mark.parametrize(
    ("asked", "known", "found"),
    [
        ("en-US", ["en", "en_GB"], "en"),
        ("en-GB", ["en_XX", "en_GB"], "en_GB"),
        ("nb", ["no", "nn"], "no"),
        ("fa", ["pes_Arab", "prs_Arab"], "pes_Arab"),
        ("zh", ["zho_Hans", "zho_Hant", "yue_Hant"], "zho_Hans"),
        ("zh-HK", ["cmn_Hans", "cmn_Hant"], "cmn_Hant"),
        ("ks-Deva", ["kas_Arab", "kas_Deva"], "kas_Deva"),
        ("GERMAN", ["de", "en"], "de"),
        ("sr-Latn", ["srp_Cyrl"], None),
        ("zh-Hant", ["zh_CN"], None),
        ("ks", ["kas_Arab", "kas_Deva"], "may be kas_Arab or kas_Deva"),
    ],
)
def test_names_of_languages(asked: str, known: list[str], found: str | None) -> None:
    if found in known:
        assert named_language(asked, known) == found
    else:
        with pytest.raises(ValueError, match=found or "is no language"):
            named_language(asked, known)


def test_a_prefix_tells_a_t5_what_to_do(t5: Path, tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(tiny_translators.with_prefixes(t5, tmp_path / "t5"))
    plain = pipe("A Red cat: blue", **GREEDY)
    assert pipe("blue", target_lang="de", source_lang="en", **GREEDY) == plain
    assert pipe("blue", target_lang="German", **GREEDY) == plain != pipe("blue", **GREEDY)
    assert pipe({"text": "blue", "target_lang": "fr"}, **GREEDY) == pipe(
        "A blue cat: blue", **GREEDY
    )
    assert pipe("blue", prefix="number ", **GREEDY) == pipe("number blue", **GREEDY)
    # Before each sentence, not only the first.
    both = pipe(f"{TEXTS[0]} A blue cat.", prefix="left ", split="sentences", **GREEDY)
    alone = pipe([f"left {TEXTS[0]}", "left A blue cat."], **GREEDY)
    assert both == " ".join(a.strip() for a in alone)
    with pytest.raises(ValueError, match="'ro' is no language"):
        pipe("blue", target_lang="ro")
    with pytest.raises(ValueError, match=r"a pair of this model \(en to de, en to fr\)"):
        pipe("blue", source_lang="en")


def test_a_mark_tells_a_madlad_its_language(tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(tiny_translators.madlad(tmp_path))
    found = pipe.given("A Red cat", target_lang="zh-CN").log_prob("blue").nats
    chinese, german = (pipe.given(f"<2{c}> A Red cat").log_prob("blue").nats for c in ("zh", "de"))
    assert torch.equal(found, chinese) and not torch.equal(found, german)
    with pytest.raises(ValueError, match="not told what it reads"):
        pipe("A Red cat", target_lang="de", source_lang="en")


def test_a_mark_tells_a_marian_its_language(tmp_path: Path) -> None:
    folder = tiny_translators.marian(tmp_path)
    pipe, (model, tokenizer) = Pipeline.from_pretrained(folder), _original(folder, None)
    written = {}
    for code, asked in {"fra": "fr", "deu": "German", "zho_Hans": "zh-CN"}.items():
        marked = f">>{code}<< {TEXTS[0]}"
        ids = tokenizer(marked, return_tensors="pt")
        value = {"text": TEXTS[0], "target_lang": asked}
        assert pipe.encoder.prepare([value])["ids"].tolist() == ids["input_ids"].tolist()
        assert tokenizer.convert_ids_to_tokens(ids["input_ids"][0])[0] == f">>{code}<<"
        # Unlike generate, mmgen does not put an end where it cuts.
        how = {"max_new_tokens": 10, "num_beams": 1, "forced_eos_token_id": None}
        found = model.generate(**ids, **how)
        written[code] = pipe(TEXTS[0], target_lang=asked, **GREEDY)
        assert written[code] == tokenizer.decode(found[0], skip_special_tokens=True)
        # A text may say so itself.
        assert pipe(marked, **GREEDY) == written[code]
        written[code] = float(pipe.given(value).log_prob("blue").nats)
    assert len(set(written.values())) == 3
    # Before each sentence, not only the first.
    parts = [pipe(t, target_lang="fr", **GREEDY).strip() for t in (TEXTS[0], "A blue cat.")]
    assert pipe(f"{TEXTS[0]} A blue cat.", target_lang="fr", **GREEDY) == " ".join(parts)
    for value in ({"text": "A cat.", "target_lang": "ro"}, ">>ron<< A cat."):
        with pytest.raises(ValueError, match="'ron?' is no language of this model"):
            pipe(value)
    # The library writes some language.
    with pytest.raises(ValueError, match="writes 3 languages. Give target_lang, such as 'fra'"):
        pipe("A cat.")
    with pytest.raises(ValueError, match="says >>deu<< and target_lang says 'fra'. Say it once"):
        pipe(">>deu<< A cat.", target_lang="fr")
