"""What `mmgen show` and `mmgen list --foreign` say of checkpoints that others made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmgen.cli.console import spinner, write_json
from mmgen.cli.tables import option_table, plain_option
from mmgen.core.errors import MMGenError

if TYPE_CHECKING:
    from mmgen.backends.recognition import Recognised
    from mmgen.backends.recognition.table import Group
    from mmgen.core.options import Option

__all__ = ["list_foreign", "show_foreign"]

_WEIGHTS = {
    "pickle only": "pickle only, which can run code when it is opened: never read",
    "unknown": "unknown: the files of a Hub id are not listed",
    "none": "none in the folder",
}


def show_foreign(found: Recognised, *, as_json: bool) -> None:
    """Show what a checkpoint is, and what it takes."""
    options, why = _options(found)
    if as_json:
        write_json(
            {
                "name": found.source,
                "library": found.library,
                "task": found.task,
                "x": found.x,
                "y": list(found.y),
                "architecture": found.architecture,
                "revision": found.revision,
                "weights": found.weights,
                "verbs": list(_verbs(found)),
                "options": [plain_option(o) for o in options],
                "options_unknown": why,
            }
        )
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = {
        "name": found.source,
        "library": found.library,
        "task": found.task,
        "what": found.distribution,
        "architecture": found.architecture,
        "revision": found.revision,
        "weights": _WEIGHTS.get(found.weights, found.weights),
        "verbs": ", ".join(_verbs(found)) or "none: such checkpoints are not loaded yet",
        "options": why and f"not known: {why}",
    }
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in lines.items():
        if value:
            grid.add_row(Text(label, "bold"), Text(value))
    console = Console()
    console.print(grid)
    if options:
        console.print()
        console.print(option_table(options))


def _options(found: Recognised) -> tuple[tuple[Option, ...], str | None]:
    """What a checkpoint that can be loaded takes, or why that is not known."""
    if not _verbs(found):
        return (), None
    with spinner("Asking what it takes"):
        from mmgen.backends.foreign import Place
        from mmgen.backends.loading import options_of

        try:
            return options_of(found, Place(revision=found.revision)), None
        except MMGenError as error:
            return (), str(error)


def list_foreign(*, as_json: bool) -> None:
    """List which checkpoints of other libraries are recognised."""
    from mmgen.backends.recognition.table import LIBRARIES, table

    known = table()
    if as_json:
        write_json({"versions": dict(known.versions), "groups": [_row(g) for g in known.groups]})
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for library in LIBRARIES:
        number = len(known.architectures(library))
        console.print(f"{library} {known.versions[library]}: {number} architectures\n")
        shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        shown.add_column("P(X | Y)", no_wrap=True)
        shown.add_column("number", no_wrap=True, justify="right")
        shown.add_column("task, and examples", overflow="fold")
        shown.add_column("verbs", overflow="fold")
        for group in known.groups:
            if group.library != library:
                continue
            row = _row(group)
            examples = sorted(row["architectures"], key=lambda name: (len(name), name))[:2]
            shown.add_row(
                f"P({group.x} | {', '.join(group.y) or 'nothing'})",
                str(len(row["architectures"])),
                Text.assemble((group.task, "bold"), "\n", ("\n".join(examples), "dim")),
                ", ".join(row["verbs"]),
            )
        console.print(shown)
        console.print()
    console.print("Those without verbs are recognised (mmgen show NAME), but not loaded yet.")


def _row(group: Group) -> dict[str, Any]:
    """A group, which of it are loaded, and what can be asked of all those."""
    from mmgen.backends.recognition.verbs import LOADED, verbs_of

    own = {name: verbs_of(group.library, group.task, name) for name in group.architectures}
    loaded = [name for name, verbs in own.items() if verbs]
    usual = LOADED.get((group.library, group.task), ()) if loaded else ()
    verbs = [verb for verb in usual if all(verb in own[name] for name in loaded)]
    return {
        "library": group.library,
        "task": group.task,
        "x": group.x,
        "y": list(group.y),
        "architectures": list(group.architectures),
        "loaded": loaded,
        "verbs": verbs,
    }


def _verbs(found: Recognised) -> tuple[str, ...]:
    from mmgen.backends.recognition.verbs import verbs_of

    return verbs_of(found.library, found.task, found.architecture)
