"""Terms of a source that have to be translated by given ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from mmgen.core.condition import Condition

__all__ = ["Demanding", "checked_glossary", "demanded"]


@dataclass(frozen=True)
class Demanding(Condition):
    """A condition whose answers shall contain terms.

    Args:
        terms: Those of each of the batch.
    """

    terms: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, c: Condition, terms: tuple[tuple[str, ...], ...]) -> Demanding:
        """A condition and its terms."""
        return cls(**{f.name: getattr(c, f.name) for f in fields(Condition)}, terms=terms)

    def select(self, index: Tensor) -> Demanding:
        rows = tuple(self.terms[i] for i in index.tolist())
        return Demanding.of(super().select(index), rows)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Demanding:
        return Demanding.of(super().to(device, dtype), self.terms)


def checked_glossary(glossary: Any) -> dict[str, str]:
    """Terms of the source and of the answer.

    Raises:
        TypeError: If it is no mapping of texts to texts.
        ValueError: If one of them is empty.
    """
    texts = isinstance(glossary, Mapping) and all(
        isinstance(term, str) for pair in glossary.items() for term in pair
    )
    if not texts:
        raise TypeError(f'A glossary is {{"source term": "target term"}}, got {glossary!r:.60}.')
    if not all(term.strip() for pair in glossary.items() for term in pair):
        raise ValueError("A term of the glossary is empty. Leave it out.")
    return {source.strip(): target.strip() for source, target in glossary.items()}


def demanded(text: str, glossary: Mapping[str, str]) -> tuple[str, ...]:
    """The target terms of what a text has of a glossary, each once; of two in one the longer.

    Words are found whole, whatever their case.
    """
    found: list[str] = []
    for source in sorted(glossary, key=len, reverse=True):
        # Scripts without blanks have no edges of words.
        first, last = ("" if "\u3000" <= c <= "\u9fff" else r"\b" for c in (source[0], source[-1]))
        edges = (first if source[0].isalnum() else "", last if source[-1].isalnum() else "")
        text, times = re.subn(
            edges[0] + re.escape(source) + edges[1], "\n", text, flags=re.IGNORECASE
        )
        if times and glossary[source] not in found:
            found.append(glossary[source])
    return tuple(found)
