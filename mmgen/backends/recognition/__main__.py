"""Make the table of recognised architectures again, from the installed libraries, or show it.

python -m mmgen.backends.recognition
python -m mmgen.backends.recognition --markdown
"""

from __future__ import annotations

import sys
from importlib.metadata import version

from mmgen.backends.recognition import survey_diffusers, survey_transformers
from mmgen.backends.recognition.table import LIBRARIES, PATH, Group, Table, as_json, table
from mmgen.backends.recognition.verbs import usual_verbs
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
    rows: dict[tuple[str, str, str], list[tuple[Group, int]]] = {}
    for group in table().groups:
        counts: dict[str, int] = {}
        for name in group.architectures:
            verbs = ", ".join(usual_verbs(group.library, group.task, name))
            counts[verbs] = counts.get(verbs, 0) + 1
        for verbs, count in counts.items():
            if verbs:
                rows.setdefault((group.library, group.x, verbs), []).append((group, count))
    for (library, x, verbs), parts in rows.items():
        tasks = ", ".join(dict.fromkeys(group.task for group, _ in parts))
        y = ", ".join(sorted({part for group, _ in parts for part in group.y}))
        loaded = sum(count for _, count in parts)
        total = sum(len(group.architectures) for group, _ in parts)
        count = f"{loaded}" if loaded == total else f"{loaded} of {total}"
        lines.append(f"| {library} | {tasks} | P({x} \\| {y}) | {count} | {verbs} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:] == ["--markdown"]:
        sys.stdout.write(markdown() + "\n")
    else:
        made = made_again()
        write_beside(PATH, as_json(made).encode())
        sys.stdout.write(f"{sum(len(g.architectures) for g in made.groups)} architectures\n")
