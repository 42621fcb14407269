r"""Codes: what is inside x, and the way between two.

A conditional that is `Invertible` gives each x a code u of about standard normal numbers, and x
back from it. Codes far from zero and near it are both unlikely in many dimensions, so the way from
u_0 to u_1 turns the direction along a great circle and changes the length evenly:

    u_s = ((1 - s) |u_0| + s |u_1|) (sin((1 - s) w) d_0 + sin(s w) d_1) / sin(w),   d = u / |u|,

with w the angle between the two. Where one is zero, or they are opposite, no great circle is
singled out (in one dimension there is none at all), and the way is straight.

Source: Sampling Generative Networks (White, 2016), Sec. 2.1, arXiv:1609.04468, with the length
apart.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmgen.chain import Stage
from mmgen.core.conditional import Invertible
from mmgen.core.errors import SpecError

__all__ = ["decode", "encode", "interpolate"]

# Below this sine of the angle the way is a straight line, to rounding.
LEAST_SINE = 1e-4


def encode(pipe: Stage, x: Any, y: Any = None, **options: Any) -> Tensor:
    """The code of a value, or of each of a list.

    Args:
        pipe: P(X | Y) whose family has codes.
        x: A value, or a list of them.
        y: The condition of all, or a list of one each, or None for none.
        options: Of `pipe.given`.

    Returns:
        (*code), or (B, *code) for a list.

    Raises:
        SpecError: If the family has no codes.
        ValueError: If there is not one condition for each value.
    """
    single = pipe.codec.is_one(x)
    values = [x] if single else list(x)
    conditional = _invertible(pipe, _conditions(pipe, y, len(values)), options)
    with torch.no_grad():
        latent = pipe.codec.encode(pipe.codec.prepare(values))
        code = conditional.encode(latent)
    return code[0] if single else code


def decode(pipe: Stage, code: Tensor, y: Any = None, **options: Any) -> list[Any]:
    """The values of codes (B, *code).

    Args:
        pipe: P(X | Y) whose family has codes.
        code: One for each value.
        y: The condition of all, or a list of one each, or None for none.
        options: Of `pipe.given`.

    Raises:
        SpecError: If the family has no codes, or these do not fit it.
    """
    conditional = _invertible(pipe, _conditions(pipe, y, len(code)), options)
    with torch.no_grad():
        return pipe.codec.present(pipe.codec.decode(conditional.decode(code)))


def interpolate(
    pipe: Stage, start: Any, stop: Any, num_steps: int, *, y: Any = None, **options: Any
) -> list[Any]:
    """Values on the way from one to another, along the great circle between their codes.

    Args:
        pipe: P(X | Y) whose family has codes.
        start: First value.
        stop: Last value.
        num_steps: Number of values, both ends included; two or more. The ends are what their codes
            give, equal to `start` and `stop` up to the tolerance of the family.
        y: The condition of all.
        options: Of `pipe.given`.

    Raises:
        SpecError: If the family has no codes.
        ValueError: If there are fewer than two steps.
    """
    if num_steps < 2:
        raise ValueError(f"num_steps counts both ends, so it is 2 or more, got {num_steps}.")
    codes = encode(pipe, [start, stop], [y, y], **options)
    shares = torch.linspace(0, 1, num_steps, dtype=torch.float64).tolist()
    between = torch.stack([_between(codes[0], codes[1], share) for share in shares])
    return decode(pipe, between, [y] * num_steps, **options)


def _between(start: Tensor, stop: Tensor, share: float) -> Tensor:
    """The code at a share of the way."""
    norms = start.norm(), stop.norm()
    if min(norms) == 0:
        return torch.lerp(start, stop, share)
    directions = start / norms[0], stop / norms[1]
    angle = (directions[0] * directions[1]).sum().double().clamp(-1, 1).arccos()
    if angle.sin() < LEAST_SINE:
        return torch.lerp(start, stop, share)
    weights = [(part * angle).sin() / angle.sin() for part in (1 - share, share)]
    turned = directions[0] * weights[0].to(start) + directions[1] * weights[1].to(start)
    return torch.lerp(*norms, share) * turned


def _conditions(pipe: Stage, y: Any, count: int) -> list[Any]:
    conditions = [y] * count if pipe.encoder.is_one(y) else list(y)
    if len(conditions) != count:
        raise ValueError(f"Expected {count} conditions, one for each, got {len(conditions)}.")
    return conditions


def _invertible(pipe: Stage, conditions: list[Any], options: dict[str, Any]) -> Invertible:
    conditional = pipe.given(conditions, **options).conditional
    if not isinstance(conditional, Invertible):
        raise SpecError(
            f"{type(conditional).__name__} has no codes. Use a family that is a map between noise "
            "and data: diffusion, or normalizing_flow."
        )
    return conditional
