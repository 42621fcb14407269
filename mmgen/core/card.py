"""The card of a recipe: what it is, what it was trained on, what it claims."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Card"]


@dataclass(frozen=True)
class Card:
    """What a recipe says of itself. Literals only, so that it can be read without running code.

    Args:
        x: What is generated.
        y: What it is generated from.
        family: Family of the model.
        summary: One line.
        data: What it was trained on.
        licence: Licence of the weights and of that data.
        parameters: Number of parameters.
        trained: How and on what machine the shipped weights were made.
        scores: Measured scores by name, each with its value and how it was measured.
        limits: What it cannot do.
    """

    x: str
    y: str
    family: str
    summary: str
    data: str
    licence: str
    parameters: int
    trained: str = ""
    scores: dict[str, str] = field(default_factory=dict)
    limits: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The card as plain values."""
        return asdict(self)
