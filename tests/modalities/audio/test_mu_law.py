"""Mu-law tokens: known levels, the stated tolerance, and nothing lost after that."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.modalities.audio import Audio, MuLaw
from mmgen.modalities.audio.mu_law import compress, expand


def test_known_levels() -> None:
    x = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0])
    assert compress(x).tolist() == [0, 16, 128, 239, 255]
    assert expand(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == pytest.approx([-1, 1])


def test_levels_are_those_of_torchaudio() -> None:
    functional = pytest.importorskip("torchaudio.functional")
    x = torch.rand(4000) * 2 - 1
    assert torch.equal(compress(x).long(), functional.mu_law_encoding(x, 256))
    levels = torch.arange(256)
    assert torch.allclose(expand(levels), functional.mu_law_decoding(levels, 256), atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.floats(-1, 1, width=32))
def test_a_sample_comes_back_within_half_a_level(x: float) -> None:
    back = float(expand(compress(torch.tensor([x]))))
    assert abs(back - x) <= 0.022 * (abs(x) + 1 / 255)


def test_all_samples_come_back_within_half_a_level() -> None:
    x = torch.linspace(-1, 1, 100_001)
    assert ((expand(compress(x)) - x).abs() <= 0.022 * (x.abs() + 1 / 255)).all()


def test_every_level_is_its_own() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(compress(expand(levels)), levels)


def test_tokens_lose_nothing_more_and_keep_their_lengths() -> None:
    rng = np.random.default_rng(0)
    sounds = [Audio(rng.uniform(-1, 1, (1, n)).astype(np.float32), 8000) for n in (40, 1, 64)]
    codec = MuLaw.debug()
    tensors = codec.prepare(sounds)
    latent = codec.encode(tensors)
    codec.spec.check(latent.z)
    assert latent.z.dtype == torch.long
    assert latent.lengths.tolist() == [40, 1, 64]
    assert not latent.z[1, 1:].any()
    decoded = codec.decode(latent)
    assert torch.equal(decoded["levels"], tensors["levels"])
    found = codec.present(decoded)
    for sound, back in zip(sounds, found, strict=True):
        assert back.sampling_rate == 8000 and back.samples.shape == sound.samples.shape
        assert (np.abs(back.samples - sound.samples) <= 0.022 * np.abs(sound.samples) + 1e-4).all()
    assert torch.equal(codec.prepare(found)["levels"], tensors["levels"])
    assert torch.equal(codec.log_volume(tensors), torch.zeros(3))


def test_other_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="sampling_rate of 8000 Hz, got 16000 Hz. Resample it"):
        MuLaw.debug().prepare([(np.zeros(9), 16000)])
