"""What a checkpoint takes is told without its weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from backends import tiny_code_speakers, tiny_policies

from mmgen import Pipeline
from mmgen.backends.foreign import Place
from mmgen.backends.loading import options_of
from mmgen.backends.recognition import recognise
from mmgen.core.errors import LoadError


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5", "marian"])
def test_a_model_of_transformers_says_it_of_its_small_files(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(name)
    if name == "gpt2":
        folder = Path(shutil.copytree(folder, tmp_path / "own"))
        said = json.loads((folder / "generation_config.json").read_text("utf-8"))
        said |= {"do_sample": True, "temperature": 0.7, "max_new_tokens": 11}
        (folder / "generation_config.json").write_text(json.dumps(said))
    small = tmp_path / "small"
    shutil.copytree(folder, small, ignore=shutil.ignore_patterns("*.safetensors"))
    assert recognise(small).weights == "none"
    found = options_of(recognise(small), Place())
    assert found == Pipeline.from_pretrained(folder).options()
    defaults = {option.name: option.default for option in found}
    if name == "gpt2":
        assert (defaults["temperature"], defaults["max_new_tokens"]) == (0.7, 11)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("make", [tiny_code_speakers.dia, tiny_policies.pi0])
def test_so_do_those_that_speak_and_act(make: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = make(tmp_path / "own")
    small = tmp_path / "small"
    shutil.copytree(folder, small, ignore=shutil.ignore_patterns("*.safetensors"))
    assert options_of(recognise(small), Place()) == Pipeline.from_pretrained(folder).options()


def test_a_pipeline_of_diffusers_says_it_of_its_index_alone(tmp_path: Path) -> None:
    parts = {"unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
    parts["scheduler"] = ["diffusers", "PNDMScheduler"]
    content = {"_class_name": "StableDiffusionImg2ImgPipeline", "image_encoder": [None, None]}
    (tmp_path / "model_index.json").write_text(json.dumps(content | parts))
    found = recognise(tmp_path)
    assert found.parts == {name: kind for name, (_, kind) in parts.items()}
    options = {option.name: option for option in options_of(found, Place())}
    assert options["strength"].default == 0.8 and options["strength"].maximum == 1.0
    assert options["scheduler"].default == "PNDMScheduler"
    assert "EulerDiscreteScheduler" in options["scheduler"].choices
    assert "likelihood" not in options


def test_what_is_not_loaded_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["BertForMaskedLM"]}')
    with pytest.raises(LoadError, match="recognised, but not loaded yet"):
        options_of(recognise(tmp_path), Place())


def test_a_broken_index_says_so(tmp_path: Path) -> None:
    content = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "a b"]}
    (tmp_path / "model_index.json").write_text(json.dumps(content))
    with pytest.raises(LoadError, match="unet is 'a b', expected a name"):
        recognise(tmp_path)
