"""The program flite: texts to speech with the time of each phone, words to phones.

Source: Flite: a small, fast run-time synthesis engine (Black & Lenzo, 2001).
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmgen.core.errors import MissingDependency, UnknownNameError, close_names

__all__ = ["PHONES", "VOICES", "Spoken", "pronounce", "speak"]

VOICES = {"slt": "slt", "rms": "rms", "awb": "awb", "kal": "kal16"}
"""Speakers, each with the voice of flite that speaks at 16 kHz."""

PHONES = tuple(
    "aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw "
    "v w y z zh".split()
)
"""Phones of American English as flite writes them. What is silent is called "pau"."""

_TIMED = re.compile(r"([a-z]+):([0-9.]+)")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
_WORDS_AT_ONCE = 500
_SECONDS = 120


@dataclass(frozen=True)
class Spoken:
    """A text as one speaker says it.

    Args:
        text: What is said.
        speaker: One of `VOICES`.
        samples: float32 (N,) in [-1, 1].
        sampling_rate: In Hz.
        phones: Each phone, or "pau", with the time in s at which it ends. Those of kal are as
            planned: what is heard ends up to a tenth earlier.
    """

    text: str
    speaker: str
    samples: np.ndarray
    sampling_rate: int
    phones: tuple[tuple[str, float], ...]


def speak(text: str, *, speaker: str) -> Spoken:
    """Have flite say a text. It says the same each time.

    Args:
        text: In English.
        speaker: One of `VOICES`.

    Raises:
        MissingDependency: If flite is not installed.
        UnknownNameError: If there is no such speaker.
        ValueError: If the text is empty, or flite cannot say it.
    """
    if speaker not in VOICES:
        raise UnknownNameError(f"No speaker {speaker!r}. {close_names(speaker, VOICES)}")
    if not text.strip():
        raise ValueError("The text is empty: there is nothing to say.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        told = _flite("-voice", VOICES[speaker], "-psdur", "-t", text, "-o", str(path))
        found = tuple((phone, float(end)) for phone, end in _TIMED.findall(told))
        if not found or not path.is_file():
            raise ValueError(f"flite said nothing for {text!r:.60}: {told!r:.60}")
        samples, rate = _read(path.read_bytes())
    return Spoken(text, speaker, samples, rate, found)


def pronounce(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """How words are said alone, by flite's dictionary and, beyond it, its letter-to-sound rules.

    Args:
        words: Of letters a to z, with apostrophes between them.

    Returns:
        The phones of each word, of `PHONES`.

    Raises:
        MissingDependency: If flite is not installed.
        ValueError: If a word is written otherwise.
    """
    todo = sorted(set(words))
    for word in todo:
        if not _WORD.fullmatch(word):
            raise ValueError(f"Expected a word of letters a to z in lower case, got {word!r:.40}.")
    found = {}
    for first in range(0, len(todo), _WORDS_AT_ONCE):
        some = todo[first : first + _WORDS_AT_ONCE]
        said = _pronounced(some)
        if len(said) != len(some):
            said = [_pronounced([word])[0] for word in some]
        found |= dict(zip(some, said, strict=True))
    return found


def _pronounced(words: list[str]) -> list[tuple[str, ...]]:
    """The phones of each utterance that flite makes of words, each a paragraph of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "words.txt"
        path.write_text("".join(f"{word}.\n\n" for word in words), "ascii")
        told = _flite("-voice", "kal", "-ps", "-f", str(path), "-o", "none")
    lines = [line.split() for line in told.splitlines() if line.strip()]
    return [tuple(phone for phone in line if phone in PHONES) for line in lines]


def _flite(*arguments: str) -> str:
    program = shutil.which("flite")
    if program is None:
        raise MissingDependency(
            "the program flite",
            purpose="Simulated speech",
            command="apt-get install flite (Debian and Ubuntu), or brew install flite",
        )
    try:
        done = subprocess.run(
            (program, *arguments), capture_output=True, text=True, check=True, timeout=_SECONDS
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise ValueError(f"flite failed: {error}") from None
    return done.stdout


def _read(data: bytes) -> tuple[np.ndarray, int]:
    with wave.open(io.BytesIO(data)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return pcm.astype(np.float32) / 32768, file.getframerate()
