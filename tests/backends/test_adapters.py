"""LoRA adapters change the weights as the library says, and leave nothing behind."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmgen import Pipeline
from mmgen.core.errors import LoadError, MissingDependency, SpecError, UnknownNameError
from mmgen.core.rng import Generators

peft = pytest.importorskip("peft")

TEXT = "A Red cat"
STEPS = {"num_inference_steps": 2}


def _made(folder: Path, checkpoint: Path, seed: int) -> Path:
    """The file of an adapter of the network and of the text encoder, with large weights."""
    library = diffusers.DiffusionPipeline.from_pretrained(checkpoint)
    layers: dict[str, Any] = {}
    for part, targets in (("unet", ["to_q", "to_v", "to_out.0"]), ("text_encoder", ["v_proj"])):
        module = getattr(library, part)
        module.add_adapter(peft.LoraConfig(r=2, lora_alpha=4, target_modules=targets), "made")
        state = peft.get_peft_model_state_dict(module, adapter_name="made")
        generator = torch.Generator().manual_seed(seed)
        layers[f"{part}_lora_layers"] = {
            key: 0.5 * torch.randn(value.shape, generator=generator) for key, value in state.items()
        }
        if seed == 2:
            # Some files say how they were made.
            layers[f"{part}_lora_adapter_metadata"] = module.peft_config["made"].to_dict()
    diffusers.StableDiffusionPipeline.save_lora_weights(folder, **layers)
    return folder / "pytorch_lora_weights.safetensors"


@pytest.fixture(scope="module")
def files(
    checkpoints: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    root = tmp_path_factory.mktemp("adapters")
    return [_made(root / str(seed), checkpoints("sd"), seed) for seed in (1, 2)]


@pytest.fixture
def pipe(checkpoints: Callable[[str], Path]) -> Pipeline:
    return Pipeline.from_pretrained(checkpoints("sd"))


def _drawn(pipe: Pipeline) -> np.ndarray:
    return np.asarray(pipe(TEXT, seed=3, **STEPS)).astype(int)


def test_it_is_the_librarys_own_and_comes_off_without_trace(
    pipe: Pipeline, checkpoints: Callable[[str], Path], files: list[Path]
) -> None:
    before = _drawn(pipe)
    states = {k: v.clone() for k, v in pipe.parts.state_dict().items()}
    learning = {name: p.requires_grad for name, p in pipe.parts.named_parameters()}
    assert pipe.adapters.load(files[0].parent, name="style", weight=0.7) == "style"
    assert pipe.adapters.weights == {"style": 0.7}
    assert not any(p.requires_grad and "lora" in n for n, p in pipe.parts.named_parameters())
    found = _drawn(pipe)
    assert np.abs(found - before).max() > 3

    library = diffusers.DiffusionPipeline.from_pretrained(checkpoints("sd"))
    library.set_progress_bar_config(disable=True)
    library.load_lora_weights(files[0], adapter_name="style")
    library.set_adapters(["style"], [0.7])
    generator = torch.Generator().manual_seed(3)
    expected = np.asarray(library(TEXT, generator=generator, **STEPS).images[0]).astype(int)
    assert np.abs(found - expected).max() <= 1

    pipe.adapters.unload()
    assert pipe.adapters.weights == {}
    assert np.abs(_drawn(pipe) - before).max() <= 1
    after = pipe.parts.state_dict()
    assert after.keys() == states.keys()
    assert all(torch.equal(after[k], v) for k, v in states.items())
    assert {name: p.requires_grad for name, p in pipe.parts.named_parameters()} == learning


def test_several_are_weighed_and_taken_off_one_by_one(pipe: Pipeline, files: list[Path]) -> None:
    adapters = pipe.adapters
    adapters.load(files[0], name="a")
    one = _drawn(pipe)
    adapters.load(files[1], name="b", weight=0.5)
    both = _drawn(pipe)
    assert np.abs(both - one).max() > 3
    adapters.weigh({"b": 0.0})
    assert np.abs(_drawn(pipe) - one).max() <= 1
    adapters.weigh({"b": 0.5})
    assert np.abs(_drawn(pipe) - both).max() <= 1
    adapters.unload("b")
    assert adapters.weights == {"a": 1.0} and np.abs(_drawn(pipe) - one).max() <= 1
    adapters.load(files[1], name="b", weight=0.5)
    assert np.abs(_drawn(pipe) - both).max() <= 1


def test_fused_ones_are_saved_and_come_off_too(
    pipe: Pipeline, files: list[Path], tmp_path: Path
) -> None:
    before = _drawn(pipe)
    states = {k: v.clone() for k, v in pipe.parts.state_dict().items()}
    pipe.adapters.load(files[0], name="style", weight=0.8)
    beside = _drawn(pipe)
    with pytest.raises(SpecError, match="style. Put them in"):
        pipe.save_pretrained(tmp_path / "beside")
    pipe.adapters.fuse()
    assert pipe.adapters.fused == ("style",) and pipe.adapters.weights == {}
    assert np.abs(_drawn(pipe) - beside).max() <= 1
    assert pipe.parts.state_dict().keys() == states.keys()
    pipe.save_pretrained(tmp_path / "fused")
    loaded = Pipeline.from_pretrained(tmp_path / "fused")
    assert np.abs(_drawn(loaded) - _drawn(pipe)).max() <= 1
    pipe.adapters.load(files[1], name="more")
    with pytest.raises(UnknownNameError, match="'style' is fused"):
        pipe.adapters.unload("style")
    pipe.adapters.fuse()
    pipe.adapters.unload()
    assert pipe.adapters.fused == () and np.abs(_drawn(pipe) - before).max() <= 1
    assert all(torch.equal(v, states[k]) for k, v in pipe.parts.state_dict().items())


def test_likelihoods_are_of_the_changed_weights(pipe: Pipeline, files: list[Path]) -> None:
    image = pipe(TEXT, seed=0, **STEPS)

    def nats() -> float:
        given = pipe.given(TEXT, likelihood="bound", num_bound_draws=4)
        return float(given.log_prob(image).nats)

    before, read = nats(), pipe.model.family.network.texts
    c = pipe.given(TEXT).conditional.c
    (plain,) = read(c)
    pipe.adapters.load(files[0])
    assert nats() != before
    assert not torch.equal(read(c)[0], plain)
    pipe.adapters.unload()
    assert nats() == before


def test_what_is_refused_leaves_the_pipeline_as_it_was(
    pipe: Pipeline, files: list[Path], tmp_path: Path
) -> None:
    pipe.adapters.load(files[0], name="style")
    before = _drawn(pipe)
    weights = load_file(files[0])
    save_file({f"other.{k}": v for k, v in weights.items()}, tmp_path / "other.safetensors")
    save_file({"a.b.c": torch.zeros(2)}, tmp_path / "none.safetensors")
    save_file({k: v[:, :3].clone() for k, v in weights.items()}, tmp_path / "cut.safetensors")
    dora = {"unet.mid.to_q.dora_scale": torch.ones(2)}
    save_file({**weights, **dora}, tmp_path / "dora.safetensors")
    imports = {"unet.megatron_config": {"a": 1}, "unet.megatron_core": "antigravity"}
    for name, said in (("imports", imports), ("copies", {"unet.layer_replication": [[0, 2]]})):
        told = {"lora_adapter_metadata": json.dumps({"unet.r": 2, **said})}
        save_file(weights, tmp_path / f"{name}.safetensors", metadata=told)
    (tmp_path / "half.safetensors").write_bytes(files[0].read_bytes()[:500])
    torch.save(weights, tmp_path / "pytorch_lora_weights.bin")
    torch.save(weights, tmp_path / "pickled.safetensors")

    bad: list[tuple[dict[str, Any], type, str]] = [
        ({"source": tmp_path / "other.safetensors"}, LoadError, "no adapter for StableDiffusion"),
        ({"source": tmp_path / "none.safetensors"}, LoadError, "no adapter for StableDiffusion"),
        ({"source": tmp_path / "cut.safetensors"}, LoadError, "no adapter for StableDiffusion"),
        ({"source": tmp_path / "dora.safetensors"}, LoadError, "DoRA in the form of others"),
        ({"source": tmp_path / "imports.safetensors"}, LoadError, "asks for megatron_config"),
        ({"source": tmp_path / "copies.safetensors"}, LoadError, "asks for layer_replication"),
        ({"source": tmp_path / "half.safetensors"}, LoadError, "no whole safetensors file"),
        ({"source": tmp_path / "pickled.safetensors"}, LoadError, "no whole safetensors file"),
        ({"source": tmp_path / "pytorch_lora_weights.bin"}, LoadError, "is no safetensors file"),
        ({"source": tmp_path, "file": "pytorch_lora_weights.bin"}, LoadError, "is no safetensors"),
        ({"source": tmp_path}, LoadError, "There is: copies.safetensors, cut"),
        ({"source": "org/nothing", "local_files_only": True}, LoadError, "could not be had"),
        ({"source": files[0], "name": "style"}, ValueError, "is not taken; got 'style'"),
        ({"source": files[0], "name": "a.b"}, ValueError, "letters, digits"),
        ({"source": files[0], "name": "x", "weight": float("nan")}, ValueError, "finite number"),
    ]
    for arguments, error, message in bad:
        with pytest.raises(error, match=message):
            pipe.adapters.load(**arguments)
        assert pipe.adapters.weights == {"style": 1.0}
    assert "antigravity" not in sys.modules
    assert np.abs(_drawn(pipe) - before).max() <= 1
    with pytest.raises(UnknownNameError, match="Did you mean 'style'"):
        pipe.adapters.weigh({"stile": 1.0})
    pipe.adapters.unload()
    with pytest.raises(ValueError, match="No adapter is loaded"):
        pipe.adapters.fuse()


def test_weights_that_find_no_layer_are_told(
    pipe: Pipeline, files: list[Path], tmp_path: Path
) -> None:
    weights = load_file(files[0])
    more = {f"other.{k}": v.clone() for k, v in list(weights.items())[:2]}
    save_file({**weights, **more}, tmp_path / "more.safetensors")
    with pytest.warns(UserWarning, match="2 of the .* weights of more.safetensors found no layer"):
        pipe.adapters.load(tmp_path / "more.safetensors")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", ["sdxl", "sd3", "flux", "wan"])
def test_networks_of_other_kinds_take_them(
    name: str, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    library = diffusers.DiffusionPipeline.from_pretrained(checkpoints(name))
    part = "unet" if name == "sdxl" else "transformer"
    network = getattr(library, part)
    network.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q", "to_v"]), "made")
    state = peft.get_peft_model_state_dict(network, adapter_name="made")
    weights = {k: torch.randn(v.shape) for k, v in state.items()}
    type(library).save_lora_weights(tmp_path, **{f"{part}_lora_layers": weights})

    pipe = Pipeline.from_pretrained(checkpoints(name))
    size = {"height": 16, "width": 16, **({"num_frames": 5} if name == "wan" else {})}

    def drawn() -> torch.Tensor:
        conditional = pipe.given(TEXT, **size, **STEPS).conditional
        return conditional.sample(1, Generators.from_seed(3, num_samples=1, batch=1)).z

    before = drawn()
    pipe.adapters.load(tmp_path, name="a")
    beside = drawn()
    assert (beside - before).abs().max() > 1e-3
    pipe.adapters.fuse()
    torch.testing.assert_close(drawn(), beside, rtol=1e-3, atol=1e-3)
    pipe.adapters.unload()
    assert torch.equal(drawn(), before)


def test_pipelines_without_adapters(
    checkpoints: Callable[[str], Path], files: list[Path], pixels_pipe: Pipeline
) -> None:
    with pytest.raises(SpecError, match="DDPMPipeline takes no LoRA adapters"):
        Pipeline.from_pretrained(checkpoints("ddpm")).adapters.load(files[0])
    assert pixels_pipe.adapters.weights == {}


def test_without_peft(pipe: Pipeline, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingDependency, match=r"mmgen-sdk\[lora\]"):
        pipe.adapters.load(files[0])
