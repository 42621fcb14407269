"""What a pipeline's card says of the run that trained it."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from mmgen.core.card import Card
from mmgen.training.digests import digest
from mmgen.training.pairs import Pairs
from mmgen.training.settings import TrainSettings
from mmgen.training.streaming import StreamedPairs
from mmgen.training.validation import Validation
from mmgen.version import __version__

__all__ = ["described", "fingerprint"]

_SAMPLED = 64


def described(
    card: Card,
    *,
    base: str | None,
    pairs: Pairs | StreamedPairs,
    settings: TrainSettings,
    world: int,
    validation: Validation | None,
) -> Card:
    """The card after a run: whatever it claimed of other weights is gone.

    Args:
        card: Before the run.
        base: Where the weights came from; None if they were fresh.
        pairs: What was learnt from.
        settings: Of the run.
        world: Number of processes.
        validation: What was measured, if anything was.
    """
    batch = settings.batch_size * settings.accumulation * world
    how = f"{settings.steps} steps of {batch} pairs by {settings.optimizer} at "
    how += f"{settings.learning_rate:g}"
    if settings.lora_rank:
        how += f", adapters of rank {settings.lora_rank} merged into the weights"
    start = f"from {base}" if base else "from fresh weights"
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    scores: dict[str, str] = {}
    if validation is not None:
        scores["loss on held-out pairs"] = f"{validation.best:.4f} ({validation.first:.4f} before)"
    if isinstance(pairs, StreamedPairs):
        data = f"a stream of pairs, fingerprint of the first {fingerprint(pairs)}"
    else:
        data = f"{len(pairs)} pairs, fingerprint {fingerprint(pairs)}"
    data = f"{data}; before that, {card.data}" if base else f"{card.data} ({data})"
    return replace(
        card,
        data=data,
        trained=f"{start[0].upper()}{start[1:]}: {how}. mmgen {__version__}, {versions}.",
        scores=scores,
        limits="",
    )


def fingerprint(pairs: Pairs | StreamedPairs) -> str:
    """Of some pairs spread over the whole collection: the same pairs give the same one."""
    if isinstance(pairs, StreamedPairs):
        found = hashlib.blake2b(digest_size=8)
        for y, x in pairs.first(_SAMPLED):
            found.update(digest(y, x))
        return found.hexdigest()
    found = hashlib.blake2b(str(len(pairs)).encode(), digest_size=8)
    for index in np.linspace(0, len(pairs) - 1, min(_SAMPLED, len(pairs))).astype(int).tolist():
        found.update(digest(*_pair(pairs, index)))
    return found.hexdigest()


def _pair(pairs: Pairs, index: int) -> tuple[Any, Any]:
    try:
        return pairs.pair(index, np.random.default_rng([0, index]))
    except (ValueError, TypeError, OSError):
        return None, None
