"""The autoregressive family on texts, whose samples may be stopped by what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from mmgen.backends.from_transformers.glossary import Demanding
from mmgen.backends.from_transformers.tokenized_text import TokenizedText
from mmgen.core.condition import Condition
from mmgen.core.options import Option
from mmgen.families.autoregressive import Autoregressive
from mmgen.families.autoregressive.conditional import AutoregressiveConditional
from mmgen.families.autoregressive.containing import ContainingConditional

__all__ = ["TextModel"]

# Tokens without a letter of their own, such as parts of a character, that a stop may end with.
_SILENT = 8


class TextModel(Autoregressive):
    """An autoregressive model of texts.

    Args:
        network: As of `Autoregressive`.
        codec: Of the texts.
        settings: Further arguments of `Autoregressive`.
    """

    def __init__(self, network: nn.Module, codec: TokenizedText, **settings: Any) -> None:
        super().__init__(network, spec=codec.spec, **settings)
        # Not a part: the pipeline holds it.
        self._text_of = codec.text_of
        self._ids_of = lambda text: codec.prepare([text])["ids"][0].tolist()

    def options(self) -> tuple[Option, ...]:
        stop = Option(
            "stop",
            None,
            "A text, or a list of them, after which a sample ends; it stays in the sample.",
            optional=True,
            kind=object,
        )
        return (*super().options(), stop)

    def forward(
        self, c: Condition, **options: Any
    ) -> AutoregressiveConditional | ContainingConditional:
        stop = options.pop("stop", None)
        conditional = super().forward(c, **options)
        if stop is not None:
            halts = self._stopping([stop] if isinstance(stop, str) else stop)
            conditional = replace(conditional, halts=halts)
        if not isinstance(c, Demanding) or not any(c.terms):
            return conditional
        rows = tuple(tuple(map(self._phrase, terms)) for terms in c.terms)
        return ContainingConditional(conditional, rows)

    def _phrase(self, term: str) -> tuple[int, ...]:
        """The tokens of a term within a text."""
        dense = "\u3000" <= term[0] <= "\u9fff"
        ids = self._ids_of(term if dense else f" {term}")
        # Of some tokenizers, the beginning of a text alone.
        return tuple(ids[1:] if not self._text_of(ids[:1]).strip() and len(ids) > 1 else ids)

    def _stopping(self, stops: Sequence[str]) -> Any:
        if not isinstance(stops, (list, tuple)) or not all(isinstance(s, str) for s in stops):
            raise TypeError(f"stop is a text or a list of texts, got {stops!r:.60}.")
        if not stops or not all(stops):
            raise ValueError("stop is a text or a list of texts, none of them empty.")
        reach = max(map(len, stops)) + _SILENT

        def halts(ids: list[int]) -> bool:
            tail = self._text_of(ids[-reach:])
            return any(stop in tail for stop in stops)

        return halts
