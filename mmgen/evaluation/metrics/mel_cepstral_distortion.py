r"""Mel-cepstral distortion: how far apart two sayings of a text are, however fast each is.

With log-amplitudes L_k of K = 80 mel bands from 0 to 8 kHz (windows of 64 ms, 16 ms apart, 16 kHz),

    c_m = 2 / K sum_k L_k cos(pi m (k + 1/2) / K),   m = 1 ... 13,
    MCD = 10 sqrt(2) / ln 10 * mean of |c(t) - c'(t')| over a path of pairs (t, t'),

the path being the one of steps (1, 1), (1, 0), (0, 1) from the first frames to the last with the
least sum. In dB, lower is better, 0 for the same sound. c_0 is left out, so loudness is not judged,
and nothing is cut off, so silences are. Values compare only with those of this definition: other
cepstra, orders and alignments give others. Sample size: some dozens of sentences. Reference: the
formula, which the tests follow step by step; the constant is that of Kubichek.

Source: Mel-cepstral distance measure for objective speech quality assessment (Kubichek, 1993),
Eq. 1, doi:10.1109/PACRIM.1993.407206; with alignment: Spectral conversion based on maximum
likelihood estimation (Toda et al., 2007).
"""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from mmgen.nn.mel import MelSpec, MelTransform

__all__ = ["ORDER", "RATE", "mel_cepstral_distortion", "mel_cepstrum", "warped_distance"]

ORDER, RATE = 13, 16_000
_MEL = MelSpec(RATE, fft=1024, hop=256, window=1024, num_mels=80, fmin=0.0, fmax=8000.0)


def mel_cepstral_distortion(x: Tensor, y: Tensor) -> float:
    """MCD in dB.

    Args:
        x: A sound (N,) at 16 kHz, in [-1, 1].
        y: Another saying of the same (M,).

    Raises:
        ValueError: If one is empty or of several channels.
    """
    return warped_distance(mel_cepstrum(x), mel_cepstrum(y)) * 10 * math.sqrt(2) / math.log(10)


def mel_cepstrum(x: Tensor) -> np.ndarray:
    """c_1 ... c_13 of each frame (T, 13), float64, of a sound (N,) at 16 kHz."""
    if x.ndim != 1 or not len(x):
        raise ValueError(f"Expected one channel (N,) of some samples, got {tuple(x.shape)}.")
    log_mel = MelTransform(_MEL)(x[None].float())[0].double().numpy()
    bands = _MEL.num_mels
    angles = math.pi * np.outer(np.arange(bands) + 0.5, np.arange(1, ORDER + 1)) / bands
    return log_mel @ np.cos(angles) * 2 / bands


def warped_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Mean distance over the path with the least sum of distances.

    Args:
        x: Features (T, F).
        y: Features (U, F).
    """
    cost = np.sqrt(np.maximum(((x[:, None] - y[None]) ** 2).sum(-1), 0.0))
    rows, columns = cost.shape
    # Sums and lengths of the best paths to each cell, one diagonal i + j after another.
    total = np.full((rows + 1, columns + 1), np.inf)
    length = np.zeros((rows + 1, columns + 1))
    total[0, 0] = 0.0
    for diagonal in range(rows + columns - 1):
        i = np.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1))
        j = diagonal - i
        before = np.stack((total[i, j], total[i, j + 1], total[i + 1, j]))
        steps = np.stack((length[i, j], length[i, j + 1], length[i + 1, j]))
        best = before.argmin(0)
        here = np.arange(len(i))
        total[i + 1, j + 1] = before[best, here] + cost[i, j]
        length[i + 1, j + 1] = steps[best, here] + 1
    return float(total[rows, columns] / length[rows, columns])
