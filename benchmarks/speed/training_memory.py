"""A few steps of `fit` on a language model, for the memory of this process to be measured."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.speed.made import texts
from mmgen.pipeline import Pipeline
from mmgen.training import rehearse

__all__ = ["main"]

STEPS = 3


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--rank", type=int, default=0, help="of adapters; 0 for whole weights")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--precision", choices=("no", "bf16"), default="no")
    asked = parser.parse_args(arguments)
    rehearse(
        Pipeline.from_pretrained(asked.checkpoint),
        texts(asked.tokens, asked.batch_size * (STEPS + 1)),
        num_steps=STEPS,
        lora_rank=asked.rank,
        batch_size=asked.batch_size,
        precision=asked.precision,
        statistics_from=1,
        learning_rate=1e-5,
    )


if __name__ == "__main__":
    main()
