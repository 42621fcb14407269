"""Checkpoints of diffusers answer what only a distribution can, as the family itself does."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mmgen import Pipeline
from mmgen.backends.from_diffusers.autoencoder import autoencoder_kl, autoencoder_qwen
from mmgen.backends.from_diffusers.calls import Call
from mmgen.backends.from_diffusers.denoisers import DENOISERS
from mmgen.backends.from_diffusers.diffusion import LibraryDiffusion
from mmgen.backends.from_diffusers.film_autoencoder import FilmLatents
from mmgen.backends.from_diffusers.schedule import Scheduled
from mmgen.backends.from_diffusers.steps import clean
from mmgen.backends.given import AsGiven, GivenCondition
from mmgen.core.codec import Codec
from mmgen.core.condition import Condition
from mmgen.core.conditional import LogProb
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec
from mmgen.families.diffusion import Diffusion
from mmgen.modalities.video.value import Video
from mmgen.operators import Downsample

# diffusers makes arrays of tensors.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


FLOWS = ["sd3", "flux", "guided_flux", "qwen_image", "z_image", "wan"]


def _table(kind: str = "scaled_linear") -> Tensor:
    return diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule=kind, steps_offset=1
    ).alphas_cumprod


def test_a_schedule_is_met_at_its_steps_and_inverts() -> None:
    table = _table().double()
    path = Scheduled(table)
    t = torch.arange(1, 1001, dtype=torch.float64) / 1001
    torch.testing.assert_close(path.alpha(t) ** 2, table, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(path.step(t), torch.arange(1000, dtype=torch.float64))
    t = torch.linspace(0.001, 0.999, 57, dtype=torch.float64)
    torch.testing.assert_close(path.time_at(path.log_snr(t)), t)
    torch.testing.assert_close(path.alpha(t) ** 2 + path.sigma(t) ** 2, torch.ones_like(t))
    near = 1e-7
    for value, slope in ((path.alpha, path.alpha_slope), (path.sigma, path.sigma_slope)):
        by_hand = (value(t + near) - value(t - near)) / (2 * near)
        torch.testing.assert_close(slope(t), by_hand, atol=1e-4, rtol=1e-4)


class _Network(nn.Module):
    """The network of a checkpoint as one of mmgen, without the wrapping."""

    condition = ConditionSpec()

    def __init__(
        self, unet: nn.Module, table: Tensor, states: Tensor | None, *, predicts: str
    ) -> None:
        super().__init__()
        self.predicts = predicts
        self.unet, self.odds, self.states = unet, table.double().logit(), states

    def forward(self, z_t: Tensor, t: Tensor, c: Condition) -> Tensor:
        count = len(self.odds)
        step = (t.double() * (count + 1) - 1).clamp(-1, count - 1)
        knots = np.concatenate(([18.42], self.odds.numpy()))
        odds = np.interp(step.numpy(), np.arange(-1, count), knots)
        share = torch.from_numpy(odds).sigmoid()[:, None, None, None]
        alpha, sigma = (a.sqrt().to(z_t.dtype) for a in (share, 1 - share))
        more = {} if self.states is None else {"encoder_hidden_states": self.states}
        found = self.unet(z_t, step.clamp(min=0).float(), **more).sample
        if self.predicts == "v_prediction":
            return alpha * z_t - sigma * found
        return (z_t - sigma * found) / alpha


def _both(
    folder: Path, y: str | None, states: Tensor | None, **asked: Any
) -> tuple[LogProb, LogProb]:
    """What a checkpoint says of a latent, and what the family does with its network by hand."""
    pipe = Pipeline.from_pretrained(folder)
    library = diffusers.DiffusionPipeline.from_pretrained(folder)
    table, predicts = library.scheduler.alphas_cumprod, library.scheduler.config.prediction_type
    network = _Network(library.unet, table, states, predicts=predicts)
    spec = pipe.model.spec
    own = Diffusion(network, spec=spec, path=Scheduled(table), target="data")
    z = 0.5 * torch.randn(1, *spec.shape, generator=torch.Generator().manual_seed(0))
    found, expected = (
        conditional.log_prob(Latent(z), Generators.from_seed(5, num_samples=1, batch=1))
        for conditional in (pipe.given(y, **asked).conditional, own(Condition(1), **asked))
    )
    return found, expected


@pytest.mark.parametrize("name", ["ddpm", "sd", "sd2"])
def test_the_bound_is_that_of_the_family_on_the_same_weights(
    name: str, checkpoints: Callable[[str], Path]
) -> None:
    folder, y, states = checkpoints(name), None, None
    library = diffusers.DiffusionPipeline.from_pretrained(folder)
    kind = library.scheduler.config.prediction_type
    assert kind == ("v_prediction" if name == "sd2" else "epsilon")
    if name != "ddpm":
        y = "A Red cat"
        states = library.encode_prompt([y], "cpu", 1, False)[0].detach()
    found, expected = _both(folder, y, states, likelihood="bound", num_bound_draws=16)
    assert found.kind == "lower bound"
    torch.testing.assert_close(found.nats, expected.nats, rtol=1e-4, atol=0.05)


def test_parts_and_measurements_of_pixels(checkpoints: Callable[[str], Path]) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("ddpm"))
    levels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    mask = np.zeros((8, 8), dtype=bool)
    mask[:3] = True
    given = pipe.given(known=Image.fromarray(levels), mask=mask, num_inference_steps=4)
    found = np.asarray(given.sample(seed=0)[0])
    assert (found[mask] == levels[mask]).all()
    assert (found[~mask] != levels[~mask]).any()
    small = torch.zeros(3, 4, 4)
    given = pipe.given(operator=Downsample(2), measurement=small, noise=0.1, num_inference_steps=4)
    assert np.asarray(given.sample(seed=0)[0]).shape == (8, 8, 3)


def test_measurements_of_latents(checkpoints: Callable[[str], Path]) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("sd"))
    small = torch.zeros(3, 4, 4)
    given = pipe.given(
        "A Red cat", operator=Downsample(4), measurement=small, noise=0.2, num_inference_steps=3
    )
    one, again = (np.asarray(given.sample(seed=0)[0]) for _ in range(2))
    assert one.shape == (16, 16, 3) and (one == again).all()
    score = pipe.given("A Red cat", likelihood="bound", num_bound_draws=4)
    assert score.log_prob(given.sample(seed=0)[0]).nats.isfinite()


def test_a_straight_path_is_scored(checkpoints: Callable[[str], Path]) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("sd3"))
    options = {"max_sequence_length": 32}
    image = pipe("A Red cat", seed=0, num_inference_steps=1, **options)
    score = pipe.given("A Red cat", likelihood="bound", num_bound_draws=4, **options)
    assert score.log_prob(image).nats.isfinite()


def _told(library: Any, name: str) -> tuple[Any, ...]:
    """What the scheduler is told in the second of three steps of the library's own call."""
    told = []
    own = library.scheduler.step

    @wraps(own)
    def step(output: Tensor, timestep: Tensor, sample: Tensor, **more: Any) -> Any:
        told.append((output, timestep, sample))
        return own(output, timestep, sample, **more)

    library.scheduler.step = step
    library.set_progress_bar_config(disable=True)
    size = {"num_frames": 5} if name == "wan" else {}
    library(
        "A Red cat",
        height=16,
        width=16,
        # None, in the units of each.
        guidance_scale=0.0 if name == "z_image" else 1.0,
        num_inference_steps=3,
        output_type="latent",
        generator=torch.Generator().manual_seed(0),
        **({"use_resolution_binning": False} if name == "pixart" else {}),
        **size,
    )
    return told[1]


