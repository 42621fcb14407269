"""The flow of a diffusers checkpoint whose density is known gives that density."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.distributions import Normal

from mmgen import Pipeline
from mmgen.backends.from_diffusers.calls import Call
from mmgen.backends.from_diffusers.diffusion import LibraryDiffusion
from mmgen.backends.from_diffusers.scheduled_denoisers import Unconditional
from mmgen.backends.given import GivenCondition
from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.families.diffusion.likelihood import LEAST_TIME

# diffusers makes arrays of tensors.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TEXT = "A Red cat"
ACCURATE = 3e-4
"""Share of a log-probability that the solver may be off by."""
BIAS = 0.3
"""What the networks here predict, whatever they are asked."""


def _small(network: nn.Module) -> nn.Module:
    """One of its kind with next to nothing in it, for the solver asks it often."""
    if isinstance(network, diffusers.SD3Transformer2DModel):
        return network
    attends = isinstance(network, diffusers.UNet2DConditionModel)
    plain = {"cross_attention_dim": 32, "mid_block_type": None}
    return type(network)(
        sample_size=network.config.sample_size,
        in_channels=network.config.in_channels,
        out_channels=network.config.out_channels,
        layers_per_block=1,
        block_out_channels=(8,),
        norm_num_groups=4,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        **(plain if attends else {"add_attention": False}),
    )


def _constant(folder: Path, to: Path, **scheduler: Any) -> Path:
    """The same checkpoint with a network that predicts `BIAS` everywhere."""
    library = diffusers.DiffusionPipeline.from_pretrained(folder)
    name = "unet" if hasattr(library, "unet") else "transformer"
    network = _small(getattr(library, name))
    last = network.conv_out if name == "unet" else network.proj_out
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(BIAS)
    library.register_modules(**{name: network})
    library.scheduler = type(library.scheduler).from_config(library.scheduler.config, **scheduler)
    library.save_pretrained(to)
    return to


def _on_schedule(table: np.ndarray, kind: str) -> tuple[float, float]:
    """The scale and the shift of z = scale z_s + shift that the flow makes from data to noise.

    With x_0 = p z + q b for the prediction b, dz = (p z + q b) d alpha + (z - alpha x_0) d log
    sigma, along the path of the schedule, each step of which is linear in the log signal-to-noise
    ratio; both integrals by the midpoints of short pieces.
    """
    count, top = len(table), 18.42
    knots = np.concatenate(([top], np.log(table / (1 - table)), [-top]))
    t = np.linspace(LEAST_TIME, 1.0, 400_001)
    odds = np.interp(t, np.arange(count + 2) / (count + 1), knots)
    alpha, sigma = (np.sqrt(1 / (1 + np.exp(-sign * odds))) for sign in (1, -1))
    middle = np.sqrt(alpha[1:] * alpha[:-1])
    # The network sees nothing beyond the last step.
    seen = np.interp((t[1:] + t[:-1]) / 2, t, odds)
    seen = np.maximum(seen, knots[-2])
    alpha_c, sigma_c = (np.sqrt(1 / (1 + np.exp(-sign * seen))) for sign in (1, -1))
    p, q = {
        "epsilon": (1 / alpha_c, -sigma_c / alpha_c),
        "v_prediction": (alpha_c, -sigma_c),
        "sample": (np.zeros_like(seen), np.ones_like(seen)),
    }[kind]
    d_alpha, d_log_sigma = np.diff(alpha), np.diff(np.log(sigma))
    growth = p * d_alpha + (1 - middle * p) * d_log_sigma
    pushed = q * d_alpha - middle * q * d_log_sigma
    after = growth.sum() - growth.cumsum() + growth / 2
    return math.exp(growth.sum()) * float(alpha[0]), float((np.exp(after) * pushed).sum()) * BIAS


def _normal(z: Tensor, scale: float, shift: float) -> float:
    """log p(z) where scale z + shift is standard normal."""
    noise = (scale * z + shift).double()
    return float((-0.5 * (noise.square() + math.log(2 * math.pi)) + math.log(scale)).sum())


def _picture(side: int) -> Image.Image:
    levels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def _latent(pipe: Pipeline, picture: Image.Image, *, seed: int) -> Tensor:
    """What the library's own autoencoder makes of a picture."""
    vae = pipe.model.pipeline.vae
    x = torch.from_numpy(np.asarray(picture).copy()).movedim(-1, 0)[None] / 127.5 - 1
    with torch.no_grad():
        e = vae.encode(x).latent_dist.sample(torch.Generator().manual_seed(seed))
    return (e - (vae.config.shift_factor or 0.0)) * vae.config.scaling_factor


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_pixels_by_what_is_predicted(
    kind: str, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = _constant(checkpoints("ddpm"), tmp_path / "ddpm", prediction_type=kind)
    pipe = Pipeline.from_pretrained(folder)
    picture = _picture(8)
    found = pipe.given(num_probes=2).log_prob(picture, seed=5)
    # The density of 8-bit levels, spread evenly to those around them.
    levels = torch.from_numpy(np.asarray(picture).copy()).movedim(-1, 0).float()
    spread = levels + torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(5)) - 0.5
    table = pipe.model.pipeline.scheduler.alphas_cumprod.double().numpy()
    expected = _normal(spread / 127.5 - 1, *_on_schedule(table, kind)) - 192 * math.log(127.5)
    assert float(found.nats) == pytest.approx(expected, rel=ACCURATE, abs=0.02)
    assert found.kind == "estimate" and "latent" not in found.how
    assert float(found.std_error) < 1e-3 * max(1.0, abs(expected))
    assert float(found.bits_per_dim) == pytest.approx(-expected / 192 / math.log(2), rel=1e-4)


