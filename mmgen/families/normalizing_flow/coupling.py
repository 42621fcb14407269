"""One part of an event is mapped, in a way that the other part and the condition decide."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmgen.core.condition import Condition
from mmgen.core.layout import Layout
from mmgen.families.normalizing_flow.spline import rational_quadratic
from mmgen.nn.event import EventNetwork

__all__ = ["Coupling"]

_MOST_SCALE = 3.0


class Coupling(nn.Module):
    """z[mask] <- spline((z[mask] + shift) exp(scale)), parameters from z[not mask] and c.

    Masks alternate from layer to layer. Of numbers and features they take every other one, or one
    half; of sequences and films also every other step; of images and films also the fields of one
    colour of a chessboard of pixels. An event of a single number is taken whole.

    Args:
        layout: Layout of events.
        index: Number of the layer, which decides on its mask.
        network: Gives the parameters: two copies of the event for shift and scale, and 3 K - 1
            more for splines with K bins.
        num_bins: K, or 0 for no splines.
        bound: Splines lie in [-bound, bound].

    Source: Density estimation using Real NVP (Dinh et al., 2016), Sec. 3.2-3.4, arXiv:1605.08803;
    splines: Neural Spline Flows (Durkan et al., 2019), Sec. 3.1, arXiv:1906.04032
    """

    def __init__(
        self,
        layout: Layout,
        *,
        index: int,
        network: EventNetwork,
        num_bins: int,
        bound: float,
    ) -> None:
        super().__init__()
        self.layout, self.network = layout, network
        self.num_bins, self.bound = num_bins, bound
        kinds = _kinds(layout)
        self.kind, self.flipped = kinds[index // 2 % len(kinds)], index % 2 == 1

    def forward(self, z: Tensor, c: Condition, *, inverse: bool = False) -> tuple[Tensor, Tensor]:
        """z (B, *event) to another such, or back, and log |det| of it (B,)."""
        mask, axis = self._mask(z), self.layout.feature_axis
        seen = torch.cat((z.masked_fill(mask, 0.0), mask.expand_as(z).to(z.dtype)), dim=axis)
        raw = self.network(seen, c).to(z.dtype)
        features = self.layout.num_features
        shift, scale = raw.narrow(axis, 0, features), raw.narrow(axis, features, features)
        log_slope = _MOST_SCALE * torch.tanh(scale / _MOST_SCALE)
        shapes = None
        if self.num_bins:
            shapes = raw[:, 2 * features :].unflatten(1, (-1, features)).mT
        if inverse:
            y, bent = self._bend(z, shapes, inverse=True)
            y, log_slope = y * (-log_slope).exp() - shift, bent - log_slope
        else:
            y, bent = self._bend((z + shift) * log_slope.exp(), shapes, inverse=False)
            log_slope = log_slope + bent
        log_slope = log_slope.masked_fill(~mask, 0.0)
        return torch.where(mask, y, z), self.layout.total(log_slope, c)

    def _bend(self, z: Tensor, shapes: Tensor | None, *, inverse: bool) -> tuple[Tensor, Tensor]:
        if shapes is None:
            return z, torch.zeros_like(z)
        return rational_quadratic(z, shapes, bound=self.bound, inverse=inverse)

    def _mask(self, z: Tensor) -> Tensor:
        """Which entries of an event are mapped, boolean (*event) with axes of size one."""
        sizes = z.shape[1:]
        index = [
            torch.arange(n, device=z.device).reshape(-1, *[1] * (len(sizes) - 1 - axis))
            for axis, n in enumerate(sizes)
        ]
        if self.kind == "all":
            return index[0] >= 0
        feature = index[self.layout.feature_axis]
        place = {
            "features": feature,
            "halves": feature // max(1, len(feature) // 2),
            "time": index[0],
            "pixels": index[-1] + index[-2 if len(index) > 1 else -1],
        }[self.kind]
        return (place % 2 == 1) != self.flipped


def _kinds(layout: Layout) -> tuple[str, ...]:
    rank, features = layout.spec.event_dims, layout.num_features
    if rank == 1:
        return ("all",) if features == 1 else ("features", "halves")
    places = {2: ("time",), 3: ("pixels",), 4: ("pixels", "time")}[rank]
    return places if features == 1 else ("features", *places)
