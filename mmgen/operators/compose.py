"""One operator after another."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mmgen.operators.downsample import Downsample
from mmgen.operators.greyscale import Greyscale
from mmgen.operators.operator import Operator

__all__ = ["Compose"]


class Compose(Operator):
    """A_n ... A_2 A_1.

    Args:
        operators: A_1, A_2, ..., in the order in which they are applied.

    Raises:
        TypeError: If one of them is no operator.
    """

    def __init__(self, operators: Sequence[Operator]) -> None:
        for operator in operators:
            if not isinstance(operator, Operator):
                raise TypeError(
                    f"Compose takes operators, got {type(operator).__name__}. Adapt it with "
                    "as_operator first."
                )
        self.operators = tuple(operators)

    @classmethod
    def debug(cls) -> Compose:
        """Small and grey."""
        return cls([Downsample.debug(), Greyscale.debug()])

    def apply(self, x: Tensor) -> Tensor:
        for operator in self.operators:
            x = operator.apply(x)
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        for operator in reversed(self.operators):
            y = operator.adjoint(y)
        return y

    def select(self, index: Tensor) -> Compose:
        return Compose([operator.select(index) for operator in self.operators])
