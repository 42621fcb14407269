"""Pipelines of diffusers that see pictures, paint or sound learn what their networks were made by.

The loss is the library's own formula, here by the library's parts alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.models.embeddings import get_1d_rotary_pos_embed
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers.audio_utils import mel_filter_bank

from mmgen import Audio, Pipeline
from mmgen.backends.from_diffusers.denoisers import DENOISERS, LEARNERS
from mmgen.core.errors import MissingDependency, SpecError
from mmgen.modalities.video.value import Video
from mmgen.training import fit, read_pairs

TEXTS = ["a red one", "green"]
SETTINGS = {
    "steps": 12,
    "batch_size": 6,
    "warmup": 2,
    "precision": "no",
    "ema": 0.5,
    "learning_rate": 6e-3,
    "sample_every": 0,
    "validate_every": 12,
    "progress": False,
}

# diffusers makes arrays of tensors and uses what torch and transformers have replaced.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.past_key_values. is deprecated:FutureWarning"),
]


def _picture(size: int, seed: int) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def _film(name: str, seed: int) -> Video:
    return Video(
        np.stack([np.asarray(_picture(16, seed + 10 * t)) for t in range(FRAMES[name])]), 8.0
    )


FILM = Video(np.zeros((2, 16, 16, 3), np.uint8), 8.0)


def _signal(pictures: list[Image.Image]) -> Tensor:
    return torch.from_numpy(np.stack([np.asarray(p) for p in pictures])).movedim(-1, 1) / 127.5 - 1


class _Hand:
    """The library's parts, and the draws of a loss in their order."""

    def __init__(self, folder: Path, generator: torch.Generator) -> None:
        self.own = diffusers.DiffusionPipeline.from_pretrained(folder)
        self.generator = generator

    def drawn(self, vae: Any, x: Tensor) -> Tensor:
        return vae.encode(x).latent_dist.sample(self.generator)

    def texts(self) -> Tensor:
        ids = self.own.tokenizer(TEXTS, padding="max_length", max_length=77, return_tensors="pt")
        return self.own.text_encoder(ids.input_ids)[0]

    def noised(self, z: Tensor) -> SimpleNamespace:
        """z under noise, and what is to be predicted of it."""
        scheduler = self.own.scheduler
        if type(scheduler).__name__ == "EulerDiscreteScheduler":
            # Which adds noise in units of its own.
            scheduler = diffusers.DDPMScheduler.from_config(scheduler.config)
        step = torch.randint(1000, (len(z),), generator=self.generator)
        noise = torch.randn(z.shape, generator=self.generator)
        velocity = scheduler.config.prediction_type == "v_prediction"
        target = scheduler.get_velocity(z, noise, step) if velocity else noise
        return SimpleNamespace(z=scheduler.add_noise(z, noise, step), step=step, target=target)

    def flowing(self, z: Tensor) -> SimpleNamespace:
        """The same on a straight path, with the logit of its time standard normal."""
        offset = torch.rand((), generator=self.generator)
        order = torch.randperm(len(z), generator=self.generator)
        time = torch.special.ndtri(((torch.arange(len(z)) + offset) / len(z))[order]).sigmoid()
        noise = torch.randn(z.shape, generator=self.generator)
        share = time.reshape(-1, *(1,) * (z.ndim - 1))
        return SimpleNamespace(z=(1 - share) * z + share * noise, time=time, target=noise - z)


def _words(hand: _Hand, case: Any, *beside: Tensor, **more: Tensor) -> Tensor:
    seen = torch.cat([case.z, *beside], 1)
    return hand.own.unet(seen, case.step, encoder_hidden_states=hand.texts(), **more).sample


def _text_to_image(hand: _Hand, x: Tensor, ys: list[Any]) -> tuple[Tensor, Tensor]:
    case = hand.noised(0.18215 * hand.drawn(hand.own.vae, x))
    return _words(hand, case), case.target


def _text_to_large_image(hand: _Hand, x: Tensor, ys: list[Any]) -> tuple[Tensor, Tensor]:
    case, own = hand.noised(0.18215 * hand.drawn(hand.own.vae, x)), hand.own
    states, _, pooled, _ = own.encode_prompt(TEXTS, do_classifier_free_guidance=False)
    size, corner = (16, 16), (0, 0)
    told, _ = own._get_add_time_ids(
        size,
        corner,
        size,
        6.0,
        2.5,
        size,
        corner,
        size,
        x.dtype,
        own.text_encoder_2.config.projection_dim,
    )
    more = {"text_embeds": pooled, "time_ids": told.expand(2, -1)}
    seen = {"encoder_hidden_states": states, "added_cond_kwargs": more}
    return own.unet(case.z, case.step, **seen).sample, case.target


