"""How a task that measures a pipeline ends: its record, and what it says of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmgen.evaluation.record import write_result
from mmgen.evaluation.weights import weights_of

__all__ = ["record_path", "record_pipeline"]


def record_path(chosen: argparse.Namespace, task: str, *, more: Sequence[str] = ()) -> Path:
    """The file of a record: what was measured, and with what else than its defaults.

    So another setting never replaces the record of the defaults.

    Args:
        chosen: What `task_parser` has read.
        task: Name of the task.
        more: What else than --option tells this run from one of the defaults, in a word each.
    """
    words = [task, Path(chosen.pipeline).name.replace(":", "_"), *chosen.option, *more]
    return chosen.output / f"{'_'.join(words).replace('=', '-')}.json"


def record_pipeline(
    chosen: argparse.Namespace,
    task: str,
    *,
    protocol: int,
    settings: Mapping[str, Any],
    scores: Mapping[str, Any],
    lines: Iterable[str],
    more: Sequence[str] = (),
    sheets: Sequence[Path] = (),
) -> Path:
    """Write the record of a pipeline, and print what came out and where it is.

    Args:
        chosen: What `task_parser` has read. Pipeline and device go into the settings.
        task: Name of the task.
        protocol: Version of how was measured.
        settings: What else was chosen.
        scores: What came out.
        lines: To print of it.
        more: As in `record_path`.
        sheets: Files with samples that were written beside the record.

    Returns:
        The JSON file.
    """
    own = {"pipeline": chosen.pipeline, "device": chosen.device}
    own["weights_sha256"] = weights_of(chosen.pipeline)
    path = write_result(
        record_path(chosen, task, more=more),
        task=task,
        protocol=protocol,
        settings=own | dict(settings),
        scores=scores,
    )
    print("\n".join([*lines, str(path), *map(str, sheets)]))
    return path
