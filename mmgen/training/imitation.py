"""Policies that learn from the recorded episodes of an expert."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mmgen.modalities.actions import Windows, read_rollouts
from mmgen.modalities.actions.rollouts import STATE
from mmgen.pipeline import Pipeline
from mmgen.policies import autoregressive_policy, diffusion_policy
from mmgen.training.data import data_file
from mmgen.training.pairs import DrawnPairs, IndexedPairs, Pairs

__all__ = ["SETTINGS", "Imitation"]

SETTINGS = {
    "batch_size": 64,
    "optimizer": "muon",
    "learning_rate": 2e-3,
    "warmup": 100,
    "sample_every": 0,
    "precision": "no",
}
"""How a small policy learns from a few episodes, but for the number of steps."""


@dataclass(frozen=True, kw_only=True)
class Imitation:
    """An expert's episodes, and how much a policy sees and plans of one: a recipe's choices.

    Args:
        expert: Archive of its episodes as `data_file` takes it, with numbers as observations.
        num_states: Numbers of an observation.
        num_actions: Numbers of an action.
        history: Steps of observation that the policy sees.
        horizon: Steps of a chunk of actions.
        bounds: Least and greatest action that the environment carries out, to which those of the
            expert are clipped; None to learn what it asks for, a smoother function of what it sees,
            and leave the clipping to the environment.
        blur: Noise on actions, in deviations of each of their numbers, drawn anew each time a pair
            is seen. To tokens, which do not know that bins lie side by side, it shows this.
    """

    expert: str
    num_states: int
    num_actions: int
    history: int
    horizon: int
    bounds: tuple[float, float] | None = (-1.0, 1.0)
    blur: float = 0.0

    def pairs(self) -> Pairs:
        """Pairs (the last observations, the next actions), one for each step of the expert's."""
        low, high = self.bounds or (None, None)
        episodes = read_rollouts(data_file(self.expert), low=low, high=high)
        own = {"history": self.history, "horizon": self.horizon}
        windows = Windows(episodes, **own, complete=True)
        if not self.blur:
            return IndexedPairs(windows)
        spread = self.blur * np.concatenate([e.actions for e in episodes]).std(0)

        def draw(index: int, rng: np.random.Generator) -> tuple[Any, np.ndarray]:
            seen, chunk = windows[index]
            noise = rng.standard_normal(chunk.shape, np.float32) * spread
            return seen, chunk + noise if self.bounds is None else np.clip(chunk + noise, low, high)

        return DrawnPairs(draw, len(windows))

    def diffusion(self, **choices: Any) -> Pipeline:
        """A `diffusion_policy` with fresh weights. Choices are those that are not fixed here."""
        return diffusion_policy(**self._shape, **choices)

    def tokens(self, **choices: Any) -> Pipeline:
        """An `autoregressive_policy` with fresh weights, likewise."""
        return autoregressive_policy(**self._shape, **choices)

    def standing(self, *first: float) -> list[dict[str, Any]]:
        """One observation, for previews: the same at each step, with zeros after these numbers."""
        state = [*first, *[0.0] * (self.num_states - len(first))]
        return [{STATE: [state] * self.history}]

    def fitted(self, pipe: Pipeline) -> Pipeline:
        """The pipeline with statistics of random pairs, for tests."""
        draw = torch.Generator().manual_seed(0)
        states = torch.randn(8, self.history, self.num_states, generator=draw)
        low, high = self.bounds or (-1.0, 1.0)
        actions = torch.rand(8, self.horizon, self.num_actions, generator=draw)
        actions = low + (high - low) * actions
        pipe.fit_statistics([({STATE: s}, a) for s, a in zip(states, actions, strict=True)])
        return pipe

    @property
    def _shape(self) -> dict[str, Any]:
        return {
            "observations": {STATE: (self.history, self.num_states)},
            "horizon": self.horizon,
            "num_actions": self.num_actions,
            "bounds": self.bounds or (None, None),
        }