@torch.no_grad()
@pytest.mark.parametrize("name", ["sd", "sdxl", "pixart", *FLOWS])
def test_a_network_is_asked_as_the_librarys_call_asks_it(
    name: str, checkpoints: Callable[[str], Path]
) -> None:
    library = diffusers.DiffusionPipeline.from_pretrained(checkpoints(name))
    output, timestep, sample = told = _told(library, name)
    denoiser = DENOISERS[type(library).__name__](library)
    scheduler, size = library.scheduler, {"height": 16, "width": 16}
    if isinstance(denoiser.path, Scheduled):
        t = (float(timestep) + 1) / (denoiser.path.num_steps + 1)
        if scheduler.init_noise_sigma > 1:
            sigma = scheduler.sigmas[list(scheduler.timesteps).index(timestep)]
            sample = sample / (1 + sigma**2) ** 0.5
    else:
        t = float(timestep) / 1000
    found = denoiser(
        denoiser.unpacked(sample, size),
        torch.tensor([t]),
        GivenCondition(1, values=({"text": "A Red cat"},)),
    )
    expected = denoiser.unpacked(clean(scheduler, *told), size)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    # Something must depend on what it is told.
    other = denoiser(
        denoiser.unpacked(sample, size),
        torch.tensor([t]),
        GivenCondition(1, values=({"text": "blue"},)),
    )
    assert (other - found).abs().max() > 1e-4


@torch.no_grad()
@pytest.mark.parametrize("name", ["sd", "sd3"])
def test_what_is_around_a_network_in_half_precision_is_exact(
    name: str, checkpoints: Callable[[str], Path]
) -> None:
    whole, half = (
        Pipeline.from_pretrained(checkpoints(name), dtype=dtype).given("A Red cat").conditional
        for dtype in (torch.float32, torch.bfloat16)
    )
    z = torch.randn(1, *whole.spec.shape, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.001])
    error = (half.unguided(z, t, half.c) - whole.unguided(z, t, whole.c)).abs().max()
    # Rounded to half precision, z alone would be off by more.
    assert 0 < error < 0.3 * (z.bfloat16().float() - z).abs().max()


