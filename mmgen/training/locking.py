"""One run at a time in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mmgen.core.errors import LoadError

__all__ = ["locked", "require_free"]


def require_free(folder: Path) -> None:
    """Refuse what no run could be written to now, before anything is read for it.

    Raises:
        LoadError: If it is no folder, or another run holds it.
    """
    if folder.is_file():
        raise LoadError(f"{folder} is a file. Name a folder for the run.")
    if folder.is_dir():
        with locked(folder):
            pass


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for one run, which may have several processes. It is free again when they end.

    Raises:
        LoadError: If another run holds it.
    """
    # As launchers set it: accelerate's state is not to be made before its accelerator is.
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "run.lock", timeout=0):
            yield
    except Timeout:
        raise LoadError(
            f"{folder} is in use by another run. Wait until that ends, or name another output "
            "folder."
        ) from None
