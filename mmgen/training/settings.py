"""Settings of a training run."""

from __future__ import annotations

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
    weight_decay: float = 0.01
    """Decay of weight matrices."""
    beta2: float = 0.99
    """Decay of the second moment."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.999
    """Decay of the running average of weights, which is what is saved. It warms up."""
    precision: str = "auto"
    """"no", "bf16" or "fp16"; auto is bf16 where the processor multiplies it quickly."""
    compile: bool = False
    """Compile the networks with torch.compile: a minute at the start, faster after."""
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
    workers: int = 0
    """Processes that prepare batches."""
    tensorboard: bool = False
    """Write logs for TensorBoard, too."""

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "batch_size",
            "accumulation",
            "checkpoint_every",
            "log_every",
            "validate_every",
            "validation_from",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1, got {getattr(self, name)}.")
        for name in ("warmup", "sample_every", "workers", "seed", "weight_decay", "patience"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is at least 0, got {getattr(self, name)}.")
        if self.optimizer not in ("adamw", "muon"):
            raise ValueError(f"optimizer is adamw or muon; got {self.optimizer!r}.")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is above 0, got {self.learning_rate}.")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema lies in [0, 1), got {self.ema}.")
        if self.precision not in ("auto", "no", "bf16", "fp16"):
            raise ValueError(f"precision is auto, no, bf16 or fp16; got {self.precision!r}.")
