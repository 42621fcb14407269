"""Latents: an autoencoder that learns, statistics that are needed, and a codec that comes back."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmgen.core.codec import Codec, Lossless
from mmgen.core.errors import LoadError, SpecError
from mmgen.core.latent import Latent
from mmgen.modalities.image.files import to_pil
from mmgen.modalities.image.latents import Latents
from mmgen.nn.autoencoder import Autoencoder

SIZE, NUM_STEPS = 16, 200


def _images(count: int, seed: int) -> list[np.ndarray]:
    """Boxes of one colour on a ground of another."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 1, 1, 3), np.uint8).repeat(SIZE, 1).repeat(SIZE, 2)
    for image in images:
        top, left = rng.integers(0, SIZE - 6, 2)
        image[top : top + 6, left : left + 6] = rng.integers(0, 256, 3, np.uint8)
    return list(images)


def _error(codec: Latents, images: list[np.ndarray]) -> float:
    """Mean absolute error in 8-bit levels."""
    tensors = codec.prepare(images)
    decoded = codec.decode(codec.encode(tensors))
    return float((decoded["pixels"].float() - tensors["pixels"].float()).abs().mean())


def _fitted(autoencoder: Autoencoder) -> Latents:
    codec = Latents(autoencoder, size=SIZE)
    codec.fit(_images(256, seed=1))
    return codec


@pytest.fixture(scope="module")
def trained() -> tuple[float, Latents]:
    """Error before training, and the codec after."""
    torch.manual_seed(0)
    autoencoder = Autoencoder.debug()
    before = _error(_fitted(autoencoder), _images(64, seed=2))
    autoencoder.requires_grad_(True)
    x = torch.from_numpy(np.stack(_images(512, seed=0))).permute(0, 3, 1, 2) / 127.5 - 1
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for step in range(NUM_STEPS):
        rows = torch.randint(len(x), (32,), generator=generator)
        loss = autoencoder.loss(x[rows], generator=generator).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / NUM_STEPS)
    return before, _fitted(autoencoder)


def test_training_makes_images_come_back(trained: tuple[float, Latents]) -> None:
    before, codec = trained
    after = _error(codec, _images(64, seed=2))
    assert before > 50
    assert after < 20


def test_latents_are_standardised(trained: tuple[float, Latents]) -> None:
    codec = trained[1]
    tensors = codec.prepare(_images(256, seed=3))
    z = codec.encode(tensors, generator=torch.Generator().manual_seed(0)).z
    assert z.shape == (256, *codec.spec.shape) == (256, 4, SIZE // 4, SIZE // 4)
    assert z.mean((0, 2, 3)).abs().max() < 0.2
    assert (z.std((0, 2, 3)) - 1).abs().max() < 0.2


def test_statistics_do_not_depend_on_the_split_into_batches() -> None:
    torch.manual_seed(0)
    images = _images(70, seed=0)
    codec = _fitted(Autoencoder.debug())
    codec.fit(images)
    mean, logvar = codec.autoencoder.encode(codec.prepare(images)["pixels"] / 127.5 - 1)
    expected = mean.var((0, 2, 3), unbiased=False) + logvar.exp().mean((0, 2, 3))
    assert torch.allclose(codec.mean.flatten(), mean.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(codec.std.flatten(), expected.sqrt(), atol=1e-5)


def test_noise_is_of_the_generator_alone() -> None:
    codec = Latents.debug()
    tensors = {"pixels": torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)}

    def encode(seed: int) -> Tensor:
        return codec.encode(tensors, generator=torch.Generator().manual_seed(seed)).z

    assert torch.equal(encode(0), encode(0))
    assert not torch.equal(encode(0), encode(1))
    assert torch.equal(codec.encode(tensors).z, codec.encode(tensors).z)


def test_it_is_lossy_frozen_and_lets_gradients_reach_z() -> None:
    codec = Latents.debug()
    assert isinstance(codec, Codec) and not isinstance(codec, Lossless)
    assert not any(p.requires_grad for p in codec.parameters())
    z = torch.randn(1, *codec.spec.shape, requires_grad=True)
    codec.autoencoder.decode(z * codec.std + codec.mean).sum().backward()
    assert z.grad.abs().sum() > 0


def test_without_statistics_nothing_is_encoded_or_decoded() -> None:
    codec = Latents(Autoencoder.debug(), size=SIZE)
    with pytest.raises(LoadError, match=r"no mean and std of its latents yet. Call fit"):
        codec.encode(codec.prepare(_images(1, seed=0)))
    with pytest.raises(LoadError, match=r"no mean and std of its latents yet. Call fit"):
        codec.decode(Latent(torch.zeros(1, 4, 4, 4)))


def test_statistics_are_required_to_load(trained: tuple[float, Latents]) -> None:
    state = trained[1].state_dict()
    state.pop("std")
    with pytest.raises(RuntimeError, match="std"):
        Latents(Autoencoder.debug(), size=SIZE).load_state_dict(state)


def test_saved_and_loaded(trained: tuple[float, Latents], tmp_path: Path) -> None:
    codec = trained[1]
    save_file(codec.state_dict(), tmp_path / "codec.safetensors")
    other = Latents(Autoencoder.debug(), size=SIZE)
    other.load_state_dict(load_file(tmp_path / "codec.safetensors"))
    tensors = codec.prepare(_images(4, seed=5))
    latent = codec.encode(tensors)
    assert torch.equal(other.encode(tensors).z, latent.z)
    assert torch.equal(other.decode(latent)["pixels"], codec.decode(latent)["pixels"])


def test_people_get_pil_images() -> None:
    codec = Latents.debug()
    tensors = {"pixels": torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)}
    images = codec.present(tensors)
    assert [i.size for i in images] == [(8, 8), (8, 8)]
    assert torch.equal(codec.prepare(images)["pixels"], tensors["pixels"])


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SpecError, match="multiple of 4, the pixels per latent; got 18"):
        Latents(Autoencoder.debug(), size=18)
    with pytest.raises(ValueError, match="Expected images of 8 x 8 pixels, got 6 x 8"):
        Latents.debug().prepare([to_pil(torch.zeros(3, 8, 6, dtype=torch.uint8))])


def test_half_precision_weights_give_full_precision_latents() -> None:
    codec = Latents.debug()
    codec.autoencoder.to(torch.bfloat16)
    tensors = {"pixels": torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)}
    latent = codec.encode(tensors)
    assert latent.z.dtype == torch.float32
    assert codec.decode(latent)["pixels"].shape == (2, 3, 8, 8)
