"""The autoencoder of diffusers, as a codec: the same numbers as diffusers' own calls."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor

from mmgen.backends.from_diffusers import autoencoder_kl
from mmgen.core.codec import Codec, Lossless
from mmgen.core.errors import LoadError, SpecError
from mmgen.core.latent import Latent

SIZE = 16
STATISTICS: dict[str, dict[str, Any]] = {
    "scaled": {"scaling_factor": 0.18215},
    "shifted": {"scaling_factor": 1.5035, "shift_factor": 0.0609},
    "standardised": {
        "scaling_factor": 0.5,
        "latents_mean": (-1.0, 0.5, 0.0, 2.0),
        "latents_std": (1.0, 2.0, 3.0, 4.0),
    },
}


def _tiny(**config: Any) -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(8, 16),
        latent_channels=4,
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        **config,
    ).eval()


def _standardise(e: Tensor, config: dict[str, Any]) -> Tensor:
    """As diffusers' pipelines do: Stable Diffusion (3) and, with latents_mean, its XL."""
    if "latents_mean" in config:
        mean, std = (
            torch.tensor(config[k]).view(1, 4, 1, 1) for k in ("latents_mean", "latents_std")
        )
        return (e - mean) * config["scaling_factor"] / std
    return (e - config.get("shift_factor", 0.0)) * config["scaling_factor"]


@pytest.fixture
def pixels() -> Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 3, SIZE, SIZE), dtype=torch.uint8, generator=g)


@pytest.mark.parametrize("name", STATISTICS)
@torch.no_grad()
def test_parity(name: str, tmp_path: Path, pixels: Tensor) -> None:
    original = _tiny(**STATISTICS[name])
    original.save_pretrained(tmp_path / "vae")
    codec = autoencoder_kl(tmp_path, subfolder="vae", size=SIZE)
    assert isinstance(codec, Codec) and not isinstance(codec, Lossless)
    assert codec.spec.shape == (4, SIZE // 2, SIZE // 2)

    tensors = codec.prepare([p.permute(1, 2, 0).numpy() for p in pixels])
    posterior = original.encode(pixels / 127.5 - 1).latent_dist
    latent = codec.encode(tensors)
    expected = _standardise(posterior.mode(), STATISTICS[name])
    assert (latent.z - expected).abs().max() < 1e-5

    drawn = codec.encode(tensors, generator=torch.Generator().manual_seed(7)).z
    sample = posterior.sample(torch.Generator().manual_seed(7))
    assert (drawn - _standardise(sample, STATISTICS[name])).abs().max() < 1e-5

    decoded = codec.decode(latent)["pixels"]
    expected = ((original.decode(posterior.mode()).sample / 2 + 0.5) * 255).round().clamp(0, 255)
    assert (decoded.float() - expected).abs().max() <= 1  # a tie may round either way
    assert (decoded.float() - expected).abs().mean() < 1e-2


def test_takes_a_loaded_module_and_freezes_it(pixels: Tensor) -> None:
    module = _tiny()
    codec = autoencoder_kl(module, size=SIZE)
    assert not any(p.requires_grad for p in codec.parameters())
    z = codec.encode({"pixels": pixels}).z.requires_grad_()
    assert codec.decode(Latent(z.detach()))["pixels"].shape == pixels.shape


def test_precision(tmp_path: Path, pixels: Tensor) -> None:
    _tiny().save_pretrained(tmp_path)
    codec = autoencoder_kl(tmp_path, size=SIZE, dtype=torch.bfloat16)
    assert next(codec.parameters()).dtype == torch.bfloat16
    assert codec.encode({"pixels": pixels}).z.dtype == torch.float32


def test_saved_and_loaded(pixels: Tensor) -> None:
    codec = autoencoder_kl(_tiny(scaling_factor=2.0), size=SIZE)
    other = autoencoder_kl(_tiny(), size=SIZE)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(codec.state_dict())
    assert torch.equal(other.encode({"pixels": pixels}).z, codec.encode({"pixels": pixels}).z)


def test_refuses_pickled_weights(tmp_path: Path) -> None:
    _tiny().save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(LoadError, match="with safetensors weights from .*convert them"):
        autoencoder_kl(tmp_path, size=SIZE)


def test_refuses_what_is_no_autoencoder_kl(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="Expected a diffusers AutoencoderKL, got Linear"):
        autoencoder_kl(torch.nn.Linear(2, 2), size=SIZE)
    with pytest.raises(LoadError, match="Could not load an AutoencoderKL"):
        autoencoder_kl(tmp_path / "nothing", size=SIZE)
    AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
    ).save_pretrained(tmp_path)
    with pytest.raises(LoadError, match="Expected an AutoencoderKL in .*found AutoencoderTiny"):
        autoencoder_kl(tmp_path, size=SIZE)


def test_refuses_missing_weights(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    _tiny().save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    del weights["decoder.conv_in.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(LoadError, match="decoder.conv_in.weight"):
        autoencoder_kl(tmp_path, size=SIZE)


def test_refuses_half_a_file(tmp_path: Path) -> None:
    _tiny().save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(LoadError, match="Could not load an AutoencoderKL"):
        autoencoder_kl(tmp_path, size=SIZE)


def test_refuses_a_size_between_latents() -> None:
    with pytest.raises(SpecError, match="multiple of 2, the pixels per latent; got 15"):
        autoencoder_kl(_tiny(), size=15)


def test_import_loads_neither_diffusers_nor_transformers() -> None:
    code = (
        "import sys, mmgen.backends.from_diffusers, mmgen.backends.from_transformers;"
        "print(sorted({'diffusers', 'transformers', 'tokenizers'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
