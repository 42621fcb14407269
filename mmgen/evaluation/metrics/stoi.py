"""Short-time objective intelligibility of a copy beside the sound itself, by pystoi.

Higher is better, about 0 to 1: the correlation of envelopes in third-octave bands over 384 ms, at
10 kHz. The two must run in step, so it judges copies (vocoders, codecs, noise taken away) and no
other sayings of a text. Sample size: some dozens of sentences of a second or more. Reference
implementation: pystoi itself, which is called here.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from mmgen.core.errors import MissingDependency

__all__ = ["stoi"]


def stoi(x: Tensor, y: Tensor, *, sampling_rate: int, extended: bool = False) -> float:
    """STOI of a copy.

    Args:
        x: The sound (N,), clean.
        y: Its copy (N,).
        sampling_rate: Of both, in Hz.
        extended: ESTOI, for noise that comes and goes.

    Raises:
        ValueError: If the two differ in length, or are too short for one window of sound.
        MissingDependency: If pystoi is not installed.

    Sources: An Algorithm for Intelligibility Prediction of Time-Frequency Weighted Noisy Speech
    (Taal et al., 2011), doi:10.1109/TASL.2011.2114881; ESTOI: Jensen & Taal (2016),
    doi:10.1109/TASLP.2016.2585878.
    """
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(
            f"Expected a sound (N,) and its copy of the same length, got {tuple(x.shape)} and "
            f"{tuple(y.shape)}. Cut both to the shorter length."
        )
    try:
        from pystoi import stoi as reference
    except ImportError:
        raise MissingDependency("pystoi", extra="bench", purpose="STOI") from None
    both = [np.asarray(sound.double().cpu()) for sound in (x, y)]
    if len(x) < 0.6 * sampling_rate or not np.any(both[0]):
        raise ValueError("Expected 0.6 s of sound at least, not all of it silent.")
    return float(reference(*both, sampling_rate, extended=extended))
