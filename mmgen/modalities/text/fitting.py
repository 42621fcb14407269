"""Texts in pieces that a model can read: whole sentences where it can read those."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from mmgen.modalities.text.sentences import split_sentences

__all__ = ["split_to_fit"]

# Where a sentence that is too long is parted: at clauses, else at words, else anywhere.
_LEVELS = (
    re.compile(r"(?<=[;；])\s*"),
    re.compile(r"(?<=[,:，、：—–])\s*"),
    re.compile(r"(?<=\s)(?=\S)"),
    re.compile(r"(?<=.)(?=.)", re.DOTALL),
)


def split_to_fit(text: str, fits: Callable[[str], bool], language: str | None = None) -> list[str]:
    """The sentences of a text, those that do not fit in as few pieces as do. Joined, the text.

    Args:
        text: Any text.
        fits: Whether a piece, without the blanks around it, can be read.
        language: As in `split_sentences`.

    Raises:
        ValueError: If not even a character fits.
    """
    sentences = split_sentences(text, language)
    return [piece for sentence in sentences for piece in _pieces(sentence, fits, 0)]


def _pieces(text: str, fits: Callable[[str], bool], level: int) -> Iterator[str]:
    if fits(text.strip()):
        yield text
        return
    if level == len(_LEVELS):
        raise ValueError(f"Not even {text[:20]!r} can be read. Use a model that reads more.")
    held = ""
    for part in _parted(text, _LEVELS[level]):
        if held and not fits((held + part).strip()):
            yield from _pieces(held, fits, level + 1)
            held = ""
        held += part
    yield from _pieces(held, fits, level + 1)


def _parted(text: str, where: re.Pattern[str]) -> list[str]:
    """A text in parts that end where a pattern does."""
    ends = sorted({m.end() for m in where.finditer(text)} - {0, len(text)})
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]
