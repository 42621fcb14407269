"""Texts to sentences and back: for models that translate, or speak, one sentence at a time.

Nothing is lost: the sentences of a text, one after another, are the text. Each holds the blanks and
line breaks that follow it. A line break ends a sentence. Where it is not clear whether a sentence
ends, it goes on: two in one piece are read well, half a one is not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["join_sentences", "split_sentences"]

_CLOSING = "\"'”’»)]}」』）》】〉］｝"
_OPENING = "\"'“‘«([{「『（《【〈［｛¿¡*•–—-"
# Marks of scripts that put no blank after a sentence.
_DENSE = "。！？｡"
_STOP = re.compile(
    rf"(?P<line>[^\S\n]*\n\s*)"
    rf"|(?P<mark>[.!?…։۔؟।॥።៕။{_DENSE}]+)(?P<close>[{re.escape(_CLOSING)}]*)(?P<gap>\s*)"
)
_PAIRS = (("「", "」"), ("『", "』"), ("（", "）"), ("“", "”"))

# After these a sentence goes on. Those that may as well end one are left out, such as "etc".
_ABBREVIATIONS = frozenset(
    # English
    "mr mrs ms dr prof st vs cf al approx dept gen col lt sgt capt rev hon gov sen rep mt ft jr sr "
    "jan feb mar apr jun jul aug sep sept oct nov dec "
    # German, French, Spanish, Italian, Dutch, Portuguese
    "bzw ca hr fr evtl ggf inkl vgl geb str tel mio mrd mme mlle mm sra srta dra ud uds sig dott "
    "dhr mevr bijv exmo "
    # Russian
    "г ул им тыс млн млрд руб стр".split()
)
# And after these before a number.
_NUMBERED = frozenset("no nr nos nº fig figs eq sec ch vol pp p art abs num núm № рис табл".split())
# Languages that write an ordinal number with a full stop.
_ORDINAL = frozenset("de da nb nn no fi cs sk hu pl sl hr sr et lv is tr".split())
_THREE_LETTERS = {"deu": "de", "ger": "de", "dan": "da", "nob": "nb", "nno": "nn", "fin": "fi"} | {
    "ces": "cs", "slk": "sk", "hun": "hu", "pol": "pl", "slv": "sl", "hrv": "hr", "tur": "tr"
}  # fmt: skip
_DOTTED = re.compile(r"(?:[^\W\d_]{1,3}\.)+[^\W\d_]{1,3}")


def split_sentences(text: str, language: str | None = None) -> list[str]:
    """The sentences of a text, each with the blanks that follow it. Joined they are the text.

    Args:
        text: Any text. An empty one has no sentences.
        language: Its code, such as "de", "deu" or "deu_Latn", if it is known.
    """
    code = re.split(r"[-_]", (language or "").lower())[0]
    ordinals = _THREE_LETTERS.get(code, code) in _ORDINAL
    found, start = [], 0
    for stop in _STOP.finditer(text):
        sentence = text[start : stop.start()]
        after = text[stop.end() : stop.end() + 8]
        # Blanks before the first sentence are its own.
        if (sentence.strip() or stop["mark"]) and _ends(sentence, stop, after, ordinals):
            found.append(text[start : stop.end()])
            start = stop.end()
    if text[start:]:
        found.append(text[start:])
    return found


def join_sentences(answers: Sequence[str], sentences: Sequence[str]) -> str:
    """What was made of sentences, with the blanks and line breaks that were between them.

    Where one language puts a blank between sentences and the other none, it is added or left out.

    Args:
        answers: What was made of each sentence, or of the first of them.
        sentences: What `split_sentences` gave.
    """
    if not answers:
        return ""
    first = sentences[0]
    joined = first[: len(first) - len(first.lstrip())]
    for i, answer in enumerate(answers):
        answer = answer.strip()
        source = sentences[i].strip()
        gap = sentences[i][len(sentences[i].rstrip()) :]
        if i + 1 < len(sentences) and "\n" not in gap and _dense(source) != _dense(answer):
            gap = "" if _dense(answer) else gap or " "
        joined += answer + (gap if i + 1 < len(answers) or i + 1 == len(sentences) else "")
    return joined


def _ends(sentence: str, stop: re.Match[str], after: str, ordinals: bool) -> bool:
    """Whether a sentence ends with a stop."""
    mark, close, gap = stop["mark"], stop["close"], stop["gap"]
    if mark is None or not after or "\n" in gap:
        return True
    if mark[-1] in _DENSE:
        whole = sentence + mark + close
        if any(whole.count(left) > whole.count(right) for left, right in _PAIRS):
            return False
        # What was quoted is often followed by who said it.
        return bool(gap) or not close or after[0] in _OPENING
    following = after.lstrip(_OPENING)[:1]
    if not gap or following.islower():
        return False
    return mark != "." or bool(close) or not _goes_on(sentence, following, ordinals)


def _goes_on(sentence: str, following: str, ordinals: bool) -> bool:
    """Whether a full stop after this belongs to an abbreviation or a number."""
    words = sentence[-40:].split()
    if not words or sentence[-1:].isspace():
        return False
    word = words[-1].lstrip(_OPENING)
    name = word.casefold()
    if name in _ABBREVIATIONS or (name in _NUMBERED and following.isdigit()):
        return True
    if _DOTTED.fullmatch(word) or (len(word) == 1 and word.isalpha() and word != "I"):
        return True
    if not word.isdecimal():
        return False
    return word == sentence.strip() or (ordinals and len(word) <= 2)


def _dense(text: str) -> bool:
    """Whether a text ends in a script that puts no blank after a sentence."""
    return any("\u3000" <= c <= "\u9fff" or "\uf900" <= c <= "\uffef" for c in text[-2:])
