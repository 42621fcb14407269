"""English as it is read aloud: words and pauses, numbers and signs written out."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["PAUSES", "number_words", "spoken_words"]

PAUSES = (",", ".", "?", "!")
"""How a pause sounds: going on, ending, asking, calling."""

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_POWERS = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_SHORT = {
    "mr": "mister",
    "mrs": "missus",
    "ms": "miz",
    "dr": "doctor",
    "st": "saint",
    "vs": "versus",
    "etc": "et cetera",
    "no": "number",
}
_SIGNS = {"&": "and", "%": "percent", "+": "plus", "=": "equals", "@": "at"}
_COINS = {"$": "dollars", "£": "pounds", "€": "euros", "¥": "yen"}
_TOKEN = re.compile(
    r"(?P<money>[$£€¥])?(?P<number>\d[\d,]*(?:\.\d+)?)(?P<ending>st|nd|rd|th)?(?![a-z])"
    r"|(?P<short>(?:mr|mrs|ms|dr|st|vs|etc)\.|no\.(?=\s*\d))"
    r"|(?P<word>[a-z]+(?:'[a-z]+)*)"
    r"|(?P<sign>[&%+=@])"
    r"|(?P<pause>[.?!]+|(?<!\d)[,;:]|[,;:](?!\d)|\s-+\s|--+|[\u2013\u2014\u2026])"
)
_LARGEST = 10**12


def number_words(number: int) -> list[str]:
    """A whole number in words, below a million million; one digit after another above.

    Args:
        number: At least 0.
    """
    if number >= _LARGEST:
        return [_ONES[int(digit)] for digit in str(number)]
    for size, name in _POWERS:
        if number >= size:
            rest = number_words(number % size) if number % size else []
            return [*number_words(number // size), name, *rest]
    if number < len(_ONES):
        return [_ONES[number]]
    return [_TENS[number // 10], *([_ONES[number % 10]] if number % 10 else [])]


def spoken_words(text: str) -> list[str]:
    """Words in lower case, of letters a to z with apostrophes between, and `PAUSES`.

    Accents are taken off; what is neither a word, a number nor a sign of these is left out.
    """
    plain = unicodedata.normalize("NFKD", text.replace("\u2019", "'"))
    plain = "".join(c for c in plain if not unicodedata.combining(c)).casefold()
    words: list[str] = []
    for found in _TOKEN.finditer(plain):
        kind = found.lastgroup
        if found["number"]:
            words += _number(found["number"], found["ending"])
            words += [_COINS[found["money"]]] if found["money"] else []
        elif kind == "short":
            words += _SHORT[found["short"].rstrip(".")].split()
        elif kind == "word":
            words.append(found["word"])
        elif kind == "sign":
            words.append(_SIGNS[found["sign"]])
        elif words and words[-1] not in PAUSES:
            mark = found["pause"].strip()[:1]
            words.append(mark if mark in PAUSES else ",")
    return words


def _number(written: str, ending: str | None) -> list[str]:
    whole, _, part = written.replace(",", "").partition(".")
    number = int(whole)
    year = "," not in written and not part and not ending and len(whole) == 4
    if year and 1100 <= number < 2000 and number % 1000:
        rest = number % 100
        last = ["hundred"] if rest == 0 else number_words(rest)
        if 0 < rest < 10:
            last = ["oh", *last]
        return [*number_words(number // 100), *last]
    words = number_words(number)
    if part:
        return [*words, "point", *(_ONES[int(digit)] for digit in part)]
    if ending:
        last = words[-1]
        regular = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
        words[-1] = _ORDINALS.get(last, regular)
    return words