@pytest.mark.parametrize(("name", "kind"), [("sd2", "v_prediction"), ("sd3", "velocity")])
def test_latents_by_what_is_predicted(
    name: str, kind: str, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    own = {} if name == "sd3" else {"prediction_type": kind}
    pipe = Pipeline.from_pretrained(_constant(checkpoints(name), tmp_path / name, **own))
    picture = _picture(16)
    found = pipe.given(TEXT, num_probes=2).log_prob(picture, seed=5)
    scale, shift = 1 - LEAST_TIME, BIAS * (1 - LEAST_TIME)
    if name != "sd3":
        table = pipe.model.pipeline.scheduler.alphas_cumprod.double().numpy()
        scale, shift = _on_schedule(table, kind)
    expected = _normal(_latent(pipe, picture, seed=5), scale, shift)
    assert float(found.nats) == pytest.approx(expected, rel=ACCURATE, abs=0.02)
    assert found.kind == "estimate" and "density of the latent" in found.how


def test_the_density_of_a_network_integrates_to_one() -> None:
    """Whatever its weights: here of pictures of one pixel, by samples of a wider normal."""
    unet = diffusers.UNet2DModel(
        sample_size=1,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(8,),
        norm_num_groups=1,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
    )
    # Of few steps, for what was never trained changes from each to the next.
    steps = {"num_train_timesteps": 10, "beta_start": 0.02, "beta_end": 0.7}
    scheduler = diffusers.DDIMScheduler(prediction_type="v_prediction", **steps)
    library = diffusers.DDIMPipeline(unet, scheduler)
    codec = Unconditional.codec(library)
    model = LibraryDiffusion(
        library,
        spec=codec.spec,
        denoiser=Unconditional(library),
        call=Call({}, (), None, None),
    )
    count, width = 150, 1.4
    z = width * torch.randn(count, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    given = replace(model(GivenCondition(count, values=({},) * count)), rows=count)
    found = given.log_prob(Latent(z), Generators.from_seed(0, num_samples=1, batch=count))
    assert found.kind == "exact"
    q = Normal(0.0, width).log_prob(z).flatten(1).sum(1)
    ratio = (found.nats - q).exp()
    error = float(ratio.std()) / math.sqrt(count)
    assert error < 0.1 and abs(float(ratio.mean()) - 1) < 3 * error
    # It is none that was meant for it.
    plain = Normal(0.0, 1.0).log_prob(z).flatten(1).sum(1)
    assert float((found.nats - plain).abs().mean()) > 0.1
