"""Make the table of recognised architectures again, from the installed libraries.

python -m mmgen.backends.recognition
"""

from __future__ import annotations

import sys
from importlib.metadata import version

from mmgen.backends.recognition import survey_diffusers, survey_transformers
from mmgen.backends.recognition.table import LIBRARIES, PATH, Group, Table, as_json
from mmgen.core.files import write_beside

__all__ = ["made_again"]


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


if __name__ == "__main__":
    table = made_again()
    write_beside(PATH, as_json(table).encode())
    sys.stdout.write(f"{sum(len(g.architectures) for g in table.groups)} architectures\n")
