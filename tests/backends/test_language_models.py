"""Checkpoints of transformers behind mmgen's door say what the library's own calls say."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from mmgen import Pipeline
from mmgen.core.errors import LoadError
from mmgen.core.latent import Latent

CAUSAL = ["gpt2", "llama"]
TO_SEQUENCE = ["t5", "marian"]
PROMPTS = ["A Red cat", "blue", "A blue cat sat on the left, number 3"]


@pytest.fixture(params=[*CAUSAL, *TO_SEQUENCE])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def _original(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, bool]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    kind = json.loads((folder / "config.json").read_text("utf-8"))["model_type"]
    causal = kind in CAUSAL
    auto = AutoModelForCausalLM if causal else AutoModelForSeq2SeqLM
    return auto.from_pretrained(folder).eval(), tokenizer, causal


def _raw(prompt: str, causal: bool) -> object:
    return {"text": prompt} if causal else prompt


def test_greedy_texts_are_those_of_generate(folder: Path) -> None:
    model, tokenizer, causal = _original(folder)
    pipe = Pipeline.from_pretrained(folder)
    found = pipe([_raw(p, causal) for p in PROMPTS], temperature=0.0, max_new_tokens=12, seed=0)
    for prompt, text in zip(PROMPTS, found, strict=True):
        inputs = tokenizer(prompt, return_tensors="pt")
        # Unlike generate, mmgen does not put an end where it cuts.
        ids = model.generate(**inputs, do_sample=False, max_new_tokens=12, forced_eos_token_id=None)
        own = ids[0, inputs["input_ids"].shape[1] :] if causal else ids[0]
        assert text == tokenizer.decode(own, skip_special_tokens=True)
    assert len(set(found)) > 1


def test_a_batch_gives_what_each_prompt_gives_alone(folder: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    prompts = [_raw(p, pipe.foreign.found.task == "text-generation") for p in PROMPTS]
    together = pipe(prompts, seed=[5, 6, 7], max_new_tokens=10)
    alone = [pipe(p, seed=s, max_new_tokens=10) for p, s in zip(prompts, (5, 6, 7), strict=True)]
    assert together == alone


def test_log_prob_is_the_sum_by_hand(folder: Path) -> None:
    model, tokenizer, causal = _original(folder)
    pipe = Pipeline.from_pretrained(folder)
    answer = " sat on the right, number 4." if causal else "A Red cat sat on the right."
    found = pipe.given([_raw(p, causal) for p in PROMPTS]).log_prob([answer] * len(PROMPTS))
    assert found.kind == "exact"
    ends = pipe.model.network.targets.ends.tolist()
    for prompt, nats in zip(PROMPTS, found.nats, strict=True):
        source = tokenizer(prompt)["input_ids"]
        if causal:
            target = tokenizer(answer, add_special_tokens=False)["input_ids"]
            before = torch.tensor([source + target])
            with torch.no_grad():
                log_p = model(before).logits[0, len(source) - 1 :].log_softmax(-1)
        else:
            target = tokenizer(text_target=answer, add_special_tokens=False)["input_ids"]
            begin = [model.config.decoder_start_token_id, *target]
            with torch.no_grad():
                log_p = (
                    model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([begin]))
                    .logits[0]
                    .log_softmax(-1)
                )
        by_hand = sum(float(log_p[n, i]) for n, i in enumerate(target))
        by_hand += float(log_p[len(target), ends].logsumexp(0))
        assert math.isclose(float(nats), by_hand, abs_tol=1e-3)


@pytest.mark.parametrize("name", TO_SEQUENCE)
def test_the_beam_finds_no_less_than_that_of_generate(
    name: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(name)
    model, tokenizer, _ = _original(folder)
    pipe = Pipeline.from_pretrained(folder)
    content = pipe.model.network.targets.content
    for prompt in PROMPTS:
        given = pipe.given(prompt)
        best = given.best(2, num_beams=4)
        found = model.generate(
            **tokenizer(prompt, return_tensors="pt"), num_beams=4, do_sample=False, max_length=64
        )[0, 1:]
        own = found[torch.isin(found, content)]
        # Scores are those of the model as it is, the end counted.
        theirs = given.conditional.log_prob(Latent(torch.searchsorted(content, own)[None])).nats
        assert best[0].nats >= float(theirs) - 1e-3
        assert best[0].nats >= best[1].nats
        latent, nats = given.conditional.best(2, num_beams=4)
        for z, length, score in zip(latent.z[:, 0], latent.lengths[:, 0], nats[:, 0], strict=True):
            again = given.conditional.log_prob(Latent(z[None, : int(length)])).nats
            assert math.isclose(float(again), float(score), abs_tol=1e-3)


def test_a_stream_ends_as_the_sample_does(gpt2: Path) -> None:
    pipe = Pipeline.from_pretrained(gpt2)
    grown = list(pipe.given("A Red cat", max_new_tokens=8).stream(seed=3))
    assert grown[-1] == pipe("A Red cat", max_new_tokens=8, seed=3)
    assert len(grown) > 2


def test_a_sample_ends_after_a_stop(gpt2: Path) -> None:
    pipe = Pipeline.from_pretrained(gpt2)
    whole = pipe(PROMPTS, seed=3, max_new_tokens=16)
    stop = whole[0][4:6]
    cut = pipe(PROMPTS, seed=3, max_new_tokens=16, stop=["never written", stop])
    assert stop in cut[0] and len(cut[0]) < len(whole[0])
    for one, other in zip(cut, whole, strict=True):
        assert other.startswith(one)
        assert stop in one or one == other
    for bad in ([""], [], 7, ["a", 7]):
        with pytest.raises((TypeError, ValueError), match="stop is a text"):
            pipe("A", stop=bad)


def test_what_is_saved_is_the_librarys_own(folder: Path, tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    pipe.save_pretrained(tmp_path / "saved")
    before, tokenizer, causal = _original(folder)
    after, _, _ = _original(tmp_path / "saved")
    for key, value in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[key], value)
    prompt = _raw(PROMPTS[0], causal)
    again = Pipeline.from_pretrained(tmp_path / "saved")
    assert again(prompt, seed=1, max_new_tokens=6) == pipe(prompt, seed=1, max_new_tokens=6)
    card = json.loads((tmp_path / "saved" / "mmgen.json").read_text("utf-8"))
    assert card["distribution"] == "P(text | text)"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "note.txt").write_text("kept")
    with pytest.raises(ValueError, match="not empty"):
        pipe.save_pretrained(tmp_path / "other")


def test_messages_are_put_as_the_template_puts_them(llama: Path) -> None:
    pipe = Pipeline.from_pretrained(llama)
    chat = {"messages": [{"role": "user", "content": "A Red cat"}]}
    assert pipe(chat, seed=0) == pipe("A Red cat", seed=0)
    assert pipe(chat, seed=0) == pipe({"text": "<|user|>A Red cat<|assistant|>"}, seed=0)


def test_a_chat_model_translates_as_it_is_told(llama: Path) -> None:
    pipe = Pipeline.from_pretrained(llama)
    told, greedy = "Write {text} on the left.", {"temperature": 0.0, "max_new_tokens": 8}
    one, two = "A Red cat sat.", "A blue cat, number 3."
    written = [pipe(told.replace("{text}", t), **greedy) for t in (one, two)]
    assert pipe([one, two], instruction=told, **greedy) == written
    # As the template puts what a user says, and the library goes on with it.
    tokenizer = AutoTokenizer.from_pretrained(llama)
    asked = [{"role": "user", "content": told.replace("{text}", one)}]
    ids = tokenizer.apply_chat_template(
        asked, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    model = AutoModelForCausalLM.from_pretrained(llama)
    found = model.generate(**ids, do_sample=False, max_new_tokens=8, pad_token_id=0)[0]
    own = tokenizer.decode(found[ids["input_ids"].shape[1] :], skip_special_tokens=True)
    assert written[0] == own
    options = {"instruction": told, "split": "sentences"}
    joined = pipe(f"{one}\n{two}", **options, **greedy)
    assert joined == "\n".join(w.strip() for w in written)
    assert pipe(one, **options, **greedy) == written[0]
    found = pipe.given(f"{one} {two}", **options).log_prob("A cat. A dog.")
    alone = pipe.given([one, two], instruction=told).log_prob(["A cat.", "A dog."])
    torch.testing.assert_close(found.nats, alone.nats.sum()[None])
    with pytest.raises(ValueError, match=r"says by \{text\} where a text stands"):
        pipe(one, instruction="Translate.")
    with pytest.raises(ValueError, match="at most 63 tokens"):
        pipe(f"{one} " * 9, instruction=told)


def test_code_is_filled_in_between(gpt2: Path) -> None:
    pipe = Pipeline.from_pretrained(gpt2)
    between = {"prefix": "A Red", "suffix": " on the left"}
    written = {"text": "<fim_prefix>A Red<fim_suffix> on the left<fim_middle>"}
    assert pipe(between, seed=0) == pipe(written, seed=0)


def test_nothing_that_is_too_long_is_cut(gpt2: Path) -> None:
    pipe = Pipeline.from_pretrained(gpt2)
    with pytest.raises(ValueError, match="at most 47 tokens"):
        pipe("A Red cat sat on the left. " * 20)
    # As much as the context still holds, and no more.
    prompt = "A Red cat sat on the left, number 3. " * 3
    count = len(pipe.encoder.tokenizer(prompt)["input_ids"])
    drawn = pipe.given(prompt, max_new_tokens=48).conditional.sample()
    assert int(drawn.lengths) <= 48 - count
    with pytest.raises(ValueError, match="Shorten"):
        pipe.given(prompt).log_prob("A Red cat sat on the right, number 4. " * 3)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("", ValueError, "empty"),
        (7, TypeError, "Expected a text"),
        ({"words": "A"}, TypeError, "Expected a text"),
        ({"messages": [{"role": "user", "content": "A"}]}, ValueError, "no chat template"),
        ({"text": 7}, TypeError, "Expected a text"),
    ],
)
def test_bad_prompts(gpt2: Path, value: object, error: type[Exception], message: str) -> None:
    pipe = Pipeline.from_pretrained(gpt2)
    with pytest.raises(error, match=message):
        pipe(value)


@pytest.mark.parametrize("messages", ["hello", [{"role": "user"}], ["hello"]])
def test_bad_messages(llama: Path, messages: object) -> None:
    with pytest.raises(TypeError, match="A message is"):
        Pipeline.from_pretrained(llama)({"messages": messages})


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (None, ValueError, "Give one"),
        (" ", ValueError, "empty"),
        ({"target_lang": "fra"}, TypeError, "Expected a text"),
        ({"text": "A cat", "target_lang": "fra"}, ValueError, "one pair of languages"),
    ],
)
def test_bad_sources(marian: Path, value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Pipeline.from_pretrained(marian)(value)


def test_broken_checkpoints_are_refused(gpt2: Path, marian: Path, tmp_path: Path) -> None:
    def copied(name: str) -> Path:
        return Path(shutil.copytree(gpt2, tmp_path / name))

    folder = copied("short")
    weights = load_file(folder / "model.safetensors")
    del weights["transformer.h.1.mlp.c_fc.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(LoadError, match="lacks weights"):
        Pipeline.from_pretrained(folder)

    folder = copied("cut")
    (folder / "model.safetensors").write_bytes((gpt2 / "model.safetensors").read_bytes()[:900])
    with pytest.raises(LoadError, match="Could not load"):
        Pipeline.from_pretrained(folder)

    folder = copied("pickle")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(LoadError, match="pickles alone"):
        Pipeline.from_pretrained(folder)

    folder = copied("no_tokenizer")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(LoadError, match="tokenizer"):
        Pipeline.from_pretrained(folder)

    folder = copied("other_tokenizer")
    for name in ("source.spm", "target.spm", "vocab.json"):
        shutil.copy(marian / name, folder)
    content = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    content["tokenizer_class"] = "MarianTokenizer"
    (folder / "tokenizer_config.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(LoadError, match="names MarianTokenizer .* Correct tokenizer_class"):
        Pipeline.from_pretrained(folder)

    folder = copied("no_end")
    for name in ("config.json", "generation_config.json"):
        content = json.loads((folder / name).read_text("utf-8"))
        content["eos_token_id"] = None
        (folder / name).write_text(json.dumps(content), "utf-8")
    with pytest.raises(LoadError, match="eos_token_id"):
        Pipeline.from_pretrained(folder)


def test_a_task_that_is_not_loaded_is_named(tmp_path: Path) -> None:
    content = {"architectures": ["BertForMaskedLM"], "model_type": "bert"}
    (tmp_path / "config.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(LoadError, match=r"fill-mask.*text-generation"):
        Pipeline.from_pretrained(tmp_path)
