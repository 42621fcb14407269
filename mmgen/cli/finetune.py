"""`mmgen finetune`: let a pipeline learn pairs of one's own."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmgen.cli.console import progress_bar, spinner
from mmgen.cli.options import split_pairs
from mmgen.cli.pairs import read_source
from mmgen.cli.parameters import Adapt, ColumnNames, DeviceName, PipelineName
from mmgen.cli.runs import DryRun, choose_device, show_rehearsal, steps_done, stoppable
from mmgen.core.errors import MissingSplit

if TYPE_CHECKING:
    from mmgen.pipeline import Pipeline
    from mmgen.training.pairs import Pairs

__all__ = ["finetune"]

_DEFAULTS = {"steps": 500, "batch_size": 16, "learning_rate": 2e-4, "warmup": 20, "ema": 0.99}
_SHOWN = 5


def finetune(  # noqa: PLR0913 - a parameter is an option of the command line
    name: PipelineName,
    pairs: Annotated[
        list[Path],
        typer.Option(
            metavar="PATH",
            help="A file or folder of pairs (docs/pairs.md); repeat it for aligned text files, y "
            "first.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")],
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="Held-out pairs; the validation split of --pairs if it has one. The best weights "
            "by their loss are the result.",
        ),
    ] = None,
    column: ColumnNames = None,
    adapt: Adapt = False,
    max_bad: Annotated[
        float,
        typer.Option(
            help="Largest share of pairs that may be left out as unreadable.", min=0.0, max=1.0
        ),
    ] = 0.0,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps, 500 if not given.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pairs in one; 16 if not given.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak learning rate, 0.0002 if not given.")
    ] = None,
    lora_rank: Annotated[
        int | None, typer.Option(help="Train adapters of this rank and merge them at the end.")
    ] = None,
    lora_target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Piece of the names of the layers that get adapters (attention); all layers if "
            "not given. Repeat it.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Train only parameters whose names begin so. Repeat it."),
    ] = None,
    statistics: Annotated[
        Literal["kept", "new"] | None,
        typer.Option(help="Scale actions, mels and properties as before, or by the new pairs."),
    ] = None,
    by_length: Annotated[
        int | None,
        typer.Option(
            metavar="BATCHES",
            help="Sort so many batches by length together, so that each holds little padding: 50.",
        ),
    ] = None,
    cache_gb: Annotated[
        float | None,
        typer.Option(help="Memory for what frozen parts give, 4 if not given; 0 to keep nothing."),
    ] = None,
    accumulation: Annotated[int | None, typer.Option(help="Batches in a step.")] = None,
    checkpoint_every: Annotated[int | None, typer.Option(help="Steps between them.")] = None,
    sample_every: Annotated[
        int | None, typer.Option(help="Steps between samples, 1000 if not given; 0 for none.")
    ] = None,
    validate_every: Annotated[int | None, typer.Option(help="Steps between them.")] = None,
    patience: Annotated[
        int | None, typer.Option(help="Validations without a better one that end the run.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of order and noise.")] = None,
    device: DeviceName = None,
    precision: Annotated[
        Literal["auto", "no", "bf16", "fp16"] | None, typer.Option(help="Mixed precision.")
    ] = None,
    gradient_checkpointing: Annotated[
        bool | None,
        typer.Option("--gradient-checkpointing", help="Less memory for more time."),
    ] = None,
    tensorboard: Annotated[
        bool | None, typer.Option("--tensorboard", help="Write logs for TensorBoard, too.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Let a pipeline learn pairs (y, x). Goes on where the same run was stopped."""
    given = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "lora_rank": lora_rank,
        "lora_targets": lora_target or None,
        "only": only or None,
        "statistics": statistics,
        "by_length": by_length,
        "cache_gb": cache_gb,
        "accumulation": accumulation,
        "checkpoint_every": checkpoint_every,
        "sample_every": sample_every,
        "validate_every": validate_every,
        "patience": patience,
        "seed": seed,
        "precision": precision,
        "gradient_checkpointing": gradient_checkpointing,
        "tensorboard": tensorboard,
    }
    settings = _DEFAULTS | {k: v for k, v in given.items() if v is not None}
    how = _Reading(split_pairs(column or (), flag="--column"), adapt, max_bad)
    with spinner(f"Loading {name}"):
        from mmgen.pipeline import Pipeline
        from mmgen.training import TrainSettings, fit, rehearse
        from mmgen.training.locking import require_free

        choose_device(device)
        # Read before anything is loaded, so that a wrong one is said at once.
        TrainSettings(**settings)
        if not dry_run:
            require_free(output)
        pipe = Pipeline.from_pretrained(name)
    learnt = _checked(pipe, _read(pairs, pipe, how), how, what="")
    held_out = _held_out(pairs, validation, pipe, how)
    if dry_run:
        found = rehearse(pipe, learnt, validation=held_out, **settings)
        show_rehearsal(found, f"{settings['steps']} steps of {settings['batch_size']} pairs")
        return
    done = steps_done(output)
    typer.echo(
        f"{f'Going on from step {done}' if done else 'Beginning'} in {output}: {settings['steps']} "
        f"steps of {settings['batch_size']} pairs"
    )
    with stoppable(output):
        fit(pipe, learnt, output=output, validation=held_out, preview=_some(learnt), **settings)
    if pipe.card is not None:
        for what, score in pipe.card.scores.items():
            typer.echo(f"{what[0].upper()}{what[1:]}: {score}")
    typer.echo(f"Saved {output / 'pipeline'}")
    typer.echo(f"Use it:  Pipeline.from_pretrained({shlex.quote(str(output))!r})")