def _joint(hand: _Hand, x: Tensor, ys: list[Any]) -> tuple[Tensor, Tensor]:
    case, own = hand.flowing(1.5035 * (hand.drawn(hand.own.vae, x) - 0.0609)), hand.own
    states, _, pooled, _ = own.encode_prompt(TEXTS, None, None, do_classifier_free_guidance=False)
    told = {"encoder_hidden_states": states, "pooled_projections": pooled}
    return own.transformer(case.z, timestep=1000 * case.time, **told).sample, case.target


def _packed(hand: _Hand, x: Tensor, ys: list[Any]) -> tuple[Tensor, Tensor]:
    case, own = hand.flowing(1.5035 * (hand.drawn(hand.own.vae, x) - 0.0609)), hand.own
    states, pooled, places = own.encode_prompt(TEXTS, None)
    squares = own._prepare_latent_image_ids(2, 4, 4, "cpu", x.dtype)
    found = own.transformer(
        own._pack_latents(case.z, 2, 4, 8, 8),
        timestep=case.time,
        encoder_hidden_states=states,
        pooled_projections=pooled,
        txt_ids=places,
        img_ids=squares,
    ).sample
    return own._unpack_latents(found, 16, 16, own.vae_scale_factor), case.target


def _controlled(hand: _Hand, x: Tensor, ys: list[Any]) -> tuple[Tensor, Tensor]:
    case, own, states = hand.noised(0.18215 * hand.drawn(hand.own.vae, x)), hand.own, hand.texts()
    shown = own.prepare_image([y["image"] for y in ys], 16, 16, 2, 1, "cpu", x.dtype)
    down, middle = own.controlnet(case.z, case.step, states, shown, return_dict=False)
    added = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
    return own.unet(case.z, case.step, states, **added).sample, case.target


def _classed(hand: _Hand, x: Tensor, ys: list[Any]) -> tuple[Tensor, Tensor]:
    case = hand.noised(0.18215 * hand.drawn(hand.own.vae, x))
    found = hand.own.transformer(case.z, timestep=case.step, class_labels=torch.tensor(ys)).sample
    # The call takes what comes first for the noise.
    return found.split(4, dim=1)[0], case.target


def _edited(hand: _Hand, x: Tensor, ys: list[Any]) -> tuple[Tensor, Tensor]:
    case = hand.noised(0.18215 * hand.drawn(hand.own.vae, x))
    source = hand.own.vae.encode(_signal([y["image"] for y in ys])).latent_dist.mode()
    return _words(hand, case, source), case.target


def _painted(hand: _Hand, x: Tensor, ys: list[Any]) -> tuple[Tensor, Tensor]:
    z = 0.18215 * hand.drawn(hand.own.vae, x)
    mask = torch.zeros(2, 1, 16, 16)
    sides = torch.rand(2, 4, generator=hand.generator)
    for own, (h, w, top, left) in zip(mask, sides.tolist(), strict=True):
        height, width = round(16 * h), round(16 * w)
        y, x_0 = round(top * (16 - height)), round(left * (16 - width))
        own[:, y : y + height, x_0 : x_0 + width] = 1
    assert 0 < mask.mean() < 1
    masked = 0.18215 * hand.drawn(hand.own.vae, x * (mask < 0.5))
    case = hand.noised(z)
    return _words(hand, case, mask[:, :, ::2, ::2], masked), case.target


def _upscaled(hand: _Hand, x: Tensor, ys: list[Any]) -> tuple[Tensor, Tensor]:
    z = 0.08333 * hand.drawn(hand.own.vae, x)
    level = torch.randint(351, (2,), generator=hand.generator)
    small = _signal([y["image"] for y in ys])
    noise = torch.randn(small.shape, generator=hand.generator)
    small = hand.own.low_res_scheduler.add_noise(small, noise, level)
    case = hand.noised(z)
    return _words(hand, case, small, class_labels=level), case.target


def _upscaled_codes(hand: _Hand, x: Tensor, ys: list[Any]) -> tuple[Tensor, Tensor]:
    case = hand.noised(hand.own.vqvae.encode(x).latents)
    seen = torch.cat((case.z, _signal([y["image"] for y in ys])), 1)
    return hand.own.unet(seen, case.step).sample, case.target


