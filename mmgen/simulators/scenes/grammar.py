"""From a scene to a caption, with the claims that the caption makes.

Every caption names the colour and shape of every thing, hence also their number. Sizes, places,
relations and the background are stated now and then, and only where no one would disagree.
Synonyms are unambiguous: each word has one meaning in this grammar.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmgen.simulators.scenes.world import (
    BACKGROUNDS,
    CANVAS,
    COLOURS,
    Scene,
    Thing,
    clear_relation,
)

__all__ = ["Caption", "Claim", "describe", "vocabulary"]

# The first of each row is the common word.
_SHAPE_WORDS = {
    "circle": (("circle", "circles"), ("disc", "discs")),
    "square": (("square", "squares"), ("box", "boxes")),
    "triangle": (("triangle", "triangles"),),
    "star": (("star", "stars"),),
    "cross": (("cross", "crosses"), ("plus sign", "plus signs")),
    "ring": (("ring", "rings"), ("hoop", "hoops")),
}
_WORDS = {name: (name,) for name in (*COLOURS, *BACKGROUNDS)} | {
    "purple": ("purple", "violet"),
    "grey": ("grey", "gray"),
    "small": ("small", "little", "tiny"),
    "large": ("large", "big"),
}
_RELATION_WORDS = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above",),
    "below": ("below", "under"),
}
_PLACE_WORDS = {
    "top left": ("in the top left corner", "at the top left"),
    "top": ("at the top",),
    "top right": ("in the top right corner", "at the top right"),
    "left": ("on the left", "at the left"),
    "centre": ("in the centre", "in the center", "in the middle"),
    "right": ("on the right", "at the right"),
    "bottom left": ("in the bottom left corner", "at the bottom left"),
    "bottom": ("at the bottom",),
    "bottom right": ("in the bottom right corner", "at the bottom right"),
}
_BACKGROUND_WORDS = ("on a {} background", "over {}", "on {}", "against a {} background")
_OPENINGS = ("a picture of", "an image of", "an image with", "a picture with")
_NUMBERS = {2: "two", 3: "three"}

_PROB_COMMON_WORD = 0.7
_PROB_OPENING = 0.15
_PROB_SIZE = 0.4
_PROB_BACKGROUND = 0.4
_PROB_PLACE = 0.5
_PROB_RELATION = 0.8
_PROB_PLURAL = 0.75


@dataclass(frozen=True)
class Claim:
    """One thing a caption says.

    `kind` is "count", "shape", "colour", "size", "place", "background" or "relation". `subject` and
    `object` number the things in the order in which the caption names them; a relation says that
    the subject is `value` ("left", "right", "above", "below") of the object.
    """

    kind: str
    value: str
    subject: int | None = None
    object: int | None = None


@dataclass(frozen=True)
class Caption:
    """A text and what it claims."""

    text: str
    claims: tuple[Claim, ...]


def describe(scene: Scene, rng: np.random.Generator) -> Caption:
    """Draw a caption that is true of a scene."""
    writer = _Writer(rng)
    things = [scene.things[i] for i in rng.permutation(len(scene.things))]
    text = (_single, _pair, _triple)[len(things) - 1](writer, things)
    writer.claims.append(Claim("count", str(len(things))))
    if rng.random() < _PROB_BACKGROUND:
        phrase = _BACKGROUND_WORDS[rng.integers(len(_BACKGROUND_WORDS))]
        text += " " + phrase.format(writer.word(_WORDS[scene.background]))
        writer.claims.append(Claim("background", scene.background))
    if rng.random() < _PROB_OPENING:
        text = f"{_OPENINGS[rng.integers(len(_OPENINGS))]} {text}"
    return Caption(text, tuple(writer.claims))


def vocabulary() -> tuple[str, ...]:
    """Every word the grammar can write, sorted; a comma is part of no word."""
    phrases = [*_BACKGROUND_WORDS, *_OPENINGS, *_NUMBERS.values(), "a an and another the"]
    for table in (_WORDS, _RELATION_WORDS, _PLACE_WORDS):
        phrases += [phrase for row in table.values() for phrase in row]
    phrases += [word for row in _SHAPE_WORDS.values() for pair in row for word in pair]
    return tuple(sorted({word for phrase in phrases for word in phrase.split()} - {"{}"}))


class _Writer:
    """Chooses words, and keeps the claims of what has been written so far."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.claims: list[Claim] = []

    def word(self, row: Sequence[str]) -> str:
        return row[self._draw(len(row))]

    def name(self, subject: int, thing: Thing, *, others: Sequence[Thing] = ()) -> str:
        """Name a thing, or `others` with it in the plural, without an article."""
        words = []
        group = (thing, *others)
        same_size = len({one.size for one in group}) == 1
        states_size = same_size and self.rng.random() < _PROB_SIZE
        if states_size:
            words.append(self.word(_WORDS[thing.size]))
        words.append(self.word(_WORDS[thing.colour]))
        rows = _SHAPE_WORDS[thing.shape]
        words.append(rows[self._draw(len(rows))][1 if others else 0])
        for i, one in enumerate(group, start=subject):
            self.claims += [Claim("colour", one.colour, i), Claim("shape", one.shape, i)]
            if states_size:
                self.claims.append(Claim("size", one.size, i))
        return " ".join(words)

    def relate(self, value: str, subject: int, objects: Sequence[int]) -> str:
        self.claims += [Claim("relation", value, subject, other) for other in objects]
        return self.word(_RELATION_WORDS[value])

    def _draw(self, num: int) -> int:
        if num == 1 or self.rng.random() < _PROB_COMMON_WORD:
            return 0
        return 1 + int(self.rng.integers(num - 1))


