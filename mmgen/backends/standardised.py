"""What pretrained policies are given and give in units of their own: statistics, and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmgen.core.errors import LoadError
from mmgen.core.npy import load_array

__all__ = ["mean_and_std", "numbers"]


def mean_and_std(
    found: Mapping[str, Any], *, of: str, file: str, least: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Statistics (N,) that a file gives as lists, `mean` and `std`.

    Args:
        found: Both.
        of: What they are of, for the message.
        file: Where they stand.
        least: What the library adds to a deviation before it divides by it.

    Raises:
        LoadError: If they are no two lists of as many finite numbers, the second positive.
    """
    try:
        mean, std = (torch.tensor(found[k], dtype=torch.float32) for k in ("mean", "std"))
    except (KeyError, TypeError, ValueError):
        mean = std = torch.zeros(0)
    std = std + least
    good = mean.ndim == 1 and mean.shape == std.shape and len(mean) > 0
    if not good or not mean.isfinite().all() or not (std.isfinite() & (std > 0)).all():
        raise LoadError(
            f"{file} does not say the mean and std of {of}: two lists of as many finite numbers, "
            "the second positive."
        )
    return mean, std


def numbers(value: Any, *, size: int, what: str) -> Tensor:
    """What is given as numbers, or as the path of a .npy file of them (size,).

    Args:
        value: Numbers, an array, a tensor or a path.
        size: How many there are.
        what: What they are, with its article, for messages.

    Raises:
        ValueError: If it is something else. The message tells what came.
    """
    if isinstance(value, (str, Path)):
        value = load_array(value, what=what)
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in "fiu" or array.shape != (size,):
        raise ValueError(
            f"Expected {what} of {size} numbers, in the environment's own units; got {value!r:.60}."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{what[0].upper()}{what[1:]} is made of finite numbers.")
    return torch.from_numpy(array.astype(np.float32))
