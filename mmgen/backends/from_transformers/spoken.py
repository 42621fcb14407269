"""Long texts as sounds: sentence by sentence, with pauses between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mmgen.core.options import Option
from mmgen.core.parted import Parted
from mmgen.modalities.audio.value import Audio
from mmgen.modalities.text.fitting import split_to_fit

__all__ = ["OPTIONS", "sentence_by_sentence"]

OPTIONS = (
    Option(
        "split",
        "sentences",
        "Whether a text of several sentences is spoken one by one.",
        choices=("sentences", "never"),
    ),
    Option(
        "pause",
        0.25,
        "Seconds of silence after a sentence, twice as many after a paragraph.",
        minimum=0.0,
        maximum=10.0,
    ),
)


def sentence_by_sentence(
    asked: Mapping[str, Any], *, fits: Callable[[str], bool], split: str, pause: float
) -> Parted | None:
    """A condition whose text is spoken in parts; None if it is spoken whole.

    A sentence that is longer than the model reads is spoken in pieces, cut at clauses if there are
    some, without a pause. Pieces with neither letter nor digit are passed over.

    Args:
        asked: The condition by its parts, a text among them.
        fits: Whether a model can read a piece.
        split: As of `OPTIONS`.
        pause: As of `OPTIONS`.
    """
    if split == "never":
        return None
    pieces = [p for p in split_to_fit(asked["text"], fits) if any(map(str.isalnum, p))]
    if len(pieces) < 2:
        return None
    gaps = [_gap(piece) * pause for piece in pieces]

    def join(sounds: Sequence[Audio]) -> Audio:
        rate, parts = sounds[0].sampling_rate, []
        for i, (sound, gap) in enumerate(zip(sounds, gaps, strict=False)):
            parts.append(sound.samples)
            if i + 1 < len(sounds):
                silence = np.zeros((len(sound.samples), round(gap * rate)), np.float32)
                parts.append(silence)
        return Audio(np.concatenate(parts, axis=1), rate)

    values = tuple({**asked, "text": piece.strip()} for piece in pieces)
    # Nothing tells which part of a sound is which sentence.
    return Parted(values, join, lambda sound: None)


def _gap(piece: str) -> int:
    """How many pauses follow a piece: two after a paragraph, none within a sentence."""
    said = piece.rstrip()
    if "\n" in piece[len(said) :]:
        return 2
    return int(not (said[-1].isalnum() or said[-1] in ",;:，；：、—–-"))