def _mel_latents(hand: _Hand, x: Tensor) -> Tensor:
    """HiFi-GAN's frames of samples (B, N): 16 of a hop of 4, silence around them."""
    x = F.pad(x, (0, 64 - x.shape[1]))
    x = F.pad(x, (510, 510))
    spectrum = torch.stft(
        x, 1024, 4, window=torch.hann_window(1024), center=False, return_complex=True
    ).abs()
    bands = mel_filter_bank(513, 8, 0.0, 8000.0, 16000, norm="slaney", mel_scale="slaney")
    mel = (spectrum.mT @ torch.from_numpy(bands).float()).clamp(min=1e-5).log()
    assert mel.shape == (2, 16, 8)
    return 0.18215 * hand.drawn(hand.own.vae, mel[:, None])


def _labelled_sound(hand: _Hand, x: Tensor, ys: list[Any]) -> tuple[Tensor, Tensor]:
    case, own = hand.noised(_mel_latents(hand, x[:, :, 0])), hand.own
    read = own.tokenizer(TEXTS, padding="max_length", max_length=24, return_tensors="pt")
    vector = F.normalize(own.text_encoder(**read).text_embeds, dim=-1)
    found = own.unet(case.z, case.step, encoder_hidden_states=None, class_labels=vector).sample
    return found, case.target


def _sound(hand: _Hand, x: Tensor, ys: list[Any]) -> tuple[Tensor, Tensor]:
    case, own = hand.noised(_mel_latents(hand, x[:, :, 0])), hand.own
    found = []
    for i, text in enumerate(TEXTS):
        states, mask, more = own.encode_prompt([text], "cpu", 1, False)
        heard = {"encoder_hidden_states": more, "encoder_hidden_states_1": states}
        heard["encoder_attention_mask_1"] = mask
        found.append(own.unet(case.z[i : i + 1], case.step[i], **heard).sample)
    return torch.cat(found), case.target


def _timed_sound(hand: _Hand, x: Tensor, ys: list[Any]) -> tuple[Tensor, Tensor]:
    own = hand.own
    z = hand.drawn(own.vae, F.pad(x, (0, 0, 0, 8 - x.shape[1])).expand(-1, -1, 2).mT.contiguous())
    if type(own.scheduler).__name__ == "CosineDPMSolverMultistepScheduler":
        offset = torch.rand((), generator=hand.generator)
        order = torch.randperm(2, generator=hand.generator)
        t = ((torch.arange(2) + offset) / 2)[order]
        noise = torch.randn(z.shape, generator=hand.generator)
        # By the scheduler's own preconditioning of x_0 + sigma eps.
        sigma = torch.tan(t * torch.pi / 2)
        told = own.scheduler.precondition_noise(sigma)
        sigma = sigma[:, None, None]
        z_t = own.scheduler.precondition_inputs(z + sigma * noise, sigma)
        share = 1 / (1 + sigma**2)
        target = share.sqrt() * noise - (1 - share).sqrt() * z
        case = SimpleNamespace(z=z_t, step=told, target=target)
    else:
        case = hand.noised(z)
    states = own.encode_prompt(TEXTS, "cpu", False)
    times = own.encode_duration([0.0, 0.0], [0.008, 0.005], "cpu", False, 2)
    places = get_1d_rotary_pos_embed(
        own.rotary_embed_dim, 5, use_real=True, repeat_interleave_real=False
    )
    found = own.transformer(
        case.z,
        case.step,
        encoder_hidden_states=torch.cat((states, *times), 1),
        global_hidden_states=torch.cat(times, 2),
        rotary_embedding=places,
        return_dict=False,
    )[0]
    return found, case.target


def _slightly_noisy(hand: _Hand, ys: list[Any]) -> tuple[Tensor, Tensor]:
    level = (0.5 * torch.randn(2, generator=hand.generator) - 3).exp()
    first = _signal([y["image"] for y in ys])
    eps = torch.randn(first.shape, generator=hand.generator)
    return first + level.reshape(2, 1, 1, 1) * eps, level


