"""What people complain of in plain calls of transformers, beside the same question asked here.

Each test shows both sides: the library's call goes wrong on it, and the pipeline does not.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from backends import tiny_translators
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    pipeline,
)

from mmgen import Pipeline

PROMPTS = ["A Red cat", "blue", "A blue cat sat on the left, number 3"]
ANSWER = "A Red cat sat."


def _writer(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def _translator(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    return (
        AutoModelForSeq2SeqLM.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )


def test_prompts_of_several_lengths_change_one_another(gpt2: Path) -> None:
    model, tokenizer = _writer(gpt2)
    greedy = {"do_sample": False, "max_new_tokens": 8}
    batch = tokenizer(PROMPTS, return_tensors="pt", padding=True)
    together = model.generate(**batch, **greedy)[:, batch["input_ids"].shape[1] :]
    for i, (prompt, row) in enumerate(zip(PROMPTS, together, strict=True)):
        one = tokenizer(prompt, return_tensors="pt")
        alone = model.generate(**one, **greedy)[0, one["input_ids"].shape[1] :]
        # The longest alone is not padded.
        assert torch.equal(alone, row) == (i == 2)
    pipe = Pipeline.from_pretrained(gpt2)
    options = {"temperature": 0.0, "max_new_tokens": 8}
    found = pipe([{"text": p} for p in PROMPTS], **options)
    assert found == [pipe({"text": p}, **options) for p in PROMPTS]


@pytest.mark.parametrize("name", ["gpt2", "marian"])
def test_a_sample_depends_on_its_neighbours(name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    causal = name == "gpt2"
    model, tokenizer = _writer(folder) if causal else _translator(folder)
    drawn = {"do_sample": True, "max_new_tokens": 8, "top_k": 0}

    def draw(count: int) -> torch.Tensor:
        torch.manual_seed(3)
        inputs = tokenizer([PROMPTS[0]] * count, return_tensors="pt")
        return model.generate(**inputs, **drawn)[0]

    assert not torch.equal(draw(1), draw(3)[: len(draw(1))])
    pipe = Pipeline.from_pretrained(folder)
    y = {"text": PROMPTS[0]} if causal else PROMPTS[0]
    alone = pipe(y, seed=3, max_new_tokens=8)
    assert alone == pipe([y] * 3, seed=[3, 4, 5], max_new_tokens=8)[0]
    assert alone == pipe(y, seed=3, num_samples=3, max_new_tokens=8)[0]


def test_a_long_prompt_loses_its_end_or_the_call_breaks(gpt2: Path) -> None:
    model, tokenizer = _writer(gpt2)
    text = "A Red cat sat on the left. " * 6
    # Cutting is what is asked for to keep the call from breaking, and nothing is said of it.
    cut = tokenizer(text, truncation=True, return_tensors="pt")
    assert tokenizer.decode(cut["input_ids"][0]) != text
    with pytest.raises(IndexError):
        model.generate(**tokenizer(text, return_tensors="pt"), max_new_tokens=4)
    pipe = Pipeline.from_pretrained(gpt2)
    with pytest.raises(ValueError, match="at most 47 tokens, got .* nothing is cut"):
        pipe({"text": text})


def test_a_translator_that_is_not_told_a_language(tmp_path: Path) -> None:
    folder = tiny_translators.nllb(tmp_path)
    model, tokenizer = _translator(folder)
    inputs = tokenizer("A Red cat sat.", return_tensors="pt")
    # No language, and one that is misspelt: something is written, and nothing is said.
    wrong = tokenizer.convert_tokens_to_ids("deu_Latin")
    for how in ({}, {"forced_bos_token_id": wrong}):
        assert model.generate(**inputs, **how, max_new_tokens=4).shape[1] > 2
    assert wrong == tokenizer.unk_token_id
    pipe = Pipeline.from_pretrained(folder)
    with pytest.raises(ValueError, match="Give target_lang"):
        pipe("A Red cat sat.")
    with pytest.raises(ValueError, match="'deu_Latin' is no language of this model. Did you mean"):
        pipe("A Red cat sat.", target_lang="deu_Latin")


def test_a_call_of_another_release_names_what_is_kept_otherwise(gpt2: Path) -> None:
    # Some releases of 5 warn of the name that others want; here either is asked by its own.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Pipeline.from_pretrained(gpt2)("A Red cat", seed=0, max_new_tokens=3)


def test_a_score_depends_on_how_it_was_searched(marian: Path) -> None:
    model, tokenizer = _translator(marian)
    inputs = tokenizer(PROMPTS[0], return_tensors="pt")

    def scored(**how: float) -> tuple[torch.Tensor, float]:
        found = model.generate(
            **inputs,
            **how,
            num_beams=1 if "temperature" in how else 4,
            do_sample="temperature" in how,
            max_new_tokens=6,
            return_dict_in_generate=True,
            output_scores=True,
        )
        if "temperature" not in how:
            return found.sequences[0], float(found.sequences_scores[0])
        each = model.compute_transition_scores(found.sequences, found.scores, normalize_logits=True)
        return found.sequences[0], float(each[each.isfinite()].sum())

    # The same text has another score with another penalty of its length.
    (one, first), (other, second) = scored(length_penalty=1.0), scored(length_penalty=0.5)
    assert torch.equal(one, other) and abs(first - second) > 0.1
    # And a sample has that of the distribution it was drawn from, not of the model.
    torch.manual_seed(0)
    sampled, warped = scored(temperature=0.5)
    with torch.no_grad():
        log_p = model(**inputs, decoder_input_ids=sampled[None, :-1]).logits[0].log_softmax(-1)
    plain = float(log_p.gather(1, sampled[1:, None]).sum())
    assert abs(warped - plain) > 0.1

    pipe = Pipeline.from_pretrained(marian)
    known = [
        float(pipe.given(PROMPTS[0], **options).log_prob(ANSWER).nats)
        for options in ({}, {"temperature": 0.5}, {"top_k": 3, "max_new_tokens": 4})
    ]
    assert known[0] == known[1] == known[2]
    (best,) = pipe.given(PROMPTS[0]).best(1, num_beams=4)
    other = pipe.given(PROMPTS[0], temperature=0.5).best(1, num_beams=4)[0]
    assert best.nats == pytest.approx(other.nats, abs=1e-4)


def test_there_is_no_call_that_translates(marian: Path) -> None:
    for task in ("translation", "summarization", "text2text-generation"):
        with pytest.raises(KeyError, match="has been removed"):
            pipeline(task, model=str(marian))
    pipe = Pipeline.from_pretrained(marian)
    options = {"temperature": 0.0, "max_new_tokens": 8}
    model, tokenizer = _translator(marian)
    inputs = tokenizer(PROMPTS[0], return_tensors="pt")
    ids = model.generate(**inputs, max_new_tokens=8, forced_eos_token_id=None)
    assert pipe(PROMPTS[0], **options) == tokenizer.decode(ids[0], skip_special_tokens=True)


def test_paragraphs_become_one_and_sentences_are_read_at_once(marian: Path) -> None:
    _, tokenizer = _translator(marian)
    text = "A Red cat sat.\n\nA blue cat sat on the left."
    flat = text.replace("\n\n", " ")
    assert tokenizer(text)["input_ids"] == tokenizer(flat)["input_ids"]
    pipe = Pipeline.from_pretrained(marian)
    options = {"temperature": 0.0, "max_new_tokens": 8}
    one, two = (pipe(t, **options).strip() for t in text.split("\n\n"))
    assert pipe(text, **options) == f"{one}\n\n{two}"


def test_words_cannot_be_demanded_without_code_from_the_hub(marian: Path) -> None:
    model, tokenizer = _translator(marian)
    words = tokenizer(text_target=" blue", add_special_tokens=False)["input_ids"]
    with pytest.raises(Exception, match="transformers-community/constrained-beam-search|offline"):
        model.generate(
            **tokenizer(ANSWER, return_tensors="pt"), force_words_ids=[words], num_beams=4
        )
    pipe = Pipeline.from_pretrained(marian)
    options = {"temperature": 0.0, "max_new_tokens": 24}
    assert "blue" not in pipe(ANSWER, **options)
    assert "blue" in pipe(ANSWER, glossary={"Red": "blue"}, **options)


def test_the_best_come_without_their_scores(gpt2: Path) -> None:
    write = pipeline("text-generation", model=str(gpt2))
    how = {"num_beams": 4, "num_return_sequences": 2, "do_sample": False, "max_new_tokens": 4}
    assert [set(found) for found in write(PROMPTS[0], **how)] == [{"generated_text"}] * 2
    given = Pipeline.from_pretrained(gpt2).given({"text": PROMPTS[0]}, max_new_tokens=4)
    for value, nats in given.best(2, num_beams=4):
        assert nats == pytest.approx(float(given.log_prob(value).nats), abs=1e-3)


def test_a_penalty_of_lengths_counts_no_prompt(gpt2: Path) -> None:
    """What the library's beam did until it counted what it wrote alone."""
    pipe, prompt = Pipeline.from_pretrained(gpt2), "A Red cat " * 4
    given = pipe.given({"text": prompt}, max_new_tokens=4).conditional
    plain, plain_nats = given.best(1, num_beams=8)
    found, found_nats = given.best(1, num_beams=8, length_penalty=1.0)
    short, long = int(plain.lengths[0, 0]) + 1, int(found.lengths[0, 0]) + 1
    assert short < long
    read = len(pipe.encoder.tokenizer(prompt)["input_ids"])
    one, other = float(plain_nats[0, 0]), float(found_nats[0, 0])
    assert one / short < other / long and one / (short + read) > other / (long + read)
