"""The records of fine-tunings as the table of docs/finetuning.md.

python -m benchmarks.finetuning.table
"""

from __future__ import annotations

from pathlib import Path

from mmgen.evaluation.results import in_words, read_records, task_of, value_at, write_filled
from mmgen.evaluation.task import find_tasks

__all__ = ["DOCUMENT", "RECORDS", "TABLE", "table"]

ROOT = Path(__file__).resolve().parents[2]
RECORDS, DOCUMENT = ROOT / "benchmarks" / "results", ROOT / "docs" / "finetuning.md"
TABLE = "finetunings"
_COLUMNS = ("what it learns", "pairs", "held-out loss", "and", "CPU time", "memory")


def table(folder: Path = RECORDS) -> list[str]:
    """Lines of a table, one for each record of a folder: before and after, time and memory."""
    tasks = {task.full_name: task for task in find_tasks("finetuning").values()}
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" * len(_COLUMNS)]
    for path, record in read_records(folder).items():
        task = task_of(path, tasks)
        if task is None or not path.stem.startswith("finetuning_"):
            continue
        scores, settings = record["scores"], record["settings"]
        changes = []
        for label, place, _, _ in task.about.shown:
            key = place.partition("/")[0]
            ends = [in_words(value_at(scores, f"{key}/{when}"), short=True) for when in _WHEN]
            real = value_at(scores, f"{key}/real")
            beside = "" if real is None else f" ({in_words(real, short=True)} of real ones)"
            changes.append((label, " to ".join(ends) + beside))
        cells = (
            f"{task.about.summary} `{settings['pipeline']}`",
            f"{settings['pairs']:,}, {settings['held_out']:,} held out",
            changes[0][1],
            "; ".join(f"{label}: {change}" for label, change in changes[1:]),
            f"{scores['cpu_seconds']:.0f} s for {settings['steps']} steps of "
            f"{settings['batch_size']}",
            f"{scores['peak_memory_mb']:.0f} MB",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


_WHEN = ("before", "after")


if __name__ == "__main__":
    write_filled(DOCUMENT, {TABLE: table()})
