"""What the texts of a checkpoint are that nothing in its configuration tells: molecules, say."""

from __future__ import annotations

from pathlib import Path

from mmgen.backends.recognition import Recognised
from mmgen.core.errors import LoadError, SpecError, close_names
from mmgen.core.files import read_json

__all__ = ["CARD", "NOTATIONS", "notation_in", "notation_of"]

NOTATIONS = ("smiles", "selfies")
"""Ways to write molecules as texts."""

CARD = "mmgen.json"
"""The file beside a saved checkpoint that says what it is."""


def notation_in(folder: Path) -> str | None:
    """What the card of a saved checkpoint says of it; None if it says nothing.

    Raises:
        LoadError: If that is no notation.
    """
    if not (folder / CARD).is_file():
        return None
    said = read_json(folder / CARD).get("writes")
    if said is not None and said not in NOTATIONS:
        raise LoadError(
            f"{folder / CARD} says that its texts are {ascii(said)[:40]}, expected one of "
            f"{', '.join(NOTATIONS)}. Mend it, or take the entry out."
        )
    return said


def notation_of(found: Recognised, asked: str | None) -> str | None:
    """In which notation a checkpoint writes molecules; None if what it writes are texts.

    Args:
        found: What was recognised.
        asked: What was asked for; what its card says if None.

    Raises:
        ValueError: If that is no notation.
        SpecError: If the checkpoint writes no texts.
    """
    if asked is None:
        return notation_in(Path(found.source))
    if asked not in NOTATIONS:
        raise ValueError(
            f"writes is one of {', '.join(NOTATIONS)}; got {asked!r}. "
            f"{close_names(str(asked), NOTATIONS)}"
        )
    if found.x != "text":
        raise SpecError(
            f"{found.architecture} is {found.distribution}, so it writes no molecules. Leave "
            f"writes={asked!r} out."
        )
    return asked
