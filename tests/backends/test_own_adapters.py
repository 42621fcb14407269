"""Adapters of the form that `fit` writes are weighed, add up, and come off without a trace."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from mmgen.adapter import Adapter
from mmgen.core.errors import LoadError, SpecError, UnknownNameError
from mmgen.pipeline import Pipeline
from mmgen.training import fit


def _written(
    pipe: Pipeline, folder: Path, seed: int, assets: Mapping[str, bytes] | None = None
) -> Path:
    """An adapter of every other matrix of the model."""
    generator = torch.Generator().manual_seed(seed)
    factors = {}
    named = [(n, p) for n, p in pipe.parts.named_parameters() if n.startswith("model.")]
    for name, weight in [(n, p) for n, p in named if p.ndim == 2][::2]:
        a = torch.randn(2, weight.shape[1], generator=generator)
        factors[name] = (a, 0.05 * torch.randn(weight.shape[0], 2, generator=generator))
    return Adapter(None, factors, assets or {}, None).save(folder)


def _weights(pipe: Pipeline) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in pipe.parts.state_dict().items()}


def _same(pipe: Pipeline, weights: Mapping[str, Tensor]) -> bool:
    now = pipe.parts.state_dict()
    return now.keys() == weights.keys() and all(torch.equal(now[k], weights[k]) for k in now)


@pytest.fixture(scope="module")
def saved(pixels_pipe: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pixels_pipe.save_pretrained(tmp_path_factory.mktemp("own") / "pipe")


@pytest.fixture
def pipe(saved: Path) -> Pipeline:
    return Pipeline.from_pretrained(saved)


@pytest.fixture
def files(pipe: Pipeline, tmp_path: Path) -> list[Path]:
    return [_written(pipe, tmp_path / f"run{seed}" / "adapter", seed) for seed in (1, 2)]


def _drawn(pipe: Pipeline) -> bytes:
    return pipe("a red circle", seed=3, num_inference_steps=2).tobytes()


def test_one_is_what_loading_its_folder_gives_and_comes_off(
    pipe: Pipeline, saved: Path, files: list[Path]
) -> None:
    before, drawn = _weights(pipe), _drawn(pipe)
    assert pipe.adapters.load(files[0].parent) == "run1"
    merged = Pipeline.from_pretrained(files[0], base=saved)
    assert _same(pipe, _weights(merged)) and _drawn(pipe) == _drawn(merged) != drawn
    pipe.adapters.unload("run1")
    assert _same(pipe, before) and _drawn(pipe) == drawn and pipe.adapters.weights == {}


def test_two_add_up_by_their_weights(pipe: Pipeline, files: list[Path]) -> None:
    before, adapters = _weights(pipe), pipe.adapters
    adapters.load(files[0], weight=0.5)
    one = _weights(pipe)
    adapters.load(files[1], name="b")
    both = _weights(pipe)
    adapters.weigh({"b": -2.0})
    assert adapters.weights == {"run1": 0.5, "b": -2.0}
    changed = [Adapter.load(file).factors for file in files]
    for name, value in _weights(pipe).items():
        expected = before[name].clone()
        for factors, weight in zip(changed, (0.5, -2.0), strict=True):
            if name in factors:
                expected += weight * (factors[name][1] @ factors[name][0])
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-5)
    adapters.weigh({"b": 1.0})
    assert _same(pipe, both)
    adapters.unload("b")
    assert _same(pipe, one)
    adapters.weigh({"run1": 0.0})
    assert _same(pipe, before)


def test_fused_ones_are_saved_and_come_off_together(
    pipe: Pipeline, files: list[Path], tmp_path: Path
) -> None:
    before = _weights(pipe)
    pipe.adapters.load(files[0], name="a")
    pipe.adapters.fuse()
    assert pipe.adapters.fused == ("a",) and pipe.adapters.weights == {}
    fused = _weights(pipe)
    pipe.save_pretrained(tmp_path / "saved")
    assert _same(Pipeline.from_pretrained(tmp_path / "saved"), fused)
    pipe.adapters.load(files[1], name="b")
    with pytest.raises(UnknownNameError, match="'a' is fused"):
        pipe.adapters.weigh({"a": 2.0})
    pipe.adapters.unload("b")
    assert _same(pipe, fused)
    pipe.adapters.unload()
    assert _same(pipe, before) and pipe.adapters.fused == ()
    with pytest.raises(ValueError, match="No adapter is loaded"):
        pipe.adapters.fuse()


def test_half_precision_comes_back_to_the_last_bit(pipe: Pipeline, files: list[Path]) -> None:
    pipe.to(dtype=torch.bfloat16)
    before = _weights(pipe)
    pipe.adapters.load(files[0])
    assert not _same(pipe, before)
    pipe.adapters.unload()
    assert _same(pipe, before)
    # Moved while it is there, it comes off in the new precision.
    pipe.adapters.load(files[0])
    pipe.to(dtype=torch.float32)
    pipe.adapters.unload()
    assert _same(pipe, {k: v.to(pipe.parts.state_dict()[k].dtype) for k, v in before.items()})


def test_words_that_were_learnt_are_known_while_it_is_there(pipe: Pipeline, tmp_path: Path) -> None:
    folders = []
    for word in ("mauve", "teal"):
        other = Pipeline.from_pretrained(_base(pipe, tmp_path))
        other.encoder.extend([{"text": f"a {word} one", "style": None}])
        folders.append(_written(pipe, tmp_path / word, 1, other.encoder.assets()))
    steps = {"seed": 0, "num_inference_steps": 1}
    for folder in folders:
        pipe.adapters.load(folder)
    pipe("a mauve circle", **steps), pipe("a teal circle", **steps)
    pipe.adapters.unload("mauve")
    pipe("a teal circle", **steps)
    with pytest.raises(ValueError, match="'mauve'"):
        pipe("a mauve circle", **steps)
    pipe.adapters.unload()
    with pytest.raises(ValueError, match="'teal'"):
        pipe("a teal circle", **steps)


def _base(pipe: Pipeline, folder: Path) -> Path:
    return pipe.save_pretrained(folder / "base")


def test_what_is_refused_leaves_the_pipeline_as_it_was(
    pipe: Pipeline, scenes_pipe: Pipeline, files: list[Path], tmp_path: Path
) -> None:
    pipe.adapters.load(files[0], name="a")
    before = _weights(pipe)
    other = _written(scenes_pipe, tmp_path / "other", 1)
    (tmp_path / "cut").mkdir()
    for file in files[1].iterdir():
        (tmp_path / "cut" / file.name).write_bytes(file.read_bytes()[:-3])
    bad: list[tuple[dict[str, Any], type, str]] = [
        ({"source": other}, LoadError, "The adapter changes"),
        ({"source": tmp_path / "cut"}, LoadError, "JSON"),
        ({"source": tmp_path}, LoadError, "no adapter.json in"),
        ({"source": "org/nothing", "local_files_only": True}, LoadError, "could be had"),
        ({"source": files[1], "name": "a"}, ValueError, "is not taken; got 'a'"),
        ({"source": files[1], "weight": float("inf")}, ValueError, "finite number"),
        ({"source": files[1], "file": "x"}, TypeError, "file"),
    ]
    for arguments, error, message in bad:
        with pytest.raises(error, match=message):
            pipe.adapters.load(**arguments)
        assert pipe.adapters.weights == {"a": 1.0} and _same(pipe, before)
    with pytest.raises(UnknownNameError, match="Did you mean 'a'"):
        pipe.adapters.unload("aa")


def test_weights_that_were_trained_meanwhile_are_not_written_over(
    pipe: Pipeline, files: list[Path]
) -> None:
    pipe.adapters.load(files[0], name="a")
    with torch.no_grad():
        for parameter in pipe.parts.parameters():
            parameter.mul_(1.5)
    trained = _weights(pipe)
    for act in (
        pipe.adapters.unload,
        lambda: pipe.adapters.unload("a"),
        lambda: pipe.adapters.weigh({"a": 0.0}),
        lambda: pipe.adapters.load(files[1]),
    ):
        with pytest.raises(SpecError, match="Load the pipeline again"):
            act()
        assert _same(pipe, trained)


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_language_models_take_them(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    pipe = Pipeline.from_pretrained(request.getfixturevalue(name))
    before, given = _weights(pipe), pipe.given("A Red cat")
    nats = float(given.log_prob(" sat").nats)
    files = [_written(pipe, tmp_path / str(seed), seed) for seed in (1, 2)]
    pipe.adapters.load(files[0])
    one = float(pipe.given("A Red cat").log_prob(" sat").nats)
    pipe.adapters.load(files[1])
    both = float(pipe.given("A Red cat").log_prob(" sat").nats)
    assert len({nats, one, both}) == 3
    pipe.adapters.unload()
    assert _same(pipe, before)
    assert float(pipe.given("A Red cat").log_prob(" sat").nats) == nats


def test_a_library_s_own_stay_beside_them(
    checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    peft, diffusers = pytest.importorskip("peft"), pytest.importorskip("diffusers")
    library = diffusers.DiffusionPipeline.from_pretrained(checkpoints("sd"))
    library.unet.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q", "to_v"]), "made")
    state = peft.get_peft_model_state_dict(library.unet, adapter_name="made")
    layers = {k: torch.randn(v.shape) for k, v in state.items()}
    type(library).save_lora_weights(tmp_path / "style", unet_lora_layers=layers)

    pipe = Pipeline.from_pretrained(checkpoints("sd"))
    before = _weights(pipe)
    own = _written(pipe, tmp_path / "own", 1)
    pipe.adapters.load(own)
    alone = _weights(pipe)
    pipe.adapters.load(tmp_path / "style", name="style", weight=0.5)
    assert pipe.adapters.weights == {"style": 0.5, "own": 1.0}
    pipe.adapters.weigh({"own": 0.25, "style": 0.75})
    assert pipe.adapters.weights == {"style": 0.75, "own": 0.25}
    with pytest.raises(SpecError, match="do not mix in the weights"):
        pipe.adapters.fuse()
    with pytest.raises(ValueError, match="'style' is taken"):
        pipe.adapters.load(own, name="style")
    pipe.adapters.weigh({"own": 1.0})
    pipe.adapters.unload("style")
    assert _same(pipe, alone)
    pipe.adapters.unload()
    assert _same(pipe, before)


def test_a_pipeline_whose_weights_stay_where_they_are(llama: Path) -> None:
    pipe = Pipeline.from_pretrained(llama, device_map={"": "disk"})
    with pytest.raises(SpecError, match="To change its weights, load it again"):
        _ = pipe.adapters


def _by_peft(folder: Path, name: str, model: Any, targets: list[str], **settings: Any) -> Any:
    """An adapter of a model as peft saves it, and the model with it."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=targets, **settings)
    torch.manual_seed(3)
    with warnings.catch_warnings():
        # Of peft, about a name in transformers.
        warnings.simplefilter("ignore", FutureWarning)
        adapted = peft.get_peft_model(model, config)
    with torch.no_grad():
        for key, parameter in adapted.named_parameters():
            if "lora_" in key:
                parameter.copy_(0.3 * torch.randn_like(parameter))
    adapted.save_pretrained(folder / name)
    return adapted.eval()


