"""Word and character error rates of transcriptions, by jiwer.

    WER = (substitutions + deletions + insertions) / words of the references,

over a whole corpus, and CER the same of characters with blanks. Lower is better; 0 is none wrong,
and above 1 more is wrong than was said. Sample size: some dozens of sentences, since errors of one
sentence hang together; intervals are of 1,000 resamplings of sentences. Both sides are compared in
lower case, without punctuation and with apostrophes, blanks run together. Reference implementation:
jiwer itself, which is called here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmgen.core.errors import MissingDependency

__all__ = ["plain_words", "word_errors"]

_RESAMPLINGS, _SEED = 1000, 0


def plain_words(text: str) -> str:
    """A text in lower case, of letters, digits and apostrophes within words, one blank between."""
    kept = unicodedata.normalize("NFKC", text.replace("\u2019", "'")).casefold()
    kept = re.sub(r"(?<!\w)'|'(?!\w)|[^\w']|_", " ", kept)
    return " ".join(kept.split())


def word_errors(heard: Sequence[str], said: Sequence[str]) -> dict[str, Any]:
    """Error rates of transcriptions.

    Args:
        heard: What a recogniser wrote, one for each reference.
        said: The references; each has a word at least.

    Returns:
        {"wer": ..., "cer": ...}, each {"share", "low", "high", "errors", "count"} with the 95 %
        interval of the bootstrap over sentences; `count` is of the references' words or characters.

    Raises:
        ValueError: If there is not one transcription for each reference, or a reference is empty.
        MissingDependency: If jiwer is not installed.

    Source: Binary codes capable of correcting deletions, insertions, and reversals (Levenshtein,
    1966).
    """
    if len(heard) != len(said) or not said:
        raise ValueError(
            f"Expected one transcription for each reference, got {len(heard)} for {len(said)}."
        )
    heard, said = [plain_words(text) for text in heard], [plain_words(text) for text in said]
    if not all(said):
        raise ValueError("A reference has no word in it. Leave it out.")
    try:
        from jiwer import process_characters, process_words
    except ImportError:
        raise MissingDependency("jiwer", extra="bench", purpose="Error rates") from None
    found = {}
    for name, process in (("wer", process_words), ("cer", process_characters)):
        each = [process(one, other) for one, other in zip(said, heard, strict=True)]
        errors = np.array([e.substitutions + e.deletions + e.insertions for e in each])
        count = np.array([e.substitutions + e.deletions + e.hits for e in each])
        rows = np.random.default_rng(_SEED).integers(len(said), size=(_RESAMPLINGS, len(said)))
        rates = errors[rows].sum(1) / count[rows].sum(1)
        low, high = np.quantile(rates, (0.025, 0.975))
        found[name] = {
            "share": round(float(errors.sum() / count.sum()), 5),
            "low": round(float(low), 5),
            "high": round(float(high), 5),
            "errors": int(errors.sum()),
            "count": int(count.sum()),
        }
    return found
