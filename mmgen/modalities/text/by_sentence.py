"""A text as a condition that is answered sentence by sentence, with texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mmgen.core.parted import Parted
from mmgen.modalities.text.fitting import split_to_fit
from mmgen.modalities.text.sentences import join_sentences, split_sentences

__all__ = ["by_sentence"]


def by_sentence(
    text: str,
    value_of: Callable[[str], Any],
    *,
    fits: Callable[[str], bool],
    language: str | None = None,
    answer_language: str | None = None,
) -> Parted | None:
    """A text of several sentences in its parts; None if it is to be answered whole.

    Blanks, line breaks, and pieces with neither letter nor digit stay as they are.

    Args:
        text: The text.
        value_of: The condition of a sentence.
        fits: Whether a model can read a sentence. Pieces of those that it cannot are parts, too.
        language: Of the text, as in `split_sentences`.
        answer_language: Of the answer.

    Raises:
        ValueError: If not even a character can be read.
    """
    pieces = split_to_fit(text, fits, language)
    said = [piece.strip() for piece in pieces if _says(piece)]
    if len(pieces) == 1 or not said:
        return None

    def join(answers: Sequence[str]) -> str:
        left, found = list(answers), []
        for piece in pieces:
            if _says(piece) and not left:
                break
            found.append(left.pop(0) if _says(piece) else piece)
        return join_sentences(found, pieces)

    def split(answer: str) -> list[str] | None:
        parts = [p.strip() for p in split_sentences(answer, answer_language) if _says(p)]
        return parts if len(parts) == len(said) else None

    return Parted(tuple(map(value_of, said)), join, split)


def _says(piece: str) -> bool:
    return any(character.isalnum() for character in piece)
