"""Operators of other libraries."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmgen.operators.operator import Operator

__all__ = ["Adapted", "as_operator"]


class Adapted(Operator):
    """An object with methods `A` and `A_adjoint`, as deepinv's linear physics have them.

    Args:
        physics: The object. Both methods take and give tensors with a batch axis.
    """

    def __init__(self, physics: Any) -> None:
        self.physics = physics

    @classmethod
    def debug(cls) -> Adapted:
        """One that halves its values."""
        return cls(_Halves())

    def apply(self, x: Tensor) -> Tensor:
        return self.physics.A(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.physics.A_adjoint(y)


class _Halves:
    """y = x / 2."""

    def A(self, x: Tensor) -> Tensor:
        return x / 2

    def A_adjoint(self, y: Tensor) -> Tensor:
        return y / 2


def as_operator(thing: Any) -> Operator:
    """An operator as it is, or an object with methods `A` and `A_adjoint` as one.

    Raises:
        TypeError: If it is neither.
    """
    if isinstance(thing, Operator):
        return thing
    if callable(getattr(thing, "A", None)) and callable(getattr(thing, "A_adjoint", None)):
        return Adapted(thing)
    raise TypeError(
        "Expected an Operator, or an object with methods A and A_adjoint; got "
        f"{type(thing).__name__}. Use one of mmgen.operators, or write the two methods."
    )
