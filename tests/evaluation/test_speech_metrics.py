"""Metrics of speech agree with their references on fixed inputs."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch

from mmgen.core.errors import MissingDependency
from mmgen.evaluation.metrics.mel_cepstral_distortion import (
    mel_cepstral_distortion,
    mel_cepstrum,
    warped_distance,
)
from mmgen.evaluation.metrics.stoi import stoi
from mmgen.evaluation.metrics.word_errors import plain_words, word_errors

SAID = ["The cat sat on the mat.", "It's half past nine, isn't it?", "Yes!"]
HEARD = ["the cat sat on a mat", "its half past nine is not it", "yes"]


def test_error_rates_are_those_of_jiwer() -> None:
    jiwer = pytest.importorskip("jiwer")
    found = word_errors(HEARD, SAID)
    plain = [plain_words(text) for text in SAID]
    assert plain[1] == "it's half past nine isn't it"
    assert found["wer"]["share"] == pytest.approx(jiwer.wer(plain, HEARD), abs=1e-5)
    assert found["cer"]["share"] == pytest.approx(jiwer.cer(plain, HEARD), abs=1e-5)
    # "a" for "the"; "its", "is" for "it's", "isn't"; "not" is one too many.
    assert (found["wer"]["errors"], found["wer"]["count"]) == (4, 13)
    assert found["wer"]["low"] <= found["wer"]["share"] <= found["wer"]["high"]
    assert word_errors(["", "yes"], ["yes", "no"])["wer"]["share"] == 1.0


def test_what_has_no_error_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="got 1 for 2"):
        word_errors(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="no word"):
        word_errors(["a"], ["..."])
    monkeypatch.setitem(sys.modules, "jiwer", None)
    with pytest.raises(MissingDependency, match=r"mmgen-sdk\[bench\]"):
        word_errors(["a"], ["a"])


def _sound(seconds: float, seed: int) -> torch.Tensor:
    """A vowel-like sound whose formant moves, with some noise."""
    t = torch.arange(int(16_000 * seconds)) / 16_000
    g = torch.Generator().manual_seed(seed)
    pitch = 2 * math.pi * (120 + 20 * seed) * t
    voice = sum(
        torch.sin(k * pitch) * math.exp(-(((k * 120 - 700 - 300 * seed) / 400) ** 2))
        for k in range(1, 20)
    )
    return 0.1 * voice + 0.003 * torch.randn(len(t), generator=g)


def _plain_warping(x: np.ndarray, y: np.ndarray) -> float:
    """Cell by cell."""
    best: dict[tuple[int, int], tuple[float, int]] = {(-1, -1): (0.0, 0)}
    for i in range(len(x)):
        for j in range(len(y)):
            before = [best.get(k, (math.inf, 0)) for k in ((i - 1, j - 1), (i - 1, j), (i, j - 1))]
            total, steps = min(before, key=lambda cell: cell[0])
            best[i, j] = (total + float(np.linalg.norm(x[i] - y[j])), steps + 1)
    total, steps = best[len(x) - 1, len(y) - 1]
    return total / steps


def test_distances_are_along_the_best_path() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 3)), rng.normal(size=(14, 3))
    assert warped_distance(x, y) == pytest.approx(_plain_warping(x, y))
    slow = np.repeat(x, 2, axis=0)
    assert warped_distance(x, slow) == pytest.approx(0.0)


def test_mel_cepstral_distortion_follows_its_definition() -> None:
    scipy = pytest.importorskip("scipy.fft")
    from mmgen.evaluation.metrics.mel_cepstral_distortion import _MEL
    from mmgen.nn.mel import MelTransform

    x, y = _sound(0.5, 0), _sound(0.6, 1)
    bands = MelTransform(_MEL)(x[None])[0].double().numpy()
    # An orthonormal transform, rescaled to the cosine series of the formula.
    reference = scipy.dct(bands, type=2, norm="ortho")[:, 1:14] * math.sqrt(2 / 80)
    assert np.allclose(mel_cepstrum(x), reference)
    found = mel_cepstral_distortion(x, y)
    factor = 10 * math.sqrt(2) / math.log(10)
    assert found == pytest.approx(factor * _plain_warping(mel_cepstrum(x), mel_cepstrum(y)))
    assert found > 3
    assert mel_cepstral_distortion(x, x) == 0
    assert mel_cepstral_distortion(x, 0.5 * x) < 0.3
    with pytest.raises(ValueError, match="one channel"):
        mel_cepstral_distortion(x[None], y)


def test_stoi_is_that_of_pystoi(monkeypatch: pytest.MonkeyPatch) -> None:
    pystoi = pytest.importorskip("pystoi")
    x = _sound(1.5, 1)
    y = x + 0.02 * torch.randn(len(x), generator=torch.Generator().manual_seed(0))
    reference = pystoi.stoi(x.double().numpy(), y.double().numpy(), 16_000, extended=False)
    assert stoi(x, y, sampling_rate=16_000) == pytest.approx(reference, abs=1e-6)
    assert stoi(x, x, sampling_rate=16_000) > 0.999 > reference
    with pytest.raises(ValueError, match="same length"):
        stoi(x, y[1:], sampling_rate=16_000)
    with pytest.raises(ValueError, match=r"0\.6 s"):
        stoi(x[:1000], y[:1000], sampling_rate=16_000)
    monkeypatch.setitem(sys.modules, "pystoi", None)
    with pytest.raises(MissingDependency, match="STOI"):
        stoi(x, y, sampling_rate=16_000)
