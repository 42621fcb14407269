"""Settings of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["TrainSettings"]


@dataclass(frozen=True)
class TrainSettings:
    """How to train."""

    steps: int = 2000
    """Number of optimiser steps."""
    batch_size: int = 64
    """Pairs in a step on one process, accumulation not counted."""
    accumulation: int = 1
    """Batches in a step."""
    optimizer: str = "adamw"
    """"adamw", or "muon" for orthogonal steps of hidden matrices: faster when training anew."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW, reached after the warm-up and followed by a cosine to zero."""
    warmup: int = 200
    """Steps of linear warm-up."""
    only: Sequence[str] = ()
    """Beginnings of the names of the parameters to train ("model"); all if empty."""
    lora_rank: int = 0
    """Rank of adapters, which alone are trained and are merged at the end; 0 for whole weights."""
    lora_targets: Sequence[str] = ()
    """Pieces of the names of the linear layers that get adapters ("attention", "q_proj"); all if
    empty."""
    statistics: str = "kept"
    """"kept" scales actions, mels and properties as the pipeline does; "new" by the new pairs."""
    weight_decay: float = 0.01
    """Decay of weight matrices."""
    beta2: float = 0.99
    """Decay of the second moment."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    dropout: float | None = None
    """Share of the features that dropout withholds in training; None for what each network has,
    which is none for those of mmgen. For pairs that are seen many times: 0.1 to 0.3."""
    ema: float = 0.999
    """Decay of the running average of weights, which is what is saved. It warms up."""
    precision: str = "auto"
    """"no", "bf16" or "fp16"; auto is bf16 where the processor multiplies it quickly."""
    compile: bool = False
    """Compile the networks with torch.compile: a minute at the start, faster after."""
    gradient_checkpointing: bool = False
    """Compute what blocks of networks hold anew in the backward pass: less memory, more time."""
    seed: int = 0
    """Of weights, order and noise."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    sample_every: int = 1000
    """Steps between overviews of samples; 0 for none."""
    log_every: int = 20
    """Steps between lines of the log."""
    validate_every: int = 200
    """Steps between measurements on held-out pairs, if there are some."""
    validation_from: int = 256
    """Most held-out pairs to measure on."""
    patience: int = 0
    """Measurements in a row without a better one, after which the run ends; 0 for none."""
    statistics_from: int = 4096
    """Number of pairs from which vocabularies and statistics are taken."""
    by_length: int = 0
    """Batches that are sorted by length together, so that each holds pairs about as long as each
    other and little padding: 50, say. 0 for none. Each pair is read once more, at the start."""
    cache_gb: float = 4.0
    """What frozen encoders and codecs give is computed once for each pair that is seen again, and
    kept: up to so many gigabytes in memory, more in the folder of the run. 0 to compute it anew."""
    workers: int = 0
    """Processes that prepare batches."""
    tensorboard: bool = False
    """Write logs for TensorBoard, too."""

    def __post_init__(self) -> None:
        self._check_numbers()
        for name in ("only", "lora_targets"):
            given = getattr(self, name)
            if isinstance(given, str):
                raise TypeError(f"{name} is a list of names, got {given!r}. Give [{given!r}].")
            object.__setattr__(self, name, tuple(given))
        self._check_contradictions()
        if self.optimizer not in ("adamw", "muon"):
            raise ValueError(f"optimizer is adamw or muon; got {self.optimizer!r}.")
        if self.precision not in ("auto", "no", "bf16", "fp16"):
            raise ValueError(f"precision is auto, no, bf16 or fp16; got {self.precision!r}.")
        if self.statistics not in ("kept", "new"):
            raise ValueError(f"statistics is kept or new; got {self.statistics!r}.")

    def _check_contradictions(self) -> None:
        if self.only and self.lora_rank:
            raise ValueError("lora_rank trains adapters and nothing else; leave out only or it.")
        if self.lora_targets and not self.lora_rank:
            raise ValueError(
                "lora_targets says which layers get adapters, and lora_rank=0 that none do. Give "
                "lora_rank, or leave lora_targets out."
            )
        if self.statistics == "new" and self.lora_rank:
            raise ValueError(
                'An adapter is added to its base, which scales as it did; statistics="new" would '
                "have it learn another scale. Leave out lora_rank or statistics."
            )
        if self.compile and self.gradient_checkpointing:
            raise ValueError(
                "compile decides itself what is computed anew; leave out it or "
                "gradient_checkpointing."
            )

    def _check_numbers(self) -> None:
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1, got {getattr(self, name)}.")
        for name in _AT_LEAST_ZERO:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is at least 0, got {getattr(self, name)}.")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is above 0, got {self.learning_rate}.")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ValueError(f"dropout lies in [0, 1), got {self.dropout}.")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema lies in [0, 1), got {self.ema}.")


_AT_LEAST_ONE = (
    "steps",
    "batch_size",
    "accumulation",
    "checkpoint_every",
    "log_every",
    "validate_every",
    "validation_from",
)
_AT_LEAST_ZERO = (
    "warmup",
    "sample_every",
    "workers",
    "seed",
    "weight_decay",
    "patience",
    "lora_rank",
    "by_length",
    "cache_gb",
)
