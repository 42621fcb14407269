"""Whether two values are one and the same but for the order in which their sums were taken."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["same_but_for_rounding"]


def same_but_for_rounding(one: Any, other: Any) -> bool:
    """Whether a value is what was computed alone, in a batch, in parts, or by another process.

    Kernels sum in an order that depends on how much they are given at once, and on the processor.
    So the last bits of float32 may differ, and of a picture in 8 bits a level may round otherwise.

    Args:
        one: An image, a film, a sound, an array or a tensor.
        other: Another.
    """
    a, b = (np.asarray(getattr(x, "samples", getattr(x, "frames", x))) for x in (one, other))
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind in "ui":
        return int(np.abs(a.astype(int) - b.astype(int)).max(initial=0)) <= 1
    return np.allclose(a, b, rtol=1e-5, atol=1e-5)
