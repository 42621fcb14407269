"""Many texts spoken, each once, and kept as files."""

from __future__ import annotations

import hashlib
import json
import os
import wave
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmgen.core.errors import LoadError
from mmgen.simulators.speech.flite import Spoken, speak

__all__ = ["FOLDER_VARIABLE", "Clip", "cache_folder", "corpus"]

FOLDER_VARIABLE = "MMGEN_SPEECH"
"""The environment variable that names the folder where spoken texts are kept."""


@dataclass(frozen=True)
class Clip:
    """A text as one speaker says it, in files.

    Args:
        text: What is said.
        speaker: Who says it.
        path: A WAV file. The file beside it that ends in .json holds the phones and their times.
    """

    text: str
    speaker: str
    path: Path

    def phones(self) -> tuple[tuple[str, float], ...]:
        """Each phone with the time in s at which it ends.

        Raises:
            LoadError: If the file cannot be read.
        """
        path = self.path.with_suffix(".json")
        try:
            return tuple((str(p), float(t)) for p, t in json.loads(path.read_text("ascii")))
        except (OSError, ValueError, TypeError) as error:
            raise LoadError(f"{path} does not hold the times of phones: {error}") from None


def cache_folder() -> Path:
    """Where spoken texts are kept: the folder that MMGEN_SPEECH names, or one in the cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "mmgen" / "speech"


def corpus(
    texts: Iterable[tuple[str, str]], *, folder: Path | None = None, workers: int = 1
) -> list[Clip]:
    """Texts as flite says them. Those that the folder holds already are not said again.

    Args:
        texts: (text, speaker) of each.
        folder: Where they are kept; `cache_folder()` if None.
        workers: How many are said at once.

    Returns:
        A clip of each, in order.

    Raises:
        MissingDependency: If flite is not installed, and one has yet to be said.
        ValueError: If flite cannot say a text.
    """
    folder = cache_folder() if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    clips = [Clip(text, speaker, folder / _name(text, speaker)) for text, speaker in texts]
    missing = {c.path: c for c in clips if not c.path.is_file()}
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(_say, missing.values()):
            pass
    return clips


def _name(text: str, speaker: str) -> str:
    return f"{speaker}-{hashlib.sha256(text.encode()).hexdigest()[:20]}.wav"


def _say(clip: Clip) -> None:
    said = speak(clip.text, speaker=clip.speaker)
    clip.path.with_suffix(".json").write_text(json.dumps(said.phones), "ascii")
    # The WAV file comes last and at once: where it is, both are.
    part = clip.path.with_suffix(".part")
    _write(part, said)
    part.replace(clip.path)


def _write(path: Path, said: Spoken) -> None:
    pcm = np.round(said.samples * 32768).clip(-32768, 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(said.sampling_rate)
        file.writeframes(pcm.tobytes())
