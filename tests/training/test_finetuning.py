"""Learning on from a pipeline's weights: all of them, some by name, or adapters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmgen.core.errors import LoadError, SpecError, UnknownNameError
from mmgen.pipeline import Pipeline
from mmgen.training import TrainSettings, fit, rehearse
from mmgen.training.adapters import Adapters

SETTINGS = {
    "steps": 3,
    "batch_size": 4,
    "warmup": 1,
    "precision": "no",
    "ema": 0.0,
    "learning_rate": 1e-2,
    "sample_every": 0,
    "progress": False,
}
PAIRS = [(f"a {c} one", Image.new("RGB", (16, 16), c)) for c in ("red", "green", "blue", "white")]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    pipe = Pipeline.compose(x="image", y="text", family="diffusion", size="debug")
    pipe.fit_statistics(PAIRS)
    return pipe.save_pretrained(tmp_path / "base")


def weights(pipe: Pipeline) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in pipe.parts.state_dict().items()}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {k for k in before if not torch.equal(before[k], after[k])}


def test_the_folder_of_a_run_is_a_pipeline(base: Path, tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(base)
    fit(pipe, PAIRS, output=tmp_path / "run", **SETTINGS)
    loaded = Pipeline.from_pretrained(tmp_path / "run")
    assert not changed(weights(pipe), weights(loaded))
    image, again = (p("a red one", seed=0, num_inference_steps=2) for p in (pipe, loaded))
    assert image.tobytes() == again.tobytes()


def test_only_what_is_named_is_trained(base: Path, tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(base)
    before = weights(pipe)
    fit(pipe, PAIRS, output=tmp_path / "run", only=["model.model.network.out"], **SETTINGS)
    names = changed(before, weights(pipe))
    assert names and all(name.startswith("model.model.network.out.") for name in names)
    assert all(p.requires_grad for p in pipe.parts.parameters())
    with pytest.raises(UnknownNameError, match=r"Did you mean 'model.model.network.out'"):
        fit(pipe, PAIRS, output=tmp_path / "other", only=["model.model.network.uot"], **SETTINGS)


def test_words_that_were_learnt_are_known(base: Path, tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(base)
    with pytest.raises(ValueError, match="'purple'"):
        pipe("a purple one", num_inference_steps=1)
    pairs = [("a purple one", Image.new("RGB", (16, 16), "purple"))] * 4
    fit(pipe, pairs, output=tmp_path / "run", **SETTINGS)
    assert Pipeline.from_pretrained(tmp_path / "run")("a purple one", num_inference_steps=1)


def test_statistics_stay_unless_they_are_taken_anew(tmp_path: Path) -> None:
    pipe = Pipeline.compose(
        x="properties", family="normalizing_flow", size="debug", labels=["a", "b"]
    )
    near, far = ([(None, {"a": m + i, "b": m - i}) for i in range(4)] for m in (0.0, 100.0))
    pipe.fit_statistics(near)
    fit(pipe, far, output=tmp_path / "kept", **SETTINGS)
    assert pipe.codec.mean.tolist() == [1.5, -1.5]
    rehearse(pipe, far, statistics="new", num_steps=1, precision="no", batch_size=4)
    assert pipe.codec.mean.tolist() == [1.5, -1.5]
    fit(pipe, far, output=tmp_path / "new", statistics="new", **SETTINGS)
    loaded = Pipeline.from_pretrained(tmp_path / "new")
    assert loaded.codec.mean.tolist() == [101.5, 98.5]
    # A run that goes on keeps its own, whatever the pairs are by then.
    more = SETTINGS | {"steps": 4}
    again = fit(
        Pipeline.from_pretrained(tmp_path / "kept"),
        near,
        output=tmp_path / "new",
        statistics="new",
        **more,
    )
    assert again.codec.mean.tolist() == [101.5, 98.5]


def test_vocabularies_stay_when_statistics_are_taken_anew(tmp_path: Path) -> None:
    pipe = Pipeline.compose(
        x="actions", y=["text", "properties"], family="diffusion", size="debug", labels=["a", "b"]
    )
    chunks = np.random.default_rng(0).normal(size=(4, 4, 2)).astype(np.float32)
    ys = [{"text": t, "properties": {"a": i, "b": -i}} for i, t in enumerate("abcd")]
    pipe.fit_statistics(list(zip(ys, chunks, strict=True)))
    assets, mean = pipe.encoder.assets(), pipe.encoder.parts["properties"].mean.clone()
    pipe.rescale([({"text": "e", "properties": {"a": 9, "b": i}}, 5 * chunks[i]) for i in (0, 1)])
    assert pipe.encoder.assets() == assets and pipe.codec.fitted
    assert pipe.encoder.parts["properties"].mean.tolist() == [9, 0.5] != mean.tolist()
    texts = Pipeline.compose(x="text", family="autoregressive", size="debug")
    texts.fit_statistics([(None, "a")])
    with pytest.raises(SpecError, match="scales neither x nor y"):
        texts.rescale([(None, "a")])


@pytest.mark.parametrize("x", ["actions", "audio", "image", "properties", "video"])
def test_what_has_statistics_says_so(x: str) -> None:
    pipe = Pipeline.compose(x=x, family="diffusion", size="debug", labels=["a", "b"])
    assert pipe.codec.scales and not pipe.codec.fitted


def test_adapters_change_linear_layers_by_a_low_rank(base: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    pipe = Pipeline.from_pretrained(base)
    before = weights(pipe)
    fit(pipe, PAIRS, output=tmp_path / "run", lora_rank=2, **SETTINGS)
    after = weights(pipe)
    names = changed(before, after)
    assert names and all(n.startswith("model.") and n.endswith(".weight") for n in names)
    for name in names:
        difference = (after[name] - before[name]).double()
        values = torch.linalg.svdvals(difference)
        assert difference.ndim == 2 and values[2:].sum() < 1e-4 * values.sum()
    assert all(p.requires_grad for p in pipe.parts.parameters())
    assert not changed(after, weights(Pipeline.from_pretrained(tmp_path / "run")))
    # Finished, the same call gives the same again.
    fit(Pipeline.from_pretrained(base), PAIRS, output=tmp_path / "run", lora_rank=2, **SETTINGS)


def test_adapters_of_chosen_layers(base: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    pipe = Pipeline.from_pretrained(base)
    before = weights(pipe)
    targets = {"lora_rank": 2, "lora_targets": ["attention.query", "gate_up"]}
    fit(pipe, PAIRS, output=tmp_path / "run", **targets, **SETTINGS)
    names = changed(before, weights(pipe))
    wanted = {n for n in before if n.startswith("model.")}
    assert names == {n for n in wanted if ".attention.query.weight" in n or ".gate_up." in n}
    with pytest.raises(UnknownNameError, match="has 'qeury' in its name. Did you mean 'query'"):
        fit(pipe, PAIRS, output=tmp_path / "other", lora_rank=2, lora_targets=["qeury"], **SETTINGS)


def test_an_adapter_alone_names_its_base(base: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    pipe = Pipeline.from_pretrained(base)
    pairs = [(f"{text} mauve", image) for text, image in PAIRS]
    fit(pipe, pairs, output=tmp_path / "run", lora_rank=2, **SETTINGS)
    folder = tmp_path / "run" / "adapter"
    with pytest.raises(LoadError, match=r"base=\.\.\."):
        Pipeline.from_pretrained(folder)
    loaded = Pipeline.from_pretrained(folder, base=base)
    for name, weight in weights(loaded).items():
        assert torch.allclose(weight, weights(pipe)[name], atol=1e-6), name
    assert loaded("a red one mauve", num_inference_steps=1)
    size = sum(f.stat().st_size for f in folder.glob("*.safetensors"))
    assert size < (tmp_path / "run" / "pipeline" / "model.safetensors").stat().st_size / 2
    other = Pipeline.compose(x="image", family="diffusion", size="debug")
    other.fit_statistics([(None, image) for _, image in PAIRS])
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(LoadError, match="The adapter changes"):
        Pipeline.from_pretrained(folder, base=tmp_path / "other")
    with pytest.raises(TypeError, match="whole pipeline"):
        Pipeline.from_pretrained(base, base=base)
    (folder / "adapter.safetensors").write_bytes(b"")
    with pytest.raises(LoadError, match="not what was saved"):
        Pipeline.from_pretrained(folder, base=base)


def test_an_adapter_of_a_shipped_pipeline_finds_it(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    pipe = Pipeline.from_pretrained("text-to-image:emoji")
    pairs = [({"text": "red", "style": "noto"}, Image.new("RGB", (64, 64), "red"))] * 4
    settings = SETTINGS | {"steps": 1, "batch_size": 2}
    fit(pipe, pairs, output=tmp_path, lora_rank=1, **settings)
    loaded = Pipeline.from_pretrained(tmp_path / "adapter")
    assert loaded.card == pipe.card and "adapters of rank 1" in loaded.card.trained
    ours, theirs = weights(pipe), weights(loaded)
    assert all(torch.allclose(ours[n], theirs[n], atol=1e-6) for n in ours)


def test_adapters_that_are_removed_leave_nothing(base: Path) -> None:
    pytest.importorskip("peft")
    pipe = Pipeline.from_pretrained(base)
    before = weights(pipe)
    adapters = Adapters(pipe, rank=2, seed=0)
    trained = {n for n, p in pipe.parts.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    adapters.remove()
    assert not changed(before, weights(pipe))


def test_a_card_says_what_was_done(tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained("text-to-image:emoji")
    scores = dict(pipe.card.scores)
    pairs = [({"text": "red", "style": "noto"}, Image.new("RGB", (64, 64), "red"))] * 4
    run = {"output": tmp_path, "validation": pairs, "only": ["encoder"]}
    fit(pipe, pairs, **run, **(SETTINGS | {"steps": 1, "batch_size": 2}))
    card = Pipeline.from_pretrained(tmp_path).card
    assert card == pipe.card and card.summary
    said = "From text-to-image:emoji: 1 steps of 2 pairs by adamw at 0.01 (seed 0, warmup 1, only "
    assert card.trained.startswith(said + "encoder, ema 0.0). On cpu in float32: mmgen ")
    assert card.data.startswith("4 pairs, fingerprint ") and "before that" in card.data
    assert list(card.scores) == ["loss on held-out pairs"] and "before" in str(card.scores)
    assert scores.keys().isdisjoint(card.scores)
    # Of a base on this machine its name is told, and not where it lies.
    fit(pipe := Pipeline.from_pretrained(tmp_path), pairs, output=tmp_path / "again", **SETTINGS)
    assert pipe.card.trained.startswith(f"From {tmp_path.name}: ")
    assert str(tmp_path.parent) not in pipe.card.trained


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(ValueError, match="leave out only or it"):
        TrainSettings(lora_rank=2, only=["model"])
    with pytest.raises(TypeError, match="only is a list of names"):
        TrainSettings(only="model")
    with pytest.raises(TypeError, match="lora_targets is a list of names"):
        TrainSettings(lora_rank=2, lora_targets="query")
    with pytest.raises(ValueError, match="or leave lora_targets out"):
        TrainSettings(lora_targets=["query"])
    with pytest.raises(ValueError, match="Leave out lora_rank or statistics"):
        TrainSettings(lora_rank=2, statistics="new")
    with pytest.raises(ValueError, match="leave out it or gradient_checkpointing"):
        TrainSettings(compile=True, gradient_checkpointing=True)
    with pytest.raises(ValueError, match="statistics is kept or new; got 'old'"):
        TrainSettings(statistics="old")
