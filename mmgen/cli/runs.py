"""Runs of training: where they compute, how far they are, and what to do when one is stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmgen.cli.console import Stopped
from mmgen.cli.device import find_device
from mmgen.core.files import read_json

if TYPE_CHECKING:
    from mmgen.training.rehearsing import Rehearsal

__all__ = ["DryRun", "choose_device", "show_rehearsal", "steps_done", "stoppable"]

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Take a few steps, tell what the run would take, and keep nothing."
    ),
]


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


def show_rehearsal(found: Rehearsal, what: str) -> None:
    """Say what a run would take."""
    typer.echo(f"{what} would take:")
    lines = {
        "memory": f"{_gb(found.memory_gb)} on {found.device}; while a checkpoint is written, "
        f"{_gb(2 * found.checkpoint_gb)} more on the CPU",
        "disk": f"{_gb(found.checkpoint_gb)} for a checkpoint",
        "time": f"{found.step_seconds:.3g} s a step, {_duration(found.seconds)} in all",
        "parameters": f"{found.parameters:,}, {found.trained:,} of which are trained",
        "pairs": f"{found.seen:,} seen of {found.num_pairs:,}, {found.epochs:.3g} epochs",
    }
    if found.num_validations:
        lines["held out"] = (
            f"{found.num_validations} measurements of {found.validation_seconds:.3g} s each"
        )
    for name, line in lines.items():
        typer.echo(f"  {name + ':':<12}{line}")


def _gb(amount: float) -> str:
    return f"{amount:.1f} GB" if amount >= 1 else f"{1000 * amount:.0f} MB"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{seconds:.2g} s"
