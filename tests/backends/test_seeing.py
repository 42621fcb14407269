"""Pretrained language models that see write behind mmgen's door what the library's calls write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from backends import tiny_seers
from PIL import Image
from transformers import AutoModelForImageTextToText

from mmgen import Pipeline
from mmgen.core.errors import LoadError
from mmgen.inference import classify


def _picture(seed: int, width: int = 28, height: int = 28) -> Image.Image:
    draw = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(draw).resize((width, height), Image.Resampling.NEAREST)


Original = tuple[Any, tiny_seers.Reader]

VALUES: list[dict[str, Any]] = [
    {"image": _picture(0), "text": "A Red cat"},
    {"image": _picture(1, 40, 24), "text": "blue"},
    {"image": _picture(1), "text": "A Red cat sat on the left"},
    {"text": "A Red cat"},
    {"image": _picture(2)},
]


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_seers.llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def seer(llava: Path) -> Pipeline:
    return Pipeline.from_pretrained(llava)


@pytest.fixture(scope="module", params=sorted(tiny_seers.SEERS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "llava":
        return request.getfixturevalue("llava")
    return tiny_seers.SEERS[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Pipeline:
    return Pipeline.from_pretrained(folder)


@pytest.fixture(scope="module")
def original(folder: Path) -> Original:
    return _original(folder)


def _inputs(processor: tiny_seers.Reader, value: dict[str, Any]) -> dict[str, torch.Tensor]:
    """What the library reads, by the template as it is written."""
    marks = processor.mark * ("image" in value)
    text = f"<|user|>{marks}{value.get('text', '')}<|assistant|>"
    return processor(text, [value["image"]] if "image" in value else [])


def _original(folder: Path) -> tuple[Any, tiny_seers.Reader]:
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    return model, tiny_seers.Reader(folder)


def test_greedy_texts_are_those_of_generate(pipe: Pipeline, original: Original) -> None:
    model, processor = original
    found = pipe(VALUES, temperature=0.0, max_new_tokens=10, seed=0)
    for value, text in zip(VALUES, found, strict=True):
        inputs = _inputs(processor, value)
        ids = model.generate(**inputs, do_sample=False, max_new_tokens=10)
        own = ids[0, inputs["input_ids"].shape[1] :]
        assert text == processor.tokenizer.decode(own, skip_special_tokens=True)
    # The picture counts, and so does the text.
    assert len(set(found)) == len(found)


def test_a_batch_gives_what_each_gives_alone(pipe: Pipeline) -> None:
    seeds = list(range(len(VALUES)))
    together = pipe(VALUES, seed=seeds, max_new_tokens=8)
    assert together == [
        pipe(v, seed=s, max_new_tokens=8) for v, s in zip(VALUES, seeds, strict=True)
    ]
    texts = [" sat on the left"] * len(VALUES)
    nats = pipe.given(VALUES).log_prob(texts).nats
    alone = [float(pipe.given(v).log_prob(t).nats) for v, t in zip(VALUES, texts, strict=True)]
    torch.testing.assert_close(nats.cpu(), torch.tensor(alone), atol=1e-4, rtol=1e-5)


def test_log_prob_is_the_sum_by_hand(pipe: Pipeline, original: Original) -> None:
    (model, processor), text = original, " sat on the right"
    own = processor.tokenizer(text, add_special_tokens=False)["input_ids"] + [0]
    for value in VALUES[:2]:
        inputs = dict(_inputs(processor, value))
        prompt = inputs["input_ids"]
        inputs["input_ids"] = torch.cat((prompt, torch.tensor([own])), dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        kinds = inputs.pop("mm_token_type_ids", None)
        inputs.pop("token_type_ids", None)
        if "image_grid_thw" in inputs:
            inputs["mm_token_type_ids"] = torch.nn.functional.pad(kinds, (0, len(own)))
        with torch.no_grad():
            logits = model(**inputs).logits
        steps = logits[0, prompt.shape[1] - 1 : -1].log_softmax(-1)
        expected = steps[range(len(own)), own].sum()
        found = pipe.given(value).log_prob(text)
        assert found.kind == "exact"
        assert float(found.nats) == pytest.approx(float(expected), abs=1e-3)


def test_messages_with_pictures(pipe: Pipeline, original: Original) -> None:
    model, processor = original
    first, second = _picture(3), _picture(4)
    messages = [
        {"role": "user", "content": [{"type": "image", "image": first}, _text("A")]},
        {"role": "assistant", "content": "cat"},
        {"role": "user", "content": [_text("blue"), {"type": "image", "image": second}]},
    ]
    found = pipe({"messages": messages}, temperature=0.0, max_new_tokens=8)
    mark = processor.mark
    text = f"<|user|>{mark}A<|assistant|>cat<|user|>blue{mark}<|assistant|>"
    inputs = processor(text, [first, second])
    ids = model.generate(**inputs, do_sample=False, max_new_tokens=8)
    own = ids[0, inputs["input_ids"].shape[1] :]
    assert found == processor.tokenizer.decode(own, skip_special_tokens=True)


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def test_the_best_have_the_scores_of_log_prob(llava: Path) -> None:
    given = Pipeline.from_pretrained(llava).given(VALUES[0], max_new_tokens=4)
    latent, nats = given.conditional.best(3, num_beams=6)
    for z, length, score in zip(latent.z[:, 0], latent.lengths[:, 0], nats[:, 0], strict=True):
        again = given.conditional.log_prob(type(latent)(z[None, : int(length)])).nats
        assert float(again) == pytest.approx(float(score), abs=1e-3)
    assert nats[:, 0].tolist() == sorted(nats[:, 0].tolist(), reverse=True)


def test_which_picture_explains_a_text(llava: Path) -> None:
    pipe = Pipeline.from_pretrained(llava)
    candidates = [{"image": _picture(i), "text": "what"} for i in range(3)]
    found = classify(pipe, " left", candidates)
    nats = pipe.given(candidates).log_prob([" left"] * 3).nats
    torch.testing.assert_close(
        torch.as_tensor(found.probability).float(), nats.softmax(0), atol=1e-5, rtol=1e-4
    )


def test_several_pictures_and_a_processor_without_a_template(llava: Path, tmp_path: Path) -> None:
    plain = Pipeline.from_pretrained(tiny_seers.llava(tmp_path, chat=False))
    asked = Pipeline.from_pretrained(llava)
    written = {"image": [_picture(0), _picture(1)], "text": "<|user|><image><image>A<|assistant|>"}
    spoken = {"image": [_picture(0), _picture(1)], "text": "A"}
    assert plain(written, seed=1, max_new_tokens=6) == asked(spoken, seed=1, max_new_tokens=6)
    with pytest.raises(ValueError, match="says by <image> where each of its 1 pictures is"):
        plain({"image": _picture(0), "text": "A cat"})
    with pytest.raises(ValueError, match="has no chat template"):
        plain({"messages": [{"role": "user", "content": "A"}]})


def test_a_condition_that_is_typed(llava: Path, tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(llava)
    VALUES[0]["image"].save(tmp_path / "cat.png")
    typed = json.dumps({"image": str(tmp_path / "cat.png"), "text": VALUES[0]["text"]})
    options = {"seed": 3, "max_new_tokens": 6}
    assert pipe(pipe.encoder.read(typed), **options) == pipe(VALUES[0], **options)
    with pytest.raises(ValueError, match="a condition as a JSON object"):
        pipe.encoder.read("What is this?")


def test_what_is_saved_is_the_librarys_own(folder: Path, pipe: Pipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "saved")
    _original(tmp_path / "saved")
    # What reads films is none of ours, and the library's own.
    films = "video_preprocessor_config.json"
    if (folder / films).exists():
        for name in (films, "processor_config.json", "preprocessor_config.json"):
            assert (tmp_path / "saved" / name).read_bytes() == (folder / name).read_bytes()
    again = Pipeline.from_pretrained(tmp_path / "saved")
    options = {"seed": 2, "max_new_tokens": 6}
    assert again(VALUES[0], **options) == pipe(VALUES[0], **options)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (None, TypeError, "Expected .*image"),
        ("A cat", TypeError, "Expected .*image"),
        ({}, TypeError, "Expected .*image"),
        ({"image": _picture(0), "sound": 1}, TypeError, "'sound' is none of these"),
        ({"image": 7}, TypeError, "Expected an image"),
        ({"text": 7}, TypeError, "Expected a text"),
        ({"text": "an <image> here"}, ValueError, "stands for a picture"),
        ({"text": "A Red cat " * 40}, ValueError, "at most 95 tokens"),
        ({"messages": []}, TypeError, "a list of messages"),
        ({"messages": [{"role": "user"}]}, TypeError, "A message is"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "url": "http://x"}]}]},
            TypeError,
            "A part is",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "video", "video": "x"}]}]},
            TypeError,
            "A part is",
        ),
    ],
)
def test_bad_conditions(seer: Pipeline, value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        seer(value, max_new_tokens=2)


def test_classes_of_the_task_that_are_not_loaded_are_told(tmp_path: Path) -> None:
    content = '{"architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl"}'
    (tmp_path / "config.json").write_text(content, "utf-8")
    with pytest.raises(LoadError, match=r"Qwen3VL.*not loaded yet.*LlavaForConditional"):
        Pipeline.from_pretrained(tmp_path)
