"""Operators by name, as they are typed: `downsample:factor=4`, `greyscale`, `blur:std=2`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgen.core.errors import UnknownNameError, close_names
from mmgen.core.options import Option
from mmgen.operators.blur import Blur
from mmgen.operators.compose import Compose
from mmgen.operators.downsample import Downsample
from mmgen.operators.fan_beam import FanBeam
from mmgen.operators.greyscale import Greyscale
from mmgen.operators.mask import Mask
from mmgen.operators.operator import Operator
from mmgen.operators.radon import Radon, spread_angles

__all__ = ["OPERATORS", "read_operator"]


def read_operator(texts: Sequence[str], *, read: Callable[[str], Any]) -> Operator:
    """The operator that was typed; several, one after another.

    Args:
        texts: `NAME` or `NAME:ARGUMENT=VALUE,...` of each, in the order in which they are applied.
        read: From the name of a file to an array, for arguments that are arrays.

    Raises:
        UnknownNameError: If there is no such operator.
        ValueError: If an argument is unknown, missing or none of its kind.
    """
    found = [_read(text, read) for text in texts]
    return found[0] if len(found) == 1 else Compose(found)


def _read(text: str, read: Callable[[str], Any]) -> Operator:
    name, _, rest = text.partition(":")
    if name not in OPERATORS:
        raise UnknownNameError(f"No operator {name!r}. {close_names(name, OPERATORS)}")
    taken = inspect.signature(OPERATORS[name], eval_str=True).parameters
    given: dict[str, Any] = {}
    for part in rest.split(",") if rest else ():
        key, _, value = part.partition("=")
        if key not in taken or key in given or not value:
            usage = f"{name}:{','.join(f'{k}=...' for k in taken)}" if taken else f"{name} alone"
            raise ValueError(
                f"Expected {usage}, no argument twice; got {part!r:.60} in {text!r:.80}."
            )
        kind = taken[key].annotation
        given[key] = (
            torch.as_tensor(read(value))
            if kind is Tensor
            else Option(key, None, "", kind=kind).parse(value)
        )
    missing = [k for k, p in taken.items() if p.default is p.empty and k not in given]
    if missing:
        raise ValueError(
            f"{name} needs {' and '.join(missing)}: type "
            f"{name}:{','.join(f'{k}=...' for k in missing)}."
        )
    return OPERATORS[name](**given)


def _mask(mask: Tensor) -> Mask:
    return Mask(mask)


def _radon(size: int, num_angles: int) -> Radon:
    return Radon(size, angles=spread_angles(num_angles))


def _fan_beam(size: int, num_angles: int) -> FanBeam:
    return FanBeam(size, angles=spread_angles(num_angles, over=2 * math.pi))


OPERATORS: dict[str, Callable[..., Operator]] = {
    "blur": Blur.gaussian,
    "downsample": Downsample,
    "fan_beam": _fan_beam,
    "greyscale": Greyscale,
    "mask": _mask,
    "radon": _radon,
}
"""What makes the operator of each name, by arguments that can be typed."""
