"""Audio codecs of transformers: tiny ones of the real classes, saved, loaded, and compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    DacConfig,
    DacModel,
    EncodecConfig,
    EncodecModel,
    MimiConfig,
    MimiModel,
)

from mmgen.backends.from_audio_codecs import ORDERS, CodecTokens
from mmgen.core.errors import LoadError, SpecError
from mmgen.core.latent import Latent
from mmgen.modalities.audio import Audio

RATE = 4000
ENCODEC = {
    "target_bandwidths": [1.0, 3.0],
    "sampling_rate": RATE,
    "hidden_size": 8,
    "num_filters": 4,
    "upsampling_ratios": [4, 4],
    "num_lstm_layers": 1,
    "codebook_size": 16,
    "codebook_dim": 8,
}


def _encodec() -> EncodecModel:
    model = EncodecModel(EncodecConfig(**ENCODEC))
    with torch.no_grad():
        frames = model.encoder(torch.rand(1, 1, 256) * 2 - 1)[0].T
    for i, layer in enumerate(model.quantizer.layers):
        layer.codebook.embed.copy_(frames - frames.mean(0) if i else frames)
    return model


def _dac() -> DacModel:
    return DacModel(
        DacConfig(
            encoder_hidden_size=4,
            decoder_hidden_size=32,
            downsampling_ratios=[2, 8],
            n_codebooks=3,
            codebook_size=16,
            codebook_dim=4,
            sampling_rate=RATE,
        )
    )


def _mimi() -> MimiModel:
    model = MimiModel(
        MimiConfig(
            sampling_rate=RATE,
            hidden_size=16,
            num_filters=4,
            upsampling_ratios=[4, 2],
            codebook_size=16,
            codebook_dim=8,
            vector_quantization_hidden_dimension=8,
            num_quantizers=4,
            upsample_groups=16,
            num_hidden_layers=1,
            intermediate_size=16,
            num_attention_heads=2,
            num_key_value_heads=2,
        )
    )
    for half in ("semantic", "acoustic"):
        quantizer = getattr(model.quantizer, f"{half}_residual_vector_quantizer")
        for layer in quantizer.layers:
            layer.codebook.embed_sum.copy_(torch.randn(16, 8) / 4)
    return model


MODELS = {"encodec": _encodec, "dac": _dac, "mimi": _mimi}


def _sound(samples: int, seed: int = 0) -> Audio:
    x = np.random.default_rng(seed).uniform(-0.9, 0.9, (1, samples)).astype(np.float32)
    return Audio(x, RATE)


@pytest.fixture(scope="module", params=MODELS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp(request.param)
    MODELS[request.param]().eval().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def codec(folder: Path) -> CodecTokens:
    return CodecTokens.from_pretrained(folder, max_seconds=0.2, num_codebooks=3)


def test_tokens_and_sounds_are_those_of_the_library(codec: CodecTokens) -> None:
    sound = _sound(160)
    x = torch.from_numpy(sound.samples)[None]
    with torch.no_grad():
        if codec.kind == "encodec":
            codes = codec.model.encode(x, bandwidth=3.0).audio_codes[0, :, :3]
            theirs = codec.model.decode(codes[None], [None]).audio_values[0, 0]
        elif codec.kind == "dac":
            codes = codec.model.encode(x).audio_codes
            theirs = codec.model.decode(audio_codes=codes).audio_values[0]
        else:
            codes = codec.model.encode(x, num_quantizers=3).audio_codes
            theirs = codec.model.decode(codes).audio_values[0, 0]
    assert codec.hop == 16 and codes.shape == (1, 3, 10)
    assert codes.unique().numel() > 4 and (codes[0] != codes[0, :, :1]).any()
    latent = codec.encode(codec.prepare([sound]))
    codec.spec.check(latent.z)
    assert torch.equal(latent.z[0], codes[0].T.flatten())
    decoded = codec.decode(latent)
    found = decoded["samples"][0]
    assert decoded["lengths"].tolist() == [160]
    length = min(160, len(theirs))
    assert (found[:length] - theirs[:length].clamp(-1, 1)).abs().max() < 1e-5
    assert found.abs().max() > 0


@pytest.mark.parametrize("order", ORDERS)
def test_a_batch_gives_what_each_gives_alone(codec: CodecTokens, order: str) -> None:
    codec = CodecTokens(codec.model, max_seconds=0.2, num_codebooks=3, order=order)
    sounds = [_sound(1), _sound(100, seed=1), _sound(800, seed=2), _sound(97, seed=3)]
    latent = codec.encode(codec.prepare(sounds))
    assert latent.lengths.tolist() == [3, 21, 150, 21]
    assert latent.z.max() < codec.spec.vocabulary and latent.z.shape[1] <= codec.spec.max_length
    beyond = latent.z.clone()
    beyond[0, 3:] = 7
    together = codec.present(codec.decode(Latent(beyond, latent.lengths)))
    for i, sound in enumerate(sounds):
        own = codec.encode(codec.prepare([sound]))
        assert torch.equal(own.z[0], latent.z[i, : int(own.lengths)])
        assert not latent.z[i, int(own.lengths) :].any()
        alone = codec.present(codec.decode(own))[0]
        assert alone.sampling_rate == RATE
        assert alone.samples.shape == (1, int(own.lengths) // 3 * 16)
        assert np.abs(alone.samples - together[i].samples).max() < 1e-5


def test_orders_hold_the_same_codes_and_decode_alike() -> None:
    torch.manual_seed(0)
    sound = _sound(160)
    frames, delayed = (CodecTokens.debug(order=order) for order in ORDERS)
    delayed.load_state_dict(frames.state_dict())
    a, b = (codec.encode(codec.prepare([sound])) for codec in (frames, delayed))
    codes = a.z[0].reshape(10, 3)
    row = [codes[t, k] for s in range(12) for k in range(3) if 0 <= (t := s - k) < 10]
    assert b.z[0].tolist() == [int(c) for c in row] != a.z[0].tolist()
    assert torch.equal(frames.decode(a)["samples"], delayed.decode(b)["samples"])


def test_every_row_of_tokens_has_a_sound() -> None:
    codec = CodecTokens.debug()
    z = torch.randint(0, 16, (3, 8))
    decoded = codec.decode(Latent(z, torch.tensor([0, 2, 8])))
    shapes = [a.samples.shape for a in codec.present(decoded)]
    assert shapes == [(1, 0), (1, 0), (1, 32)]
    assert codec.present(codec.decode(Latent(z)))[0].samples.shape == (1, 32)


def test_fewer_codebooks_are_the_first_ones(codec: CodecTokens) -> None:
    fewer = CodecTokens(codec.model, max_seconds=0.2, num_codebooks=2)
    sound = _sound(160)
    few, all_three = (c.encode(c.prepare([sound])).z[0] for c in (fewer, codec))
    assert torch.equal(few.reshape(-1, 2), all_three.reshape(-1, 3)[:, :2])
    assert fewer.spec.max_length == 2 * 50


def test_it_stays_frozen_and_in_its_own_mode(codec: CodecTokens) -> None:
    codec.train()
    assert not codec.model.training
    assert not any(p.requires_grad for p in codec.parameters())


class _Other(nn.Module):
    config = BertConfig()


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    model = _encodec()
    with pytest.raises(SpecError, match="encodec, dac, mimi; this is 'bert'"):
        CodecTokens(_Other())
    with pytest.raises(SpecError, match="takes 1 to 3 codebooks, got 4"):
        CodecTokens(model, num_codebooks=4)
    with pytest.raises(SpecError, match="2 to 4 codebooks, got 1|1 to 4 codebooks, got 0"):
        CodecTokens(_mimi(), num_codebooks=0)
    with pytest.raises(SpecError, match="frames, delayed; got 'flat'"):
        CodecTokens(model, order="flat")
    with pytest.raises(SpecError, match="at least one frame of 16 samples"):
        CodecTokens(model, max_seconds=0.001)
    with pytest.raises(SpecError, match="this one has 2"):
        CodecTokens(EncodecModel(EncodecConfig(**ENCODEC, audio_channels=2)))
    with pytest.raises(SpecError, match="loudness or a chunk"):
        CodecTokens(EncodecModel(EncodecConfig(**ENCODEC, normalize=True)))
    with pytest.raises(ValueError, match="sampling_rate of 4000 Hz, got 8000 Hz. Resample"):
        CodecTokens.debug().prepare([(np.zeros(9), 8000)])
    with pytest.raises(ValueError, match=r"1 to 400 \(0.1 s\), got 500"):
        CodecTokens.debug().prepare([_sound(500)])


def test_bad_checkpoints_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(LoadError, match="Could not load an audio codec"):
        CodecTokens.from_pretrained(tmp_path)
    BertConfig().save_pretrained(tmp_path / "bert")
    with pytest.raises(LoadError, match="this is 'bert'"):
        CodecTokens.from_pretrained(tmp_path / "bert")
    cut = tmp_path / "cut"
    cut.mkdir()
    for file in folder.iterdir():
        data = file.read_bytes()
        (cut / file.name).write_bytes(data[: len(data) // 2] if file.suffix != ".json" else data)
    with pytest.raises(LoadError, match="Could not load an audio codec"):
        CodecTokens.from_pretrained(cut)
