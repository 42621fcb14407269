"""Pipelines of recipes that ship no weights, hardly trained, to see that tasks run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mmgen import hub
from mmgen.pipeline import Pipeline
from mmgen.training.recipes import fit_recipe

__all__ = ["NOTE", "hardly_trained"]

NOTE = "a pipeline that learnt for three steps"
"""What scores of one are worth."""

_FEW: dict[str, Any] = {
    "steps": 3,
    "batch_size": 4,
    "warmup": 1,
    "by_length": 0,
    "sample_every": 0,
    "precision": "no",
    "compile": False,
    "workers": 0,
}


def hardly_trained(recipe: hub.Recipe, folder: Path, *, seed: int) -> Path:
    """A recipe's pipeline after three steps on the recipe's own pairs.

    Of the size that `build` gives: a smaller one may not hold what the pairs are.

    Args:
        recipe: Of which.
        folder: Of all such runs. A run that is there is gone on with, or taken if it has ended.
        seed: Of weights, order and noise.

    Returns:
        The folder of the run, which is loaded as the pipeline.
    """
    module = recipe.module()
    output = folder / recipe.name.replace(":", "_")
    torch.manual_seed(seed)
    pipe = Pipeline.build(recipe.name)
    few = _FEW | {"seed": seed}
    fit_recipe(module, pipe, output=output, overrides=few, before=few, progress=False)
    return output
