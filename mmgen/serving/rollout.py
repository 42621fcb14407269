"""Policies at work in an environment, by receding horizon.

A policy P(actions | observations) draws a chunk of actions from what was seen last. The first few
of them are carried out; then it is asked again. Episodes run side by side, so that the policy is
asked for all of them at once, and each is the same as if it ran alone: episode i has the seed
s + i, which its environment and the samples of its chunks follow from.

Source: Diffusion Policy (Chi et al., 2023), Sec. 3.1, arXiv:2303.04137 (receding horizon).
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mmgen.core.errors import SpecError
from mmgen.core.rng import MAX_SEED, expand_seeds
from mmgen.modalities.actions.encoder import ObservationEncoder
from mmgen.modalities.actions.environment import make_environment, picture_of
from mmgen.modalities.actions.spaces import History, shapes_of
from mmgen.modalities.video import Video
from mmgen.pipeline import Pipeline

__all__ = ["Played", "Rollout"]

_FRAMES_PER_SECOND = 30

Progress = Callable[[int, int], None]
"""Called with (steps of all episodes so far, most steps there can be)."""


@dataclass(frozen=True)
class Played:
    """How an episode went.

    Args:
        seed: Of its environment and of the samples.
        total: Sum of rewards.
        steps: Number of steps.
        terminated: Whether the environment ended it, rather than time.
        success: What the environment says of success at its end; None if it says nothing.
        best: Greatest reward of a step.
        last: What was observed at its end, by name.
        film: What it looked like, if it was filmed.
    """

    seed: int
    total: float
    steps: int
    terminated: bool
    success: bool | None
    best: float
    last: Mapping[str, np.ndarray]
    film: Video | None = None

    def as_dict(self) -> dict[str, Any]:
        """All but what it looked like, as plain values."""
        own = ("seed", "total", "steps", "terminated", "success", "best")
        return {name: getattr(self, name) for name in own}


@dataclass(frozen=True)
class Rollout:
    """A policy in an environment.

    Args:
        pipe: P(actions | observation), with an `ObservationEncoder`.
        environment: Its name.
        num_action_steps: How many actions of a chunk are carried out before the next is drawn; half
            of them if None.
        max_steps: Where episodes are cut; where the environment cuts them if None.
        options: Of sampling.

    Raises:
        SpecError: If the pipeline is no policy, or one for other observations or actions.
        ValueError: If a chunk has not as many steps.
        UnknownNameError: If there is no such environment.
        MissingDependency: If gymnasium, or what the environment needs, is not installed.
    """

    pipe: Pipeline
    environment: str
    num_action_steps: int | None = None
    max_steps: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        encoder, spec = self.pipe.encoder, self.pipe.codec.spec
        if spec.modality != "actions" or not isinstance(encoder, ObservationEncoder):
            raise SpecError(
                f"A rollout takes a policy, from observations to actions; {self.pipe!r} gives "
                f"{spec.modality} from what {type(encoder).__name__} reads. Name another pipeline."
            )
        if self.max_steps is not None and self.max_steps < 1:
            raise ValueError(f"max_steps is at least 1, got {self.max_steps}.")
        with contextlib.closing(make_environment(self.environment)) as env:
            shapes = shapes_of(env.observation_space, history=self.history)
            size = env.action_space.shape
        if shapes != encoder.shapes:
            raise SpecError(
                f"{self.environment} shows {shapes}; this policy sees {encoder.shapes}. Name the "
                "environment that it was trained for."
            )
        horizon, count = self._chunk
        if size != (count,):
            raise SpecError(
                f"{self.environment} takes actions {size}; this policy gives ({count},). Name the "
                "environment that it was trained for."
            )
        chosen = self.num_action_steps
        if chosen is not None and not 1 <= chosen <= horizon:
            raise ValueError(
                f"num_action_steps is 1 to {horizon}, the steps of a chunk; got {chosen}."
            )

    @property
    def history(self) -> int:
        """Steps of observation that the policy sees."""
        return next(iter(self.pipe.encoder.shapes.values()))[0]

    @property
    def _chunk(self) -> tuple[int, int]:
        codec = self.pipe.codec
        own = getattr(codec, "chunks", codec)
        return own.horizon, own.size

    def play(
        self,
        num_episodes: int = 1,
        *,
        seed: int | Sequence[int] = 0,
        num_films: int = 0,
        progress: Progress | None = None,
    ) -> list[Played]:
        """Run episodes side by side.

        Args:
            num_episodes: How many.
            seed: s for s, s + 1, ...; or a list of one each.
            num_films: The first so many are filmed.
            progress: Called after each step.
        """
        seeds = expand_seeds(seed, num_episodes)
        running = [_Episode(self, own, filmed=i < num_films) for i, own in enumerate(seeds)]
        most = num_episodes * max(e.limit for e in running)
        try:
            while alive := [e for e in running if not e.done]:
                self._plan([e for e in alive if not e.actions])
                for episode in alive:
                    episode.step()
                if progress is not None:
                    progress(sum(e.limit if e.done else e.steps for e in running), most)
        finally:
            for episode in running:
                episode.environment.close()
        return [e.played() for e in running]

    def _plan(self, waiting: Sequence[_Episode]) -> None:
        """Draw a chunk for each of these episodes, all at once."""
        if not waiting:
            return
        seeds = [e.next_seed() for e in waiting]
        chunks = self.pipe([e.seen for e in waiting], seed=seeds, **self.options)
        taken = self.num_action_steps or max(1, self._chunk[0] // 2)
        for episode, chunk in zip(waiting, chunks, strict=True):
            episode.actions.extend(chunk[:taken])


class _Episode:
    """An episode under way.

    Args:
        rollout: What runs.
        seed: Of the environment, and of the seeds of samples.
        filmed: Whether pictures are taken.
    """

    def __init__(self, rollout: Rollout, seed: int, *, filmed: bool) -> None:
        self.environment = make_environment(
            rollout.environment, rendered=filmed, max_steps=rollout.max_steps
        )
        self.seed, self.filmed = seed, filmed
        self.actions: deque[np.ndarray] = deque()
        self.steps, self.total, self.done, self.terminated = 0, 0.0, False, False
        self.success: bool | None = None
        self.best = -np.inf
        self._generator = torch.Generator("cpu").manual_seed(seed)
        self._history = History(rollout.history)
        # gymnasium takes seeds of 32 bits.
        self.seen = self._history.add(self.environment.reset(seed=seed % 2**32)[0])
        self._rate = float(self.environment.metadata.get("render_fps") or _FRAMES_PER_SECOND)
        self._every = max(1, round(self._rate / _FRAMES_PER_SECOND))
        self._frames = [picture_of(self.environment)] if filmed else []

    @property
    def limit(self) -> int:
        """Most steps of it, 1,000 if it has no end of its own."""
        return getattr(self.environment.spec, "max_episode_steps", None) or 1000

    def next_seed(self) -> int:
        """Of the sample that is drawn next."""
        return int(torch.randint(MAX_SEED, (), generator=self._generator))

    def step(self) -> None:
        """Carry out the next action."""
        found = self.environment.step(self.actions.popleft())
        observation, reward, terminated, truncated, about = found
        self.seen = self._history.add(observation)
        self.steps, self.total = self.steps + 1, self.total + float(reward)
        self.best = max(self.best, float(reward))
        self.done, self.terminated = bool(terminated or truncated), bool(terminated)
        for name in ("is_success", "success"):
            if name in about:
                self.success = bool(about[name])
        if self.filmed and (self.steps % self._every == 0 or self.done):
            self._frames.append(picture_of(self.environment))

    def played(self) -> Played:
        """How it went."""
        film = Video(np.stack(self._frames), self._rate / self._every) if self.filmed else None
        last = {name: steps[-1] for name, steps in self.seen.items()}
        counted = (self.seed, self.total, self.steps, self.terminated, self.success, self.best)
        return Played(*counted, last, film)