@dataclass(frozen=True)
class _Reading:
    """How pairs are read, and how many may be bad."""

    columns: Mapping[str, str]
    adapt: bool
    max_bad: float


def _read(paths: Sequence[Path], pipe: Pipeline, how: _Reading, split: str | None = None) -> Pairs:
    return read_source(paths, pipe, split=split, columns=how.columns, adapt=how.adapt)


def _held_out(
    pairs: Sequence[Path], validation: Sequence[Path] | None, pipe: Pipeline, how: _Reading
) -> Pairs | None:
    """The pairs to measure on: those that were named, or the validation split."""
    if validation:
        return _checked(pipe, _read(validation, pipe, how), how, what="held-out ")
    try:
        found = _read(pairs, pipe, how, "validation")
    except MissingSplit:
        return None
    return _checked(pipe, found, how, what="held-out ")


def _checked(pipe: Pipeline, pairs: Pairs, how: _Reading, *, what: str) -> Pairs:
    """The pairs that can be read, if enough can."""
    from mmgen.training import check_pairs
    from mmgen.training.pairs import SelectedPairs

    with progress_bar(f"Reading {what}pairs") as step:
        report = check_pairs(pipe, pairs, progress=step)
    typer.echo(f"{len(report.good)} {what}pair{'' if len(report.good) == 1 else 's'}")
    # A few held-out pairs are better than none.
    for warning in () if what else report.warnings:
        typer.echo(f"Look: {warning}")
    if not report.bad:
        return pairs
    named = "\n".join(f"  {bad.where}: {bad.message}" for bad in report.bad[:_SHOWN])
    more = len(report.bad) - _SHOWN
    named += f"\n  and {more} more" if more > 0 else ""
    if report.share_bad > how.max_bad:
        raise ValueError(
            f"{len(report.bad)} of {report.count} {what}pairs cannot be learnt from:\n{named}\n"
            "Mend them, or leave them out with --max-bad "
            f"{min(1.0, round(report.share_bad + 0.005, 2)):g}."
        )
    typer.echo(f"Left out {len(report.bad)}:\n{named}")
    return SelectedPairs(pairs, report.good)


def _some(pairs: Pairs) -> list[Any]:
    """Conditions to draw samples for while it learns."""
    import numpy as np

    count = min(4, len(pairs))
    places = np.linspace(0, len(pairs) - 1, count).astype(int).tolist()
    return [pairs.pair(i, np.random.default_rng([0, i]))[0] for i in places]
