"""A: a linear map from values to what is measured of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from mmgen.core.errors import SpecError

__all__ = ["Operator", "check_adjoint"]


class Operator(ABC):
    """A linear map A on values x (B, *value), the same for each row unless `select` says else.

    Values are floats as a codec decodes them before rounding: images (3, H, W) in [-1, 1]. Noise is
    no part of it. Its tensors follow x to its device and precision.
    """

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """A x: (B, *value) to (B, *measured).

        Raises:
            SpecError: If x has no shape that is measured here.
        """

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y: (B, *measured) to (B, *value), with <A x, y> = <x, A^T y>."""

    def select(self, index: Tensor) -> Operator:
        """The same map for the rows that `index` (M,) names."""
        return self


def check_adjoint(
    operator: Operator,
    shape: Sequence[int],
    *,
    tolerance: float = 1e-3,
    device: torch.device | str = "cpu",
) -> tuple[int, ...]:
    """Try on one random value and one random measurement whether A is linear and A^T its adjoint.

    Args:
        operator: The map.
        shape: Of values x, with the batch axis: (B, *value).
        tolerance: Of |<A x, y> - <x, A^T y>| over |A x| |y|, and of |A 0| over |A x|.
        device: Where values are.

    Returns:
        The shape of A x, with the batch axis.

    Raises:
        SpecError: If A cannot be applied to values of this shape, or fails the test.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(tuple(shape), generator=generator).to(device)
    try:
        measured, offset = operator.apply(x), operator.apply(torch.zeros_like(x))
        y = torch.randn(measured.shape, generator=generator).to(device)
        back = operator.adjoint(y)
    except (RuntimeError, IndexError, ValueError) as error:
        raise SpecError(
            f"{type(operator).__name__} cannot be applied to values of shape {tuple(shape)}: "
            f"{error}. Use an operator that was made for values of this shape."
        ) from None
    if back.shape != x.shape:
        raise SpecError(
            f"The adjoint of {type(operator).__name__} gives values of shape {tuple(back.shape)}; "
            f"expected {tuple(shape)}, what it measures."
        )
    scale = float(measured.norm()) + 1e-12
    if float(offset.norm()) > tolerance * scale:
        raise SpecError(
            f"{type(operator).__name__} is not linear: zero is measured as something else. Take "
            "the constant away from the operator and from the measurement."
        )
    gap = float((measured * y).sum() - (x * back).sum())
    if not abs(gap) <= tolerance * scale * float(y.norm()):
        raise SpecError(
            f"The adjoint of {type(operator).__name__} is not the transpose of its map: <A x, y> "
            f"and <x, A^T y> differ by {gap:.3g}. Posterior sampling needs the exact transpose."
        )
    return tuple(measured.shape)
