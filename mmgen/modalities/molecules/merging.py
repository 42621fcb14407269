"""Symbols that often stand side by side, merged into one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

__all__ = ["learn_merges", "merge"]

_MOST_ROWS = 3000


def learn_merges(rows: Sequence[Sequence[str]], count: int) -> list[str]:
    """At most `count` merged symbols, the pair that is most frequent merged first.

    Args:
        rows: Symbols of examples; the first few thousand are looked at.
        count: How many to make. There are fewer where no pair occurs twice.

    Source: Neural Machine Translation of Rare Words with Subword Units (Sennrich et al., 2015),
    Sec. 3.2, arXiv:1508.07909; SMILES Pair Encoding (Li & Fourches, 2021),
    doi:10.1021/acs.jcim.0c01127.
    """
    held = [list(row) for row in rows[:_MOST_ROWS]]
    counts: Counter[tuple[str, str]] = Counter()
    places: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for i, row in enumerate(held):
        for pair in zip(row, row[1:], strict=False):
            counts[pair] += 1
            places[pair].add(i)
    found: list[str] = []
    while len(found) < count and counts:
        pair = max(counts, key=lambda p: (counts[p], p))
        if counts[pair] < 2:
            break
        merged = "".join(pair)
        if merged not in found:
            found.append(merged)
        for i in places.pop(pair):
            old = held[i]
            new = _joined(old, pair, merged)
            counts.subtract(zip(old, old[1:], strict=False))
            for other in zip(new, new[1:], strict=False):
                counts[other] += 1
                places[other].add(i)
            held[i] = new
        counts = +counts
    return found


def merge(symbols: Sequence[str], ranks: Mapping[str, int]) -> list[str]:
    """Symbols with neighbours merged, what has the lowest rank first.

    Args:
        symbols: Of one molecule.
        ranks: Of merged symbols.
    """
    row = list(symbols)
    while len(row) > 1:
        pairs = zip(row, row[1:], strict=False)
        rank, pair = min(
            ((ranks[a + b], (a, b)) for a, b in pairs if a + b in ranks), default=(-1, ("", ""))
        )
        if rank < 0:
            break
        row = _joined(row, pair, "".join(pair))
    return row


def _joined(row: Sequence[str], pair: tuple[str, str], merged: str) -> list[str]:
    found, i = [], 0
    while i < len(row):
        if i + 1 < len(row) and (row[i], row[i + 1]) == pair:
            found.append(merged)
            i += 2
        else:
            found.append(row[i])
            i += 1
    return found
