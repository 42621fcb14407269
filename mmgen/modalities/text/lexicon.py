"""How words are said: a dictionary, and for other words what its letters teach.

Each letter of a word says none, one or two of its phones. Which it says is found by letting letters
and phones of the dictionary explain each other; a new word's letters then say what they mostly say
between the same neighbours, looked at from the widest known window inwards.

Source: Issues in Building General Letter to Sound Rules (Black, Lenzo & Pagel, 1998), Sec. 3 and 4,
with windows that are shortened in place of trees.
"""

from __future__ import annotations

import lzma
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from mmgen.core.errors import LoadError

__all__ = ["Lexicon"]

Phones = tuple[str, ...]
_MOST = 2
"""Phones of a letter."""
_ROUNDS = 4
_WINDOWS = ((4, 4), (3, 3), (2, 3), (2, 2), (1, 2), (1, 1), (0, 1), (1, 0), (0, 0))
"""Letters before and after that are looked at."""
_MAX_BYTES = 2**25


class Lexicon:
    """Words to phones.

    Args:
        letters: Of each word, the phones that each of its letters says.
    """

    def __init__(self, letters: Mapping[str, Sequence[Phones]]) -> None:
        self._letters = {word: tuple(said) for word, said in letters.items()}
        self._rules: dict[tuple[str, str, str], Phones] = {}

    @classmethod
    def learn(cls, said: Mapping[str, Sequence[str]]) -> Lexicon:
        """A dictionary, its letters aligned with its phones.

        Args:
            said: The phones of each word. A word with more than two for each letter is left out.
        """
        fits = {w: tuple(p) for w, p in said.items() if w and len(p) <= _MOST * len(w)}
        cost: Mapping[tuple[str, Phones], float] = {}
        found: dict[str, tuple[Phones, ...]] = {}
        for _ in range(_ROUNDS):
            found = {word: _aligned(word, phones, cost) for word, phones in fits.items()}
            pairs = Counter(pair for w, a in found.items() for pair in zip(w, a, strict=True))
            letters: Counter[str] = Counter()
            for (letter, _), count in pairs.items():
                letters[letter] += count
            cost = {p: -math.log(n / letters[p[0]]) for p, n in pairs.items()}
        return cls(found)

    def __len__(self) -> int:
        return len(self._letters)

    def __contains__(self, word: str) -> bool:
        return word in self._letters

    def phones(self, word: str) -> Phones:
        """The phones of a word, in lower case."""
        if word in self._letters:
            return tuple(p for said in self._letters[word] for p in said)
        return self.guess(word)

    def guess(self, word: str) -> Phones:
        """The phones that letters teach, whether the word is in the dictionary or not."""
        if not self._rules:
            self._rules = _rules(self._letters)
        said = []
        for i, letter in enumerate(word):
            for window in _WINDOWS:
                found = self._rules.get(_key(word, i, window))
                if found is not None:
                    said += found
                    break
            else:
                # A letter that no word has says nothing.
                assert letter
        return tuple(said)

    def to_bytes(self) -> bytes:
        """The file that `from_bytes` reads."""
        lines = (
            f"{word} {'|'.join('.'.join(phones) for phones in said)}"
            for word, said in sorted(self._letters.items())
        )
        return lzma.compress("\n".join(lines).encode())

    @classmethod
    def from_bytes(cls, data: bytes) -> Lexicon:
        """What `to_bytes` wrote.

        Raises:
            LoadError: If it is something else.
        """
        try:
            text = lzma.LZMADecompressor().decompress(data, max_length=_MAX_BYTES).decode()
            rows = [line.split(" ") for line in text.split("\n")]
            letters = {
                word: tuple(tuple(p.split(".")) if p else () for p in said.split("|"))
                for word, said in rows
            }
        except (lzma.LZMAError, ValueError) as error:
            raise LoadError(f"This is no dictionary of pronunciations: {error}") from None
        for word, said in letters.items():
            if len(word) != len(said):
                raise LoadError(f"This dictionary tells {len(said)} letters of {word!r:.40}.")
        return cls(letters)


def _aligned(
    word: str, phones: Phones, cost: Mapping[tuple[str, Phones], float]
) -> tuple[Phones, ...]:
    """The cheapest way to share out the phones of a word among its letters, in order."""
    unknown = 8.0 if cost else 0.0
    size = len(phones)
    best = [{0: (0.0, ())}] + [{} for _ in word]
    for i, letter in enumerate(word):
        for done, (so_far, said) in best[i].items():
            for count in range(min(_MOST, size - done) + 1):
                own = phones[done : done + count]
                # To begin with, one phone for each letter, vowels for vowels.
                price = cost.get((letter, own), unknown) if cost else _first(letter, own)
                old = best[i + 1].get(done + count)
                if old is None or so_far + price < old[0]:
                    best[i + 1][done + count] = (so_far + price, (*said, own))
    return best[-1][size][1]


def _first(letter: str, phones: Phones) -> float:
    if len(phones) != 1:
        return 1.0
    return 0.0 if (letter in "aeiouyw") == (phones[0][0] in "aeiou") else 1.5


def _key(word: str, i: int, window: tuple[int, int]) -> tuple[str, str, str]:
    before, after = window
    padded = f"{'#' * before}{word}{'#' * after}"
    return padded[i : i + before], word[i], padded[i + before + 1 : i + before + 1 + after]


def _rules(letters: Mapping[str, Sequence[Phones]]) -> dict[tuple[str, str, str], Phones]:
    counts: dict[tuple[str, str, str], Counter[Phones]] = defaultdict(Counter)
    for word, said in letters.items():
        for i, own in enumerate(said):
            for window in _WINDOWS:
                counts[_key(word, i, window)][own] += 1
    return {key: found.most_common(1)[0][0] for key, found in counts.items()}
