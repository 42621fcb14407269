"""What an offline recogniser hears: pocketsphinx with the model that it ships."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmgen.modalities.audio import Audio, resample

__all__ = ["Recogniser", "digits_grammar"]

RATE = 16_000
_PAUSE = 0.25
"""Seconds of silence before and after, without which first and last words are lost."""
_SILENT = 1e-4
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def digits_grammar() -> str:
    """A grammar (JSGF) of one of the ten digits."""
    return f"#JSGF V1.0; grammar digits; public <digit> = {' | '.join(DIGITS)};"


class Recogniser:
    """A recogniser of American English.

    Args:
        grammar: What may be said, as JSGF; any of its words in any order if None.

    Raises:
        ImportError: If pocketsphinx is not installed; tasks say so before, by what they need.
    """

    def __init__(self, grammar: str | None = None) -> None:
        from pocketsphinx import Decoder

        self._decoder = Decoder(samprate=float(RATE), loglevel="FATAL")
        if grammar is not None:
            self._decoder.add_jsgf_string("grammar", grammar)
            self._decoder.activate_search("grammar")

    def heard(self, sound: Audio) -> str:
        """What is said in a sound, in lower case; empty if nothing is heard."""
        x = resample(sound.mono(), RATE).samples[0]
        loudest = float(np.abs(x).max(initial=0.0))
        if loudest < _SILENT:
            return ""
        # Voices differ in loudness, and its features hang on it at the start.
        x = x / loudest * 0.5
        quiet = np.zeros(round(_PAUSE * RATE), np.float32)
        pcm = np.round(np.concatenate((quiet, x, quiet)) * 32767).astype("<i2").tobytes()
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()
        found: Any = self._decoder.hyp()
        return "" if found is None else found.hypstr.lower()

    def all_heard(self, sounds: Sequence[Audio]) -> list[str]:
        """What is said in each of several sounds."""
        return [self.heard(sound) for sound in sounds]
