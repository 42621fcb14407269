"""Where a command computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["find_device"]


def find_device(choice: str | None) -> torch.device:
    """The device of this name; by default a GPU of CUDA if there is one, else the CPU.

    Raises:
        ValueError: If there is no such device here.
    """
    import torch

    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if choice is None:
        return torch.device("cuda" if cuda else "cpu")
    here = ["cpu", *(f"cuda:{i}" for i in range(cuda))]
    if torch.backends.mps.is_available():
        here.append("mps")
    if choice in here or (choice == "cuda" and cuda):
        return torch.device(choice)
    raise ValueError(f"There is no device {choice!r} here. There are: {', '.join(here)}.")
