"""Does a policy push the T to its place?

A policy runs in gym-pusht, in episodes of at most 300 steps with seeds that training has not seen.
An episode succeeds if the T comes to cover more than 95 % of its goal; its score is the greatest
reward of a step, the share of the goal that is covered over 0.95, at most 1. Beside the policy
stand the expert that it learnt from, in the same episodes, and what costs no learning: the actions
of that demonstration whose start is nearest, played again.

    python -m benchmarks.tasks.pusht --pipeline observation-to-actions:pusht

Source: Diffusion Policy (Chi et al., 2023), Sec. 6.1, arXiv:2303.04137 (the score).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.arguments import asked_options, task_parser
from benchmarks.records import record_path, record_pipeline
from benchmarks.sheets import bordered, write_sheet
from mmgen import Pipeline, hub
from mmgen.evaluation.intervals import Proportion
from mmgen.evaluation.metrics.returns import bootstrap_mean
from mmgen.evaluation.task import Task
from mmgen.serving import Played, Rollout
from mmgen.simulators.pusht import (
    GOAL,
    OUTLINE,
    Demonstration,
    Table,
    demonstrations,
    distance,
    placed,
    play,
)

__all__ = ["TASK", "main"]

TASK = Task(
    summary="Does a policy push the T to its place?",
    protocol=1,
    minutes=8,
    quick=("--count", "2", "--max-steps", "16", "--demonstrations", "2"),
    quick_minutes=0.5,
    quick_note="episodes are cut after 16 steps",
    pipeline="observation-to-actions:pusht",
    x="actions",
    y=("observation", "actions"),
    needs=(("gym_pusht", "policies"),),
    shown=(
        (
            "episodes in which the T comes to its place",
            "success",
            "higher",
            "{expert/success} by the expert, {replay/success} by the nearest demonstration",
        ),
        (
            "score: greatest share covered, over 0.95",
            "score",
            "higher",
            "{expert/score} by the expert, {replay/score} by the nearest demonstration",
        ),
    ),
)
PROTOCOL = TASK.protocol
FIRST_SEED = 100_000
"""Of the first episode. Demonstrations have seeds from 0 on."""
_ENVIRONMENT = "gym_pusht/PushT-v0"
_STATE, _STEPS = "observation.state", 300
_BATCH, _NUM_SHOWN, _SIDE = 50, 24, 128


def _played(player: Rollout, count: int, seed: int) -> list[Played]:
    played: list[Played] = []
    for first in range(0, count, _BATCH):
        played += player.play(min(_BATCH, count - first), seed=seed + first)
        _say(len(played), count, "episodes of the policy")
    return played


def _say(number: int, count: int, what: str) -> None:
    end = "\n" if number == count else ""
    print(f"\r{number} of {count} {what}", end=end, file=sys.stderr)


def _replayed(table: Table, seed: int, shown: Sequence[Demonstration], steps: int) -> list[float]:
    """Rewards of the actions of the demonstration whose start is nearest."""
    start = table.start(seed)
    near = min(shown, key=lambda d: _apart(d.states[0], start))
    scores = []
    for action in near.actions[:steps]:
        _, score, done = table.step(action.astype(np.float64))
        scores.append(score)
        if done:
            break
    return scores


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """How far two states are apart: the agent's way and that of the T's mass, in pixels."""
    return float(np.linalg.norm(one[:2] - other[:2]) + distance(one[2:], other[2:]))


def _summary(best: Sequence[float]) -> dict[str, Any]:
    """Success and score of episodes, of each the greatest reward."""
    low, high = bootstrap_mean(best)
    return {
        "success": Proportion(sum(b >= 1 for b in best), len(best)).as_dict(),
        "score": {
            "mean": round(float(np.mean(best)), 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "count": len(best),
        },
    }


def _drawing(start: np.ndarray, end: np.ndarray, failed: bool) -> Image.Image:
    """The goal in green, the T at the start as an outline and at the end in grey, and the agent."""
    image = Image.new("RGB", (512, 512), "white")
    draw = ImageDraw.Draw(image)
    corners = {
        name: [tuple(p) for p in placed(OUTLINE, pose).tolist()]
        for name, pose in (("goal", GOAL), ("start", start[2:]), ("end", end[2:]))
    }
    draw.polygon(corners["goal"], fill=(144, 238, 144))
    draw.polygon(corners["end"], fill=(119, 136, 153))
    draw.polygon(corners["goal"], outline=(40, 140, 40), width=4)
    draw.polygon(corners["start"], outline=(150, 150, 150), width=4)
    x, y = end[:2].tolist()
    draw.ellipse((x - 15, y - 15, x + 15, y + 15), fill=(65, 105, 225))
    return bordered(image.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), failed)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = task_parser("pusht", pipeline=str(TASK.pipeline), description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="episodes")
    parser.add_argument("--max-steps", type=int, default=_STEPS, help="where episodes are cut")
    parser.add_argument("--action-steps", type=int, help="actions of a chunk that are carried out")
    parser.add_argument("--demonstrations", type=int, default=200, help="of which one is replayed")
    parser.set_defaults(seed=FIRST_SEED)
    chosen = parser.parse_args(given)
    for name in ("count", "max_steps", "demonstrations"):
        if getattr(chosen, name) < 1:
            parser.error(f"--{name.replace('_', '-')} is at least 1, got {getattr(chosen, name)}")
    return chosen


def _action_steps(pipe: Pipeline) -> int:
    """How many actions of a chunk are carried out: as its recipe says, else half of them."""
    recipe = None if pipe.recipe is None else hub.find_recipe(pipe.recipe).module()
    known = getattr(recipe, "ROLLOUT", {})
    return known.get("num_action_steps") or max(1, int(pipe.codec.spec.shape[0]) // 2)


def _beside(chosen: argparse.Namespace) -> dict[str, Any]:
    """What the expert and the nearest demonstration come to in the same episodes."""
    shown = demonstrations(
        chosen.demonstrations, progress=lambda n, count: _say(n, count, "demonstrations")
    )
    table, seeds = Table(), range(chosen.seed, chosen.seed + chosen.count)
    replay = [max(_replayed(table, seed, shown, chosen.max_steps)) for seed in seeds]
    expert, started = [], time.monotonic()
    for seed in seeds:
        expert.append(play(seed, table=table, sway=0.0, max_steps=chosen.max_steps))
        _say(len(expert), chosen.count, "episodes of the expert")
    seconds = (time.monotonic() - started) / chosen.count
    return {
        "expert": _summary([float(e.scores.max()) for e in expert])
        | {
            "seconds": round(seconds, 2),
            "steps": round(float(np.mean([len(e.actions) for e in expert])), 1),
        },
        "replay": _summary(replay),
    }


def main(given: Sequence[str] | None = None, *, pipe: Pipeline | None = None) -> Path:
    """Run the task and write its result.

    Args:
        given: Arguments of the command line; those of this process if None.
        pipe: What to measure in place of what --pipeline names.

    Returns:
        The JSON file.

    Raises:
        SpecError: If the pipeline is no policy of PushT.
    """
    chosen = _arguments(given)
    TASK.require_here("pusht")
    pipe = pipe or Pipeline.from_pretrained(chosen.pipeline, device=chosen.device)
    asked = asked_options(chosen.option, pipe.options())
    steps = chosen.action_steps or _action_steps(pipe)
    player = Rollout(
        pipe, _ENVIRONMENT, num_action_steps=steps, max_steps=chosen.max_steps, options=asked
    )
    started = time.monotonic()
    played = _played(player, chosen.count, chosen.seed)
    seconds = time.monotonic() - started
    scores = _summary([e.best for e in played]) | _beside(chosen)
    scores["seconds_per_step"] = round(seconds / sum(e.steps for e in played), 6)
    scores["episodes"] = [e.as_dict() for e in played]
    table = Table()
    drawn = [
        _drawing(table.start(e.seed), e.last[_STATE], not e.terminated) for e in played[:_NUM_SHOWN]
    ]
    sheet = record_path(chosen, "pusht").with_suffix(".png")
    sheet.parent.mkdir(parents=True, exist_ok=True)
    rows = {"policy": scores, "expert": scores["expert"], "replay": scores["replay"]}
    return record_pipeline(
        chosen,
        "pusht",
        protocol=PROTOCOL,
        settings={
            "environment": _ENVIRONMENT,
            "num_action_steps": steps,
            "max_steps": chosen.max_steps,
            "count": chosen.count,
            "demonstrations": chosen.demonstrations,
            "seed": chosen.seed,
            "options": {o.name: o.default for o in pipe.options()} | asked,
        },
        scores=scores,
        lines=[
            f"{name:<8}{Proportion(own['success']['successes'], own['success']['count'])}  score "
            f"{own['score']['mean']:.3f} ({own['score']['low']:.3f} to {own['score']['high']:.3f})"
            for name, own in rows.items()
        ],
        sheets=[write_sheet(sheet, drawn, (), columns=8)],
    )


if __name__ == "__main__":
    main()