def _padded_film(hand: _Hand, x: Tensor, ys: list[Any]) -> tuple[Tensor, Tensor]:
    own = hand.own
    z = own.vae.config.scaling_factor * hand.drawn(own.vae, x).movedim(1, 2)
    first, _ = _slightly_noisy(hand, ys)
    size = {"num_channels_latents": 4, "num_frames": 5, "height": 16, "width": 16}
    own_noise = {"generator": hand.generator, "latents": torch.zeros_like(z)}
    _, beside = own.prepare_latents(first, 2, **size, **own_noise, dtype=z.dtype, device="cpu")
    case = hand.noised(z)
    states, _ = own.encode_prompt(TEXTS, None, False, max_sequence_length=16)
    places = own._prepare_rotary_positional_embeddings(16, 16, 2, "cpu")
    found = own.transformer(
        torch.cat((case.z, beside), 2), states, case.step, image_rotary_emb=places
    ).sample
    # The loss of the library's script for it.
    weight = (1 - own.scheduler.alphas_cumprod[case.step]).rsqrt().reshape(2, 1, 1, 1, 1)
    return weight * own.scheduler.get_velocity(found, case.z, case.step), weight * z


def _masked_film(hand: _Hand, x: Tensor, ys: list[Any]) -> tuple[Tensor, Tensor]:
    own = hand.own
    shape = (1, 16, 1, 1, 1)
    mean, std = (torch.tensor(own.vae.config[f"latents_{n}"]).view(shape) for n in ("mean", "std"))
    z = (hand.drawn(own.vae, x) - mean) / std
    beside = []
    for y in ys:
        size = {"height": 16, "width": 16, "num_frames": 5, "latents": z[:1]}
        first = _signal([y["image"]])
        beside.append(own.prepare_latents(first, 1, **size, dtype=z.dtype, device="cpu")[1])
    # Noise is drawn of frames first.
    case = hand.flowing(z.movedim(1, 2))
    states, _ = own.encode_prompt(TEXTS, do_classifier_free_guidance=False)
    seen = own.encode_image([y["image"] for y in ys], "cpu")
    found = own.transformer(
        torch.cat((case.z.movedim(1, 2), torch.cat(beside)), 1), 1000 * case.time, states, seen
    ).sample
    return found.movedim(1, 2), case.target


def _gone_on(hand: _Hand, x: Tensor, ys: list[Any]) -> tuple[Tensor, Tensor]:
    own = hand.own
    z, first = (
        own._normalize_latents(
            hand.drawn(own.vae, values), own.vae.latents_mean, own.vae.latents_std
        )
        for values in (x, _signal([y["image"] for y in ys])[:, :, None])
    )
    case = hand.flowing(z[:, :, 1:])
    known = torch.zeros_like(z[:, :1])
    known[:, :, 0] = 1
    known = own._pack_latents(known).squeeze(-1)
    states, mask, _, _ = own.encode_prompt(TEXTS, do_classifier_free_guidance=False)
    count, height, width = z.shape[2:]
    found = own.transformer(
        own._pack_latents(torch.cat((first, case.z), 2)),
        states,
        1000 * case.time[:, None] * (1 - known),
        mask,
        num_frames=count,
        height=height,
        width=width,
        rope_interpolation_scale=(own.vae_temporal_compression_ratio / 25, 4, 4),
    ).sample
    assert own.vae_spatial_compression_ratio == 4
    return own._unpack_latents(found, count, height, width)[:, :, 1:], case.target


def _seen_film(hand: _Hand, x: Tensor, ys: list[Any]) -> tuple[Tensor, Tensor]:
    own, frames = hand.own, x.movedim(1, 2)
    z = own.vae.config.scaling_factor * hand.drawn(own.vae, frames.flatten(0, 1))
    z = z.unflatten(0, (2, 3))
    first, level = _slightly_noisy(hand, ys)
    beside = own._encode_vae_image(first, "cpu", 1, False)
    sigma = (0.7 + 1.6 * torch.randn(2, generator=hand.generator)).exp()
    noise = torch.randn(z.shape, generator=hand.generator)
    found = []
    # One by one, for the scheduler steps through the noise of one.
    for i, y in enumerate(ys):
        scheduler = own.scheduler
        scheduler.set_timesteps(sigmas=[float(sigma[i]), 0.0])
        noisy, (time,) = z[i : i + 1] + sigma[i] * noise[i], scheduler.timesteps
        z_t = scheduler.scale_model_input(noisy, time)
        z_t = torch.cat((z_t, beside[i : i + 1, None].expand(-1, 3, -1, -1, -1)), 2)
        states = own._encode_image(y["image"], "cpu", 1, False)
        told = own._get_add_time_ids(6, 127, float(level[i]), z.dtype, 1, 1, False)
        output = own.unet(z_t, time, states, told).sample
        found.append(scheduler.step(output, time, noisy).pred_original_sample)
    weight = (1 + 1 / sigma**2).sqrt().reshape(2, 1, 1, 1, 1)
    return weight * torch.cat(found), weight * z


