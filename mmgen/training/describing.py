"""What a pipeline's card says of the run that trained it."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import accelerate
import numpy as np
import torch

from mmgen.core.card import Card
from mmgen.pipeline import Pipeline
from mmgen.training.digests import digest
from mmgen.training.pairs import Pairs
from mmgen.training.settings import TrainSettings
from mmgen.training.streaming import StreamedPairs
from mmgen.training.validation import Validation
from mmgen.version import __version__

__all__ = ["Machine", "described", "fingerprint", "first_card"]

_SAMPLED = 64
# What the card says in words, and what changes nothing that is learnt.
_SAID = {"steps", "batch_size", "accumulation", "optimizer", "learning_rate", "lora_rank"}
_OF_THE_MACHINE = {
    "cache_gb",
    "checkpoint_every",
    "log_every",
    "sample_every",
    "tensorboard",
    "workers",
}


@dataclass(frozen=True)
class Machine:
    """What a run ran on.

    Attributes:
        device: Kind of device.
        precision: "no" for single precision, "bf16" or "fp16".
        processes: How many took each step together.
    """

    device: str
    precision: str
    processes: int

    def __str__(self) -> str:
        precision = "float32" if self.precision == "no" else self.precision
        several = f", {self.processes} processes" if self.processes > 1 else ""
        return (
            f"On {self.device} in {precision}{several}: mmgen {__version__}, torch "
            f"{torch.__version__}, accelerate {accelerate.__version__}, Python "
            f"{platform.python_version()}, {platform.system()} {platform.machine()}"
        )


def described(
    card: Card,
    *,
    base: str | None,
    pairs: Pairs | StreamedPairs,
    settings: TrainSettings,
    validation: Validation | None,
    machine: Machine,
) -> Card:
    """The card after a run: whatever it claimed of other weights is gone.

    Args:
        card: Before the run.
        base: Where the weights came from; None if they were fresh.
        pairs: What was learnt from.
        settings: Of the run.
        validation: What was measured, if anything was.
        machine: What it ran on.
    """
    batch = settings.batch_size * settings.accumulation * machine.processes
    how = f"{settings.steps} steps of {batch} pairs by {settings.optimizer} at "
    how += f"{settings.learning_rate:g}"
    if settings.lora_rank:
        how += f", adapters of rank {settings.lora_rank} merged into the weights"
    if base is not None and Path(base).is_dir():
        # Where it lies on this machine is nobody's business who reads a card.
        folder = Path(base).resolve()
        base = folder.parent.name if folder.name == "pipeline" else folder.name
    start = f"from {base}" if base else "from fresh weights"
    how += f" ({_options(settings)})"
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
        trained=f"{start[0].upper()}{start[1:]}: {how}. {machine}.",
        scores=scores,
        limits="",
    )


def first_card(pipe: Pipeline) -> Card | None:
    """The card of a checkpoint of another library, which has none that mmgen could read.

    None for pipelines of mmgen without a card, which are made by hand.
    """
    if pipe.foreign is None:
        return None
    found = pipe.foreign.found
    return Card(
        x=found.x,
        y=" and ".join(found.y) or "nothing",
        family=found.architecture,
        summary=f"{found.architecture} of {found.library}, fine-tuned: {found.distribution}.",
        data="what its own card names",
        licence="That of the base.",
        parameters=sum(p.numel() for p in pipe.parts.parameters()),
    )


def _options(settings: TrainSettings) -> str:
    """The seed, and what else was chosen."""
    chosen = [
        f"{field.name} {_said(getattr(settings, field.name))}"
        for field in fields(settings)
        if field.name not in _SAID | _OF_THE_MACHINE | {"seed", "precision"}
        and getattr(settings, field.name) != field.default
    ]
    return ", ".join([f"seed {settings.seed}", *chosen])


def _said(value: Any) -> str:
    return " and ".join(value) if isinstance(value, tuple) else str(value)


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
