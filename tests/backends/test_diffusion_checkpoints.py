"""Checkpoints of diffusers behind mmgen's door give what the library's own calls give."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from backends.tiny_diffusers import BUILT
from PIL import Image
from rounding import same_but_for_rounding

from mmgen import Pipeline
from mmgen.backends.foreign import Place
from mmgen.backends.loading import options_of
from mmgen.backends.recognition import recognise
from mmgen.core.errors import MissingDependency, OptionError, SpecError
from mmgen.core.rng import Generators
from mmgen.modalities.video.value import Video

TEXT = "A Red cat"
PICTURE = np.zeros((16, 16, 3), dtype=np.uint8)

# diffusers makes arrays of tensors and uses what torch and transformers have replaced.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.past_key_values. is deprecated:FutureWarning"),
]


OPTIONS: dict[str, dict[str, Any]] = {
    "sd3": {"height": 16, "width": 16, "max_sequence_length": 32},
    "flux": {"height": 16, "width": 16, "max_sequence_length": 32},
    "pixart": {"clean_caption": False, "max_sequence_length": 32},
    "ltx": {"height": 32, "width": 32, "num_frames": 9, "max_sequence_length": 32},
    "cogvideox": {"height": 16, "width": 16, "num_frames": 8, "max_sequence_length": 16},
    "wan": {"height": 16, "width": 16, "num_frames": 5, "max_sequence_length": 32},
    "qwen_image": {"height": 16, "width": 16, "max_sequence_length": 32},
    "z_image": {"height": 16, "width": 16, "max_sequence_length": 128},
    "dit": {"guidance_scale": 1.0},
    "sd_image": {"strength": 0.9},
    "upscale": {"noise_level": 40},
    "ltx_image": {"height": 32, "width": 32, "num_frames": 9, "max_sequence_length": 32},
    "cogvideox_image": {"height": 16, "width": 16, "num_frames": 9, "max_sequence_length": 16},
    "cogvideox_video": {"height": 16, "width": 16, "strength": 0.8, "max_sequence_length": 16},
    "wan_image": {"height": 16, "width": 16, "num_frames": 5, "max_sequence_length": 32},
    "svd": {"height": 16, "width": 16, "num_frames": 3},
    "pixart_sigma": {"clean_caption": False, "max_sequence_length": 32},
}
LIBRARY = dict.fromkeys(("pixart", "pixart_sigma"), {"use_resolution_binning": False})
"""Options of the library's calls for what mmgen always does: give the size that is asked for."""
SEEING = (
    "sd_image",
    "sd_control",
    "sd_edit",
    "upscale",
    "ltx_image",
    "cogvideox_image",
    "wan_image",
)
PLAIN = [name for name in BUILT if name not in ("sd_paint", "guided_flux")]


@pytest.fixture
def stroke() -> Image.Image:
    levels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def _condition(name: str, stroke: Image.Image) -> tuple[Any, dict[str, Any]]:
    """Y, and the same as arguments of the library's call."""
    if name in ("ddpm", "ddim"):
        return None, {}
    if name == "dit":
        return 3, {"class_labels": [3]}
    if name == "svd":
        return stroke, {"image": stroke}
    if name == "ldm_upscale":
        return stroke.resize((32, 32)), {"image": stroke.resize((32, 32))}
    if name == "cogvideox_video":
        frames = [stroke, *(stroke.rotate(90 * turn) for turn in range(1, 9))]
        film = Video(np.stack([np.asarray(frame) for frame in frames]), 8.0)
        return {"text": TEXT, "video": film}, {"prompt": TEXT, "video": frames}
    if name in SEEING:
        return {"text": TEXT, "image": stroke}, {"prompt": TEXT, "image": stroke}
    return TEXT, {"prompt": TEXT}


def _array(value: Any) -> np.ndarray:
    if isinstance(value, Image.Image):
        return np.asarray(value)
    return value.frames if hasattr(value, "frames") else value.samples


