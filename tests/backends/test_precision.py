"""What overflows in half precision is run again in float32, and said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from torch import nn

from mmgen import Pipeline
from mmgen.backends.from_diffusers.precision import run
from mmgen.core.latent import Latent

# diffusers makes arrays of tensors.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TEXT = "A Red cat"
NOTE = r"vae.decode gave NaN or infinity in float16. It is run again in float32"


def _scaled(folder: Path, to: Path, part: str) -> Path:
    """A checkpoint whose autoencoder goes beyond what float16 holds and normalises it again."""
    shutil.copytree(folder, to)
    vae = diffusers.AutoencoderKL.from_pretrained(folder, subfolder="vae")
    weight = getattr(vae, part).conv_in.weight
    with torch.no_grad():
        weight.mul_(5e4 / weight.abs().max())
    vae.save_pretrained(to / "vae")
    return to


@pytest.fixture(scope="module")
def overflowing(
    checkpoints: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("overflowing")

    def folder(name: str) -> Path:
        if not (root / name).is_dir():
            _scaled(checkpoints(name), root / name, "decoder")
        return root / name

    return folder


def _autoencoder(folder: Path, dtype: torch.dtype) -> nn.Module:
    return diffusers.AutoencoderKL.from_pretrained(folder, subfolder="vae", dtype=dtype)


@torch.no_grad()
def test_a_decoder_that_overflows(overflowing: Callable[[str], Path]) -> None:
    folder = overflowing("sd")
    vae = _autoencoder(folder, torch.float16)
    z = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).half()
    assert not vae.decode(z).sample.isfinite().all()
    with pytest.warns(UserWarning, match=NOTE):
        found = run(vae, vae.decode, "vae.decode", z).sample
    assert found.dtype == torch.float16
    assert all(p.dtype == torch.float16 for p in vae.parameters())
    expected = vae.float().decode(z.float()).sample
    torch.testing.assert_close(found, expected.half())


@torch.no_grad()
def test_what_an_encoder_gives_is_a_distribution_again(
    checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = _scaled(checkpoints("sd"), tmp_path / "sd", "encoder")
    vae = _autoencoder(folder, torch.float16)
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).half()
    with pytest.warns(UserWarning, match="vae.encode gave NaN"):
        found = run(vae, vae.encode, "vae.encode", x).latent_dist
    expected = vae.float().encode(x.float()).latent_dist
    assert found.mean.dtype == torch.float16
    torch.testing.assert_close(found.mean, expected.mean.half())
    torch.testing.assert_close(found.mode().float(), expected.mode(), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("name", ["sd", "sd_image"])
def test_samples_in_half_precision_are_whole(name: str, overflowing: Callable[[str], Path]) -> None:
    folder = overflowing(name)
    pipe = Pipeline.from_pretrained(folder, dtype=torch.float16)
    stroke = np.zeros((16, 16, 3), dtype=np.uint8)
    y = TEXT if name == "sd" else {"text": TEXT, "image": stroke}
    options = {"num_inference_steps": 2, **({} if name == "sd" else {"strength": 0.9})}
    with pytest.warns(UserWarning, match=NOTE):
        found = np.asarray(pipe(y, seed=3, **options)).astype(int)

    library = diffusers.DiffusionPipeline.from_pretrained(folder, dtype=torch.float16)
    library.set_progress_bar_config(disable=True)
    arguments = {} if name == "sd" else {"image": pipe.encoder.prepare([y])["values"][0]["image"]}
    z = library(
        TEXT,
        **arguments,
        **options,
        output_type="latent",
        generator=torch.Generator().manual_seed(3),
    ).images
    vae = _autoencoder(folder, torch.float16).float()
    with torch.no_grad():
        x = vae.decode(z.float() / vae.config.scaling_factor).sample[0]
    expected = ((x / 2 + 0.5).clamp(0, 1) * 255).round().movedim(0, -1).numpy().astype(int)
    # Half precision tells values near one apart by a thousandth: half a level.
    assert np.abs(found - expected).max() <= 1
    assert found.std() > 1
    assert all(p.dtype == torch.float16 for p in pipe.model.pipeline.vae.parameters())
    assert "decode" not in vars(pipe.model.pipeline.vae)


@pytest.mark.filterwarnings("ignore:.upcast_vae. is deprecated:FutureWarning")
def test_what_the_library_decodes_in_float32_is_not_tried_in_half(
    overflowing: Callable[[str], Path],
) -> None:
    folder = overflowing("sdxl")
    options = {"num_inference_steps": 2, "guidance_scale": 2.0}
    found = Pipeline.from_pretrained(folder, dtype=torch.float16)(TEXT, seed=3, **options)
    library = diffusers.DiffusionPipeline.from_pretrained(folder, dtype=torch.float16)
    library.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(3)
    expected = library(TEXT, generator=generator, **options).images[0]
    assert np.abs(np.asarray(found).astype(int) - np.asarray(expected).astype(int)).max() <= 1
    assert np.asarray(found).std() > 1


def test_gradients_flow_through_what_is_run_again(overflowing: Callable[[str], Path]) -> None:
    pipe = Pipeline.from_pretrained(overflowing("sd"), dtype=torch.float16)
    z = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    with pytest.warns(UserWarning, match=NOTE):
        pipe.codec.signal(Latent(z)).square().sum().backward()
    assert z.grad.isfinite().all() and z.grad.any()


def test_a_network_that_overflows_at_every_step(checkpoints: Callable[[str], Path]) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("sd"), dtype=torch.float16)
    unet = pipe.model.pipeline.unet
    weight = unet.conv_in.weight.detach().float()
    unet.conv_in.weight.data = (weight * (5e4 / weight.abs().max())).half()
    options = {"seed": 3, "num_inference_steps": 2}
    with pytest.warns(UserWarning, match="unet.forward gave NaN or infinity in float16"):
        found = np.asarray(pipe(TEXT, **options)).astype(int)
    expected = np.asarray(pipe.to(dtype=torch.float32)(TEXT, **options)).astype(int)
    # The rest was in half precision.
    assert np.abs(found - expected).mean() < 2
    assert found.std() > 1


def test_what_is_broken_in_float32_is_an_error(checkpoints: Callable[[str], Path]) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("sd"), dtype=torch.float16)
    pipe.model.pipeline.vae.decoder.conv_out.bias.data[0] = torch.nan
    with (
        pytest.warns(UserWarning, match=NOTE),
        pytest.raises(ValueError, match="vae.decode gives NaN or infinity in float32, too"),
    ):
        pipe(TEXT, seed=0, num_inference_steps=1)


@torch.no_grad()
def test_what_half_precision_cannot_hold_is_an_error() -> None:
    large = nn.Linear(2, 1, bias=False).half()
    large.weight.fill_(6e4)
    x = torch.full((1, 2), 10.0).half()
    with (
        pytest.warns(UserWarning, match="part gave NaN or infinity in float16"),
        pytest.raises(ValueError, match="beyond what float16 holds"),
    ):
        run(large, large.forward, "part", x)


@torch.no_grad()
def test_weights_that_are_not_there_cannot_be_mended() -> None:
    def broken(x: torch.Tensor) -> torch.Tensor:
        return x / 0

    with pytest.raises(ValueError, match="fetched during a call"):
        run(nn.Linear(2, 2, device="meta", dtype=torch.float16), broken, "part", torch.ones(2))


def test_what_fits_half_precision_is_left_alone(checkpoints: Callable[[str], Path]) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("sd"), dtype=torch.bfloat16)
    image = np.asarray(pipe(TEXT, seed=0, num_inference_steps=1))
    assert image.shape == (16, 16, 3)
