"""The losses since they were last looked at."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmgen.core.files import write_beside

__all__ = ["Losses"]

_NAMED = 4


class Losses:
    """Losses of batches, kept where they were computed until somebody asks.

    Args:
        phases: What training alternates between; (None,) for nothing.
    """

    def __init__(self, phases: Sequence[str | None]) -> None:
        self._phases = phases
        self._taken: list[tuple[int, str | None, Tensor]] = []

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, batch: int, phase: str | None, loss: Tensor) -> None:
        """Keep the loss of a batch."""
        self._taken.append((batch, phase, loss.detach()))

    def clear(self) -> None:
        """Forget all."""
        self._taken.clear()

    def mean(self) -> float:
        """Of all."""
        return float(torch.stack([loss for _, _, loss in self._taken]).mean())

    def means(self) -> dict[str, float]:
        """Of each phase that has some, by "loss_<phase>"."""
        found = {}
        for phase in self._phases:
            own = [loss for _, p, loss in self._taken if p == phase]
            if phase is not None and own:
                found[f"loss_{phase}"] = round(float(torch.stack(own).mean()), 6)
        return found

    def check(
        self,
        step: int,
        where: Callable[[int], list[str]],
        output: Path | None,
        again: Callable[[int], Any] | None = None,
    ) -> None:
        """Stop at the first loss that is no number.

        Args:
            step: Steps done.
            where: From a batch to where its pairs stand.
            output: Folder of the run, where `bad_batch.json` is written; None to write nothing.
            again: From a batch to its tensors, which are written to `bad_batch.safetensors`.

        Raises:
            FloatingPointError: If there is one. The message names its pairs.
        """
        if not self._taken:
            return
        bad = ~torch.stack([loss for _, _, loss in self._taken]).isfinite()
        if not bad.any():
            return
        batch, _, loss = self._taken[int(bad.nonzero()[0])]
        pairs = where(batch)
        shown = "; ".join(pairs[:_NAMED]) + ("; ..." if len(pairs) > _NAMED else "")
        what = f"The loss is {float(loss)} at batch {batch}, by step {step}: {shown}"
        if output is None:
            raise FloatingPointError(f"{what}. Lower the learning rate, or leave out these pairs.")
        content = {"batch": batch, "loss": str(float(loss)), "pairs": pairs}
        write_beside(output / "bad_batch.json", json.dumps(content, indent=1).encode())
        if again is not None:
            from safetensors.torch import save

            write_beside(output / "bad_batch.safetensors", save(_flat(again(batch))))
        raise FloatingPointError(
            f"{what} (all in bad_batch.json, their tensors in bad_batch.safetensors). The last "
            f"checkpoint in {output} is whole; go on from it with a lower learning rate, or "
            "without these pairs."
        )


def _flat(content: Any, name: str = "") -> dict[str, Tensor]:
    """The tensors in nested dicts, lists and records, by their names between dots."""
    if isinstance(content, Tensor):
        return {name or "batch": content.detach().cpu().contiguous().clone()}
    found: dict[str, Tensor] = {}
    if is_dataclass(content) or isinstance(content, Mapping):
        entries = (vars(content) if is_dataclass(content) else content).items()
    else:
        entries = enumerate(content) if isinstance(content, (list, tuple)) else ()
    for key, value in entries:
        found |= _flat(value, f"{name}.{key}" if name else str(key))
    return found
