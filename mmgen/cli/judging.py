"""A pipeline and files of its X that it is to judge."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.cli.console import spinner
from mmgen.cli.device import find_device
from mmgen.cli.naming import find_named
from mmgen.cli.values import check_values, load_values
from mmgen.version import __version__

if TYPE_CHECKING:
    from mmgen.pipeline import Pipeline

__all__ = ["Judge", "load_judge"]


@dataclass(frozen=True)
class Judge:
    """What `load_judge` loads.

    Attributes:
        name: The pipeline as it was named.
        recipe: Its recipe, if it is one of ours.
        pipe: The pipeline.
        values: The value in each file.
        times: When loading started and ended, in seconds of the monotonic clock.
    """

    name: str
    recipe: str | None
    pipe: Pipeline
    values: list[Any]
    times: tuple[float, float]

    def result(self, **found: Any) -> dict[str, Any]:
        """What the command answers: what was found, by what, and how long that took."""
        started, loaded = self.times
        return {
            "name": self.name,
            "recipe": self.recipe,
            **found,
            "device": str(self.pipe.device),
            "seconds": {
                "load": round(loaded - started, 3),
                "score": round(time.monotonic() - loaded, 3),
            },
            "mmgen_version": __version__,
        }


def load_judge(name: str, files: Sequence[Path], *, device: str | None) -> Judge:
    """Load a pipeline and values for it.

    Args:
        name: A shipped pipeline or a saved folder.
        files: Files of its X.
        device: Where it is to be; a GPU if there is one and None is given.

    Raises:
        ValueError: If a file holds no value that the pipeline takes. The message names it.
    """
    found = find_named(name)
    started = time.monotonic()
    with spinner(f"Loading {name}"):
        from mmgen.modalities import modality
        from mmgen.pipeline import Pipeline

        values = load_values(files, modality(found.x))
        pipe = Pipeline.from_pretrained(name, device=find_device(device))
        check_values(files, values, pipe.codec)
    return Judge(name, found.recipe, pipe, values, (started, time.monotonic()))
