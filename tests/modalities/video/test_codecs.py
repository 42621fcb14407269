"""Films to latents and back, and as conditions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmgen.core.codec import Lossless
from mmgen.core.errors import LoadError, SpecError
from mmgen.core.latent import Latent
from mmgen.core.spec import ConditionSpec
from mmgen.modalities import video
from mmgen.modalities.video import FrameLatents, Frames, Video, VideoEncoder
from mmgen.nn.autoencoder import Autoencoder


def _film(seed: int, *, num_frames: int = 4, size: int = 8) -> Video:
    shape = (num_frames, size, size, 3)
    return Video(np.random.default_rng(seed).integers(0, 256, shape, np.uint8), 8.0)


@pytest.mark.parametrize("noisy", [False, True])
def test_frames_lose_nothing(noisy: bool) -> None:
    codec = Frames.debug()
    tensors = codec.prepare([_film(i) for i in range(3)])
    generator = torch.Generator().manual_seed(0) if noisy else None
    latent = codec.encode(tensors, generator=generator)
    codec.spec.check(latent.z)
    decoded = codec.decode(latent)
    assert torch.equal(decoded["frames"], tensors["frames"])
    for i, film in enumerate(codec.present(decoded)):
        assert np.array_equal(film.frames, _film(i).frames) and film.fps == 8
    assert isinstance(codec, Lossless)


def test_frames_are_standardised_by_what_they_were_fitted_to() -> None:
    codec = Frames(4, 8, fps=8.0)
    assert not codec.fitted
    values = [_film(i) for i in range(20)]
    codec.fit(values)
    assert codec.fitted
    z = codec.encode(codec.prepare(values), generator=torch.Generator().manual_seed(0)).z
    assert z.mean().abs() < 0.05 and abs(float(z.std()) - 1) < 0.05
    with pytest.raises(ValueError, match="at least one film"):
        codec.fit([])


def test_log_volume_is_that_of_the_map() -> None:
    codec = Frames.debug()
    one, none = torch.ones(1, 4, 3, 8, 8), torch.zeros(1, 4, 3, 8, 8)
    step = codec.encode({"frames": one}).z - codec.encode({"frames": none}).z
    found = codec.log_volume(codec.prepare([_film(0)]))
    assert torch.allclose(found, step.log().sum(), rtol=1e-5)


def test_latents_of_films_are_those_of_their_frames() -> None:
    torch.manual_seed(0)
    codec = FrameLatents(Autoencoder.debug(), num_frames=4, size=8, fps=8.0)
    with pytest.raises(LoadError, match="no mean and std"):
        codec.encode(codec.prepare([_film(0)]))
    films = [_film(i) for i in range(5)]
    codec.fit(films)
    tensors = codec.prepare(films)
    latent = codec.encode(tensors)
    codec.spec.check(latent.z)
    assert codec.spec.shape == (4, 4, 2, 2) and codec.spec.modality == "video"
    one = codec.frame.encode({"pixels": tensors["frames"][2]}).z
    assert (latent.z[2] - one).abs().max() < 1e-5
    back = codec.decode(latent)
    assert back["frames"].shape == tensors["frames"].shape
    assert [f.frames.shape for f in codec.present(back)] == [(4, 8, 8, 3)] * 5
    assert not isinstance(codec, Lossless)
    with pytest.raises(SpecError, match="multiple of 4"):
        FrameLatents(Autoencoder.debug(), num_frames=4, size=10, fps=8.0)


@pytest.mark.parametrize(("size", "shape"), [("debug", (4, 3, 16, 16)), ("small", (8, 3, 32, 32))])
def test_sizes_go_together(size: str, shape: tuple[int, ...]) -> None:
    codec, encoder = video.codec(size), video.encoder(size, ("ignored",))
    assert codec.spec.shape == shape
    assert encoder.spec == ConditionSpec(token_dim={"debug": 32, "small": 128}[size])
    film = _film(0, num_frames=shape[0], size=shape[-1])
    codec.fit([film])
    codec.encode(codec.prepare([film]))
    assert encoder.encode(encoder.prepare([film, None])).batch == 2


def test_a_film_as_a_condition() -> None:
    torch.manual_seed(0)
    encoder = VideoEncoder.debug()
    film, back = _film(0), Video(_film(0).frames[::-1].copy(), 8.0)
    c = encoder.encode(encoder.prepare([film, None, back]))
    assert c.tokens.shape == (3, 8, 32)
    assert c.mask.sum(1).tolist() == [8, 1, 8]
    assert torch.equal(c.tokens[1, 0], encoder.null)
    assert not c.tokens[1, 1:].any()
    alone = encoder.encode(encoder.prepare([film]))
    assert (alone.tokens[0] - c.tokens[0]).abs().max() < 1e-5
    assert (c.tokens[0].sum(0) - c.tokens[2].sum(0)).abs().max() > 1e-3
    c.tokens.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())
    dropped = encoder.encode(encoder.drop(encoder.prepare([film]), rate=1.0))
    assert torch.equal(dropped.tokens[0, 0], encoder.null)
    with pytest.raises(SpecError, match="3 frames and 4 pixels do not divide 4 frames of 8 x 8"):
        VideoEncoder(4, 8, fps=8.0, patch=(3, 4), dim=32)


def test_decoding_clips_what_is_out_of_range() -> None:
    far = torch.tensor([-99.0, 99.0]).reshape(2, 1, 1, 1, 1).expand(2, 4, 3, 8, 8)
    decoded = Frames.debug().decode(Latent(far))["frames"]
    assert (decoded[0] == 0).all() and (decoded[1] == 255).all()
