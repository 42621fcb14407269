"""Properties as a condition: one token each, any of which may be missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.errors import LoadError
from mmgen.core.options import Option
from mmgen.core.spec import ConditionSpec
from mmgen.core.typed import named_values
from mmgen.modalities.properties.codec import spread
from mmgen.modalities.properties.names import check_names, read

__all__ = ["PropertiesEncoder"]

NUM_WAVES = 4


class PropertiesEncoder(Encoder):
    """One condition token for each property; what is not given has a null of its own.

    A token is a small network of the standardised number, of sines of it, which tell near numbers
    apart, and of an embedding of the property. In training each property is also withheld
    alone, so that any subset can be given.

    Args:
        names: Of the properties.
        units: Unit of each, '' for none.
        dim: D of the condition tokens.

    Raises:
        SpecError: If names are missing, empty or given twice, or units do not match them.
    """

    modality = "properties"
    by_name = True
    scales = True

    def __init__(self, names: Sequence[str], units: Sequence[str] = (), *, dim: int) -> None:
        super().__init__()
        self.names, self.units = check_names(names, units)
        self.dim = dim
        count = len(self.names)
        self.up = nn.Linear(1 + 2 * NUM_WAVES, dim, bias=False)
        self.down = nn.Linear(dim, dim, bias=False)
        # Added before the bend, so that even a sum over tokens tells which property is what.
        self.which = nn.Parameter(torch.randn(count, dim) / dim**0.5)
        self.null = nn.Parameter(torch.randn(count, dim) / dim**0.5)
        for name in ("mean", "std", "least", "greatest"):
            self.register_buffer(name, torch.full((count,), torch.nan))

    @classmethod
    def debug(cls) -> PropertiesEncoder:
        """A tiny one, fitted to a few numbers."""
        encoder = cls(("mass", "charge"), ("g/mol", "e"), dim=32)
        encoder.fit([{"mass": 100.0, "charge": -1}, {"mass": 300.0}, {"charge": 1}])
        return encoder

    @property
    def columns(self) -> tuple[str, ...]:
        return self.names

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(token_dim=self.dim)

    def fit(self, values: Sequence[Any]) -> None:
        x = self._rows([v for v in values if v is not None]).double()
        known = ~x.isnan()
        for name, any_known in zip(self.names, known.any(0).tolist(), strict=True):
            if not any_known:
                raise ValueError(
                    f"No example gives {name}, so it has no statistics. Leave the property out, or "
                    "give examples with it."
                )
        self.mean.copy_(x.nansum(0) / known.sum(0))
        self.std.copy_(spread(x))
        self.least.copy_(x.nan_to_num(math.inf).amin(0))
        self.greatest.copy_(x.nan_to_num(-math.inf).amax(0))

    def read(self, text: str) -> dict[str, Any]:
        return named_values(text, what="properties", example=f'{{"{self.names[0]}": 1.5}}')

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        x = self._rows([{} if v is None else v for v in values])
        known = ~x.isnan()
        return {"properties": x.nan_to_num(0.0), "known": known, "given": known.any(1)}

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        if self.std.isnan().any():
            raise LoadError(
                "PropertiesEncoder has no mean and std yet. Call fit(values) on examples, or load "
                "saved weights, which hold them."
            )
        device = self.mean.device
        known_BK = (tensors["known"] & tensors["given"][:, None]).to(device)
        z_BK1 = ((tensors["properties"].to(self.mean) - self.mean) / self.std)[..., None]
        # So far out one number is as good as another, and sines of it are noise.
        z_BK1 = z_BK1.clamp(-1e4, 1e4)
        octaves = 2.0 ** torch.arange(-1, NUM_WAVES - 1, device=device)
        angles = z_BK1 * octaves * math.pi / 2
        features = torch.cat((z_BK1, angles.sin(), angles.cos()), dim=-1)
        tokens_BKD = self.down(F.silu(self.up(features.to(self.null.dtype)) + self.which))
        return Condition(len(z_BK1), torch.where(known_BK[..., None], tokens_BKD, self.null))

    def drop(
        self, tensors: dict[str, Any], *, rate: float, generator: torch.Generator | None = None
    ) -> dict[str, Any]:
        """Take away everything with probability `rate`, and each property alone with the same."""
        dropped = super().drop(tensors, rate=rate, generator=generator)
        keep = torch.rand(tensors["known"].shape, generator=generator) >= rate
        return {**dropped, "known": tensors["known"] & keep.to(tensors["known"].device)}

    def options(self) -> tuple[Option, ...]:
        return (
            Option(
                "unseen_values",
                "error",
                "What to do about property values beyond those of training.",
                choices=("error", "allow"),
            ),
        )

    def check(self, values: Sequence[Any], **options: Any) -> None:
        for value in values:
            row = read({} if value is None else value, self.names, self.units)
            if options["unseen_values"] == "allow":
                continue
            ranges = zip(self.least.tolist(), self.greatest.tolist(), strict=True)
            for name, unit, x, (least, greatest) in zip(
                self.names, self.units, row, ranges, strict=True
            ):
                slack = 1e-6 * max(abs(least), abs(greatest))
                if x < least - slack or x > greatest + slack:
                    raise ValueError(
                        f"{name} was between {least:g} and {greatest:g} {unit} in training, got "
                        f"{x:g}. Give one in that range, or set unseen_values='allow' to try "
                        "anyway."
                    )

    def _rows(self, values: Sequence[Any]) -> Tensor:
        rows = [read(v, self.names, self.units) for v in values]
        return torch.tensor(rows, dtype=torch.float32).reshape(len(rows), len(self.names))
