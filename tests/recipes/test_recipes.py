"""Every recipe, found by walking the folder: card, folder, tiny pipeline, shipped weights."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from mmgen import hub
from mmgen.modalities import modality_names
from mmgen.pipeline import Pipeline
from mmgen.training import TrainSettings

RECIPES = hub.recipes()
MOST_BYTES = 10 * 10**6


@pytest.mark.parametrize("name", RECIPES)
def test_card_and_folder_agree(name: str) -> None:
    card = RECIPES[name].card
    assert name == f"{card.y}-to-{card.x}:{RECIPES[name].path.stem}"
    # An observation is a condition of actions, and no modality that is generated.
    assert {card.x, card.y} <= {*modality_names(), "observation"}
    assert all(isinstance(v, str) and v for v in card.scores.values())
    for field in ("family", "summary", "data", "licence"):
        assert getattr(card, field)


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe_builds_what_its_card_says(name: str) -> None:
    pipe = Pipeline.build(name)
    count = sum(p.numel() for p in pipe.parts.parameters())
    assert abs(count - RECIPES[name].card.parameters) / count < 0.01
    assert pipe.codec.spec.modality == RECIPES[name].card.x


@pytest.mark.parametrize("name", RECIPES)
def test_training_settings_are_settings(name: str) -> None:
    module = RECIPES[name].module()
    known = {f.name for f in dataclasses.fields(TrainSettings)}
    assert set(module.TRAINING) <= known
    TrainSettings(**module.TRAINING)
    assert module.PREVIEW


@pytest.mark.parametrize("name", RECIPES)
def test_the_tiny_pipeline_samples_and_trains(name: str) -> None:
    pipe = Pipeline.debug(name)
    y = RECIPES[name].module().PREVIEW[0]
    # Random weights write long nonsense, which may take more subwords to read than to write.
    wanted = {"unknown_words": "allow", "max_new_tokens": 8}
    asked = {o.name: wanted[o.name] for o in pipe.options() if o.name in wanted}
    x = pipe(y, seed=0, **asked)
    # What random weights write is no molecule, and so nothing to learn from.
    learnt = "CCO" if RECIPES[name].card.x == "molecules" else x
    loss = pipe.loss(pipe.prepare([(y, learnt), (y, learnt)]))
    assert loss.shape == (2,) and torch.isfinite(loss).all()
    null = pipe(None, seed=0)
    assert type(null) is type(x)


@pytest.mark.parametrize("name", [n for n, r in RECIPES.items() if r.weights.is_file()])
def test_shipped_weights_fit_and_are_small(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.weights.stat().st_size <= MOST_BYTES
    pipe = Pipeline.from_pretrained(name)
    quick = {"num_inference_steps": 2} if recipe.card.family == "diffusion" else {}
    if "num_candidates" in {o.name for o in pipe.options()}:
        quick["num_candidates"] = 1
    for y in recipe.module().PREVIEW[:2]:
        assert pipe.codec.prepare([pipe(y, seed=0, **quick)])
    assert recipe.card.scores and recipe.card.trained


def test_one_default_for_each_task() -> None:
    tasks = {n.split(":")[0] for n in RECIPES}
    defaults = [n.split(":")[0] for n, r in RECIPES.items() if r.default]
    assert sorted(defaults) == sorted(tasks)
