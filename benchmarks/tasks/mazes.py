"""Does a plan lead through a maze that was never seen?

A planner draws paths through random mazes from a picture of each, its start and goal marked and,
as the first and last point of the path, known. A plan succeeds if it crosses no wall and leads
from the centre of the one cell to that of the other. Measured are the first plan drawn, and the
first that succeeds of up to eight: who holds a map can see which one does. Beside these stand
plans of which the ends are only marked, or only known, and the straight line.

    python -m benchmarks.tasks.mazes --pipeline image-to-actions:maze
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.arguments import asked_options, task_parser
from benchmarks.records import record_path, record_pipeline
from benchmarks.sheets import bordered, write_sheet
from mmgen import Pipeline
from mmgen.core.errors import SpecError
from mmgen.evaluation.intervals import Proportion
from mmgen.evaluation.task import Task
from mmgen.simulators.mazes import (
    Maze,
    centre,
    is_free,
    render,
    sample_ends,
    sample_maze,
    shortest_way,
)

__all__ = ["TASK", "main"]

TASK = Task(
    summary="Does a plan lead through a maze that was never seen?",
    protocol=1,
    minutes=6,
    quick=("--count", "8", "--tries", "2"),
    quick_minutes=0.5,
    pipeline="image-to-actions:maze",
    x="actions",
    y=("image",),
    shown=(
        (
            "plans from start to goal through no wall",
            "first",
            "higher",
            "{straight} of straight lines",
        ),
        ("the first such of eight", "best", "higher", "{straight} of straight lines"),
        ("the same, ends known but not shown", "known", "higher", "{straight} of straight lines"),
        ("known ends that come back to the last bit", "exact", "higher", "100 % is promised"),
    ),
)
PROTOCOL = TASK.protocol
MAZE_SEED = 20_263
"""Of the mazes. Those of training are drawn by other generators."""
CELLS, LOOPS, PIXELS = 5, 3, 8
_BATCH = 64
_NUM_SHOWN, _SCALE = 24, 20


@dataclass(frozen=True)
class _Case:
    maze: Maze
    start: tuple[int, int]
    goal: tuple[int, int]

    @property
    def ends(self) -> np.ndarray:
        """Where a path starts and ends (2, 2)."""
        return np.stack([centre(self.start), centre(self.goal)])

    def picture(self, *, marked: bool = True) -> np.ndarray:
        """What the planner sees."""
        shown = {"start": self.start, "goal": self.goal} if marked else {}
        return render(self.maze, **shown, scale=PIXELS)

    def succeeds(self, path: np.ndarray) -> bool:
        """Whether a path from cell to cell crosses no wall."""
        reached = [tuple(np.floor(p[::-1]).astype(int).tolist()) for p in (path[0], path[-1])]
        return reached == [self.start, self.goal] and is_free(self.maze, path)


def _cases(count: int) -> list[_Case]:
    found = []
    for number in range(count):
        rng = np.random.default_rng([MAZE_SEED, number])
        maze = sample_maze(rng, size=CELLS, num_loops=LOOPS)
        found.append(_Case(maze, *sample_ends(rng, maze)))
    return found


def _plans(
    pipe: Pipeline,
    cases: Sequence[_Case],
    seeds: Sequence[int],
    options: dict[str, Any],
    *,
    marked: bool = True,
    known: bool = True,
) -> list[np.ndarray]:
    """A path for each maze."""
    points = pipe.codec.horizon
    mask = np.zeros((points, 2), bool)
    mask[[0, -1]] = True
    paths: list[np.ndarray] = []
    for first in range(0, len(cases), _BATCH):
        some = cases[first : first + _BATCH]
        values = np.zeros((len(some), points, 2), np.float32)
        values[:, [0, -1]] = [case.ends for case in some]
        held = {"known": list(values), "mask": [mask] * len(some)} if known else {}
        dist = pipe.given([case.picture(marked=marked) for case in some], **held, **options)
        drawn = dist.sample(1, seed=list(seeds[first : first + _BATCH]))
        paths += [own[0] for own in drawn]
        print(f"\r{len(paths)} of {len(cases)} planned", end="", file=sys.stderr)
    print(file=sys.stderr)
    return paths


def run(
    pipe: Pipeline, cases: Sequence[_Case], *, seed: int, tries: int, options: dict[str, Any]
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Plan and judge.

    Args:
        pipe: P(path | picture).
        cases: Mazes with start and goal.
        seed: Try k in maze i is drawn by seed + i * tries + k.
        tries: Plans for a maze, as long as none succeeds.
        options: Of sampling.

    Returns:
        Scores, and the first plan of each maze.
    """
    count = len(cases)
    started = time.monotonic()
    plans = _plans(pipe, cases, [seed + i * tries for i in range(count)], options)
    seconds = (time.monotonic() - started) / count
    first = [case.succeeds(p) for case, p in zip(cases, plans, strict=True)]
    exact = [bool(np.array_equal(p[[0, -1]], c.ends)) for c, p in zip(cases, plans, strict=True)]
    solved = list(first)
    for k in range(1, tries):
        left = [i for i in range(count) if not solved[i]]
        some = [cases[i] for i in left]
        again = _plans(pipe, some, [seed + i * tries + k for i in left], options)
        for i, case, path in zip(left, some, again, strict=True):
            solved[i] = case.succeeds(path)
    scores = {"first": _share(first), "best": _share(solved), "exact": _share(exact)}
    seeds = [seed + i * tries for i in range(count)]
    for name, shown in (("marked", {"known": False}), ("known", {"marked": False})):
        other = _plans(pipe, cases, seeds, options, **shown)
        scores[name] = _share([c.succeeds(p) for c, p in zip(cases, other, strict=True)])
    scores["straight"] = _share([case.succeeds(case.ends) for case in cases])
    scores["by_length"] = _by_length(cases, first)
    scores["seconds_per_plan"] = round(seconds, 4)
    return scores, plans


