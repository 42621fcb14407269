"""Which token each frame belongs to, where both run the same way.

Tokens 1 ... L come one after another, each for at least one frame; of all such ways to share out T
frames, the search finds the one with the greatest sum of scores:

    Q(l, t) = score(l, t) + max(Q(l, t - 1), Q(l - 1, t - 1)).

Source: Glow-TTS (Kim et al., 2020), Sec. 3.2 and Alg. 1, arXiv:2005.11129.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["monotonic_durations", "spread"]


@torch.no_grad()
def monotonic_durations(score_BLT: Tensor, num_tokens_B: Tensor, num_frames_B: Tensor) -> Tensor:
    """Frames of each token under the best alignment.

    Args:
        score_BLT: How well frame t fits token l; what lies beyond the numbers is not looked at.
        num_tokens_B: Tokens of each, from 1 to L.
        num_frames_B: Frames of each, at least as many as tokens, up to T.

    Returns:
        (B, L), integers that sum to the number of frames, zero beyond the number of tokens.

    Raises:
        ValueError: If there are more tokens than frames.
    """
    if (num_tokens_B > num_frames_B).any():
        worst = int((num_tokens_B - num_frames_B).argmax())
        raise ValueError(
            f"Expected at least one frame for each token, got {int(num_frames_B[worst])} frames "
            f"for {int(num_tokens_B[worst])} tokens. Leave such pairs out."
        )
    batch, tokens, frames = score_BLT.shape
    rows = torch.arange(batch, device=score_BLT.device)
    lowest = torch.finfo(torch.float32).min / 4
    best = torch.full((batch, tokens), lowest, device=score_BLT.device)
    best[:, 0] = score_BLT[:, 0, 0].float()
    outside = torch.full((batch, 1), lowest, device=score_BLT.device)
    stepped = torch.zeros(frames, batch, tokens, dtype=torch.bool, device=score_BLT.device)
    scores_TBL = score_BLT.float().permute(2, 0, 1).contiguous()
    for t in range(1, frames):
        before = torch.cat((outside, best[:, :-1]), dim=1)
        stepped[t] = before > best
        best = torch.maximum(before, best) + scores_TBL[t]
    durations = torch.zeros(batch, tokens, dtype=torch.long, device=score_BLT.device)
    place = num_tokens_B.to(rows.device) - 1
    ends = num_frames_B.to(rows.device)
    for t in range(frames - 1, -1, -1):
        there = t < ends
        durations[rows, place] += there
        place = place - (there & stepped[t, rows, place]).long()
    return durations


def spread(x_BLD: Tensor, durations_BL: Tensor, num_frames: int) -> tuple[Tensor, Tensor]:
    """Each token's features on all its frames.

    Args:
        x_BLD: Features of tokens.
        durations_BL: Frames of each.
        num_frames: T, at least as many as the durations of each row sum to.

    Returns:
        Features (B, T, D), zero beyond the durations' sum, and how far into its token each frame
        lies (B, T, 2): the shares of it that are past and to come, each in (0, 1).
    """
    ends_BL = durations_BL.cumsum(1)
    frames = torch.arange(num_frames, device=x_BLD.device).expand(len(x_BLD), -1).contiguous()
    index_BT = torch.searchsorted(ends_BL, frames, right=True).clamp(max=x_BLD.shape[1] - 1)
    there = (frames < ends_BL[:, -1:])[..., None]
    found = x_BLD.gather(1, index_BT[..., None].expand(-1, -1, x_BLD.shape[2]))
    own = durations_BL.gather(1, index_BT).clamp(min=1)
    left = ends_BL.gather(1, index_BT) - frames
    past = (own - left + 0.5) / own
    shares = torch.stack((past, 1 - past), dim=-1).to(x_BLD.dtype)
    return found * there, shares * there
