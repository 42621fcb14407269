"""`python -m mmgen.simulators.pusht --count 200`: make demonstrations, or go on making them."""

from __future__ import annotations

import argparse
import sys

from mmgen.simulators.pusht.demonstrations import cache_folder, demonstrations


def _show(number: int, count: int) -> None:
    sys.stderr.write(f"\r{number} of {count} episodes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Demonstrations of PushT, kept in a folder.")
    parser.add_argument("--count", type=int, default=200, help="episodes that succeed")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first")
    parser.add_argument("--near", action="store_true", help="start near the goal")
    chosen = parser.parse_args()
    shown = demonstrations(
        chosen.count, near=chosen.near, first_seed=chosen.first_seed, progress=_show
    )
    steps = sum(len(d.actions) for d in shown)
    last = shown[-1].seed if shown else chosen.first_seed
    sys.stderr.write(f"\n{cache_folder()}: {steps} steps, seeds up to {last}\n")
