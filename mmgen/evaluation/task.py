"""What a task of the benchmark suite says of itself, and where tasks are found.

A task is a file of `benchmarks/tasks/`, a comparison of speed one of `benchmarks/speed/`, and a
fine-tuning measured before and after one of `benchmarks/finetuning/`, with

    TASK = Task(...)                              literals only, read without running the file
    def main(given=None, ...) -> Path             run what the arguments ask for, write the record

so that what there is can be listed without loading a library, and `python -m` and `mmgen bench` run
the same thing.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmgen.core.errors import LoadError, MissingDependency, SpecError, UnknownNameError, close_names

__all__ = ["KINDS", "FoundTask", "Task", "find_tasks"]

KINDS = ("tasks", "speed", "finetuning")
_PACKAGE = "benchmarks"
_DATA_VARIABLE = "MMGEN_DATA"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a task is, what it needs, and which of its scores are shown.

    Args:
        summary: One line.
        protocol: Version of how is measured: scores of different versions do not compare.
        minutes: What all of it takes on two cores.
        quick: Arguments that make it quick, so that one sees that it runs.
        quick_minutes: What it then takes.
        quick_note: What a quick run leaves out, if its scores mean nothing.
        pipeline: What is measured if nothing else is named; None if the task trains its own.
        x: What that generates.
        y: What from; several names are parts, any of which a pipeline may lack.
        data: Sets below the folder that MMGEN_DATA names.
        needs: Libraries that are imported, as (module, extra of mmgen that brings it).
        shown: Scores for tables, as (label, path of the value in the scores with "/" between its
            keys, "higher" or "lower" for what is better, reference). In the text of the reference,
            {path} stands for another value of the same record.
    """

    summary: str
    protocol: int
    minutes: float
    quick: tuple[str, ...]
    quick_minutes: float
    quick_note: str = ""
    pipeline: str | None = None
    x: str | None = None
    y: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    needs: tuple[tuple[str, str], ...] = ()
    shown: tuple[tuple[str, str, str, str], ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.protocol, int) or self.protocol < 1:
            raise ValueError(f"protocol counts from 1, got {self.protocol!r}.")
        for label, _, better, _ in self.shown:
            if better not in ("higher", "lower"):
                raise ValueError(f"{label}: better is higher or lower, got {better!r}.")

    def require_here(self, name: str) -> None:
        """Nothing if its data and its libraries are there.

        Raises:
            LoadError: If a set is not. The message names it and says where to point MMGEN_DATA.
            MissingDependency: If a library is not. The message holds the pip line.
        """
        folder = os.environ.get(_DATA_VARIABLE)
        for kind in self.data:
            if not folder:
                raise LoadError(
                    f"{name} reads the data set {kind!r}, and the environment variable "
                    f"{_DATA_VARIABLE} is not set. Set it to the folder that holds {kind}/."
                )
            if not (Path(folder) / kind).is_dir():
                raise LoadError(
                    f"{name} reads the data set {kind!r}, which is not in the folder that "
                    f"{_DATA_VARIABLE} names, {folder!r}. Put the set there, or set "
                    f"{_DATA_VARIABLE} to the folder that holds {kind}/."
                )
        for module, extra in self.needs:
            if importlib.util.find_spec(module) is None:
                raise MissingDependency(module, extra=extra, purpose=f"The task {name}")

    def require_fit(self, name: str, *, pipeline: str, x: str, y: object) -> None:
        """Nothing if the task can measure such a pipeline.

        Args:
            name: Of the task.
            pipeline: As it was named.
            x: What it generates.
            y: What from: a name, several of them, or None.

        Raises:
            SpecError: If it cannot.
        """
        if self.pipeline is None:
            raise SpecError(f"{name} trains its own model. Leave --pipeline out.")
        parts = (y,) if isinstance(y, str) else tuple(y or ())
        if x != self.x or (parts and not set(parts) & set(self.y)):
            asked, got = ", ".join(self.y) or "nothing", ", ".join(parts) or "nothing"
            raise SpecError(
                f"{name} measures P({self.x} | {asked}); {pipeline} is P({x} | {got}). Name a "
                f"pipeline like {self.pipeline}, or another task (mmgen bench --list)."
            )


@dataclass(frozen=True)
class FoundTask:
    """A file that holds a task.

    Args:
        name: By which it is asked for: that of the file.
        kind: The folder that it lies in.
        about: What it says of itself.
    """

    name: str
    kind: str
    about: Task

    @property
    def full_name(self) -> str:
        """Under which it is known among tasks of all kinds: "scenes", "speed checkpoints"."""
        return self.name if self.kind == "tasks" else f"{self.kind} {self.name}"

    @property
    def main(self) -> Callable[..., Path]:
        """What runs it: takes arguments of the command line, gives the record that it wrote."""
        return importlib.import_module(f"{_PACKAGE}.{self.kind}.{self.name}").main


def find_tasks(kind: str, names: tuple[str, ...] = ()) -> dict[str, FoundTask]:
    """Tasks by name, in the order in which they are asked for.

    Args:
        kind: One of KINDS.
        names: Those that are wanted; all if empty.

    Raises:
        UnknownNameError: If there is none of a name. The message lists the close ones.
        LoadError: If the benchmarks are not there.
    """
    folder = _root() / kind
    found = {}
    for file in sorted(folder.glob("*.py")):
        about = _about(file)
        if about is not None:
            found[file.stem] = FoundTask(file.stem, kind, about)
    for name in names:
        if name not in found:
            raise UnknownNameError(f"No task {name!r}. {close_names(name, found)}")
    return {name: found[name] for name in names} if names else found


def _about(file: Path) -> Task | None:
    """The literals of TASK; None if the file holds no task."""
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "TASK":
            return Task(**{k.arg: ast.literal_eval(k.value) for k in node.value.keywords})
    return None


def _root() -> Path:
    """The folder of the benchmarks, which can be imported from then on."""
    beside = Path(__file__).resolve().parents[2]
    if (beside / _PACKAGE / "tasks").is_dir():
        if str(beside) not in sys.path:
            sys.path.append(str(beside))
        return beside / _PACKAGE
    spec = importlib.util.find_spec(_PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(place) / "tasks").is_dir():
            return Path(place)
    raise LoadError(
        "The benchmarks are part of mmgen's repository, not of the installed package. Clone it and "
        "run mmgen bench in its folder with `python -m mmgen.cli.main bench`, or install it from "
        "there: pip install -e ."
    )
