"""Folders of diffusers in which something lacks or lies, and calls that cannot be answered."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from rounding import same_but_for_rounding
from safetensors.torch import load_file, save_file

from mmgen import Pipeline
from mmgen.core.errors import LoadError, SpecError, UnknownNameError

TEXT = "A Red cat"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
# diffusers says of it, too.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def _say(file: Path, **said: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | said))


def _shards(folder: Path) -> None:
    network = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet")
    (folder / WEIGHTS).unlink()
    network.save_pretrained(folder / "unet", max_shard_size="200KB")
    sorted((folder / "unet").glob("*.safetensors"))[2].unlink()


def _cut(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])


def _pickle(folder: Path) -> None:
    torch.save(load_file(folder / WEIGHTS), folder / "unet/diffusion_pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def _without(file: Path, key: str) -> None:
    weights = load_file(file)
    del weights[key]
    save_file(weights, file, metadata={"format": "pt"})


BROKEN: dict[str, Callable[[Path], Any]] = {
    r"00003-of-\d+.safetensors is missing in .*Get the checkpoint again": _shards,
    "no file named diffusion_pytorch_model.safetensors": lambda f: (f / WEIGHTS).unlink(),
    "lacks its vae: there is nothing in the folder 'vae'": lambda f: shutil.rmtree(f / "vae"),
    "lacks its tokenizer: there is nothing": lambda f: shutil.rmtree(f / "tokenizer"),
    "diffusion_pytorch_model.safetensors is cut short or broken": _cut,
    "weights in pickles alone.*convert it where you trust it": _pickle,
    "lacks weights of its unet, among them conv_in.weight": lambda f: _without(
        f / WEIGHTS, "conv_in.weight"
    ),
    "lacks weights of its text_encoder, it has .* numbers of them": lambda f: _without(
        f / "text_encoder/model.safetensors", "embeddings.token_embedding.weight"
    ),
    "expected shape torch.Size.*64, 48": lambda f: _say(
        f / "unet/config.json", cross_attention_dim=48
    ),
    "other shapes than its configurations say.*do not belong together": lambda f: _say(
        f / "text_encoder/config.json", vocab_size=100
    ),
    "has no class `NoSuchModel`": lambda f: _say(
        f / "model_index.json", unet=["diffusers", "NoSuchModel"]
    ),
    "operand type.* do not belong together": lambda f: _say(
        f / "model_index.json", unet=["diffusers", "WanTransformer3DModel"]
    ),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_folder_says_what_is_wrong(
    message: str, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoints("sd"), tmp_path / "sd"))
    BROKEN[message](folder)
    with pytest.raises(LoadError, match=message) as caught:
        Pipeline.from_pretrained(folder)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_of_more_words_than_the_text_encoder(
    checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoints("sd"), tmp_path / "sd"))
    library = diffusers.DiffusionPipeline.from_pretrained(folder)
    library.tokenizer.add_tokens(["<one>", "<two>"])
    library.tokenizer.save_pretrained(folder / "tokenizer")
    with pytest.raises(LoadError, match=r"tokens, its text encoder .* do not belong together"):
        Pipeline.from_pretrained(folder)


def test_an_index_of_another_class_fails_in_words(
    checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoints("sd"), tmp_path / "sd"))
    _say(folder / "model_index.json", _class_name="StableDiffusionXLPipeline")
    pipe = Pipeline.from_pretrained(folder)
    with pytest.raises(SpecError, match=r"StableDiffusionXLPipeline failed.*has no text_encoder_2"):
        pipe(TEXT, num_inference_steps=1)


def test_weights_that_are_no_numbers(checkpoints: Callable[[str], Path]) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("sd"))
    with torch.no_grad():
        pipe.model.pipeline.unet.conv_in.weight[0] = torch.nan
    with pytest.raises(ValueError, match="StableDiffusionPipeline gave NaN or infinity"):
        pipe(TEXT, num_inference_steps=1)


def test_what_a_preview_raises_is_left_as_it_is(checkpoints: Callable[[str], Path]) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("sd"))

    def end(*_: Any) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="^enough$"):
        pipe(TEXT, num_inference_steps=1, progress=end)


def test_less_than_a_step_is_refused(checkpoints: Callable[[str], Path]) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("sd_image"))
    y = {"text": TEXT, "image": np.zeros((16, 16, 3), dtype=np.uint8)}
    with pytest.raises(ValueError, match=r"strength=0.2 of 4 steps is less.*Give 5 steps or more"):
        pipe(y, strength=0.2, num_inference_steps=4)
    with pytest.raises(ValueError, match="Give a greater strength"):
        pipe(y, strength=0.0)


def test_a_size_between_steps_is_told(checkpoints: Callable[[str], Path]) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("sd"))
    with pytest.warns(UserWarning, match="gives height=16, not 17: its sizes go in steps"):
        pipe(TEXT, height=17, num_inference_steps=1)


def test_classes_are_numbers_or_names(checkpoints: Callable[[str], Path], tmp_path: Path) -> None:
    plain = {"guidance_scale": 1.0, "num_inference_steps": 1, "seed": 0}
    pipe = Pipeline.from_pretrained(checkpoints("dit"))
    typed = pipe.encoder.read("3")
    assert same_but_for_rounding(pipe(typed, **plain), pipe(3, **plain))
    with pytest.raises(ValueError, match="from 0 to 9, got 10"):
        pipe(10)
    with pytest.raises(UnknownNameError, match="have no names"):
        pipe("cat")
    named = Path(shutil.copytree(checkpoints("dit"), tmp_path / "dit"))
    _say(named / "model_index.json", id2label={"3": "cat, tomcat", "4": "dog"})
    pipe = Pipeline.from_pretrained(named)
    assert same_but_for_rounding(pipe("tomcat", **plain), pipe(3, **plain))
    with pytest.raises(UnknownNameError, match="Did you mean 'cat'"):
        pipe("cad")
