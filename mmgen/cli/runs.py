"""Runs of training: where they compute, how far they are, and what to do when one is stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmgen.cli.console import Stopped
from mmgen.cli.device import find_device
from mmgen.core.files import read_json

__all__ = ["choose_device", "steps_done", "stoppable"]


def choose_device(choice: str | None) -> None:
    """Let training compute there, if something was chosen."""
    if choice is not None:
        # Accelerate owns devices and reads this.
        os.environ["ACCELERATE_TORCH_DEVICE"] = str(find_device(choice))


def steps_done(output: Path) -> int | None:
    """The step of a run's last checkpoint; None if it has none."""
    file = output / "checkpoint" / "state.json"
    return read_json(file).get("step") if file.is_file() else None


@contextmanager
def stoppable(output: Path) -> Iterator[None]:
    """Say how a run goes on if Ctrl-C stops it within the block."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(_how_to_go_on(output)) from None


def _how_to_go_on(output: Path) -> str:
    done = steps_done(output)
    if done is None:
        return f"Stopped before the first checkpoint in {output}. The same command starts anew."
    return (
        f"Stopped. The last checkpoint in {output}, of step {done}, is whole. "
        "The same command goes on from it."
    )
