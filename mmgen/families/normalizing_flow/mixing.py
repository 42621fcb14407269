"""An invertible affine map of the features, the same at every place."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Mixing"]

_MOST_MIXED = 64


class Mixing(nn.Module):
    """y = L U x + b along the features, with triangular L and U.

    It does the work of activation normalisation and of a permutation, both learnt. It starts as the
    identity, since codecs give latents of about unit scale. Above 64 features, whose matrices would
    outweigh the networks, it only shifts and scales them.

    Args:
        num_features: F.

    Source: Glow (Kingma & Dhariwal, 2018), Sec. 3.1-3.2, arXiv:1807.03039; triangular factors:
    Neural Spline Flows (Durkan et al., 2019), Sec. 3.1, arXiv:1906.04032
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(num_features))
        self.shift = nn.Parameter(torch.zeros(num_features))
        self.factors = None
        if 1 < num_features <= _MOST_MIXED:
            self.factors = nn.Parameter(torch.zeros(num_features, num_features))

    def forward(self, z: Tensor, *, axis: int, inverse: bool = False) -> tuple[Tensor, Tensor]:
        """Features along `axis` of z (B, *event) to others, or back.

        Returns:
            The features, and log |det| of the map at one place, without axes.
        """
        # Halved products would make the map and its inverse disagree.
        with torch.autocast(z.device.type, enabled=False):
            return self._map(z.movedim(axis, -1), axis, inverse=inverse)

    def _map(self, z: Tensor, axis: int, *, inverse: bool) -> tuple[Tensor, Tensor]:
        scale, shift = self.log_scale.to(z.dtype).exp(), self.shift.to(z.dtype)
        log_det = self.log_scale.to(z.dtype).sum()
        if inverse:
            return self._back(z - shift, scale).movedim(-1, axis), -log_det
        if self.factors is None:
            y = z * scale
        else:
            lower, upper = self._triangles(scale)
            y = z @ upper.mT @ lower.mT
        return (y + shift).movedim(-1, axis), log_det

    def _back(self, y: Tensor, scale: Tensor) -> Tensor:
        if self.factors is None:
            return y / scale
        lower, upper = self._triangles(scale)
        columns = y.flatten(0, -2).mT
        columns = torch.linalg.solve_triangular(lower, columns, upper=False, unitriangular=True)
        columns = torch.linalg.solve_triangular(upper, columns, upper=True)
        return columns.mT.unflatten(0, y.shape[:-1])

    def _triangles(self, scale: Tensor) -> tuple[Tensor, Tensor]:
        factors = self.factors.to(scale.dtype)
        unit = torch.eye(len(scale), dtype=scale.dtype, device=scale.device)
        return factors.tril(-1) + unit, factors.triu(1) + scale.diag()
