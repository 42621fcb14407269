"""Chunks of actions as standardised numbers: nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmgen.core.codec import Lossless
from mmgen.core.errors import LoadError, SpecError
from mmgen.core.latent import Latent
from mmgen.core.spec import Spec
from mmgen.modalities.actions.files import load
from mmgen.modalities.properties.codec import spread

__all__ = ["NORMALISATIONS", "ActionChunks"]

NORMALISATIONS = ("min-max", "mean-std")

MOST = 2**26

Bound = float | Sequence[float] | None


class ActionChunks(Lossless):
    """z = (x - shift) / scale for each of the A numbers of an action, over a horizon of T steps.

    "min-max" takes the numbers seen in `fit` to [-1, 1], "mean-std" to mean 0 and deviation 1. A
    number that does not vary is only shifted (scale 1), so that it comes back as it was.

    Args:
        horizon: T, steps of a chunk.
        size: A, numbers of an action.
        low: Least value that the environment allows, one for all or one for each; None if free.
        high: Greatest value that it allows, likewise.
        units: Unit of the numbers, one for all or one for each (rad, N m, m/s), '' for none.
        normalisation: "min-max" or "mean-std".
        clip: Whether decoded actions are clipped to what the environment allows. Without it a
            model may leave the bounds by a little, and environments clip or refuse.

    Raises:
        SpecError: If sizes, bounds, units or the normalisation cannot be.
    """

    elementwise = True
    scales = True

    def __init__(
        self,
        horizon: int,
        size: int,
        *,
        low: Bound = None,
        high: Bound = None,
        units: str | Sequence[str] = "",
        normalisation: str = "min-max",
        clip: bool = False,
    ) -> None:
        super().__init__()
        for name, count in (("horizon", horizon), ("size", size)):
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise SpecError(f"{name} is an integer of at least 1, got {count!r}.")
        if horizon * size > MOST:
            raise SpecError(f"A chunk has at most {MOST} numbers, got {horizon} x {size}.")
        if normalisation not in NORMALISATIONS:
            raise SpecError(
                f"normalisation is one of {', '.join(NORMALISATIONS)}; got {normalisation!r}."
            )
        self.horizon, self.size = horizon, size
        self.low = _bound(low, size, "low", -np.inf)
        self.high = _bound(high, size, "high", np.inf)
        if (self.low > self.high).any():
            k = int((self.low > self.high).argmax())
            raise SpecError(
                f"low is at most high; of action {k} it is {self.low[k]} and {self.high[k]}."
            )
        if clip and low is None and high is None:
            raise SpecError("clip=True needs bounds to clip to. Give low and high.")
        self.units = (units,) * size if isinstance(units, str) else tuple(units)
        if len(self.units) != size:
            raise SpecError(f"Expected one unit or {size}, got {len(self.units)}.")
        self.normalisation, self.clip = normalisation, clip
        for name in ("shift", "scale"):
            self.register_buffer(name, torch.full((size,), torch.nan))

    @classmethod
    def debug(cls) -> ActionChunks:
        """A tiny one, fitted to nothing in particular."""
        codec = cls(4, 2, low=-1.0, high=(1.0, 3.0), units="rad")
        codec.shift.copy_(torch.tensor([0.0, 1.0]))
        codec.scale.copy_(torch.tensor([1.0, 2.0]))
        return codec

    @property
    def spec(self) -> Spec:
        bounded = bool(np.isfinite(self.low).all() and np.isfinite(self.high).all())
        return Spec(
            "actions",
            "continuous",
            (self.horizon, self.size),
            low=float(self.low.min()) if bounded else None,
            high=float(self.high.max()) if bounded else None,
            units=self.units[0] if len(set(self.units)) == 1 and self.units[0] else None,
        )

    def fit(self, values: Sequence[Any]) -> None:
        if not values:
            raise ValueError("Expected at least one chunk to take statistics from, got none.")
        x = self.prepare(values)["actions"].double().flatten(0, 1)
        if self.normalisation == "mean-std":
            self.shift.copy_(x.mean(0))
            self.scale.copy_(spread(x))
            return
        least, greatest = x.amin(0), x.amax(0)
        half = (greatest - least) / 2
        constant = half <= 1e-6 * torch.maximum(least.abs(), greatest.abs())
        self.shift.copy_((least + greatest) / 2)
        self.scale.copy_(torch.where(constant, torch.ones_like(half), half))

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        chunks = [self._checked(load(v)) for v in values]
        x = np.stack(chunks) if chunks else np.empty((0, self.horizon, self.size), np.float32)
        return {"actions": torch.from_numpy(x)}

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        self._require_statistics()
        return Latent((tensors["actions"].to(self.shift) - self.shift) / self.scale)

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        x = self.signal(latent)
        if self.clip:
            low, high = (torch.from_numpy(b).to(x.device) for b in (self.low, self.high))
            x = torch.minimum(torch.maximum(x, low), high)
        return {"actions": x}

    def signal(self, latent: Latent) -> Tensor:
        """Actions (B, T, A) before they are clipped."""
        self._require_statistics()
        return latent.z.float() * self.scale + self.shift

    def present(self, tensors: Mapping[str, Tensor]) -> list[np.ndarray]:
        return list(tensors["actions"].cpu().numpy())

    def log_volume(self, tensors: Mapping[str, Tensor]) -> Tensor:
        self._require_statistics()
        volume = -self.horizon * self.scale.double().log().sum()
        return volume.float().expand(len(tensors["actions"]))

    def _checked(self, chunk: np.ndarray) -> np.ndarray:
        if chunk.shape != (self.horizon, self.size):
            raise ValueError(
                f"Expected actions of {self.horizon} steps x {self.size} numbers, got "
                f"{chunk.shape[0]} x {chunk.shape[1]}. Cut episodes with "
                "mmgen.modalities.actions.Windows."
            )
        # What is on a bound may have been rounded beyond it on the way.
        slack = 1e-6 * np.maximum(1.0, np.abs(chunk))
        wrong = np.argwhere((chunk < self.low - slack) | (chunk > self.high + slack))
        if len(wrong):
            t, k = wrong[0].tolist()
            unit = f" {self.units[k]}" if self.units[k] else ""
            raise ValueError(
                f"Action {k} lies in [{self.low[k]:g}, {self.high[k]:g}]{unit}, got "
                f"{chunk[t, k]:g} at step {t}. The environment does not allow it: clip it, or "
                "mend the bounds."
            )
        return chunk

    def _require_statistics(self) -> None:
        if bool(self.scale.isnan().any() | self.shift.isnan().any()):
            raise LoadError(
                "ActionChunks has no shift and scale yet. Call fit(chunks) on examples, or load "
                "saved weights, which hold them."
            )


def _bound(value: Bound, size: int, name: str, free: float) -> np.ndarray:
    """A bound for each number (A,), float32, infinite where there is none."""
    try:
        with np.errstate(over="ignore"):
            bound = np.array(free if value is None else value, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise SpecError(f"{name} is one number, or {size} of them: {error}") from None
    if bound.shape not in ((), (size,)):
        raise SpecError(f"{name} is one number, or {size} of them, got shape {bound.shape}.")
    if np.isnan(bound).any():
        raise SpecError(f"{name} holds NaN. Give None, or an infinite bound, for what is free.")
    return np.broadcast_to(bound, (size,)).copy()
