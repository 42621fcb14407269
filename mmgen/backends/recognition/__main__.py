"""Make the table of recognised architectures again, from the installed libraries, or show it.

python -m mmgen.backends.recognition
python -m mmgen.backends.recognition --markdown
"""

from __future__ import annotations

import sys
from importlib.metadata import version

from mmgen.backends.recognition import survey_diffusers, survey_transformers
from mmgen.backends.recognition.table import LIBRARIES, PATH, Group, Table, as_json, table
from mmgen.backends.recognition.verbs import LOADED, verbs_of
from mmgen.core.files import write_beside

__all__ = ["made_again", "markdown"]


def made_again() -> Table:
    """The table as the installed libraries give it."""
    groups = [
        Group("diffusers", *what, {name: () for name in sorted(names)})
        for what, names in survey_diffusers.survey().items()
    ]
    groups += [
        Group("transformers", *what, {name: tuple(types) for name, types in names.items()})
        for what, names in survey_transformers.survey().items()
    ]
    groups.sort(key=lambda g: (g.library, g.x, g.task, g.y))
    versions = {library: version(library) for library in LIBRARIES}
    return Table(versions, tuple(survey_diffusers.folders_of_pipelines()), tuple(groups))


def markdown() -> str:
    """What is recognised and loaded, as the table of the README."""
    lines = ["| library | tasks | P(X \\| Y) | architectures | verbs |", "|---|---|---|---|---|"]
    rows: dict[tuple[str, str, str], list[Group]] = {}
    for group in table().groups:
        verbs = LOADED.get((group.library, group.task))
        if verbs:
            rows.setdefault((group.library, group.x, ", ".join(verbs)), []).append(group)
    for (library, x, verbs), groups in rows.items():
        tasks = ", ".join(dict.fromkeys(group.task for group in groups))
        y = ", ".join(sorted({part for group in groups for part in group.y}))
        names = [(group.task, name) for group in groups for name in group.architectures]
        loaded = sum(bool(verbs_of(library, task, name)) for task, name in names)
        count = f"{loaded}" if loaded == len(names) else f"{loaded} of {len(names)}"
        lines.append(f"| {library} | {tasks} | P({x} \\| {y}) | {count} | {verbs} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:] == ["--markdown"]:
        sys.stdout.write(markdown() + "\n")
    else:
        made = made_again()
        write_beside(PATH, as_json(made).encode())
        sys.stdout.write(f"{sum(len(g.architectures) for g in made.groups)} architectures\n")
