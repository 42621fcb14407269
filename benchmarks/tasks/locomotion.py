"""Does a policy move as its expert does?

A policy runs in the MuJoCo environment of its recipe, in episodes with seeds that training has not
seen. Measured is the return relative to the mean of the expert's recorded episodes, with a
bootstrap interval over episodes, and the share of episodes that last to the end. Beside it stands
what random actions reach. Since protocol 2 robots of versions up to v4 touch the ground as they
did when their experts were recorded (`make_environment`).

    python -m benchmarks.tasks.locomotion --pipeline observation-to-actions:hopper
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arguments import asked_options, task_parser
from benchmarks.records import record_pipeline
from mmgen import Pipeline, hub
from mmgen.core.errors import SpecError
from mmgen.evaluation.intervals import Proportion
from mmgen.evaluation.metrics.returns import Returns
from mmgen.evaluation.task import Task
from mmgen.modalities.actions import returns_of
from mmgen.modalities.actions.environment import make_environment
from mmgen.serving import Played, Rollout
from mmgen.training.data import data_file

__all__ = ["TASK", "main"]

TASK = Task(
    summary="Does a policy move as its expert does?",
    protocol=2,
    minutes=3,
    quick=("--count", "2", "--max-steps", "50"),
    quick_minutes=0.5,
    quick_note="episodes are cut after 50 steps, the expert's are not",
    pipeline="observation-to-actions:hopper",
    x="actions",
    y=("observation", "actions"),
    data=("actions",),
    needs=(("gymnasium", "policies"), ("mujoco", "policies")),
    shown=(
        (
            "return as a share of the expert's",
            "return",
            "higher",
            "100 % is the expert, {random} random actions",
        ),
        ("episodes that last to the end", "lasting", "higher", "100 % by the expert"),
    ),
)
PROTOCOL = TASK.protocol
FIRST_SEED = 100_000
"""Of the first episode. Training uses no environment, so none of its seeds."""
_BATCH = 50


def _played(player: Rollout, count: int, seed: int) -> list[Played]:
    played: list[Played] = []
    for first in range(0, count, _BATCH):
        some = min(_BATCH, count - first)
        played += player.play(some, seed=seed + first)
        print(f"\r{len(played)} of {count} episodes", end="", file=sys.stderr)
    print(file=sys.stderr)
    return played


def _random(environment: str, count: int, seed: int, max_steps: int | None) -> list[float]:
    """Returns of actions that are drawn evenly from those allowed."""
    totals = []
    with contextlib.closing(make_environment(environment, max_steps=max_steps)) as env:
        box = env.action_space
        for own in range(seed, seed + count):
            rng = np.random.default_rng(own)
            env.reset(seed=own)
            total, done = 0.0, False
            while not done:
                action = rng.uniform(box.low, box.high).astype(np.float32)
                _, reward, terminated, truncated, _ = env.step(action)
                total, done = total + float(reward), terminated or truncated
            totals.append(total)
    return totals


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = task_parser("locomotion", pipeline=TASK.pipeline, description=__doc__)
    parser.add_argument("--count", type=int, default=50, help="episodes")
    parser.add_argument("--max-steps", type=int, help="where episodes are cut")
    parser.add_argument("--action-steps", type=int, help="actions of a chunk that are carried out")
    parser.set_defaults(seed=FIRST_SEED)
    chosen = parser.parse_args(given)
    if chosen.count < 1:
        parser.error(f"--count is at least 1, got {chosen.count}")
    return chosen


def main(given: Sequence[str] | None = None, *, pipe: Pipeline | None = None) -> Path:
    """Run the task and write its result.

    Args:
        given: Arguments of the command line; those of this process if None.
        pipe: What to measure in place of what --pipeline names.

    Returns:
        The JSON file.

    Raises:
        SpecError: If the pipeline's recipe names no environment and no expert.
    """
    chosen = _arguments(given)
    TASK.require_here("locomotion")
    pipe = pipe or Pipeline.from_pretrained(chosen.pipeline, device=chosen.device)
    recipe = hub.find_recipe(pipe.recipe or chosen.pipeline).module()
    if not hasattr(recipe, "EXPERT"):
        raise SpecError(f"{chosen.pipeline} has no expert to compare with. {TASK.pipeline} has.")
    steps = chosen.action_steps or recipe.ROLLOUT["num_action_steps"]
    environment = recipe.ROLLOUT["environment"]
    asked = asked_options(chosen.option, pipe.options())
    player = Rollout(
        pipe, environment, num_action_steps=steps, max_steps=chosen.max_steps, options=asked
    )
    started = time.monotonic()
    played = _played(player, chosen.count, chosen.seed)
    seconds = time.monotonic() - started
    expert = tuple(returns_of(data_file(recipe.EXPERT)))
    found = Returns(tuple(e.total for e in played), expert)
    lasting = Proportion(sum(not e.terminated for e in played), len(played))
    random = _random(environment, chosen.count, chosen.seed, chosen.max_steps)
    num_steps = sum(e.steps for e in played)
    scores: dict[str, Any] = {
        "return": found.as_dict(),
        "lasting": lasting.as_dict(),
        "random": Returns(tuple(random), expert).as_dict(),
        "seconds_per_step": round(seconds / num_steps, 6),
        "episodes": [e.as_dict() for e in played],
    }
    return record_pipeline(
        chosen,
        "locomotion",
        protocol=PROTOCOL,
        settings={
            "environment": environment,
            "num_action_steps": steps,
            "max_steps": chosen.max_steps,
            "count": chosen.count,
            "seed": chosen.seed,
            "options": {o.name: o.default for o in pipe.options()} | asked,
        },
        scores=scores,
        lines=(
            f"return      {found}",
            f"to the end  {lasting}",
            f"random      {scores['random']['relative']}",
        ),
    )


if __name__ == "__main__":
    main()
