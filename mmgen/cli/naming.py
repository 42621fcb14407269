"""What a NAME means, before anything is loaded: a saved folder, a shipped recipe, or another's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmgen import hub
from mmgen.backends.recognition import Recognised, is_foreign, recognise
from mmgen.backends.recognition.configuration import read_object
from mmgen.core.errors import LoadError
from mmgen.source import find_source

__all__ = ["Named", "find_foreign", "find_named"]

_MANIFEST = "pipeline.json"
_NEEDED = {"recipe": str, "choices": dict, "sha256": dict}


@dataclass(frozen=True)
class Named:
    """A pipeline that is not loaded.

    Args:
        recipe: What builds it.
        choices: What to pass to that.
        x: What it generates.
        y: What from; None for nothing.
        card: Its card as plain values; empty if it has none.
        manifest: What a saved folder holds of itself; empty for a shipped recipe.
    """

    recipe: str
    choices: dict[str, Any]
    x: str
    y: Any
    card: dict[str, Any]
    manifest: dict[str, Any]


def find_named(name: str, *, base: str | None = None, **where: Any) -> Named:
    """What this name means.

    Args:
        name: What was typed.
        base: What the adapter changes, where the name is that of an adapter alone.
        where: Of a Hub id: revision, cache_dir, local_files_only.

    Raises:
        UnknownNameError: If it means nothing. The message lists the close names.
        LoadError: If it is a folder that holds no saved pipeline.
    """
    source = find_source(name, base=base, where=where)
    name = source.name
    if source.folder is None and is_foreign(name):
        # Whether its call needs a condition is for its parts to say.
        from mmgen.backends.written import notation_in

        foreign = recognise(name, **source.where)
        x = foreign.x if notation_in(Path(name)) is None else "molecules"
        return Named(foreign.architecture, {}, x, None, {}, {})
    folder = source.folder or Path(name)
    if not folder.is_dir():
        recipe = hub.find_recipe(name)
        card = recipe.card
        return Named(recipe.name, dict(recipe.choices), card.x, recipe.y, card.as_dict(), {})
    if not (folder / _MANIFEST).is_file():
        hub.read_folder(folder)  # Raises, and says what to name instead.
    manifest = read_object(folder / _MANIFEST)
    wrong = [key for key, kind in _NEEDED.items() if not isinstance(manifest.get(key), kind)]
    # A pipeline that was composed has no card; its choices say as much.
    about = manifest.get("card") or manifest.get("choices")
    if wrong or not isinstance(about, dict) or not isinstance(about.get("x"), str):
        raise LoadError(
            f"{folder / _MANIFEST} is not the manifest of a pipeline: "
            f"{', '.join(wrong) or 'x'} is missing. Save the pipeline again."
        )
    return Named(
        manifest["recipe"],
        manifest["choices"],
        about["x"],
        about.get("y"),
        manifest.get("card") or {},
        manifest,
    )


def find_foreign(name: str, **where: Any) -> Recognised | None:
    """The checkpoint of another library that this name means, or that its adapter changes; None if
    it means something else.

    Args:
        name: What was typed.
        where: Of a Hub id, as of `find_named`.

    Raises:
        UnknownNameError: If there is none, or it is of an unknown architecture.
        LoadError: If it is broken, wants code of its own, or cannot be reached.
    """
    source = find_source(name, where=where)
    foreign = source.folder is None and is_foreign(source.name)
    return recognise(source.name, **source.where) if foreign else None