def _a(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _twins(one: Thing, other: Thing) -> bool:
    return (one.colour, one.shape) == (other.colour, other.shape)


def _single(writer: _Writer, things: list[Thing]) -> str:
    text = _a(writer.name(0, things[0]))
    place = _place(things[0])
    if place is not None and writer.rng.random() < _PROB_PLACE:
        writer.claims.append(Claim("place", place, 0))
        text += " " + writer.word(_PLACE_WORDS[place])
    return text


def _pair(writer: _Writer, things: list[Thing]) -> str:
    first, second = things
    twins = _twins(first, second)
    if twins and writer.rng.random() < _PROB_PLURAL:
        return f"two {writer.name(0, first, others=[second])}"
    start = _a(writer.name(0, first))
    relation = _relation(first, second)
    if relation is not None and writer.rng.random() < _PROB_RELATION:
        link = writer.relate(relation, 0, [1])
    else:
        link = "and"
    end = writer.name(1, second)
    return f"{start} {link} {'another ' + end if twins else _a(end)}"


def _triple(writer: _Writer, things: list[Thing]) -> str:
    twins = [(i, j) for i, j in ((0, 1), (0, 2), (1, 2)) if _twins(things[i], things[j])]
    if len(twins) == 3:
        return f"three {writer.name(0, things[0], others=things[1:])}"
    if twins:
        i, j = twins[0]
        odd = things[3 - i - j]
        if writer.rng.random() < 0.5:
            plural = writer.name(0, things[i], others=[things[j]])
            return f"two {plural} and {_a(writer.name(2, odd))}"
        start = _a(writer.name(0, odd))
        return f"{start} and two {writer.name(1, things[i], others=[things[j]])}"
    first, second, third = things
    to_second = _relation(first, second)
    to_first, to_third = _relation(third, second), _relation(first, third)
    if writer.rng.random() < _PROB_RELATION and to_second is not None:
        if to_second == to_third:
            start = _a(writer.name(0, first))
            link = writer.relate(to_second, 0, [1, 2])
            return f"{start} {link} {_a(writer.name(1, second))} and {_a(writer.name(2, third))}"
        if to_first is not None:
            start, link = _a(writer.name(0, first)), writer.relate(to_second, 0, [1])
            anchor = writer.name(1, second)
            end, back = _a(writer.name(2, third)), writer.relate(to_first, 2, [1])
            return f"{start} {link} {_a(anchor)}, and {end} {back} the {anchor}"
    names = [_a(writer.name(i, thing)) for i, thing in enumerate(things)]
    return f"{names[0]}, {names[1]} and {names[2]}"


def _relation(subject: Thing, other: Thing) -> str | None:
    """What the subject clearly is of the other thing, if anything."""
    dx, dy = subject.x - other.x, subject.y - other.y
    horizontal, vertical = clear_relation(dx, dy)
    if horizontal:
        return "left" if dx < 0 else "right"
    if vertical:
        return "above" if dy < 0 else "below"
    return None


def _place(thing: Thing) -> str | None:
    """The one of nine zones that the centre clearly lies in, if any."""
    column = _third(thing.x, ("left", "", "right"))
    row = _third(thing.y, ("top", "", "bottom"))
    if column is None or row is None:
        return None
    return f"{row} {column}".strip() or "centre"


def _third(position: float, names: tuple[str, str, str]) -> str | None:
    """Which third of the canvas, with 3 px of no man's land between the thirds."""
    offset = position - CANVAS / 2
    if abs(offset) <= 5:
        return names[1]
    if abs(offset) >= 8:
        return names[0] if offset < 0 else names[2]
    return None
