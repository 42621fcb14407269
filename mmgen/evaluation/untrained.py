"""Tiny pipelines of recipes that ship no weights, to see that what measures them runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mmgen import hub
from mmgen.pipeline import Pipeline
from mmgen.training.recipes import fit_recipe

__all__ = ["NOTE", "tiny_pipeline"]

NOTE = "a tiny pipeline that learns nothing"
"""What scores of one are worth."""

_FEW: dict[str, Any] = {
    "steps": 3,
    "batch_size": 4,
    "warmup": 1,
    "statistics_from": 256,
    "by_length": 0,
    "sample_every": 0,
    "precision": "no",
    "compile": False,
    "workers": 0,
}


def tiny_pipeline(recipe: hub.Recipe, folder: Path, *, seed: int) -> Path:
    """A recipe's tiny pipeline after a few steps on the recipe's own pairs.

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
    pipe = Pipeline.build(recipe.name, **module.DEBUG)
    few = _FEW | {"seed": seed}
    fit_recipe(module, pipe, output=output, overrides=few, before=few, progress=False)
    return output
