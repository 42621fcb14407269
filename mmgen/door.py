"""The call that pipelines and chains share: P(X | y), and samples of it at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from mmgen.core.conditional import Progress
from mmgen.distribution import Seen

__all__ = ["Door"]


class Door(ABC):
    """What is called to draw from P(X | y)."""

    @abstractmethod
    def given(self, y: Any = None, **options: Any) -> Any:
        """P(X | y), or one for each y of a list; with `sample` and `log_prob`."""

    def __call__(
        self,
        y: Any = None,
        *,
        num_samples: int | None = None,
        seed: int | Sequence[int] | None = None,
        progress: Progress | None = None,
        preview: Seen | None = None,
        **options: Any,
    ) -> Any:
        """Sample: one value for one condition, a list for a list.

        Args:
            y: A condition, a list of them, or None for none.
            num_samples: If given, a list of so many for each condition.
            seed: s for s, s + 1, ... over all samples, conditions outermost; or a list of one each.
            progress: Called with (steps done, steps in all). What it raises ends the sampling.
            preview: Called after each step with (steps done, steps in all, guess); `guess()` is a
                list of what the samples would be now, see `Distribution.sample`. Of a chain only
                the last stage has guesses.
            options: Those that `options()` lists, and what `given` takes besides.

        Returns:
            A value of X; a list of them for several conditions; a list of num_samples of them in
            place of each if num_samples is given.
        """
        count = 1 if num_samples is None else num_samples
        told = {"seed": seed, "progress": progress, "preview": preview}
        given = self.given(y, **options)
        samples = given.sample(count, **told)
        if num_samples is not None:
            return samples
        return samples[0] if given.single else [s[0] for s in samples]
