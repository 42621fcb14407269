r"""The variational bound of masked diffusion, as a loss and as a density.

Each place of x is hidden by time t with probability t, independently. The bound in continuous time
is, for a network p that predicts hidden tokens from visible ones,

    -log p(x) <= int_0^1 1/t E[ sum_(n hidden at t) -log p(x_n | visible) ] dt.

The number k of hidden places among m is binomial, and int 1/t C(m, k) t^k (1 - t)^(m - k) dt = 1/k:
the integral over time is a sum over k of one term each, its places drawn at random,

    -log p(x) <= m E_k [ 1/k sum_(n hidden) -log p(x_n | visible) ],   k uniform on 1 ... m,

which has the same mean without the variance of 1/t near t = 0. It is also the mean of
-log p_order(x) over all orders in which tokens may be revealed one by one, and so the bound for the
model that `fill` draws from with as many steps as places.

An end is followed by ends alone. Logits that would break this are excluded before they are
normalised, so that only sequences with one end have a probability at all.

Sources: Simple and Effective Masked Diffusion Language Models (Sahoo et al., 2024), Eq. 10-11,
arXiv:2406.07524; the sum over k: Autoregressive Diffusion Models (Hoogeboom et al., 2021), Eq. 4,
arXiv:2110.02037.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmgen.core.alphabet import Alphabet
from mmgen.core.condition import Condition
from mmgen.nn.tokens import TokenNetwork, token_losses

__all__ = ["bound_of", "hidden_id", "possible_logits"]


def hidden_id(alphabet: Alphabet) -> int:
    """The id of a hidden place, the first above those that are predicted."""
    return alphabet.num_targets


def possible_logits(network: TokenNetwork, ids: Tensor, c: Condition, alphabet: Alphabet) -> Tensor:
    """Logits (R, L, V), float32, of every place given the visible ones.

    Minus infinity for content behind a visible end, and for an end before visible content.
    """
    logits = network(ids, c).float()
    if not alphabet.varies:
        return logits
    places = torch.arange(ids.shape[1], device=ids.device)
    last_content = torch.where(ids < alphabet.vocabulary, places, -1).amax(1)
    only_end = places > alphabet.lengths(ids)[:, None]
    no_end = places < last_content[:, None]
    is_end = torch.arange(alphabet.num_targets, device=ids.device) == alphabet.end
    return logits.masked_fill(
        (only_end[..., None] & ~is_end) | (no_end[..., None] & is_end), -math.inf
    )


def bound_of(
    network: TokenNetwork,
    ids: Tensor,
    c: Condition,
    alphabet: Alphabet,
    *,
    known: Tensor,
    uniform: Tensor,
    scores: Tensor,
) -> Tensor:
    """One draw of the bound of -log p of what is not known, given what is (R,), in nats.

    Args:
        network: Ids and condition to logits.
        ids: Ids (R, L).
        c: Their condition.
        alphabet: Ids.
        known: Places that are never hidden (R, L).
        uniform: Tells how many places are hidden (R,), uniform in [0, 1).
        scores: Tells which ones (R, L), uniform in [0, 1).
    """
    total = (~known).sum(1)
    count = torch.minimum(1 + (uniform * total).floor().long(), total)
    rank = scores.masked_fill(known, 2.0).argsort(1).argsort(1)
    hidden = rank < count[:, None]
    visible = torch.where(hidden, hidden_id(alphabet), ids)
    logits = possible_logits(network, visible, c, alphabet)
    # What is visible has no part in the sum, and might be excluded.
    lost = token_losses(logits, torch.where(hidden, ids, -100))
    return lost.sum(1) * total / count.clamp(min=1)
