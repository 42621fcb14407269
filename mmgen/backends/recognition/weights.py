"""In which format the weights of a folder are, by the names of its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["weights_in"]

_PICKLES = {".bin", ".ckpt", ".pt", ".pth"}
# What trainers leave beside a model, which is no part of it.
_BESIDES = ("training_args", "optimizer", "scheduler", "rng_state", "scaler")


def weights_in(folder: Path, library: str) -> str:
    """ "safetensors", "pickle only" if that is so for any part, or "none".

    Args:
        folder: Of the whole checkpoint.
        library: "diffusers", whose parts are folders in this one, or "transformers".
    """
    parts = _folders(folder) if library == "diffusers" else iter((folder,))
    kinds = {kind for kind in map(_kind, parts) if kind}
    if "pickle only" in kinds:
        return "pickle only"
    return "safetensors" if kinds else "none"


def _folders(folder: Path) -> Iterator[Path]:
    return (entry for entry in folder.iterdir() if entry.is_dir())


def _kind(folder: Path) -> str | None:
    names = [entry.name.lower() for entry in folder.iterdir()]
    if any(name.endswith(".safetensors") for name in names):
        return "safetensors"
    pickles = (n for n in names if Path(n).suffix in _PICKLES and not n.startswith(_BESIDES))
    return "pickle only" if any(pickles) else None
