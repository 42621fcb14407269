"""Actions: chunks of them in the environment's own units, given what has been observed."""

from mmgen.modalities.actions.chunks import ActionChunks
from mmgen.modalities.actions.encoder import ObservationEncoder
from mmgen.modalities.actions.files import PREVIEW_SUFFIX, SUFFIXES, load, save, save_many
from mmgen.modalities.actions.rollouts import read_rollouts, returns_of
from mmgen.modalities.actions.tokens import ActionTokens
from mmgen.modalities.actions.windows import Episode, Windows, window

__all__ = [
    "CODECS",
    "COLUMNS",
    "IN_FILES",
    "PREVIEW_SUFFIX",
    "SUFFIXES",
    "ActionChunks",
    "ActionTokens",
    "Episode",
    "ObservationEncoder",
    "Windows",
    "codec",
    "encoder",
    "load",
    "read_rollouts",
    "returns_of",
    "save",
    "save_many",
    "window",
]

COLUMNS = ("actions", "action", "file_name", "path", "npy")
IN_FILES = True


_SHAPES = {"debug": (4, 2), "small": (16, 6)}


def _chunks(size: str) -> ActionChunks:
    return ActionChunks(*_SHAPES[size])


def _tokens(size: str) -> ActionTokens:
    return ActionTokens(*_SHAPES[size])


CODECS = {"chunks": _chunks, "tokens": _tokens}


def codec(size: str) -> ActionChunks:
    """The codec of this size, without bounds: 4 steps of 2 numbers, or 16 of 6."""
    return _chunks(size)


def encoder(size: str, labels: tuple[str, ...] = ()) -> ObservationEncoder:
    """The observation encoder of this size: two steps of "state", 3 numbers or 6."""
    if size == "debug":
        return ObservationEncoder({"state": (2, 3)}, dim=32)
    return ObservationEncoder({"state": (2, 6)}, dim=128)
