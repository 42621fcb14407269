"""Properties as standardised numbers: nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgen.core.codec import Lossless
from mmgen.core.errors import LoadError
from mmgen.core.latent import Latent
from mmgen.core.spec import Spec
from mmgen.modalities.properties.names import check_names, read

__all__ = ["Properties", "spread"]


class Properties(Lossless):
    """z = (x - mean) / std for each property.

    Args:
        names: Of the properties, in the order of z.
        units: Unit of each, '' for none.

    Raises:
        SpecError: If names are missing, empty or given twice, or units do not match them.
    """

    elementwise = True
    scales = True

    def __init__(self, names: Sequence[str], units: Sequence[str] = ()) -> None:
        super().__init__()
        self.names, self.units = check_names(names, units)
        for name in ("mean", "std"):
            self.register_buffer(name, torch.full((len(self.names),), torch.nan))

    @classmethod
    def debug(cls) -> Properties:
        """A tiny one, fitted to nothing in particular."""
        codec = cls(("mass", "charge"), ("g/mol", "e"))
        codec.mean.copy_(torch.tensor([200.0, 0.0]))
        codec.std.copy_(torch.tensor([50.0, 0.5]))
        return codec

    @property
    def columns(self) -> tuple[str, ...]:
        return self.names

    @property
    def spec(self) -> Spec:
        units = self.units[0] if len(set(self.units)) == 1 and self.units[0] else None
        return Spec("properties", "continuous", (len(self.names),), units=units)

    def fit(self, values: Sequence[Any]) -> None:
        if not values:
            raise ValueError("Expected at least one example to take statistics from, got none.")
        x = self.prepare(values)["properties"].double()
        self.mean.copy_(x.mean(0))
        self.std.copy_(spread(x))

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        rows = [read(v, self.names, self.units) for v in values]
        x = torch.tensor(rows, dtype=torch.float32).reshape(len(rows), len(self.names))
        if x.isnan().any():
            missing = self.names[int(x.isnan().any(0).nonzero()[0, 0])]
            raise ValueError(
                f"{missing} is not given. Expected a number for each of {', '.join(self.names)}: "
                "what is to be generated has no gaps. Leave such examples out."
            )
        return {"properties": x}

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        self._require_statistics()
        return Latent((tensors["properties"].to(self.mean) - self.mean) / self.std)

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        self._require_statistics()
        return {"properties": latent.z.float() * self.std + self.mean}

    def present(self, tensors: Mapping[str, Tensor]) -> list[dict[str, float]]:
        rows = tensors["properties"].cpu().tolist()
        return [dict(zip(self.names, row, strict=True)) for row in rows]

    def log_volume(self, tensors: Mapping[str, Tensor]) -> Tensor:
        self._require_statistics()
        volume = -self.std.double().log().sum()
        return volume.float().expand(len(tensors["properties"]))

    def _require_statistics(self) -> None:
        if bool(self.std.isnan().any() | self.mean.isnan().any()):
            raise LoadError(
                "Properties has no mean and std yet. Call fit(values) on examples, or load saved "
                "weights, which hold them."
            )


def spread(x_NK: Tensor) -> Tensor:
    """Standard deviation of each column (K,) over its known entries, in float64.

    1 for a column that does not vary beyond the rounding of float32, so that it is only shifted.
    """
    known = ~x_NK.isnan()
    count = known.sum(0)
    x_NK = x_NK.double().nan_to_num(0.0)
    mean = x_NK.sum(0) / count
    std = (((x_NK - mean).square() * known).sum(0) / count).sqrt()
    constant = std <= 1e-6 * mean.abs()
    return torch.where(constant, torch.ones_like(std), std)
