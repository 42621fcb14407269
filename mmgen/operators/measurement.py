"""P(b | z): what was measured of a value, and how exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmgen.core.errors import SpecError
from mmgen.operators.operator import Operator

__all__ = ["Linearised", "Measurement"]


@dataclass(frozen=True)
class Measurement:
    """b = A x + s n for x = signal(z) and n standard normal.

    Args:
        operator: A.
        value: b (B, *measured).
        noise: s, in the units of b; 0 if it is exact.
        signal: Latents to values, (B, *event) to (B, *value). None if latents are the values.

    Raises:
        ValueError: If b is not finite, or s not a finite number from 0 on.
    """

    operator: Operator
    value: Tensor
    noise: float
    signal: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.noise, bool) or not isinstance(self.noise, (int, float)):
            raise TypeError(f"noise is a number, got {type(self.noise).__name__}.")
        if not math.isfinite(self.noise) or self.noise < 0:
            raise ValueError(
                f"noise is the standard deviation of the measurement's error, from 0 on; got "
                f"{self.noise}."
            )
        if not self.value.isfinite().all():
            raise ValueError(
                "A measurement holds finite numbers; this one has NaN or infinity. Leave what was "
                "not measured out, with a Mask."
            )

    def select(self, index: Tensor) -> Measurement:
        """The rows that `index` (M,) names, in its order."""
        value = self.value.index_select(0, index.to(self.value.device))
        return replace(self, value=value, operator=self.operator.select(index))

    def linearise(self, z: Tensor) -> Linearised:
        """What would be measured of latents z (B, *event), and how that changes with them."""
        return Linearised(self, z)


class Linearised:
    """A signal(z + v) = prediction + G v + ..., exact if signal is affine.

    Args:
        measurement: What is measured, B rows.
        z: Where, (B, *event).

    Raises:
        SpecError: If the measurement has another shape than A gives.
    """

    def __init__(self, measurement: Measurement, z: Tensor) -> None:
        self._operator, self._signal = measurement.operator, measurement.signal
        # The second derivative of fused attention is not there.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            self._z = z.detach().requires_grad_()
            self._x = self._z * 1 if self._signal is None else self._signal(self._z)
            # J^T u is linear in u, and its derivative by u in a direction v is J v.
            self._u = torch.zeros_like(self._x, requires_grad=True)
            (self._back,) = torch.autograd.grad(self._x, self._z, self._u, create_graph=True)
        self.prediction = self._operator.apply(self._x.detach())
        """A signal(z) (B, *measured)."""
        if self.prediction.shape != measurement.value.shape:
            raise SpecError(
                f"The operator measures {tuple(self.prediction.shape[1:])} of a value; the "
                f"measurement is {tuple(measurement.value.shape[1:])}. Give what this operator "
                "would measure."
            )
        value = measurement.value.to(self.prediction)
        self.residual = value - self.prediction
        """b - A signal(z) (B, *measured)."""

    def push(self, v: Tensor) -> Tensor:
        """G v: (B, *event) to (B, *measured)."""
        (x,) = torch.autograd.grad(self._back, self._u, v.to(self._back), retain_graph=True)
        return self._operator.apply(x)

    def pull(self, u: Tensor) -> Tensor:
        """G^T u: (B, *measured) to (B, *event)."""
        x = self._operator.adjoint(u).to(self._x)
        (v,) = torch.autograd.grad(self._x, self._z, x, retain_graph=True)
        return v
