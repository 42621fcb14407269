"""Mel frames as torchaudio has them, and two ways back to sound."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from mmgen.core.errors import LoadError, SpecError
from mmgen.core.latent import Latent
from mmgen.modalities.audio import Audio, GriffinLim, LogMel, MelSpec
from mmgen.nn.mel import MelTransform
from mmgen.nn.vocoder import Vocoder

DEBUG = MelSpec.debug()
SPECS = {
    "debug": DEBUG,
    "speech": MelSpec(22050, fft=1024, hop=256, window=1024, num_mels=80, fmin=0.0, fmax=8000.0),
    "htk": MelSpec(16000, 512, 160, 400, 40, 60.0, 7600.0, norm="none", scale="htk"),
}


def _melody(seconds: float, rate: int = 8000) -> np.ndarray:
    """Tones with overtones that begin, glide and fade: (time,) in [-1, 1]."""
    time = np.arange(int(seconds * rate)) / rate
    x = np.zeros_like(time)
    for begin, pitch, glide in ((0.0, 220, 60), (0.2, 330, -50), (0.45, 165, 200)):
        local = (time - begin).clip(0)
        phase = 2 * np.pi * (pitch * local + glide * local**2 / 2)
        loud = (local > 0) * np.exp(-4 * local)
        x += loud * sum(np.sin(k * phase) / k for k in range(1, 6))
    return (0.5 * x / np.abs(x).max()).astype(np.float32)


MELODY = _melody(0.8)


def _error(a: Tensor, b: Tensor, mel: MelSpec) -> float:
    """Mean absolute difference of log-mel frames, in nepers, of two waveforms (N,)."""
    length = min(len(a), len(b))
    transform = MelTransform(mel)
    a, b = (transform(x[None, :length]).clamp(min=-7) for x in (a, b))
    return float((a - b).abs().mean())


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_frames_are_those_of_torchaudio(spec: MelSpec) -> None:
    transforms = pytest.importorskip("torchaudio.transforms")
    theirs = transforms.MelSpectrogram(
        spec.sampling_rate,
        n_fft=spec.fft,
        win_length=spec.window,
        hop_length=spec.hop,
        f_min=spec.fmin,
        f_max=spec.fmax,
        pad=(spec.fft - spec.hop) // 2,
        n_mels=spec.num_mels,
        power=1.0,
        center=False,
        norm=None if spec.norm == "none" else spec.norm,
        mel_scale=spec.scale,
    )
    x = torch.rand(2, 20 * spec.hop) * 2 - 1
    mel = theirs(x).transpose(1, 2)
    mine = MelTransform(spec)(x)
    assert mine.shape == mel.shape == (2, 20, spec.num_mels)
    assert (mine - mel.clamp(min=spec.floor).log()).abs().max() < 1e-3


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("length", [1, 7, 20])
def test_a_spectrum_gives_its_waveform_back(spec: MelSpec, length: int) -> None:
    transform = MelTransform(spec)
    x = torch.randn(2, length * spec.hop)
    back = transform.inverse(transform.spectrum(x))
    assert back.shape == x.shape
    assert (back - x).abs().max() < 1e-4


def test_frames_do_not_depend_on_padding() -> None:
    transform = MelTransform(DEBUG)
    x = torch.randn(1, 700)
    frames = transform(x)
    assert frames.shape[1] == 6
    padded = transform(torch.nn.functional.pad(x, (0, 900)))
    assert torch.allclose(padded[:, :6], frames, atol=1e-5)


BAD_SPECS = [
    ({"fft": 0}, "integers above 0"),
    ({"num_mels": 16.0}, "integers above 0"),
    ({"hop": 200}, "2 hop <= window <= fft.*hop 200, window 256, fft 256"),
    ({"hop": 127}, "even fft - hop"),
    ({"window": 300}, "window 300, fft 256"),
    ({"fmax": 4001.0}, "0 to 4000 Hz.*fmax 4001"),
    ({"fmin": 4000.0}, "fmin 4000"),
    ({"floor": 0.0}, "floor lies between 0 and 1, got 0.0"),
    ({"norm": "area"}, "'area'"),
    ({"scale": "bark"}, "'bark'"),
]


@pytest.mark.parametrize(("change", "message"), BAD_SPECS)
def test_definitions_that_define_nothing_are_refused(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        MelSpec(**{**DEBUG.as_dict(), **change})


def test_more_bands_than_frequencies_are_refused() -> None:
    with pytest.raises(SpecError, match="200 bands are too many for 129 frequencies"):
        MelTransform(MelSpec(**{**DEBUG.as_dict(), "num_mels": 200}))


def test_griffin_lim_comes_near_and_is_always_the_same() -> None:
    mel = MelSpec(8000, fft=512, hop=128, window=512, num_mels=48, fmin=0.0, fmax=4000.0)
    x = torch.from_numpy(MELODY)
    frames = MelTransform(mel)(x[None])
    none, some = (GriffinLim(mel, iterations=n).decode(frames)[0] for n in (0, 32))
    assert some.shape[0] == frames.shape[1] * 128
    assert _error(some, x, mel) < 0.6 * _error(none, x, mel)
    assert _error(some, x, mel) < 0.25
    assert torch.equal(GriffinLim(mel).decode(frames)[0], some)
    both = GriffinLim(mel).decode(torch.cat([frames, frames.flip(1)]))
    assert (both[0] - some).abs().max() < 1e-4


def test_a_tone_keeps_its_pitch_and_loudness() -> None:
    mel = SPECS["speech"]
    time = torch.arange(100 * mel.hop) / mel.sampling_rate
    x = 0.4 * torch.sin(2 * torch.pi * 700 * time)
    copy = GriffinLim(mel).decode(MelTransform(mel)(x[None]))[0]
    spectrum = torch.fft.rfft(copy * torch.hann_window(len(copy))).abs()
    assert abs(float(spectrum.argmax()) * mel.sampling_rate / len(copy) - 700) < 25
    assert 0.7 < float(copy.std() / x.std()) < 1.4


def test_a_vocoder_learns_a_clip() -> None:
    torch.manual_seed(0)
    x = torch.from_numpy(MELODY)[None]
    vocoder = Vocoder(DEBUG, dim=64, depth=2)
    before = float(vocoder.loss(x).detach())
    untrained = vocoder(x)[0].detach()
    optimizer = torch.optim.Adam(vocoder.parameters(), lr=2e-3)
    for _ in range(60):
        loss = vocoder.loss(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    trained = vocoder(x)[0].detach()
    assert float(loss.detach()) < 0.6 * before
    assert _error(trained, x[0], DEBUG) < 0.7 * _error(untrained, x[0], DEBUG)
    # On another definition, too, which the loss never looked at.
    other = MelSpec(8000, fft=512, hop=64, window=400, num_mels=40, fmin=0.0, fmax=4000.0)
    assert _error(trained, x[0], other) < 0.7 * _error(untrained, x[0], other)


def test_silence_has_a_finite_loss() -> None:
    vocoder = Vocoder.debug()
    loss = vocoder.loss(torch.zeros(2, 512))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert all(p.grad.isfinite().all() for p in vocoder.parameters())


# The codec -----------------------------------------------------------------------------------


def _sounds(*seconds: float) -> list[Audio]:
    return [Audio(_melody(s)[None], 8000) for s in seconds]


def test_latents_are_standardised_and_zero_beyond_their_lengths() -> None:
    codec = LogMel(DEBUG, max_length=64)
    assert codec.mean.isnan().all() and codec.std.isnan()
    codec.fit(_sounds(0.5, 0.8))
    latent = codec.encode(codec.prepare(_sounds(0.5, 0.8)))
    codec.spec.check(latent.z)
    assert latent.lengths.tolist() == [32, 50]
    assert not latent.z[0, 32:].any()
    inside = torch.cat([latent.z[0, :32], latent.z[1]])
    assert inside.mean(0).abs().max() < 1e-3
    assert abs(float(inside.square().mean()) - 1) < 1e-3


@pytest.mark.parametrize("vocoder", [None, Vocoder.debug], ids=["griffin-lim", "vocoder"])
def test_a_sound_comes_back_the_same_alone_and_among_others(vocoder: type | None) -> None:
    codec = LogMel(DEBUG, max_length=64, vocoder=vocoder and vocoder())
    both = _sounds(0.3, 0.8)
    codec.fit(both)
    latent = codec.encode(codec.prepare(both))
    beyond = latent.z.clone()
    beyond[0, 19:] = 99.0
    together = codec.present(codec.decode(Latent(beyond, latent.lengths)))
    for i, sound in enumerate(both):
        z = codec.encode(codec.prepare([sound]))
        length = int(z.lengths)
        assert (latent.z[i, :length] - z.z[0]).abs().max() < 1e-5
        alone = codec.present(codec.decode(z))[0]
        assert alone.samples.shape == together[i].samples.shape == (1, length * DEBUG.hop)
        assert np.abs(alone.samples - together[i].samples).max() < 1e-4
        assert alone.sampling_rate == 8000


def test_decoding_without_lengths_fills_all_and_empty_ones_are_empty() -> None:
    codec = LogMel.debug()
    full = codec.present(codec.decode(Latent(torch.zeros(2, 5, 16))))
    assert [a.samples.shape for a in full] == [(1, 640), (1, 640)]
    some = codec.decode(Latent(torch.zeros(2, 5, 16), torch.tensor([0, 2])))
    assert [a.samples.shape for a in codec.present(some)] == [(1, 0), (1, 256)]
    loud = codec.decode(Latent(torch.full((1, 4, 16), 9.0)))["samples"]
    assert loud.abs().max() <= 1


def test_without_statistics_nothing_is_encoded_or_decoded() -> None:
    codec = LogMel(DEBUG, max_length=64)
    with pytest.raises(LoadError, match="no mean and std of its frames yet. Call fit"):
        codec.encode(codec.prepare(_sounds(0.3)))
    with pytest.raises(LoadError, match="no mean and std of its frames yet. Call fit"):
        codec.decode(Latent(torch.zeros(1, 4, 16)))
    with pytest.raises(ValueError, match="at least one sound"):
        codec.fit([])
    with pytest.raises(ValueError, match="all the same in every frame"):
        codec.fit([Audio(np.zeros((1, 800), np.float32), 8000)])


def test_frames_of_another_definition_are_refused() -> None:
    codec = LogMel.debug()
    codec.load_assets(codec.assets())
    other = MelSpec(**{**DEBUG.as_dict(), "fmax": 3800.0, "norm": "none"})
    message = "fmax 4000.0, not 3800.0; norm slaney, not none"
    with pytest.raises(LoadError, match=message):
        LogMel(other, max_length=8).load_assets(codec.assets())
    with pytest.raises(SpecError, match=message):
        LogMel(other, max_length=8, vocoder=Vocoder.debug())
    with pytest.raises(LoadError, match=r"needs mel\.json"):
        codec.load_assets({})
    for bad in (b"", b"{", b"[]", b"3", b'{"fft": 1}', b"\xff", json.dumps({"a": 1}).encode()):
        with pytest.raises(LoadError, match=r"mel\.json defines no mel spectrogram"):
            codec.load_assets({"mel.json": bad})


def test_the_vocoder_is_saved_with_the_codec_and_frozen() -> None:
    codec = LogMel(DEBUG, max_length=8, vocoder=Vocoder.debug())
    names = set(codec.state_dict())
    assert {"mean", "std", "vocoder.head.weight"} <= names
    assert not any("transform" in n for n in names)
    assert not any(p.requires_grad for p in codec.parameters())
