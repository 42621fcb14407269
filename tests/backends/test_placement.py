"""Checkpoints whose weights do not fit: some stay on the disk, and nothing else changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from rounding import same_but_for_rounding
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, MarianConfig, MarianMTModel

from mmgen import Pipeline
from mmgen.backends.foreign import Place
from mmgen.backends.placement import Placement
from mmgen.core.errors import MissingDependency, SpecError

PROMPTS = ["A Red cat", "blue", "A blue cat sat on the left, number 3"]
WEIGHTLESS = 0.6
"""Of the weights, what memory may hold."""


def _bytes(model: nn.Module) -> int:
    """Weights of a model that are in memory, each counted once."""
    held = {p.data_ptr(): p.numel() * p.element_size() for p in model.parameters() if not p.is_meta}
    return sum(held.values())


@contextmanager
def _watching(model: nn.Module) -> Iterator[list[int]]:
    """Bytes in memory while each layer computes: seen from inside the call that fetches them."""
    seen = [_bytes(model)]
    before = {}
    for module in model.modules():
        if not list(module.children()) and list(module.parameters()):
            own = module._old_forward if hasattr(module, "_old_forward") else None
            if own is not None:
                before[module] = own

                def watched(*args: object, own: Callable = own, **kwargs: object) -> object:
                    seen.append(_bytes(model))
                    return own(*args, **kwargs)

                module._old_forward = watched
    yield seen
    for module, own in before.items():
        module._old_forward = own


def _budget(folder: Path) -> int:
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return int(WEIGHTLESS * size)


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5", "marian"])
def test_a_model_runs_in_less_memory_than_its_weights_take(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(name)
    whole = Pipeline.from_pretrained(folder)
    budget = _budget(folder)
    assert _bytes(whole.model) > budget
    spread = Pipeline.from_pretrained(
        folder, device_map="auto", max_memory={"cpu": budget}, offload_folder=tmp_path / "weights"
    )
    causal = name in ("gpt2", "llama")
    prompts = [{"text": p} for p in PROMPTS] if causal else PROMPTS
    answer = " sat on the right." if causal else "A Red cat sat on the right."
    with _watching(spread.model.network.model) as seen:
        scores = spread.given(prompts).log_prob([answer] * 3).nats
        texts = spread(prompts, seed=[5, 6, 7], max_new_tokens=6)
    assert len(seen) > 10 and max(seen) > seen[0]
    assert max(seen) <= budget, (max(seen), budget)
    expected = whole.given(prompts).log_prob([answer] * 3).nats
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-5)
    assert texts == whole(prompts, seed=[5, 6, 7], max_new_tokens=6)
    assert spread.device == torch.device("cpu")
    # At rest it holds no more than before.
    assert _bytes(spread.model.network.model) == seen[0]


@pytest.mark.parametrize("name", ["gpt2", "marian"])
def test_all_of_it_may_stay_on_the_disk(name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    whole = Pipeline.from_pretrained(folder)
    spread = Pipeline.from_pretrained(folder, device_map={"": "disk"})
    assert _bytes(spread.model) < 0.2 * _bytes(whole.model)
    y = {"text": PROMPTS[0]} if name == "gpt2" else PROMPTS[0]
    assert spread(y, seed=1, max_new_tokens=6) == whole(y, seed=1, max_new_tokens=6)
    assert spread.given(y).best(2)[0] == pytest.approx(whole.given(y).best(2)[0])


def test_what_is_spread_is_neither_moved_nor_trained(gpt2: Path, tmp_path: Path) -> None:
    spread = Pipeline.from_pretrained(gpt2, device_map={"": "disk"})
    for wrong in ({"device": "cpu"}, {"dtype": torch.bfloat16}):
        with pytest.raises(SpecError, match=r"stays where it was loaded.*spread over disk"):
            spread.to(**wrong)
    with pytest.raises(SpecError, match="To train it, load it again"):
        spread.loss(spread.prepare([("A", "b")]))
    # It is saved whole, as the library saves it.
    spread.save_pretrained(tmp_path / "saved")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").state_dict()
    for key, value in AutoModelForCausalLM.from_pretrained(gpt2).state_dict().items():
        torch.testing.assert_close(again[key], value)


def test_what_is_in_one_place_is_moved_as_ever(gpt2: Path) -> None:
    pipe = Pipeline.from_pretrained(gpt2, device_map="auto")
    expected = pipe({"text": PROMPTS[0]}, seed=1, max_new_tokens=6)
    assert pipe.to("cpu")({"text": PROMPTS[0]}, seed=1, max_new_tokens=6) == expected
    plain = Pipeline.from_pretrained(gpt2, device="cpu")
    assert plain({"text": PROMPTS[0]}, seed=1, max_new_tokens=6) == expected
    half = Pipeline.from_pretrained(gpt2, device_map="cpu", dtype=torch.bfloat16)
    assert {p.dtype for p in half.model.parameters()} == {torch.bfloat16}


def test_the_library_alone_loses_weights_that_follow_from_a_configuration(tmp_path: Path) -> None:
    """The positions of Marian are in no file, so that they cannot be fetched from one."""
    config = MarianConfig(
        vocab_size=20,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=16,
        pad_token_id=19,
        eos_token_id=0,
        decoder_start_token_id=19,
    )
    MarianMTModel(config).save_pretrained(tmp_path)
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, device_map={"": "disk"})
    ids = torch.tensor([[1, 2, 3]])
    with pytest.raises(KeyError, match="embed_positions"), torch.no_grad():
        model(input_ids=ids, decoder_input_ids=ids)


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"max_memory": {"cpu": "1GB"}}, TypeError, "Give device_map"),
        ({"offload_folder": "weights"}, TypeError, "Give device_map"),
        ({"device_map": "auto", "device": "cpu"}, TypeError, "Give one"),
        ({"device_map": "auto", "offload": "model"}, TypeError, "Give one"),
        ({"offload": "all"}, ValueError, "model, sequential, disk; got 'all'"),
        ({"offload": "model"}, SpecError, 'give device_map="auto"'),
        ({"quantization": "int3"}, ValueError, "'int8' or 'int4'"),
        ({"devices": 2}, TypeError, "'devices' is none of them"),
        ({"device_map": "auto", "engine": "ctranslate2"}, SpecError, 'compute_type="int8"'),
    ],
)
def test_what_does_not_go_together(
    gpt2: Path, asked: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Pipeline.from_pretrained(gpt2, **asked)


def test_pipelines_of_ours_lie_in_one_place() -> None:
    with pytest.raises(TypeError, match="other libraries alone take device_map"):
        Pipeline.from_pretrained("text-to-image", device_map="auto")


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is an accelerator")
@pytest.mark.parametrize(
    "asked", [{"offload": "model"}, {"offload": "sequential"}, {"device_map": "balanced"}]
)
def test_diffusers_moves_weights_to_accelerators_alone(
    asked: dict[str, str], checkpoints: Callable[[str], Path]
) -> None:
    with pytest.raises(SpecError, match="there are none here. Leave it out"):
        Pipeline.from_pretrained(checkpoints("ddpm"), **asked)


def test_a_pipeline_of_diffusers_runs_in_less_memory_than_its_weights_take(
    checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = checkpoints("sd")
    whole = Pipeline.from_pretrained(folder)
    options = {"num_inference_steps": 2, "height": 16, "width": 16, "seed": 3}
    spread = Pipeline.from_pretrained(folder, offload="disk", offload_folder=tmp_path / "weights")
    networks = whole.model.networks.values()
    budget = 0.5 * sum(map(_bytes, networks))
    with ExitStack() as stack:
        seen = [stack.enter_context(_watching(part)) for part in spread.model.networks.values()]
        found = spread("A Red cat", **options)
        # No two networks compute at once, and what is at rest takes next to nothing.
        most = sum(part[0] for part in seen) + max(map(max, seen))
    assert sum(map(len, seen)) > 20 and max(map(max, seen)) > 0
    assert most <= budget, (most, budget)
    shown = [np.asarray(x).astype(int) for x in (found, whole("A Red cat", **options))]
    assert np.abs(shown[0] - shown[1]).max() <= 1
    with pytest.raises(SpecError, match="moved between devices by diffusers"):
        spread.to("cpu")
    with pytest.raises(SpecError, match="without offload to save it"):
        spread.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is an accelerator")
def test_a_pipeline_is_placed_by_itself(checkpoints: Callable[[str], Path]) -> None:
    folder, options = checkpoints("ddpm"), {"seed": 3, "num_inference_steps": 1}
    placed = Pipeline.from_pretrained(folder, device_map="auto")
    expected = Pipeline.from_pretrained(folder)(**options)
    assert same_but_for_rounding(placed(**options), expected) and placed.foreign.fixed is None
    with pytest.raises(SpecError, match='give offload="disk" in place of device_map'):
        Pipeline.from_pretrained(folder, device_map="auto", max_memory={"cpu": "1MB"})


def test_diffusers_has_no_map_of_modules(checkpoints: Callable[[str], Path]) -> None:
    with pytest.raises(SpecError, match="whole part by whole part"):
        Pipeline.from_pretrained(checkpoints("ddpm"), device_map={"unet": "disk"})


def test_a_place_is_given_by_name() -> None:
    place = Place.of({"revision": "main", "device_map": "auto"})
    assert place.as_dict() == {
        "revision": "main",
        "cache_dir": None,
        "token": None,
        "local_files_only": False,
    }
    assert place.placement == Placement(device_map="auto") and place.placement.given
    assert not Place.of({}, "cpu").placement.given


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_what_quantises_must_be_there(gpt2: Path) -> None:
    with pytest.raises(MissingDependency, match=r"mmgen-sdk\[quantization\]"):
        Pipeline.from_pretrained(gpt2, quantization="int8")


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("bits", "share", "lost"), [("int8", 0.75, 0.5), ("int4", 0.65, 5.0)])
def test_weights_in_few_bits(llama: Path, bits: str, share: float, lost: float) -> None:
    pytest.importorskip("bitsandbytes")
    whole = Pipeline.from_pretrained(llama)
    small = Pipeline.from_pretrained(llama, quantization=bits)
    assert _bytes(small.model) < share * _bytes(whole.model)
    own, other = (p.given({"text": "A Red"}).log_prob(" cat").nats for p in (small, whole))
    assert own.isfinite().all() and not torch.equal(own, other)
    assert math.isclose(float(own), float(other), abs_tol=lost)
    with pytest.raises(SpecError, match="its weights are quantised"):
        small.to("cpu")


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("whole_pipeline", [False, True])
def test_a_configuration_is_passed_on(
    bits: int, whole_pipeline: bool, checkpoints: Callable[[str], Path]
) -> None:
    torchao = pytest.importorskip("torchao.quantization")
    from diffusers import PipelineQuantizationConfig, TorchAoConfig

    few = {
        8: torchao.Int8WeightOnlyConfig(),
        4: torchao.IntxWeightOnlyConfig(
            weight_dtype=torch.int4, granularity=torchao.PerGroup(group_size=32)
        ),
    }
    config = TorchAoConfig(few[bits])
    if whole_pipeline:
        config = PipelineQuantizationConfig(quant_mapping={"unet": config})
    folder, options = checkpoints("sd"), {"num_inference_steps": 2}
    small = Pipeline.from_pretrained(folder, quantization=config)
    assert small.foreign.fixed == "its weights are quantised"
    layers = [m for m in small.model.pipeline.unet.modules() if isinstance(m, nn.Linear)]
    assert layers and not any(type(layer.weight) is nn.Parameter for layer in layers)
    whole = Pipeline.from_pretrained(folder)
    own, other = (np.asarray(p("A Red cat", seed=0, **options), float) for p in (small, whole))
    assert 0 < np.abs(own - other).mean() < (1 if bits == 8 else 5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_diffusers_quantises_by_name_on_a_gpu_alone(checkpoints: Callable[[str], Path]) -> None:
    with pytest.raises(SpecError, match="on a GPU alone. Give TorchAoConfig"):
        Pipeline.from_pretrained(checkpoints("sd"), quantization="int8")
