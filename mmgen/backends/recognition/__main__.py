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
    lines = ["| library | task | P(X \\| Y) | architectures | verbs |", "|---|---|---|---|---|"]
    rows: dict[tuple[str, str], list[Group]] = {}
    for group in table().groups:
        if (group.library, group.task) in LOADED:
            rows.setdefault((group.library, group.task), []).append(group)
    for (library, task), groups in rows.items():
        names = [name for group in groups for name in group.architectures]
        loaded = [name for name in names if verbs_of(library, task, name)]
        y = sorted({part for group in groups for part in group.y})
        verbs = ", ".join(LOADED[library, task])
        what = f"P({groups[0].x} \\| {', '.join(y) or 'nothing'})"
        count = f"{len(loaded)}" if len(loaded) == len(names) else f"{len(loaded)} of {len(names)}"
        lines.append(f"| {library} | {task} | {what} | {count} | {verbs} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:] == ["--markdown"]:
        sys.stdout.write(markdown() + "\n")
    else:
        made = made_again()
        write_beside(PATH, as_json(made).encode())
        sys.stdout.write(f"{sum(len(g.architectures) for g in made.groups)} architectures\n")