@pytest.mark.parametrize("name", ["sdxl", "pixart"])
def test_more_checkpoints_are_scored_and_measured(
    name: str, checkpoints: Callable[[str], Path]
) -> None:
    pipe = Pipeline.from_pretrained(checkpoints(name))
    given = pipe.given(
        "A Red cat",
        operator=Downsample(4),
        measurement=torch.zeros(3, 4, 4),
        noise=0.2,
        num_inference_steps=2,
    )
    image = given.sample(seed=0)[0]
    assert np.asarray(image).shape == (16, 16, 3)
    score = pipe.given("A Red cat", likelihood="bound", num_bound_draws=4)
    assert score.log_prob(image).nats.isfinite()


@pytest.mark.parametrize("name", ["flux", "qwen_image", "z_image", "wan"])
def test_flows_of_other_layouts_are_scored_and_measured(
    name: str, checkpoints: Callable[[str], Path]
) -> None:
    library = diffusers.DiffusionPipeline.from_pretrained(checkpoints(name))
    library.set_progress_bar_config(disable=True)
    size = {"height": 16, "width": 16, "max_sequence_length": 32}
    codec: Codec = autoencoder_kl(library.vae, size=16) if name in ("flux", "z_image") else None
    if name == "qwen_image":
        codec = autoencoder_qwen(library.vae, size=16)
    if name == "wan":
        codec, size["num_frames"] = FilmLatents(library.vae, shape=(5, 16, 16), fps=16.0), 5
    if name == "z_image":
        size["max_sequence_length"] = 128
    model = LibraryDiffusion(
        library,
        spec=codec.spec,
        denoiser=DENOISERS[type(library).__name__](library),
        call=Call({"text": "prompt"}, ("text",), None, None),
    )
    pipe = Pipeline(encoder=AsGiven(("text",)), model=model, codec=codec)
    value = pipe("A Red cat", seed=0, num_inference_steps=2, **size)
    score = pipe.given("A Red cat", likelihood="bound", num_bound_draws=2)
    assert score.log_prob(value).nats.isfinite()
    mean = torch.zeros(5, 3, 4, 4) if name == "wan" else torch.zeros(3, 4, 4)
    given = pipe.given(
        "A Red cat", operator=Downsample(4), measurement=mean, noise=0.2, num_inference_steps=2
    )
    assert type(given.sample(seed=0)[0]) is type(value)
    if name != "wan":
        return
    # Of a film the first frame, say.
    mask = np.zeros((5, 3, 16, 16), dtype=bool)
    mask[0] = True
    given = pipe.given("A Red cat", known=value, mask=mask, num_inference_steps=2)
    found = given.sample(seed=1)[0].frames
    assert (found[0] == value.frames[0]).all() and (found[1:] != value.frames[1:]).any()


@torch.no_grad()
def test_latents_of_films_are_those_of_the_library(checkpoints: Callable[[str], Path]) -> None:
    vae = diffusers.AutoencoderKLWan.from_pretrained(checkpoints("wan"), subfolder="vae")
    codec = FilmLatents(vae, shape=(5, 16, 16), fps=16.0)
    frames = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    film = Video(frames, 16.0)
    z = codec.encode(codec.prepare([film])).z
    assert z.shape == (1, *codec.spec.shape) == (1, 2, 16, 2, 2)
    x = torch.from_numpy(frames).permute(3, 0, 1, 2)[None] / 127.5 - 1
    shape = (1, 16, 1, 1, 1)
    mean, std = (torch.tensor(vae.config[f"latents_{k}"]).view(shape) for k in ("mean", "std"))
    expected = (vae.encode(x).latent_dist.mode() - mean) / std
    torch.testing.assert_close(z.movedim(1, 2), expected)
    # Kept in training: what is drawn from, and not what was drawn.
    prepared = codec.prepare([film, Video(255 - frames, 16.0)])
    embedded = codec.embed(prepared)
    for given in (prepared, embedded):
        drawn = codec.encode(given, generator=torch.Generator().manual_seed(3)).z
        again = codec.encode(prepared, generator=torch.Generator().manual_seed(3)).z
        torch.testing.assert_close(drawn, again, rtol=0, atol=0)
        assert not torch.allclose(drawn, codec.encode(given).z)
    alone = codec.embed(codec.prepare([film]))
    torch.testing.assert_close({k: v[:1] for k, v in embedded.items()}, alone)
    decoded = vae.decode(expected * std + mean).sample.movedim(1, 2)
    torch.testing.assert_close(codec.signal(Latent(z)), decoded, rtol=1e-4, atol=1e-4)
    with pytest.raises(SpecError, match="films of 5 frames of 16x16, got 4 of 16x16"):
        codec.prepare([Video(frames[:4], 16.0)])
    with pytest.raises(SpecError, match="4 n . 1 frames of sides that are multiples of 8"):
        FilmLatents(vae, shape=(6, 16, 16), fps=16.0)


def test_texts_are_those_of_their_rows_whatever_was_asked_before(
    checkpoints: Callable[[str], Path],
) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("sd"))
    read = pipe.model.family.network.texts
    alone = {t: read(pipe.given(t).conditional.c)[0] for t in ("A", "B", "C")}
    for batch in (["A", "B"], ["B", "C", "B"], ["C", "A"]):
        (found,) = read(pipe.given(batch).conditional.c)
        torch.testing.assert_close(found, torch.cat([alone[t] for t in batch]))
