"""What samples would be now, shown while they are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mmgen.core.conditional import Progress
from mmgen.core.latent import Latent

__all__ = ["Guess", "Preview", "tell"]

Guess = Callable[[], Latent]
"""() -> what the samples (M, *event) that are being drawn would be now."""


@dataclass(frozen=True)
class Preview:
    """Progress that also sees what is being drawn.

    Args:
        see: Called after each step with (steps done, steps in all, guess), the last None where a
            family has none. What it raises ends the sampling.
        progress: Called before it with (steps done, steps in all).
    """

    see: Callable[[int, int, Guess | None], None]
    progress: Progress | None = None

    def __call__(self, done: int, total: int, guess: Guess | None = None) -> None:
        if self.progress is not None:
            self.progress(done, total)
        self.see(done, total, guess)


def tell(progress: Progress | None, done: int, total: int, guess: Guess | None = None) -> None:
    """Report a step, with the guess to whoever sees it."""
    if isinstance(progress, Preview):
        progress(done, total, guess)
    elif progress is not None:
        progress(done, total)