def _by_length(cases: Sequence[_Case], holds: Sequence[bool]) -> dict[str, Any]:
    """First plans that succeed, by how many steps from cell to cell there are at least."""
    steps = [len(shortest_way(c.maze, c.start, c.goal)) - 1 for c in cases]
    found = {}
    for name, low, high in (("1-3", 1, 3), ("4-6", 4, 6), ("7-9", 7, 9), ("10-24", 10, 24)):
        own = [h for s, h in zip(steps, holds, strict=True) if low <= s <= high]
        if own:
            found[name] = _share(own)
    return found


def _share(holds: Sequence[bool]) -> dict[str, float | int]:
    return Proportion(sum(holds), len(holds)).as_dict()


def _drawing(case: _Case, path: np.ndarray) -> Image.Image:
    """The maze with the plan in it, framed red if it fails."""
    shown = render(case.maze, start=case.start, goal=case.goal, scale=_SCALE)
    image = Image.fromarray(shown)
    draw = ImageDraw.Draw(image)
    points = [(float(x) * _SCALE, float(y) * _SCALE) for x, y in path]
    draw.line(points, fill=(40, 85, 230), width=2)
    for x, y in points:
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(40, 85, 230))
    return bordered(image, not case.succeeds(path))


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = task_parser("mazes", pipeline=str(TASK.pipeline), description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="mazes")
    parser.add_argument("--tries", type=int, default=8, help="plans, as long as none succeeds")
    chosen = parser.parse_args(given)
    for name in ("count", "tries"):
        if getattr(chosen, name) < 1:
            parser.error(f"--{name} is at least 1, got {getattr(chosen, name)}")
    return chosen


def main(given: Sequence[str] | None = None, *, pipe: Pipeline | None = None) -> Path:
    """Run the task and write its result.

    Args:
        given: Arguments of the command line; those of this process if None.
        pipe: What to measure in place of what --pipeline names.

    Returns:
        The JSON file.

    Raises:
        SpecError: If the pipeline plans no points in the plane.
    """
    chosen = _arguments(given)
    pipe = pipe or Pipeline.from_pretrained(chosen.pipeline, device=chosen.device)
    if getattr(pipe.codec, "size", None) != 2 or pipe.codec.spec.modality != "actions":
        raise SpecError(
            f"{chosen.pipeline} gives {pipe.codec.spec.modality} {pipe.codec.spec.shape}; a plan "
            f"is actions of 2 numbers, x and y. Name a pipeline like {TASK.pipeline}."
        )
    asked = asked_options(chosen.option, pipe.options())
    cases = _cases(chosen.count)
    scores, plans = run(pipe, cases, seed=chosen.seed, tries=chosen.tries, options=asked)
    shown = [_drawing(c, p) for c, p in zip(cases[:_NUM_SHOWN], plans, strict=False)]
    sheet = record_path(chosen, "mazes").with_suffix(".png")
    sheet.parent.mkdir(parents=True, exist_ok=True)
    kinds = ("first", "best", "marked", "known", "straight", "exact")
    found = {kind: scores[kind] for kind in kinds}
    return record_pipeline(
        chosen,
        "mazes",
        protocol=PROTOCOL,
        settings={
            "count": chosen.count,
            "tries": chosen.tries,
            "cells": CELLS,
            "loops": LOOPS,
            "seed": chosen.seed,
            "maze_seed": MAZE_SEED,
            "options": {o.name: o.default for o in pipe.options()} | asked,
        },
        scores=scores,
        lines=[f"{k:<10}{Proportion(v['successes'], v['count'])}" for k, v in found.items()],
        sheets=[write_sheet(sheet, shown, (), columns=8)],
    )


if __name__ == "__main__":
    main()
