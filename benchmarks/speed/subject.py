"""The pipeline of mmgen whose speed is measured."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from mmgen import hub
from mmgen.core.errors import LoadError
from mmgen.families.diffusion import Diffusion
from mmgen.pipeline import Pipeline
from mmgen.training.pairs import batch_at

__all__ = ["Subject", "texts"]

_NUM_PAIRS = 1024


@dataclass(frozen=True)
class Subject:
    """A pipeline P(image | text) of diffusion.

    Args:
        name: A recipe, or a saved folder.
        pipe: The pipeline.
        weights: "saved" (shipped, or in a folder), "fresh" where there are none, or "debug".
        chosen: Options of sampling that are not left at their defaults.
    """

    name: str
    pipe: Pipeline
    weights: str
    chosen: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, name: str, *, quick: bool) -> Subject:
        """Load it; without weights, build it and take its statistics from a thousand pairs.

        Raises:
            UnknownNameError: If there is no such pipeline.
        """
        if quick:
            return cls(name, Pipeline.debug(name), "debug", {"num_inference_steps": 4})
        try:
            return cls(name, Pipeline.from_pretrained(name), "saved")
        except LoadError:
            # A folder or shipped weights that are there and broken are an error.
            if os.path.isdir(name) or hub.find_recipe(name).weights.is_file():
                raise
        pipe = Pipeline.build(name)
        pairs = hub.find_recipe(name).module().pairs("train")
        pipe.fit_statistics(batch_at(pairs, 0, min(_NUM_PAIRS, len(pairs)), seed=0))
        return cls(name, pipe, "fresh")

    @property
    def network(self) -> nn.Module:
        """What each step calls."""
        return next(m for m in self.pipe.model.modules() if isinstance(m, Diffusion)).network

    @property
    def size(self) -> int:
        """Side of the images."""
        return int(self.pipe.model.spec.shape[-1])

    @property
    def options(self) -> dict[str, Any]:
        """Options of sampling as they are used."""
        return {o.name: o.default for o in self.pipe.options()} | dict(self.chosen)


def texts(name: str, count: int) -> list[str]:
    """Texts that the recipe shows itself by, over again until there are enough."""
    recipe = "text-to-image:emoji" if Path(name).is_dir() else name
    shown = [t for t in hub.find_recipe(recipe).module().PREVIEW if isinstance(t, str)]
    return [shown[i % len(shown)] for i in range(count)]
