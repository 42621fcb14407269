"""What cards claim of pipelines, held against the records of measurements.

A card's score is named "task: what is measured", as the task shows it, and is what the record says:

    scores={"scenes: captions wholly right, pairs never seen": "89.8 % (86.8 to 92.2, n = 500)"}

With other options than a pipeline's defaults it is "task option-value: what is measured".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mmgen import hub
from mmgen.core.card import Card
from mmgen.core.errors import UnknownNameError
from mmgen.evaluation.results import Row

__all__ = ["measured", "pipeline_table", "wrong_claims"]

MOST_SHOWN = 3
"""Scores of a card that stand in the table of pipelines: its first ones."""

_COLUMNS = ("name", "P(X given Y)", "trained on", "measured")


def measured(rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    """The rows of each recipe by its name, and each by the name that a card gives its score.

    Args:
        rows: Of all records.
    """
    found: dict[str, dict[str, Row]] = {}
    names: dict[str, str | None] = {}
    for row in rows:
        pipeline, _, chosen = row.subject.partition(" ")
        if pipeline not in names:
            names[pipeline] = _recipe_of(pipeline)
        if (name := names[pipeline]) is not None:
            found.setdefault(name, {})[f"{row.task} {chosen}".strip() + f": {row.label}"] = row
    return found


def _recipe_of(pipeline: str) -> str | None:
    """The full name of a recipe, None if there is none of this name."""
    try:
        return hub.find_recipe(pipeline).name
    except UnknownNameError:
        return None


def wrong_claims(card: Card, found: Mapping[str, Row]) -> list[str]:
    """What a card claims and no record says, a line each; none if all is as it was measured.

    Args:
        card: Of a recipe whose weights are shipped.
        found: What was measured of it, by the names of scores.
    """
    lines = []
    for name, claim in card.scores.items():
        if name not in found:
            lines.append(f"No record says {name!r}.")
        elif claim != found[name].score:
            lines.append(f"{name!r} is {found[name].score!r} in its record, {claim!r} on the card.")
    if found and not card.scores:
        lines.append("The card has no scores of those that were measured.")
    if lines:
        rows = "".join(f"        {name!r}: {row.score!r},\n" for name, row in found.items())
        lines.append(f"Its records say:\n    scores={{\n{rows}    }},")
    return lines


def pipeline_table(recipes: Sequence[hub.Recipe], rows: Sequence[Row]) -> list[str]:
    """A table of pipelines, a line each: what their cards say and what was measured of them.

    Args:
        recipes: Which.
        rows: Of all records.
    """
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" * len(_COLUMNS)]
    found = measured(rows)
    for recipe in recipes:
        card, own = recipe.card, found.get(recipe.name, {})
        scores = [_said(own[s]) for s in card.scores if s in own][:MOST_SHOWN]
        short = f", or `{recipe.name.split(':')[0]}`" if recipe.default else ""
        name = f"`{recipe.name}`{short}"
        cells = (name, card.summary, _first_words(card.data), _together(scores))
        lines.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return lines


def _together(scores: Sequence[str]) -> str:
    return "<br>".join(scores) or "not measured yet"


def _said(row: Row) -> str:
    value, bracket, rest = row.score.partition(" (")
    chosen = row.subject.partition(" ")[2]
    more = f" ({chosen.replace('-', ' = ', 1)})" if chosen else ""
    return f"{row.label}{more}: **{value}**{bracket}{rest}; {row.reference}"


def _first_words(data: str) -> str:
    """The first sentence, without what stands in brackets: where it comes from is on the card."""
    plain = re.sub(r" \([^)]*\)", "", data)
    return re.split(r"[.;:] ", plain)[0].rstrip(".")
