"""Pretrained captioning models behind mmgen's door write what the library's own calls write."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from backends import tiny_readers
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    BlipForConditionalGeneration,
    BlipProcessor,
    GitForCausalLM,
    Pix2StructForConditionalGeneration,
    VisionEncoderDecoderModel,
)

from mmgen import Audio, Pipeline
from mmgen.core.errors import LoadError
from mmgen.inference import classify

TEXT = "a red cat sat"


def _image(seed: int, height: int, width: int) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


IMAGES = [_image(0, 16, 16), _image(1, 24, 32), Image.new("RGB", (20, 20), (200, 10, 30))]


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_readers.blip(tmp_path_factory.mktemp("blip"))


@pytest.fixture(scope="module", params=["gpt2", "trocr", "mbart", "blip", "git"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "blip":
        return request.getfixturevalue("blip")
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "git":
        return tiny_readers.git(folder)
    return tiny_readers.vision_encoder_decoder(folder, request.param)


def _original(folder: Path) -> tuple[Any, Any, Any]:
    named = {"blip": BlipForConditionalGeneration, "git": GitForCausalLM}
    kind = named.get(folder.name.rstrip("0123456789"), VisionEncoderDecoderModel)
    model = kind.from_pretrained(folder).eval()
    processor = AutoImageProcessor.from_pretrained(folder)
    return model, processor, AutoTokenizer.from_pretrained(folder)


def _pixels(processor: Any, image: Image.Image) -> torch.Tensor:
    return processor(images=image, return_tensors="pt")["pixel_values"]


def test_greedy_texts_are_those_of_generate(folder: Path) -> None:
    model, processor, tokenizer = _original(folder)
    found = Pipeline.from_pretrained(folder)(IMAGES, temperature=0.0, max_new_tokens=12, seed=0)
    for image, text in zip(IMAGES, found, strict=True):
        # Unlike generate, mmgen does not put an end where it cuts.
        how = {"do_sample": False, "max_new_tokens": 12, "forced_eos_token_id": None}
        ids = model.generate(pixel_values=_pixels(processor, image), **how)
        assert text == tokenizer.decode(ids[0], skip_special_tokens=True)
    assert len(set(found)) > 1


def test_a_text_that_a_caption_begins_with_is_what_is_known_of_it(blip: Path) -> None:
    model = BlipForConditionalGeneration.from_pretrained(blip).eval()
    processor = BlipProcessor.from_pretrained(blip)
    pipe = Pipeline.from_pretrained(blip)
    greedy = {"temperature": 0.0, "max_new_tokens": 8}
    longest = 0
    for image in IMAGES:
        for text in ("a red", "the cat sat"):
            given = pipe.given(image, known=text, mask=f"0:{len(text)}", **greedy)
            found = given.sample(1)[0]
            inputs = processor(images=image, text=text, return_tensors="pt")
            ids = model.generate(**inputs, do_sample=False, max_new_tokens=8)
            assert found == processor.tokenizer.decode(ids[0], skip_special_tokens=True)
            assert found.startswith(text)
            longest = max(longest, len(found) - len(text))
    assert longest > 0
    # p(rest | beginning) = p(all) / p(beginning)
    given = pipe.given(IMAGES[1], known="a red", mask="0:5")
    assert pipe.given(IMAGES[1]).log_prob(TEXT).nats < given.log_prob(TEXT).nats < 0


def test_a_batch_gives_what_each_image_gives_alone(folder: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    together = pipe(IMAGES, seed=[5, 6, 7], max_new_tokens=8)
    alone = [pipe(i, seed=n, max_new_tokens=8) for i, n in zip(IMAGES, (5, 6, 7), strict=True)]
    assert together == alone


def test_log_prob_is_the_sum_by_hand(folder: Path) -> None:
    model, processor, tokenizer = _original(folder)
    found = Pipeline.from_pretrained(folder).given(IMAGES).log_prob([TEXT] * 3)
    assert found.kind == "exact"
    target = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    blip = isinstance(model, BlipForConditionalGeneration)
    alone = blip or isinstance(model, GitForCausalLM)
    own = model.config.get_text_config()
    begin = own.bos_token_id if alone else model.config.decoder_start_token_id
    end = own.sep_token_id if blip else model.generation_config.eos_token_id
    name = "input_ids" if alone else "decoder_input_ids"
    for image, nats in zip(IMAGES, found.nats, strict=True):
        with torch.no_grad():
            logits = model(
                pixel_values=_pixels(processor, image), **{name: torch.tensor([[begin, *target]])}
            ).logits
        # Those of GIT begin with what it says of the picture.
        log_p = logits[0, -len(target) - 1 :].log_softmax(-1)
        by_hand = sum(float(row[i]) for row, i in zip(log_p, [*target, end], strict=True))
        assert math.isclose(float(nats), by_hand, abs_tol=1e-3)


def test_the_best_texts_have_the_scores_of_log_prob(folder: Path) -> None:
    given = Pipeline.from_pretrained(folder).given(IMAGES[0], max_new_tokens=5)
    latent, nats = given.conditional.best(2, num_beams=3)
    for z, length, score in zip(latent.z[:, 0], latent.lengths[:, 0], nats[:, 0], strict=True):
        again = given.conditional.log_prob(type(latent)(z[None, : int(length)])).nats
        assert math.isclose(float(again), float(score), abs_tol=1e-3)


def test_which_image_a_text_is_of(folder: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    nats = [float(pipe.given(image).log_prob(TEXT).nats) for image in IMAGES]
    assert classify(pipe, TEXT, IMAGES).best is IMAGES[int(np.argmax(nats))]


def test_what_is_saved_is_the_librarys_own(folder: Path, tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    saved = tmp_path / folder.name
    pipe.save_pretrained(saved)
    (before, processor, _), (after, again, _) = _original(folder), _original(saved)
    for key, value in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[key], value)
    assert torch.equal(_pixels(processor, IMAGES[1]), _pixels(again, IMAGES[1]))
    loaded = Pipeline.from_pretrained(saved)
    assert loaded(IMAGES[0], seed=1, max_new_tokens=6) == pipe(IMAGES[0], seed=1, max_new_tokens=6)


def test_a_pooler_that_nobody_asks_may_be_missing(tmp_path: Path) -> None:
    folder = tiny_readers.vision_encoder_decoder(tmp_path)
    whole = Pipeline.from_pretrained(folder)(IMAGES[0], seed=1, max_new_tokens=8)
    weights = load_file(folder / "model.safetensors")
    less = {key: value for key, value in weights.items() if "pooler" not in key}
    assert len(less) == len(weights) - 2
    save_file(less, folder / "model.safetensors", metadata={"format": "pt"})
    assert Pipeline.from_pretrained(folder)(IMAGES[0], seed=1, max_new_tokens=8) == whole


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (None, ValueError, "Give one, not None"),
        (7, TypeError, "Expected an image"),
        (Audio.debug(), TypeError, "Expected an image"),
        (b"no image", ValueError, "Could not read"),
    ],
)
def test_bad_images(folder: Path, value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Pipeline.from_pretrained(folder)(value)


def test_a_checkpoint_without_its_image_processor(folder: Path, tmp_path: Path) -> None:
    model, _, tokenizer = _original(folder)
    broken = tmp_path / folder.name
    model.save_pretrained(broken)
    tokenizer.save_pretrained(broken)
    with pytest.raises(LoadError, match="AutoImageProcessor"):
        Pipeline.from_pretrained(broken)


@pytest.fixture(scope="module")
def pix2struct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_readers.pix2struct(tmp_path_factory.mktemp("pix2struct"))


def test_patches_of_pictures_of_any_shape(pix2struct: Path) -> None:
    model = Pix2StructForConditionalGeneration.from_pretrained(pix2struct).eval()
    processor = AutoImageProcessor.from_pretrained(pix2struct)
    tokenizer = AutoTokenizer.from_pretrained(pix2struct)
    pipe = Pipeline.from_pretrained(pix2struct)
    images = [*IMAGES, _image(3, 60, 17)]
    read = [dict(processor(images=image, return_tensors="pt")) for image in images]
    # Some have patches that are none.
    assert len({int(r["attention_mask"].sum()) for r in read}) > 1
    found = pipe(images, temperature=0.0, max_new_tokens=10, seed=0)
    for inputs, text in zip(read, found, strict=True):
        ids = model.generate(**inputs, do_sample=False, max_new_tokens=10)
        assert text == tokenizer.decode(ids[0], skip_special_tokens=True)
    assert len(set(found)) > 1
    seeds = list(range(len(images)))
    assert pipe(images, seed=seeds, max_new_tokens=6) == [
        pipe(i, seed=s, max_new_tokens=6) for i, s in zip(images, seeds, strict=True)
    ]
    text = "A Red cat"
    target = [*tokenizer(text, add_special_tokens=False)["input_ids"], 1]
    nats = pipe.given(images).log_prob([text] * len(images)).nats
    for inputs, own in zip(read, nats, strict=True):
        with torch.no_grad():
            logits = model(
                **inputs,
                decoder_input_ids=torch.tensor([[0, *target[:-1]]]),
                decoder_attention_mask=torch.ones(1, len(target), dtype=torch.long),
            ).logits
        steps = logits[0].log_softmax(-1)
        expected = float(steps[range(len(target)), target].sum())
        assert math.isclose(float(own), expected, abs_tol=1e-3)


def test_patches_with_a_question_above_are_refused(pix2struct: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(pix2struct, tmp_path / "asks")
    file = next(f for f in folder.glob("*processor_config.json") if "is_vqa" in f.read_text())
    file.write_text(file.read_text().replace('"is_vqa": false', '"is_vqa": true'))
    with pytest.raises(LoadError, match="drawn above the picture"):
        Pipeline.from_pretrained(folder)


def test_what_git_begins_with_and_of_how_many_pictures(tmp_path: Path) -> None:
    folder = tiny_readers.git(tmp_path / "git")
    model, processor, tokenizer = _original(folder)
    pipe, text = Pipeline.from_pretrained(folder), "the cat sat"
    given = pipe.given(IMAGES[1], known=text, mask=f"0:{len(text)}", temperature=0.0)
    own = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    ids = model.generate(
        pixel_values=_pixels(processor, IMAGES[1]),
        input_ids=torch.cat((torch.tensor([[2]]), own), dim=1),
        do_sample=False,
        max_length=24,
    )
    found = given.sample(1)[0]
    assert found == tokenizer.decode(ids[0], skip_special_tokens=True) != text
    model.config.num_image_with_embedding = 2
    GitForCausalLM(model.config).save_pretrained(folder)
    with pytest.raises(LoadError, match="writes of films, 2 pictures at once"):
        Pipeline.from_pretrained(folder)
