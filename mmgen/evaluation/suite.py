"""Runs of several tasks, which go on where they were stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmgen import hub
from mmgen.core.errors import MMGenError, UnknownNameError
from mmgen.core.files import read_json, write_beside
from mmgen.evaluation.task import FoundTask
from mmgen.evaluation.untrained import hardly_trained
from mmgen.evaluation.weights import weights_of
from mmgen.version import __version__

__all__ = ["Asked", "Suite"]

_PROGRESS, _MODELS = ".bench.json", "models"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked of every task.

    Args:
        pipeline: What to measure in place of what each task names.
        options: Of sampling, NAME=VALUE.
        seed: Of samples, and of training where a task trains.
        device: Where pipelines compute.
        quick: Whether only to see that all of it runs.
    """

    pipeline: str | None = None
    options: tuple[str, ...] = ()
    seed: int = 0
    device: str = "cpu"
    quick: bool = False

    def arguments(self, task: FoundTask, output: Path) -> list[str]:
        """Those of the command line of a task."""
        about = task.about
        found = [*(about.quick if self.quick else ()), "--output", str(output)]
        if task.kind != "tasks":
            return found
        found += ["--seed", str(self.seed)]
        if about.pipeline is not None:
            found += ["--pipeline", self.pipeline or about.pipeline, "--device", self.device]
            return found + [text for option in self.options for text in ("--option", option)]
        return found


@dataclass
class Suite:
    """Tasks to run.

    Args:
        tasks: By name.
        asked: What of each.
        output: Folder of the records, and of what tells how far an interrupted run was.
        say: Takes a line for each task that begins.
    """

    tasks: Mapping[str, FoundTask]
    asked: Asked
    output: Path
    say: Callable[[str], None]
    failed: dict[str, str] = field(default_factory=dict)
    hardly: set[str] = field(default_factory=set)

    def run(self, *, restart: bool = False) -> dict[str, Path]:
        """Records by task. Tasks that an interrupted run of the same kind has done are not done
        again; what tasks cannot do is in `failed`, and the others are run all the same. Those that
        measured what learnt for three steps, for want of shipped weights, are in `hardly`.

        Args:
            restart: Forget an interrupted run.
        """
        self.output.mkdir(parents=True, exist_ok=True)
        progress = self.output / _PROGRESS
        done = {} if restart or not progress.is_file() else read_json(progress)
        found: dict[str, Path] = {}
        for number, (name, task) in enumerate(self.tasks.items(), start=1):
            key = self._key(task)
            before = self.output / str(done.get(key, ""))
            recipe = self._without_weights(task)
            if recipe is not None:
                self.hardly.add(name)
            if key in done and before.is_file():
                self.say(f"[{number}/{len(self.tasks)}] {name}: done before the interruption")
                found[name] = before
                continue
            minutes = task.about.quick_minutes if self.asked.quick else task.about.minutes
            self.say(f"[{number}/{len(self.tasks)}] {name}, about {minutes:g} min on two cores")
            try:
                task.about.require_here(name)
                asked = self.asked if recipe is None else self._hardly_trained(recipe)
                found[name] = task.main(asked.arguments(task, self.output))
            except (MMGenError, OSError) as error:
                if len(self.tasks) == 1:
                    raise
                self.failed[name] = str(error)
                self.say(f"    not measured: {error}")
                continue
            done[key] = found[name].name
            write_beside(progress, json.dumps(done, indent=1).encode())
        if not self.failed:
            progress.unlink(missing_ok=True)
        return found

    def _without_weights(self, task: FoundTask) -> hub.Recipe | None:
        """The recipe that a quick run measures and that ships no weights, if it is one."""
        if not self.asked.quick or task.kind != "tasks" or task.about.pipeline is None:
            return None
        try:
            recipe = hub.find_recipe(self.asked.pipeline or task.about.pipeline)
        except UnknownNameError:
            return None
        return None if recipe.weights.is_file() else recipe

    def _hardly_trained(self, recipe: hub.Recipe) -> Asked:
        """What is asked, of a pipeline that is trained for three steps."""
        self.say(f"    {recipe.name} ships no weights: it learns for three steps")
        folder = hardly_trained(recipe, self.output / _MODELS, seed=self.asked.seed)
        return replace(self.asked, pipeline=str(folder))

    def _key(self, task: FoundTask) -> str:
        """What has to be the same for a result to be that of this run."""
        about: dict[str, Any] = {
            "task": task.name,
            "kind": task.kind,
            "protocol": task.about.protocol,
            "arguments": self.asked.arguments(task, Path()),
            "quick": self.asked.quick,
            "version": __version__,
        }
        if task.about.pipeline is not None:
            about["weights"] = weights_of(self.asked.pipeline or task.about.pipeline)
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
