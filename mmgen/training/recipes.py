"""Recipes trained as they say themselves: first what they want trained before, then the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from mmgen.pipeline import Pipeline
from mmgen.training.fit import fit

__all__ = ["fit_recipe", "stages_of"]


def stages_of(
    module: ModuleType, overrides: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a recipe wants trained before its pipeline, and how.

    Args:
        module: The recipe's.
        overrides: Settings in place of the recipe's own.
    """
    for stage, settings in getattr(module, "PRETRAINING", {}).items():
        yield stage, settings | dict(overrides)


def fit_recipe(
    module: ModuleType,
    pipe: Pipeline,
    *,
    output: Path,
    overrides: Mapping[str, Any],
    before: Mapping[str, Any],
    say: Callable[[str], None] = lambda line: None,
    progress: bool = True,
) -> Pipeline:
    """Train a recipe's pipeline on the recipe's pairs. The same call goes on where it stopped.

    Args:
        module: The recipe's.
        pipe: What its `build` gave.
        output: Folder of the run; each stage before has a folder in it.
        overrides: Settings in place of those of the recipe.
        before: The same, of the stages before.
        say: Takes a line for each stage.
        progress: Show progress bars.

    Returns:
        The pipeline, trained, also in the folder "pipeline" of `output`.
    """
    pairs = module.pairs("train")
    for stage, settings in stages_of(module, before):
        part = module.pretraining(stage, pipe)
        say(f"First its {stage}, for {settings['steps']} steps")
        fit(part, pairs, output=output / stage, progress=progress, **settings)
        part.parts.requires_grad_(False)
    chosen = module.TRAINING | dict(overrides)
    return fit(pipe, pairs, output=output, preview=module.PREVIEW, progress=progress, **chosen)
