"""The committed table: which P(X | Y) an architecture of diffusers or transformers is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mmgen.core.files import read_json

__all__ = ["LIBRARIES", "Group", "Table", "as_json", "table"]

LIBRARIES = ("diffusers", "transformers")

PATH = Path(__file__).with_name("table.json")


@dataclass(frozen=True)
class Group:
    """Architectures that do the same.

    Args:
        library: Whose they are.
        task: What they do, in the field's own words.
        x: Modality that they generate.
        y: Modalities that they can be conditioned on.
        architectures: Name of each class, with the values of `model_type` that go with it.
    """

    library: str
    task: str
    x: str
    y: tuple[str, ...]
    architectures: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Table:
    """All groups, and what they were made from.

    Args:
        versions: Of the libraries.
        folders: Names that a diffusers pipeline may give instead of a library: its own packages.
        groups: By library and task.
    """

    versions: Mapping[str, str]
    folders: tuple[str, ...]
    groups: tuple[Group, ...]

    def find(self, library: str, architecture: str) -> Group | None:
        """The group of an architecture."""
        return next((g for g in self._of(library) if architecture in g.architectures), None)

    def of_type(self, model_type: str) -> dict[str, Group]:
        """Architectures of transformers that go with this `model_type`."""
        return {
            name: group
            for group in self._of("transformers")
            for name, types in group.architectures.items()
            if model_type in types
        }

    def architectures(self, library: str) -> list[str]:
        """Names of all architectures of a library."""
        return [name for group in self._of(library) for name in group.architectures]

    def _of(self, library: str) -> Iterable[Group]:
        return (group for group in self.groups if group.library == library)


@cache
def table() -> Table:
    """The table that is committed beside this file."""
    content = read_json(PATH)
    groups = (
        Group(
            g["library"],
            g["task"],
            g["x"],
            tuple(g["y"]),
            {name: tuple(types) for name, types in g["architectures"].items()},
        )
        for g in content["groups"]
    )
    return Table(content["versions"], tuple(content["folders"]), tuple(groups))


def as_json(made: Table) -> str:
    """A table as the text of its file, one architecture a line."""
    content: dict[str, Any] = {"versions": dict(made.versions), "folders": list(made.folders)}
    lines = [f' "{key}": {json.dumps(value)},\n' for key, value in content.items()]
    return (
        "{\n" + "".join(lines) + ' "groups": [\n' + ",\n".join(map(_group, made.groups)) + "\n]}\n"
    )


def _group(group: Group) -> str:
    head = {"library": group.library, "task": group.task, "x": group.x, "y": list(group.y)}
    names = ",\n".join(
        f"   {json.dumps(name)}: {json.dumps(list(types))}"
        for name, types in group.architectures.items()
    )
    return "  " + json.dumps(head)[:-1] + ', "architectures": {\n' + names + "\n  }}"
