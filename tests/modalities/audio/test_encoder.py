"""Sounds as conditions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmgen.core.spec import ConditionSpec
from mmgen.modalities import audio
from mmgen.modalities.audio import Audio, AudioEncoder


def _noise(samples: int, seed: int = 0) -> Audio:
    x = np.random.default_rng(seed).uniform(-0.5, 0.5, (1, samples))
    return Audio(x.astype(np.float32), 8000)


@pytest.fixture(scope="module")
def encoder() -> AudioEncoder:
    torch.manual_seed(0)
    return AudioEncoder.debug().eval()


@pytest.mark.parametrize(("size", "width"), [("debug", 32), ("small", 128)])
def test_sizes_go_together(size: str, width: int) -> None:
    encoder, codec = audio.encoder(size, ("ignored",)), audio.codec(size)
    assert encoder.spec == ConditionSpec(token_dim=width)
    assert encoder.mel == codec.mel and encoder.max_frames == codec.max_length


def test_tokens_are_the_same_alone_and_in_a_batch(encoder: AudioEncoder) -> None:
    sounds = [_noise(700), _noise(9000, seed=1), None]
    both = encoder.encode(encoder.prepare(sounds))
    assert both.tokens.shape[0] == both.batch == 3 and both.tokens.shape[2] == 32
    # 6 and 71 frames, four to a token.
    assert both.mask.sum(1).tolist() == [2, 18, 1]
    for i in (0, 1):
        alone = encoder.encode(encoder.prepare([sounds[i]]))
        count = int(alone.mask.sum())
        assert (both.tokens[i, :count] - alone.tokens[0, :count]).abs().max() < 1e-5
    assert not both.tokens[~both.mask].any()


def test_none_is_the_null_and_so_is_what_is_dropped(encoder: AudioEncoder) -> None:
    c = encoder.encode(encoder.prepare([None, _noise(900)]))
    assert torch.equal(c.tokens[0, 0], encoder.null) and not torch.equal(
        c.tokens[1, 0], c.tokens[0, 0]
    )
    dropped = encoder.encode(encoder.drop(encoder.prepare([_noise(900)]), rate=1.0))
    assert torch.equal(dropped.tokens[0, 0], encoder.null)
    assert dropped.mask.sum() == 1


def test_order_counts_and_every_weight_has_a_gradient(encoder: AudioEncoder) -> None:
    x = _noise(4000).samples * np.linspace(0, 1, 4000, dtype=np.float32)
    forth, back = Audio(x, 8000), Audio(x[:, ::-1].copy(), 8000)
    c = encoder.encode(encoder.prepare([forth, back, None]))
    first, second = c.tokens[0, :8].sum(0), c.tokens[1, :8].sum(0)
    assert (first - second).abs().max() > 1e-3
    c.tokens.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("nothing here.wav", ValueError, "no sound at"),
        (3, TypeError, "Expected a sound"),
        ((np.zeros(9), 16000), ValueError, "Resample it first"),
        ((np.zeros(128 * 128 + 1), 8000), ValueError, "1 to 16384 .* got 16385"),
    ],
)
def test_bad_sounds_are_refused(
    encoder: AudioEncoder, value: object, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        encoder.prepare([value])
