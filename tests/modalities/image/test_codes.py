"""Codes: a quantiser that keeps its laws, an autoencoder that learns, a codec that comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from mmgen.core.codec import Codec, Lossless
from mmgen.core.errors import SpecError
from mmgen.modalities.image.codes import Codes
from mmgen.modalities.image.files import to_pil
from mmgen.nn.vq import FiniteScalarQuantizer, QuantizingAutoencoder
from mmgen.training import Autoencoding

SIZE = 16
COUNT = 8
NUM_STEPS = 200


def _images() -> list[np.ndarray]:
    """Boxes of one colour on a ground of another."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (COUNT, 1, 1, 3), np.uint8).repeat(SIZE, 1).repeat(SIZE, 2)
    for image in images:
        top, left = rng.integers(0, SIZE - 6, 2)
        image[top : top + 6, left : left + 6] = rng.integers(0, 256, 3, np.uint8)
    return list(images)


def _error(codec: Codes) -> float:
    """Mean absolute error in 8-bit levels."""
    tensors = codec.prepare(_images())
    decoded = codec.decode(codec.encode(tensors))
    return float((decoded["pixels"].float() - tensors["pixels"].float()).abs().mean())


@pytest.fixture(scope="module")
def trained() -> tuple[float, Codes]:
    """Error before training on a handful of images, and the codec after."""
    torch.manual_seed(0)
    part = Autoencoding(QuantizingAutoencoder.debug(), size=SIZE)
    before = _error(Codes(part.autoencoder, size=SIZE))
    part.autoencoder.requires_grad_(True)
    tensors = part.prepare([(None, image) for image in _images()])
    optimizer = torch.optim.Adam(part.autoencoder.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for step in range(NUM_STEPS):
        loss = part.loss(tensors, generator=generator).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / NUM_STEPS)
    return before, Codes(part.autoencoder, size=SIZE)


def test_a_handful_of_images_comes_back(trained: tuple[float, Codes]) -> None:
    before, codec = trained
    assert before > 50
    assert _error(codec) < 10


