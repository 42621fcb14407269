"""Small changes of a pipeline's weights that can be weighed and taken off again.

    W' = W + sum_i w_i B_i A_i

for each adapter i and its weight w_i.

Source: LoRA: Low-Rank Adaptation of Large Language Models (Hu et al., 2021), Eq. 3,
arXiv:2106.09685.
"""

from __future__ import annotations

import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from mmgen.core.errors import SpecError, UnknownNameError, close_names

__all__ = ["Adapters"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Adapters(ABC):
    """The adapters of one pipeline: none at first.

    Args:
        changed: Called whenever the weights have become others.
    """

    def __init__(self, *, changed: Callable[[], None] = lambda: None) -> None:
        self.changed = changed
        self._weights: dict[str, float] = {}
        self._fused: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._weights}, fused={list(self._fused)})"

    @property
    def weights(self) -> Mapping[str, float]:
        """How much each adapter counts that is loaded and not fused."""
        return dict(self._weights)

    @property
    def fused(self) -> tuple[str, ...]:
        """Names of the adapters that are in the weights of the pipeline for good."""
        return tuple(self._fused)

    @abstractmethod
    def load(
        self,
        source: str | os.PathLike[str],
        *,
        name: str | None = None,
        weight: float = 1.0,
        **where: Any,
    ) -> str:
        """Add an adapter. If it cannot be loaded, the pipeline is as it was.

        Args:
            source: A folder, or a Hub id.
            name: To call it by; that of the file or folder if None.
            weight: How much it counts. 0 is not at all.
            where: Of a Hub id: revision, cache_dir, token, local_files_only; and what else an
                implementation names.

        Returns:
            Its name.

        Raises:
            LoadError: If there is none, it is broken, or it does not fit this pipeline.
            SpecError: If the pipeline takes no adapters.
            ValueError: If the name is taken or is none, or the weight is not finite.
        """

    def weigh(self, weights: Mapping[str, float]) -> None:
        """Change how much adapters count, {name: weight}. Those not named stay as they are.

        Raises:
            UnknownNameError: If one is not loaded, or is fused.
            ValueError: If a weight is not finite.
        """
        for name in weights:
            self._check_loaded(name)
        self._weights.update({name: _finite(weight) for name, weight in weights.items()})
        self._apply()

    @abstractmethod
    def fuse(self) -> None:
        """Add all loaded adapters, as they are weighed, to the weights of the pipeline.

        They are weighed no more, and `save_pretrained` saves them with the rest. The former weights
        are kept, for `unload`.

        Raises:
            ValueError: If none is loaded.
        """

    @abstractmethod
    def unload(self, name: str | None = None) -> None:
        """Take an adapter away, or all of them if None, so that the weights are the former ones.

        Raises:
            UnknownNameError: If it is not loaded, or is fused: those that are come off together.
        """

    def require_none_loaded(self) -> None:
        """Raise SpecError if an adapter is loaded that is not fused."""
        if self._weights:
            raise SpecError(
                f"Adapters are loaded beside the weights: {', '.join(self._weights)}. Put them in "
                "(adapters.fuse()) or take them away (adapters.unload()) before the pipeline is "
                "saved."
            )

    @abstractmethod
    def _apply(self) -> None:
        """Let the pipeline use what is loaded, as it is weighed."""

    def _named(self, name: str | None, stem: str, weight: float) -> tuple[str, float]:
        """The name and the weight of an adapter that is to be loaded, checked."""
        name = re.sub(r"[^A-Za-z0-9_-]", "_", stem)[:64] if name is None else name
        if not _NAME.fullmatch(name) or name in self._weights or name in self._fused:
            raise ValueError(
                f"An adapter's name is of letters, digits, _ and -, and is not taken; got {name!r}."
                " Give another: name=..."
            )
        return name, _finite(weight)

    def _check_some(self) -> None:
        if not self._weights:
            raise ValueError("No adapter is loaded. Load one: adapters.load(file).")

    def _check_loaded(self, name: str) -> None:
        if name in self._fused:
            raise UnknownNameError(
                f"{name!r} is fused: all that are come off together, by adapters.unload()."
            )
        if name not in self._weights:
            hint = close_names(name, self._weights) if self._weights else "None is."
            raise UnknownNameError(f"No adapter {name!r} is loaded. {hint}")


def _finite(weight: float) -> float:
    number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    if not number or not math.isfinite(weight):
        raise ValueError(f"The weight of an adapter is a finite number, got {weight!r}.")
    return float(weight)
