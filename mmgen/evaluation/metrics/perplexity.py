"""Perplexity of a model of texts, for each of its tokens and for each byte of UTF-8.

Lower is better, at least 1. That of tokens compares only models of one vocabulary; that of bytes
any, and its base-2 logarithm are bits per byte. Sample size: thousands of tokens. Reference: the
exponential of the mean of -log p over all tokens of a corpus, the ends among them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["perplexities"]


def perplexities(
    nats: Sequence[float], texts: Sequence[str], num_tokens: Sequence[int]
) -> dict[str, float]:
    """Perplexities of a corpus: exp(-sum log p / tokens), exp(-sum log p / bytes).

    Args:
        nats: log p of each text, its end included.
        texts: The texts.
        num_tokens: Tokens of each, its end included.

    Returns:
        {"per_token", "per_byte", "bits_per_byte"}.

    Raises:
        ValueError: If they are not of one length, there are none, or a log p is not finite.
    """
    if not len(nats) == len(texts) == len(num_tokens) or not texts:
        raise ValueError(
            f"Expected log p and number of tokens of one text or more, got {len(nats)}, "
            f"{len(num_tokens)} and {len(texts)} texts."
        )
    lost, size = -math.fsum(nats), sum(len(text.encode()) for text in texts)
    if not math.isfinite(lost) or size == 0 or sum(num_tokens) < 1:
        raise ValueError(f"Expected finite log p of texts that say something, got {-lost} in all.")
    return {
        "per_token": round(math.exp(lost / sum(num_tokens)), 4),
        "per_byte": round(math.exp(lost / size), 4),
        "bits_per_byte": round(lost / size / math.log(2), 4),
    }