def test_training_uses_many_codes(trained: tuple[float, Codes]) -> None:
    codec = trained[1]
    tokens = codec.encode(codec.prepare(_images())).z
    assert tokens.shape == (COUNT, *codec.spec.shape) == (COUNT, (SIZE // 4) ** 2)
    assert codec.spec.kind == "tokens" and not codec.spec.varies
    assert int(tokens.max()) < codec.spec.vocabulary == 5 * 5 * 3 * 3
    assert len(tokens.unique()) > 20


def test_encoding_what_was_decoded_in_the_network_gives_its_reconstruction(
    trained: tuple[float, Codes],
) -> None:
    network = trained[1].autoencoder
    x = trained[1].prepare(_images())["pixels"] / 127.5 - 1
    assert torch.allclose(network.decode(network.encode(x)), network(x), atol=1e-5)


LEVELS = st.lists(st.integers(2, 9), min_size=1, max_size=4)


@settings(max_examples=50, deadline=None)
@given(LEVELS)
def test_every_token_has_one_code(levels: list[int]) -> None:
    quantizer = FiniteScalarQuantizer(levels)
    tokens = torch.arange(quantizer.vocabulary)[:, None, None]
    codes = quantizer.codes(tokens)
    assert codes.abs().max() <= 1 and len(codes.flatten(1).unique(dim=0)) == quantizer.vocabulary
    for i, size in enumerate(levels):
        assert len(codes[:, i].unique()) == size


@settings(max_examples=50, deadline=None)
@given(LEVELS, st.integers(0, 2**31))
def test_codes_of_features_are_those_of_their_tokens(levels: list[int], seed: int) -> None:
    quantizer = FiniteScalarQuantizer(levels)
    g = torch.Generator().manual_seed(seed)
    e = 10 ** torch.empty(1, 1, 8, 8).uniform_(-2, 3, generator=g)
    e = e * torch.randn(2, len(levels), 8, 8, generator=g)
    tokens = quantizer.tokens(e)
    assert 0 <= int(tokens.min()) and int(tokens.max()) < quantizer.vocabulary
    assert torch.allclose(quantizer(e), quantizer.codes(tokens), atol=1e-5)


def test_zero_features_give_the_zero_code_and_all_values_are_reached() -> None:
    for size in range(2, 10):
        quantizer = FiniteScalarQuantizer([size])
        assert quantizer(torch.zeros(1, 1, 1, 1)).abs().max() < 1e-6
        reached = quantizer.tokens(torch.linspace(-9, 9, 2001).reshape(1, 1, 1, -1)).unique()
        assert reached.tolist() == list(range(size))


def test_gradients_pass_through_the_rounding() -> None:
    e = torch.randn(1, 4, 2, 2, requires_grad=True)
    FiniteScalarQuantizer((5, 5, 3, 3))(e).sum().backward()
    slope = 1 - torch.tanh(e.detach()) ** 2  # half / floor(L / 2) is 1 for odd L
    assert torch.allclose(e.grad, slope, rtol=2e-3)


def test_it_is_lossy_and_frozen(trained: tuple[float, Codes]) -> None:
    codec = Codes.debug()
    assert isinstance(codec, Codec) and not isinstance(codec, Lossless) and codec.fitted
    assert not any(p.requires_grad for p in trained[1].parameters())


def test_people_get_pil_images(trained: tuple[float, Codes]) -> None:
    codec = trained[1]
    images = codec.present(codec.decode(codec.encode(codec.prepare(_images()[:2]))))
    assert [i.size for i in images] == [(SIZE, SIZE)] * 2


def test_saved_and_loaded(trained: tuple[float, Codes], tmp_path: Path) -> None:
    codec = trained[1]
    save_file(codec.state_dict(), tmp_path / "codec.safetensors")
    other = Codes(QuantizingAutoencoder.debug(), size=SIZE)
    other.load_state_dict(load_file(tmp_path / "codec.safetensors"))
    tensors = codec.prepare(_images())
    assert torch.equal(other.encode(tensors).z, codec.encode(tensors).z)


def test_half_precision_weights_still_give_tokens_and_images() -> None:
    codec = Codes.debug()
    codec.autoencoder.to(torch.bfloat16)
    tensors = {"pixels": torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)}
    latent = codec.encode(tensors)
    assert latent.z.dtype == torch.long
    assert codec.decode(latent)["pixels"].shape == (2, 3, 8, 8)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(SpecError, match="multiple of 4, the pixels per block of tokens; got 18"):
        Codes(QuantizingAutoencoder.debug(), size=18)
    with pytest.raises(SpecError, match="multiples of 4; got 8 x 6"):
        QuantizingAutoencoder.debug()(torch.zeros(1, 3, 8, 6))
    with pytest.raises(ValueError, match="Expected images of 8 x 8 pixels, got 6 x 8"):
        Codes.debug().prepare([to_pil(torch.zeros(3, 8, 6, dtype=torch.uint8))])
    with pytest.raises(ValueError, match=r"at least 2 values each, got \(5, 1\)"):
        FiniteScalarQuantizer((5, 1))
    with pytest.raises(ValueError, match="3 widths shrink images 4 times.* got 6"):
        QuantizingAutoencoder(widths=(8, 8, 8), factor=6)


@pytest.mark.parametrize("block", [1, 2, 4])
def test_blocks_are_told_one_after_the_other_and_come_back(block: int) -> None:
    autoencoder = QuantizingAutoencoder.debug()
    plain, codec = Codes(autoencoder, size=SIZE), Codes(autoencoder, size=SIZE, block=block)
    tensors = codec.prepare(_images())
    rows = plain.encode(tensors).z.unflatten(1, (4, 4))
    first = codec.encode(tensors).z[:, : block**2]
    assert torch.equal(first, rows[:, :block, :block].flatten(1))
    assert torch.equal(
        codec.decode(codec.encode(tensors))["pixels"], plain.decode(plain.encode(tensors))["pixels"]
    )


def test_blocks_that_do_not_divide_the_image_are_refused() -> None:
    with pytest.raises(SpecError, match="multiple of 12"):
        Codes(QuantizingAutoencoder.debug(), size=SIZE, block=3)


def test_tokens_of_a_local_encoder_see_the_squares_around_theirs_alone() -> None:
    torch.manual_seed(0)
    autoencoder = QuantizingAutoencoder(levels=(8, 8), widths=(16,), blocks=2, local=True)
    for parameter in autoencoder.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    x = torch.rand(1, 3, 32, 32, requires_grad=True)
    autoencoder.encoder(x)[0, :, 3, 4].sum().backward()
    seen = x.grad.abs().amax((0, 1)) > 0
    assert seen[8:20, 12:24].all() and seen.sum() == 12 * 12
    with pytest.raises(ValueError, match="one width"):
        QuantizingAutoencoder(widths=(16, 32), local=True)
