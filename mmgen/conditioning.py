"""What people give for Y as what a model sees: c, and what guidance compares it with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mmgen.core.composite import CompositeEncoder
from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.model import Model
from mmgen.core.options import Option

__all__ = ["condition", "guidance_options"]


def guidance_options(encoder: Encoder) -> tuple[Option, ...]:
    """What a call takes besides if its model is guided: these go into the condition."""
    negative = Option(
        "negative_prompt", None, "What guidance leads away from.", optional=True, kind=object
    )
    if not isinstance(encoder, CompositeEncoder):
        return (negative,)
    weights = Option(
        "weights",
        None,
        "How much parts of a condition count in guidance, {part: factor}; 1 if not named.",
        optional=True,
        kind=dict,
    )
    return negative, weights


def condition(
    encoder: Encoder, model: Model, values: Sequence[Any], settings: Mapping[str, Any]
) -> Condition:
    """The condition c of B values, with its null and its weighted parts if the model is guided.

    Args:
        encoder: Y to c.
        model: Tells by `uses_null` whether it is guided, and where c shall be.
        values: B values of Y.
        settings: Options of the encoder and of guidance.

    Raises:
        TypeError, ValueError: If a value, what guidance leads away from, or a weight cannot be
            read.
        UnknownNameError: If a weight is of a part that there is not.
    """
    own = {o.name: settings[o.name] for o in encoder.options()}
    encoder.check(values, **own)
    negative = settings.get("negative_prompt")
    if negative is not None:
        encoder.check([negative], **own)
    c = _encoded(encoder, model, values)
    if not model.uses_null:
        return c
    c = c.with_null(_encoded(encoder, model, [negative] * len(values)))
    weights = settings.get("weights") or {}
    return c.with_weighted(_weighted(encoder, model, values, weights))


def _weighted(
    encoder: Encoder, model: Model, values: Sequence[Any], weights: Mapping[str, Any]
) -> list[tuple[float, Condition]]:
    """(w, c without a part) for each part whose weight is not 1."""
    found = []
    for part, weight in weights.items():
        rows = encoder.without(values, part)
        number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not number or not 0 <= weight < math.inf:
            raise ValueError(f"A weight is a number from 0 up; {part!r} came with {weight!r}.")
        if weight != 1:
            found.append((float(weight), _encoded(encoder, model, rows)))
    return found


def _encoded(encoder: Encoder, model: Model, values: Sequence[Any]) -> Condition:
    like = next(model.parameters())
    return encoder.encode(encoder.prepare(values)).to(like.device, like.dtype)
