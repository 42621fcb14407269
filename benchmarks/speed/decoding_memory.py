"""One text by one of the ways that are compared, for the memory of this process to be measured."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]

COMPARISONS = ("checkpoints", "translation")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("comparison", choices=COMPARISONS)
    parser.add_argument("way", help="one of its WAYS")
    parser.add_argument("folder", type=Path, help="of the checkpoint")
    parser.add_argument("tokens", type=int)
    asked = parser.parse_args(arguments)
    ways = importlib.import_module(f"benchmarks.speed.{asked.comparison}").WAYS
    ways[asked.way](asked.folder, asked.tokens)(1)


if __name__ == "__main__":
    main()