@pytest.mark.parametrize("name", PLAIN)
def test_a_sample_is_that_of_the_library(
    name: str, checkpoints: Callable[[str], Path], stroke: Image.Image
) -> None:
    if name == "wan_image":
        pytest.importorskip("ftfy")
    folder = checkpoints(name)
    options = {"num_inference_steps": 2, **OPTIONS.get(name, {})}
    y, arguments = _condition(name, stroke)
    pipe = Pipeline.from_pretrained(folder)
    # What it takes is known before anything of it is loaded.
    assert options_of(recognise(folder), Place()) == pipe.options()
    given = pipe.given(y, **options)
    latent = given.conditional.sample(1, Generators.from_seed(3, num_samples=1, batch=1)).flatten()
    with torch.no_grad():
        found = pipe.codec.signal(latent)[0].clamp(-1, 1)
        (value,) = pipe.codec.present(pipe.codec.decode(latent))
    library = diffusers.DiffusionPipeline.from_pretrained(folder)
    library.set_progress_bar_config(disable=True)
    takes = inspect.signature(library.__call__).parameters
    shown = library(
        **arguments,
        **options,
        **LIBRARY.get(name, {}),
        **({"output_type": "np"} if "output_type" in takes else {}),
        generator=torch.Generator().manual_seed(3),
    )
    expected = torch.as_tensor(next(iter(shown.values()))[0]).float()
    if pipe.codec.spec.modality == "audio":
        expected = expected.reshape(-1, len(found)).mT.clamp(-1, 1)
    else:
        expected = 2 * expected.movedim(-1, -3) - 1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    # Values are rounded, if they are, to the nearest level.
    if pipe.codec.spec.modality != "audio":
        levels = torch.from_numpy(_array(value).copy()).movedim(-1, -3) / 127.5 - 1
        assert (levels - found).abs().max() < 0.501 / 127.5


@pytest.mark.parametrize("name", ["sd", "dit"])
def test_a_batch_gives_what_each_gives_alone(name: str, checkpoints: Callable[[str], Path]) -> None:
    pipe = Pipeline.from_pretrained(checkpoints(name))
    ys = [TEXT, "blue"] if name == "sd" else [3, 4]
    options = {"num_inference_steps": 2, **OPTIONS.get(name, {})}
    together = pipe(ys, seed=[5, 6], **options)
    alone = [pipe(y, seed=s, **options) for y, s in zip(ys, (5, 6), strict=True)]
    several = pipe(ys[0], seed=5, num_samples=2, **options)
    for one, other in zip([*together, several[0]], [*alone, alone[0]], strict=True):
        assert same_but_for_rounding(one, other)
    assert np.asarray(together[0]).tolist() != np.asarray(together[1]).tolist()


