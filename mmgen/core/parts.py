"""Samples in parts of a size that memory holds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmgen.core.conditional import Progress
from mmgen.core.preview import Guess, tell
from mmgen.core.rng import Generators

__all__ = ["Draw", "OnStep", "in_parts"]

OnStep = Callable[..., None]
"""Called with the number of steps done and, where there is one, the present guess."""

Draw = Callable[[Tensor, Generators, OnStep], Tensor]
"""(index (M,) of conditions, generators (1, M), on_step) -> one sample of each (M, *event)."""


def in_parts(
    draw: Draw,
    *,
    num_samples: int,
    batch: int,
    rows: int,
    num_steps: int,
    generators: Generators | None,
    progress: Progress | None,
) -> Tensor:
    """N samples of each of B conditions, at most `rows` at once.

    Args:
        draw: Draws some of them, and calls on_step(steps done, guess) up to num_steps times; the
            guess may be left out.
        num_samples: N.
        batch: B.
        rows: Most samples at once.
        num_steps: Steps of each call of `draw`.
        generators: (N, B); fresh ones if None.
        progress: Called with (steps done, steps in all).

    Returns:
        (N, B, *event).
    """
    generators = generators or Generators.from_seed(None, num_samples=num_samples, batch=batch)
    parts = torch.arange(num_samples * batch).split(rows)
    done = []
    for i, part in enumerate(parts):

        def step(done_steps: int, guess: Guess | None = None, *, i: int = i) -> None:
            tell(progress, i * num_steps + done_steps, len(parts) * num_steps, guess)

        done.append(draw(part % batch, generators.select(part), step))
    return torch.cat(done).unflatten(0, (num_samples, batch))
