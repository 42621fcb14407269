"""What else is known of X, as it is typed: a part of it, or a measurement of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from types import ModuleType
from typing import Any

__all__ = ["Known"]

_SPANS = re.compile(r"[\d:, ]*:[\d:, ]*")


@dataclass(frozen=True)
class Known:
    """What else is known of X; None or empty for what was not given.

    Args:
        known: File of a value of X.
        mask: File that tells which of its entries are known, or spans of characters.
        operator: What measures X: one operator, or several that are applied in turn.
        measurement: File of what was measured.
        noise: Standard deviation of its error, in its units.
        posterior: How the measurement is used.
    """

    known: str | None = None
    mask: str | None = None
    operator: Sequence[str] = ()
    measurement: str | None = None
    noise: float | None = None
    posterior: str | None = None

    @property
    def typed(self) -> dict[str, Any]:
        """What was given, as it was typed."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: v for k, v in found.items() if v is not None and v != ()}

    def read(self, kind: ModuleType, *, count: int) -> dict[str, Any]:
        """Arguments of `given` for a list of conditions.

        Args:
            kind: The modality of X.
            count: How many conditions, all of which are given the same.

        Raises:
            ValueError: If a file cannot be read, or an operator is none.
        """
        from mmgen.core.npy import load_array
        from mmgen.operators.named import read_operator

        load_mask = _reader(kind, "load_mask", partial(load_array, what="a mask"))
        load_measurement = _reader(
            kind, "load_measurement", partial(load_array, what="a measurement")
        )
        found: dict[str, Any] = {}
        if self.known is not None:
            found["known"] = [kind.load(self.known)] * count
        if self.mask is not None:
            spans = _SPANS.fullmatch(self.mask)
            found["mask"] = [self.mask if spans else load_mask(self.mask)] * count
        if self.operator:
            found["operator"] = read_operator(self.operator, read=load_mask)
        if self.measurement is not None:
            found["measurement"] = [load_measurement(self.measurement)] * count
        rest = {"noise": self.noise, "posterior": self.posterior}
        return found | {k: v for k, v in rest.items() if v is not None}


def _reader(kind: ModuleType, name: str, other: Any) -> Any:
    return getattr(kind, name) if name in kind.__all__ else other
