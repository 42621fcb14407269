"""Randomness: each sample has its own seed and its own generator on the CPU.

A batch that shares one generator gives a sample that depends on its neighbours. Here sample i
draws from generator i alone, in blocks of its own shape, so it is the same in any batch and on any
device.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["MAX_SEED", "Generators", "derive_seeds", "expand_seeds"]

MAX_SEED = 2**63 - 1


def expand_seeds(seed: int | Sequence[int] | None, count: int) -> list[int]:
    """The seed of each of `count` samples.

    Args:
        seed: s for s, s + 1, ...; a list for one each; None for fresh ones.
        count: Number of samples, conditions outermost.

    Raises:
        TypeError: If a seed is not an integer.
        ValueError: If a seed is out of range or the list has another length.
    """
    if seed is None:
        first = int(torch.randint(0, 2**48, (), dtype=torch.int64))
        return list(range(first, first + count))
    if isinstance(seed, int) and not isinstance(seed, bool):
        seeds = list(range(seed, seed + count))
    elif isinstance(seed, (list, tuple)):
        seeds = list(seed)
        if len(seeds) != count:
            raise ValueError(
                f"Expected {count} seeds (conditions x num_samples), got {len(seeds)}. "
                "Give one seed per sample, or a single integer."
            )
    else:
        raise TypeError(f"seed is an integer or a list of integers, not {type(seed).__name__}.")
    for s in seeds:
        if not isinstance(s, int) or isinstance(s, bool):
            raise TypeError(f"A seed is an integer, not {type(s).__name__}.")
        if not 0 <= s <= MAX_SEED:
            raise ValueError(f"A seed lies between 0 and 2**63 - 1, got {s}.")
    return seeds


def derive_seeds(seed: int, count: int) -> list[int]:
    """Seeds that follow from one: for the stages of a sample, or the repetitions of an estimate.

    The first of them are the same for any count.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    return [int(torch.randint(MAX_SEED, (), generator=generator)) for _ in range(count)]


class Generators:
    """One CPU generator for each sample of an (N, B) block.

    Args:
        seeds: N lists of B seeds.
    """

    def __init__(self, seeds: Sequence[Sequence[int]]) -> None:
        self.shape = (len(seeds), len(seeds[0]))
        self._generators = [torch.Generator("cpu").manual_seed(s) for row in seeds for s in row]

    @classmethod
    def from_seed(
        cls, seed: int | Sequence[int] | None, *, num_samples: int, batch: int
    ) -> Generators:
        """Generators for N samples of each of B conditions, seeds running over samples first."""
        seeds = expand_seeds(seed, num_samples * batch)
        return cls([[seeds[b * num_samples + n] for b in range(batch)] for n in range(num_samples)])

    def flat(self) -> Generators:
        """The generators as a block of one sample axis: (1, N * B)."""
        return self.select(torch.arange(len(self._generators)))

    def select(self, index: Tensor) -> Generators:
        """Those of the flat block that `index` (M,) names, in its order: (1, M)."""
        chosen = Generators.__new__(Generators)
        chosen._generators = [self._generators[i] for i in index.tolist()]
        chosen.shape = (1, len(index))
        return chosen

    def of(self, b: int) -> Generators:
        """Those of all samples of one condition: (N, 1)."""
        chosen = self.select(torch.arange(self.shape[0]) * self.shape[1] + b)
        chosen.shape = (self.shape[0], 1)
        return chosen

    def each(self) -> list[torch.Generator]:
        """The generators themselves, (N, B) row by row, for libraries that draw on their own."""
        return list(self._generators)

    def randn(
        self, *event: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Standard normal numbers (N, B, *event), each sample from its own generator."""
        drawn = [torch.randn(event, generator=g) for g in self._generators]
        return torch.stack(drawn).reshape(*self.shape, *event).to(device, dtype)

    def rand(
        self, *event: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Uniform numbers in [0, 1) (N, B, *event), each sample from its own generator."""
        drawn = [torch.rand(event, generator=g) for g in self._generators]
        return torch.stack(drawn).reshape(*self.shape, *event).to(device, dtype)
