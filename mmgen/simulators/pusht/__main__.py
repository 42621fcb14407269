"""`python -m mmgen.simulators.pusht --count 200`: make demonstrations, or go on making them."""

from __future__ import annotations

import argparse
import sys

from mmgen.core.errors import LoadError, MissingDependency
from mmgen.simulators.pusht.demonstrations import cache_folder, demonstrations


def _show(number: int, count: int) -> None:
    sys.stderr.write(f"\r{number} of {count} episodes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Demonstrations of PushT, kept in a folder.")
    parser.add_argument("--count", type=int, default=200, help="episodes that succeed")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first")
    parser.add_argument("--near", action="store_true", help="start near the goal")
    chosen = parser.parse_args()
    if chosen.count < 1 or chosen.first_seed < 0:
        parser.error("--count is at least 1, and --first-seed at least 0")
    try:
        shown = demonstrations(
            chosen.count, near=chosen.near, first_seed=chosen.first_seed, progress=_show
        )
    except (LoadError, MissingDependency) as error:
        sys.exit(f"error: {error}")
    steps = sum(len(d.actions) for d in shown)
    sys.stderr.write(f"\n{cache_folder()}: {steps} steps, seeds up to {shown[-1].seed}\n")