@pytest.mark.parametrize(
    ("name", "targets", "settings"),
    [
        ("llama", ["q_proj", "down_proj"], {"alpha_pattern": {"q_proj": 9}}),
        # Matrices the other way round.
        ("gpt2", ["c_attn", "c_proj"], {"fan_in_fan_out": True, "use_rslora": True}),
    ],
)
def test_adapters_of_peft_are_what_peft_makes_of_them(
    name: str,
    targets: list[str],
    settings: dict[str, Any],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    checkpoint = request.getfixturevalue(name)
    model = AutoModelForCausalLM.from_pretrained(checkpoint).eval()
    adapted = _by_peft(tmp_path, "style", model, targets, **settings)
    pipe = Pipeline.from_pretrained(checkpoint)
    before, drawn = _weights(pipe), pipe.given("A Red").log_prob(" cat").nats
    assert pipe.adapters.load(tmp_path / "style") == "style"
    now = pipe.parts.state_dict()
    plain = AutoModelForCausalLM.from_pretrained(checkpoint).state_dict()
    changed, moved = adapted.merge_and_unload().state_dict(), 0
    assert changed.keys() == plain.keys()
    for key, value in changed.items():
        (found,) = {k for k in now if k.endswith(f".{key}")}
        torch.testing.assert_close(now[found], value, rtol=0, atol=1e-5)
        moved += not torch.equal(value, plain[key])
    assert moved == sum(any(t in key for t in targets) and "weight" in key for key in plain)
    assert not torch.equal(pipe.given("A Red").log_prob(" cat").nats, drawn)
    pipe.adapters.unload()
    assert _same(pipe, before)


def test_what_peft_saves_besides_is_refused(llama: Path, t5: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(llama)
    _by_peft(tmp_path, "plain", model, ["q_proj"])
    pipe = Pipeline.from_pretrained(llama)
    before = _weights(pipe)
    said = json.loads((tmp_path / "plain" / "adapter_config.json").read_text("utf-8"))
    weights = load_file(tmp_path / "plain" / "adapter_model.safetensors")
    (first, tensor), *_ = weights.items()
    broken: list[tuple[dict[str, Any], dict[str, Tensor], str]] = [
        ({"use_dora": True}, weights, "asks for use_dora"),
        ({"peft_type": "IA3"}, weights, "asks for 'IA3'"),
        ({"modules_to_save": ["lm_head"]}, weights, "asks for modules_to_save"),
        ({"lora_alpha": "many"}, weights, "no number for lora_alpha"),
        ({"alpha_pattern": {"q_.*": 2}}, weights, "no names of layers"),
        ({}, weights | {"base_model.model.lm_head.weight": tensor.clone()}, "no low-rank change"),
        ({}, {first: tensor}, "holds no adapter of"),
        ({}, {k.replace("q_proj", "w_proj"): v for k, v in weights.items()}, "changes .*w_proj"),
        ({}, {k: v[:2, :2].clone() for k, v in weights.items()}, "holds no adapter|changes"),
        ({}, {}, "holds no weights"),
    ]
    for i, (more, tensors, message) in enumerate(broken):
        folder = tmp_path / str(i)
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps(said | more), "utf-8")
        save_file(tensors, folder / "adapter_model.safetensors")
        with pytest.raises(LoadError, match=message):
            pipe.adapters.load(folder)
        assert pipe.adapters.weights == {} and _same(pipe, before)
    with pytest.raises(LoadError, match="changes .*q_proj, which none"):
        Pipeline.from_pretrained(t5).adapters.load(tmp_path / "plain")


@pytest.mark.parametrize("fused", [False, True])
def test_new_ones_are_not_learnt_on_top(
    pipe: Pipeline, files: list[Path], tmp_path: Path, *, fused: bool
) -> None:
    pytest.importorskip("peft")
    pipe.adapters.load(files[0])
    if fused:
        pipe.adapters.fuse()
    before = _weights(pipe)
    pairs = [("a red circle", pipe(seed=0, num_inference_steps=1))] * 2
    with pytest.raises(SpecError, match="Take them away first"):
        fit(pipe, pairs, output=tmp_path / "new", steps=1, batch_size=2, lora_rank=2)
    assert _same(pipe, before)
