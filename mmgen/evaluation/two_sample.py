"""Whether two samples come from one distribution."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["c2st", "energy_test"]


def c2st(x: Tensor, y: Tensor, *, seed: int, num_folds: int = 5, steps: int = 300) -> float:
    """Accuracy of a classifier that tells x from y, on points it was not trained on.

    0.5 is best: nothing tells them apart. 1 is worst. With n points in all its standard deviation
    is about 0.5 / sqrt(n), so 4000 points see differences from 0.52 on.

    The classifier is a perceptron with two hidden layers of ten units a dimension, at least 32, on
    values standardised by x, trained by Adam on the whole of each training set.

    Args:
        x: One sample (N, D).
        y: The other (M, D). Sizes should be alike, or the accuracy of a constant is not 0.5.
        seed: Of the folds and of the weights.
        num_folds: K of K-fold cross-validation.
        steps: Training steps of each fold.

    Source: Revisiting Classifier Two-Sample Tests (Lopez-Paz & Oquab, 2016), Sec. 3,
    arXiv:1610.06545; cross-validated, on standardised values, as in Benchmarking Simulation-Based
    Inference (Lueckmann et al., 2021), arXiv:2101.04653
    """
    x, y = _checked(x, y)
    mean, std = x.mean(0), x.std(0).clamp(min=1e-12)
    points = ((torch.cat((x, y)) - mean) / std).float()
    labels = torch.cat((torch.zeros(len(x)), torch.ones(len(y))))
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))
    right = 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for fold in range(num_folds):
            held_out = torch.zeros(len(points), dtype=torch.bool)
            held_out[order[fold::num_folds]] = True
            logits = _fitted_logits(points[~held_out], labels[~held_out], points[held_out], steps)
            right += int(((logits > 0) == (labels[held_out] > 0.5)).sum())
    return right / len(points)


def energy_test(x: Tensor, y: Tensor, *, seed: int, num_permutations: int = 199) -> float:
    """p-value of the energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'| under permutations.

    Uniform on (0, 1] if both come from one distribution, small if not. Memory is (N + M)^2.

    Args:
        x: One sample (N, D).
        y: The other (M, D).
        seed: Of the permutations.
        num_permutations: How many; the least p-value is 1 / (num_permutations + 1).

    Source: Energy statistics: A class of statistics based on distances (Székely & Rizzo, 2013),
    Eq. 5-6 and Sec. 3, doi:10.1016/j.jspi.2013.03.018
    """
    x, y = _checked(x, y)
    points = torch.cat((x, y)).double()
    distances = torch.cdist(points, points)
    weights = torch.cat((torch.full((len(x),), 1 / len(x)), torch.full((len(y),), -1 / len(y))))
    generator = torch.Generator().manual_seed(seed)
    shuffled = [torch.randperm(len(points), generator=generator) for _ in range(num_permutations)]
    rows = torch.stack([weights, *(weights[order] for order in shuffled)]).double()
    # Points of one sample weigh 1 / N, of the other -1 / M: the statistic is a quadratic form.
    energy = -((rows @ distances) * rows).sum(1)
    return float((energy >= energy[0]).double().mean())


def _fitted_logits(points: Tensor, labels: Tensor, held_out: Tensor, steps: int) -> Tensor:
    """Logits of held-out points under a classifier fitted to the others."""
    num_dims = points.shape[1]
    width = max(32, 10 * num_dims)
    net = nn.Sequential(
        nn.Linear(num_dims, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, 1),
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3, weight_decay=1e-2)
    with torch.enable_grad():
        for _ in range(steps):
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(net(points)[:, 0], labels).backward()
            optimizer.step()
    with torch.no_grad():
        return net(held_out)[:, 0]


def _checked(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            "Two samples of shape (N, D) and (M, D) are compared, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}. Flatten each point to one axis."
        )
    return x.detach().cpu(), y.detach().cpu()