HANDS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "sd": _text_to_image,
    "sd2": _text_to_image,
    "sd_image": _text_to_image,
    "sdxl_image": _text_to_large_image,
    "sd3_image": _joint,
    "flux_image": _packed,
    "sd_control": _controlled,
    "dit": _classed,
    "sd_edit": _edited,
    "sd_paint": _painted,
    "upscale": _upscaled,
    "ldm_upscale": _upscaled_codes,
    "cogvideox_image": _padded_film,
    "wan_image": _masked_film,
    "ltx_image": _gone_on,
    "svd": _seen_film,
    "audioldm": _labelled_sound,
    "audioldm2": _sound,
    "stable_audio": _timed_sound,
    "stable_audio_cosine": _timed_sound,
}
FROM_PICTURES = {
    "sdxl_image": "StableDiffusionXLImg2ImgPipeline",
    "sd3_image": "StableDiffusion3Img2ImgPipeline",
    "flux_image": "FluxImg2ImgPipeline",
}
"""Classes of pipelines that have the parts of one of texts alone."""
FRAMES = {"cogvideox_image": 5, "wan_image": 5, "ltx_image": 5, "svd": 3}
SOUNDS = {"audioldm": 64, "audioldm2": 64, "stable_audio": 8}


def _pairs(name: str) -> list[tuple[Any, Any]]:
    """Two pairs of what a tiny checkpoint takes."""
    kind = name.removesuffix("_cosine")
    if kind in SOUNDS:
        own, rng = SOUNDS[kind], np.random.default_rng(0)
        rate = 1000 if kind == "stable_audio" else 16000
        # One as long as the network learns, and a shorter one.
        sounds = [rng.uniform(-0.5, 0.5, (1, n)) for n in (own, own * 5 // 8)]
        values = [Audio(s.astype(np.float32), rate) for s in sounds]
        return list(zip(TEXTS, values, strict=True))
    side = {"ldm_upscale": 32, "upscale": 16}.get(kind, 16)
    small = {"ldm_upscale": 16, "upscale": 8}.get(kind, 16)
    values = (
        [_film(name, i) for i in range(2)]
        if name in FRAMES
        else [_picture(side, i) for i in range(2)]
    )
    seen = [_picture(small, i + 2) for i in range(2)]
    if kind in ("ldm_upscale", "svd"):
        return [({"image": s}, x) for s, x in zip(seen, values, strict=True)]
    if kind == "dit":
        return list(zip((3, 7), values, strict=True))
    if kind in ("sd_image", "sd_edit", "sd_control", "upscale", *FROM_PICTURES, *FRAMES):
        ys = [{"text": t, "image": s} for t, s in zip(TEXTS, seen, strict=True)]
        return list(zip(ys, values, strict=True))
    return list(zip(TEXTS, values, strict=True))


@pytest.fixture
def folder(checkpoints: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """The folder of a checkpoint, or of one with the schedule of the published Stable Audio.

    One of `FROM_PICTURES` is that of texts alone, by another name.
    """

    def found(name: str) -> Path:
        if name in FROM_PICTURES:
            copy = shutil.copytree(checkpoints(name.removesuffix("_image")), tmp_path / name)
            index = json.loads((copy / "model_index.json").read_text())
            index["_class_name"] = FROM_PICTURES[name]
            (copy / "model_index.json").write_text(json.dumps(index))
            return copy
        own = checkpoints(name.removesuffix("_cosine"))
        if not name.endswith("_cosine"):
            return own
        # Which that schedule takes for granted.
        pytest.importorskip("torchsde")
        pipe = diffusers.DiffusionPipeline.from_pretrained(own)
        pipe.register_modules(scheduler=diffusers.CosineDPMSolverMultistepScheduler())
        pipe.save_pretrained(tmp_path / name)
        return tmp_path / name

    return found


@torch.no_grad()
@pytest.mark.parametrize("name", HANDS)
def test_the_loss_is_the_librarys_formula(name: str, folder: Callable[[str], Path]) -> None:
    if name == "wan_image":
        pytest.importorskip("ftfy")
    place = folder(name)
    pipe, pairs = Pipeline.from_pretrained(place), _pairs(name)
    ys, xs = map(list, zip(*pairs, strict=True))
    c = pipe.encoder.encode(pipe.encoder.prepare(ys))
    prepared, seeded = pipe.codec.prepare(xs), torch.Generator().manual_seed(4)
    found = pipe.model.loss(pipe.codec.encode(prepared, generator=seeded), c, generator=seeded)
    if "samples" in prepared:
        x = prepared["samples"].reshape(2, -1, 1)
    elif "frames" in prepared:
        x = prepared["frames"].movedim(1, 2) / 127.5 - 1
    else:
        x = prepared["pixels"] / 127.5 - 1
    predicted, target = HANDS[name](_Hand(place, torch.Generator().manual_seed(4)), x, ys)
    assert predicted.shape == target.shape and float(found.min()) > 0.1
    expected = (predicted - target).float().square().flatten(1).mean(1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "lora_rank"),
    [
        ("sd_edit", 4),
        ("sd_paint", 0),
        ("dit", 0),
        ("sd_control", 0),
        ("ltx_image", 0),
        ("audioldm2", 0),
        ("stable_audio", 4),
    ],
)
def test_it_learns_and_loads_again(
    name: str, lora_rank: int, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    if lora_rank:
        pytest.importorskip("peft")
    pipe, pairs = Pipeline.from_pretrained(checkpoints(name)), _pairs(name)
    held = {k: v.clone() for k, v in pipe.parts.state_dict().items()}
    run = {"output": tmp_path / "run", "validation": pairs * 6, "lora_rank": lora_rank}
    fit(pipe, pairs, **run, **SETTINGS)
    rows = [json.loads(r) for r in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [row["validation_loss"] for row in rows if "validation_loss" in row]
    assert losses[-1] < (0.97 if lora_rank else 0.9) * losses[0], losses
    now = pipe.parts.state_dict()
    changed = {k for k in held if not torch.equal(held[k], now[k])}
    networks = (".controlnet.",) if name == "sd_control" else (".unet.", ".transformer.")
    assert changed and all(any(own in k for own in networks) for k in changed)
    again = Pipeline.from_pretrained(tmp_path / "run")
    options: dict[str, Any] = {"num_inference_steps": 2}
    if name == "dit":
        options |= {"guidance_scale": 1.0}
    if name == "ltx_image":
        options |= {"height": 32, "width": 32, "num_frames": 5}
    if name == "sd_paint":
        options |= {"known": pairs[0][1], "mask": np.eye(16, dtype=bool)}
    one, other = (p.given(pairs[0][0], **options).sample(seed=0)[0] for p in (pipe, again))
    inner = {Audio: "samples", Video: "frames"}
    as_array = [np.asarray(getattr(x, inner.get(type(x), ""), x)) for x in (one, other)]
    assert (as_array[0] == as_array[1]).all()


@torch.no_grad()
def test_an_edit_is_scored_by_what_it_was_made_of(checkpoints: Callable[[str], Path]) -> None:
    pipe, pairs = Pipeline.from_pretrained(checkpoints("sd_edit")), _pairs("sd_edit")
    bound = {"likelihood": "bound", "num_bound_draws": 4}
    (y, x), other = pairs[0], {**pairs[0][0], "image": pairs[1][0]["image"]}
    one, two = (pipe.given(c, **bound).log_prob(x).nats for c in (y, other))
    assert one.isfinite() and abs(float(one - two)) > 1e-3


def test_tables_of_pictures_and_words_are_read(
    checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    rows = []
    for i, text in enumerate(TEXTS):
        _picture(20, i).save(tmp_path / f"{i}.png")
        rows.append({"image": f"{i}.png", "instruction": text, "target": f"{i}.png"})
    lines = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "pairs.jsonl").write_text(lines, encoding="utf-8")
    for name, sizes in (("sd_edit", (16, 16)), ("upscale", (8, 16)), ("sd_image", (20, 16))):
        pipe = Pipeline.from_pretrained(checkpoints(name))
        pairs = read_pairs(tmp_path / "pairs.jsonl", pipe, adapt=True)
        y, x = pairs.pair(1, np.random.default_rng(0))
        assert y["text"] == TEXTS[1]
        loaded = pipe.prepare([(y, x)])
        assert loaded["y"]["values"][0]["image"].size == sizes[:1] * 2
        assert loaded["x"]["pixels"].shape[-2:] == sizes[1:] * 2


@pytest.mark.parametrize(
    ("name", "pair", "message"),
    [
        ("sd_edit", ({"text": "a", "image": _picture(24, 0)}, _picture(16, 0)), "got 24 x 24"),
        ("upscale", ({"text": "a", "image": _picture(16, 0)}, _picture(16, 0)), "to be 8 x 8"),
        ("sd_control", ("a", _picture(16, 0)), "a picture in each condition, got one without"),
        ("dit", (3, _picture(24, 0)), "16 x 16 pixels, got 24 x 24"),
        ("dit", (10, _picture(16, 0)), "from 0 to 9, got 10"),
        (
            "ltx_image",
            ({"text": "a", "image": _picture(16, 0)}, FILM),
            "4 n . 1 frames, n at least 1, of",
        ),
        ("svd", (_picture(24, 0), FILM), "to be 16 x 16 pixels, as x asks for, got 24"),
        ("sd_paint", ("a", _picture(17, 0)), "multiples of 2, got 17 x 17"),
        ("audioldm2", ("a", (np.zeros(65, np.float32), 16000)), "at most 0.004 s, got one of"),
        ("audioldm2", ("a", (np.zeros(64, np.float32), 8000)), "16000 Hz, got 8000 Hz"),
        ("stable_audio", ("a", (np.zeros((3, 8), np.float32), 1000)), "2 channels or of one, got"),
    ],
)
def test_what_cannot_be_learnt_from(
    name: str, pair: tuple[Any, Any], message: str, checkpoints: Callable[[str], Path]
) -> None:
    pipe = Pipeline.from_pretrained(checkpoints(name))
    with pytest.raises(ValueError, match=message):
        pipe.loss(pipe.prepare([pair]), generator=torch.Generator().manual_seed(0))


def test_what_cannot_learn_says_why(folder: Callable[[str], Path]) -> None:
    def refused(pipe: Pipeline, name: str) -> str:
        with pytest.raises(SpecError) as found:
            pipe.loss(pipe.prepare([("a", _pairs(name)[0][1])]))
        return str(found.value)

    pipe = Pipeline.from_pretrained(folder("sd_paint"))
    pipe.model.learning = "the moon is full"
    said = refused(pipe, "sd_paint")
    assert (
        "StableDiffusionInpaintPipeline is only called, so it cannot learn here: the moon" in said
    )
    assert all(name in said for name in (*DENOISERS, *LEARNERS))
    library = diffusers.DiffusionPipeline.from_pretrained(folder("sd_image"))
    for scheduler, why in (
        (diffusers.FlowMatchEulerDiscreteScheduler(), "FlowMatchEulerDiscreteScheduler with None"),
        (diffusers.EulerDiscreteScheduler(timestep_type="continuous"), "with 'epsilon'"),
        (diffusers.DDIMScheduler(), None),
    ):
        library.register_modules(scheduler=scheduler)
        found = LEARNERS["StableDiffusionImg2ImgPipeline"][0].denoiser.lacking(library)
        assert (found is None) if why is None else (why in found)


@pytest.mark.parametrize(
    ("name", "more", "why"),
    [
        ("wan_image", {"boundary_ratio": 0.9}, "two networks, each for a part of the noise"),
        ("wan_image", {"expand_timesteps": True}, "told a time of each latent"),
    ],
)
def test_films_of_which_it_does_not_learn(
    name: str, more: dict[str, Any], why: str, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    copy = shutil.copytree(checkpoints(name), tmp_path / name)
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | more))
    pipe, (pair, _) = Pipeline.from_pretrained(copy), _pairs(name)
    with pytest.raises(SpecError, match=f"WanImageToVideoPipeline is only called.*{why}"):
        pipe.loss(pipe.prepare([pair]))


def test_a_library_that_texts_take_for_granted_is_named(
    checkpoints: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, pairs = Pipeline.from_pretrained(checkpoints("wan_image")), _pairs("wan_image")
    monkeypatch.delattr("diffusers.pipelines.wan.pipeline_wan_i2v.ftfy", raising=False)
    with pytest.raises(MissingDependency, match=r"WanImageToVideoPipeline needs ftfy.*sdk\[video"):
        pipe.loss(pipe.prepare(pairs))
