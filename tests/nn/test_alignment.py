"""The alignment of tokens with frames is the best one, and features are spread as it says."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from mmgen.nn.alignment import monotonic_durations, spread


def _best(score: torch.Tensor) -> list[int]:
    """By trying all ways to cut T frames into L parts."""
    tokens, frames = score.shape
    found = []
    for cuts in combinations(range(1, frames), tokens - 1):
        edges = (0, *cuts, frames)
        parts = list(zip(edges, edges[1:], strict=False))
        total = sum(float(score[i, a:b].sum()) for i, (a, b) in enumerate(parts))
        found.append((total, [b - a for a, b in parts]))
    return max(found)[1]


def test_it_finds_the_best_of_all_alignments() -> None:
    g = torch.Generator().manual_seed(0)
    score = torch.randn(5, 4, 9, generator=g)
    tokens, frames = torch.tensor([4, 3, 1, 4, 2]), torch.tensor([9, 7, 5, 4, 8])
    found = monotonic_durations(score, tokens, frames)
    for row, n, t, own in zip(score, tokens.tolist(), frames.tolist(), found, strict=True):
        assert own.tolist() == _best(row[:n, :t]) + [0] * (4 - n)


def test_more_tokens_than_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2 frames for 3 tokens"):
        monotonic_durations(torch.zeros(1, 3, 4), torch.tensor([3]), torch.tensor([2]))


def test_features_lie_on_all_frames_of_their_token() -> None:
    x = torch.tensor([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [0.0]]])
    durations = torch.tensor([[1, 2, 2], [1, 1, 0]])
    found, place = spread(x, durations, 5)
    assert found[..., 0].tolist() == [[1, 2, 2, 3, 3], [4, 5, 0, 0, 0]]
    assert place[0, :, 0].tolist() == [0.5, 0.25, 0.75, 0.25, 0.75]
    assert torch.allclose(place.sum(-1)[0], torch.ones(5)) and not place[1, 2:].any()