def test_what_is_known_is_kept(checkpoints: Callable[[str], Path], stroke: Image.Image) -> None:
    folder = checkpoints("sd_paint")
    pipe = Pipeline.from_pretrained(folder)
    mask = np.zeros((16, 16), dtype=bool)
    mask[:, :9] = True
    given = pipe.given(TEXT, known=stroke, mask=mask, num_inference_steps=2)
    found = np.asarray(given.sample(seed=3)[0])
    assert (found[mask] == np.asarray(stroke)[mask]).all()
    library = diffusers.DiffusionPipeline.from_pretrained(folder)
    library.set_progress_bar_config(disable=True)
    expected = library(
        TEXT,
        image=stroke,
        mask_image=Image.fromarray(np.where(mask, 0, 255).astype(np.uint8)),
        height=16,
        width=16,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    assert same_but_for_rounding(found[~mask], np.asarray(expected)[~mask])
    with pytest.raises(SpecError, match="paints into an image"):
        pipe(TEXT)


def test_another_scheduler_and_a_negative_prompt(checkpoints: Callable[[str], Path]) -> None:
    folder = checkpoints("sd")
    pipe = Pipeline.from_pretrained(folder)
    options = {"num_inference_steps": 3, "negative_prompt": "blue", "guidance_scale": 4.0}
    found = pipe(TEXT, seed=1, scheduler="EulerAncestralDiscreteScheduler", **options)
    library = diffusers.DiffusionPipeline.from_pretrained(folder)
    library.set_progress_bar_config(disable=True)
    own = library.scheduler
    library.scheduler = diffusers.EulerAncestralDiscreteScheduler.from_config(own.config)
    expected = library(TEXT, **options, generator=torch.Generator().manual_seed(1)).images[0]
    assert same_but_for_rounding(found, expected)
    assert type(pipe.model.pipeline.scheduler) is type(own)
    with pytest.raises(ValueError, match="scheduler is one of"):
        pipe(TEXT, scheduler="Euler")


def test_what_is_saved_is_the_librarys_own(
    checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("sd"))
    pipe.save_pretrained(tmp_path / "saved")
    assert diffusers.DiffusionPipeline.from_pretrained(tmp_path / "saved").unet is not None
    card = json.loads((tmp_path / "saved" / "mmgen.json").read_text("utf-8"))
    assert (card["library"], card["task"]) == ("diffusers", "text-to-image")
    again = Pipeline.from_pretrained(tmp_path / "saved")
    one, other = (p(TEXT, seed=2, num_inference_steps=1) for p in (pipe, again))
    assert same_but_for_rounding(one, other)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("sd", "", ValueError, "empty"),
        ("sd", 7, TypeError, "Expected a text"),
        ("sd", "cat " * 100, ValueError, "at most 77 tokens"),
        ("sd", {"text": TEXT, "image": None, "sound": 1}, ValueError, "'sound' is none"),
        ("sd", {"text": TEXT, "image": PICTURE}, ValueError, "'image' is none of them"),
        ("sd", PICTURE, TypeError, r"Expected a text \(str\), got ndarray"),
        ("sd_image", TEXT, ValueError, "'image' is missing"),
        ("sd_image", {"text": TEXT, "image": "a cat"}, ValueError, "There is no image at"),
        ("dit", PICTURE, TypeError, "A label is a number or a name"),
        ("dit", None, ValueError, "'label' is missing"),
        ("dit", 2.5, TypeError, "A label is"),
        ("ddpm", TEXT, TypeError, "takes no condition"),
    ],
)
def test_bad_conditions(
    checkpoints: Callable[[str], Path], name: str, value: Any, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        Pipeline.from_pretrained(checkpoints(name))(value, num_inference_steps=1)


def test_an_unknown_option_lists_those_there_are(checkpoints: Callable[[str], Path]) -> None:
    with pytest.raises(OptionError, match="guidance_scale"):
        Pipeline.from_pretrained(checkpoints("sd"))(TEXT, guidance=3.0)


def test_a_library_that_a_call_takes_for_granted_is_named(
    checkpoints: Callable[[str], Path], stroke: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("wan_image"))
    monkeypatch.delattr("diffusers.pipelines.wan.pipeline_wan_i2v.ftfy", raising=False)
    with pytest.raises(
        MissingDependency, match=r"WanImageToVideoPipeline needs ftfy.*sdk\[video\]"
    ):
        pipe({"text": TEXT, "image": stroke}, num_inference_steps=1, **OPTIONS["wan_image"])


@torch.no_grad()
@pytest.mark.parametrize("name", ["sd", "flux", "qwen_image", "wan", "stable_audio"])
def test_latents_go_in_and_come_out(name: str, checkpoints: Callable[[str], Path]) -> None:
    folder = checkpoints(name)
    options = {"num_inference_steps": 2, **OPTIONS.get(name, {})}
    pipe = Pipeline.from_pretrained(folder)
    library = diffusers.DiffusionPipeline.from_pretrained(folder)
    library.set_progress_bar_config(disable=True)
    shape = {"wan": (2, 16, 2, 2), "stable_audio": (3, 4)}.get(name, (4, 8, 8))
    z = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    theirs = z.movedim(1, 2) if name == "wan" else z
    if name in ("flux", "qwen_image"):
        theirs = library._pack_latents(z, 2, *shape)
    found = pipe.given(TEXT, latents=z, **options).latents(2, seed=0).z
    shown = library(
        [TEXT] * 2,
        latents=theirs,
        generator=[torch.Generator().manual_seed(i) for i in (0, 1)],
        output_type="np" if name == "stable_audio" else "latent",
        **options,
    )
    expected = torch.as_tensor(next(iter(shown.values())))
    if name in ("flux", "qwen_image"):
        expected = library._unpack_latents(expected, 16, 16, 2).reshape(2, *shape)
    if name in ("wan", "stable_audio"):
        expected = expected.movedim(1, 2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="one for each of 1 samples"):
        pipe(TEXT, latents=z, **options)
    given = pipe.given(TEXT, **options)
    (value,) = pipe.codec.present(pipe.codec.decode(given.latents(seed=3)))
    assert same_but_for_rounding(value, given.sample(seed=3)[0])
