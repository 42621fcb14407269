"""Steps of a sampling are told, shown and ended alike, whoever takes them."""

from __future__ import annotations

import copy
import signal
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from modality_values import values
from rounding import same_but_for_rounding

from mmgen import Pipeline
from mmgen.backends.from_diffusers.steps import clean, followed

# diffusers makes arrays of tensors.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TEXT = "A Red cat"
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


class Stopped(Exception):
    """What a user's function raises."""


def _array(image: Any) -> np.ndarray:
    return np.asarray(image).astype(int)


SCHEDULERS: dict[str, Callable[..., Any]] = {
    "ddim": lambda **k: diffusers.DDIMScheduler(**BETAS, clip_sample=False, **k),
    "ddpm": lambda **k: diffusers.DDPMScheduler(**BETAS, clip_sample=False, **k),
    "euler": lambda **k: diffusers.EulerDiscreteScheduler(**BETAS, **k),
    "euler karras": lambda **k: diffusers.EulerDiscreteScheduler(
        **BETAS, use_karras_sigmas=True, **k
    ),
    "ancestral": lambda **k: diffusers.EulerAncestralDiscreteScheduler(**BETAS, **k),
}


@pytest.mark.parametrize(
    ("name", "prediction"),
    # Of the others diffusers has no data prediction.
    [*product(SCHEDULERS, ("epsilon", "v_prediction")), ("ddim", "sample"), ("ddpm", "sample")],
)
def test_the_guess_is_the_schedulers_own(name: str, prediction: str) -> None:
    scheduler = SCHEDULERS[name](prediction_type=prediction)
    scheduler.set_timesteps(5)
    generator = torch.Generator().manual_seed(0)
    sample = torch.randn(2, 4, 3, 3, generator=generator) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        scheduler.scale_model_input(sample, t)
        output = torch.randn(sample.shape, generator=generator)
        found = clean(scheduler, output, t, sample)
        taken = scheduler.step(output, t, sample)
        torch.testing.assert_close(found, taken.pred_original_sample, rtol=1e-4, atol=1e-4)
        sample = taken.prev_sample


@pytest.mark.parametrize("kind", ["DPMSolverMultistepScheduler", "UniPCMultistepScheduler"])
@pytest.mark.parametrize("flow", [False, True])
def test_the_guess_is_that_of_solvers(kind: str, flow: bool) -> None:
    own = {"prediction_type": "flow_prediction", "use_flow_sigmas": True} if flow else {}
    scheduler = getattr(diffusers, kind)(**BETAS, **own)
    scheduler.set_timesteps(5)
    generator = torch.Generator().manual_seed(0)
    sample = torch.randn(2, 4, 3, 3, generator=generator)
    for t in scheduler.timesteps:
        output = torch.randn(sample.shape, generator=generator)
        found = clean(scheduler, output, t, sample)
        if scheduler.step_index is None:
            scheduler._init_step_index(t)
        expected = scheduler.convert_model_output(output, sample=sample)
        torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)
        sample = scheduler.step(output, t, sample).prev_sample


def test_the_guess_of_a_flow_is_where_its_velocity_leads() -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(4)
    generator = torch.Generator().manual_seed(0)
    data, noise = torch.randn(2, 2, 4, 3, 3, generator=generator)
    for i, t in enumerate(scheduler.timesteps):
        sigma = float(scheduler.sigmas[i])
        z = (1 - sigma) * data + sigma * noise
        torch.testing.assert_close(clean(scheduler, noise - data, t, z), data)


def test_each_step_of_a_checkpoint_is_shown(checkpoints: Callable[[str], Path]) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("sd"))
    seen, counts, steps = [], [], 4

    def look(done: int, total: int, guess: Callable[[], list[Any]] | None) -> None:
        counts.append((done, total))
        seen.append([_array(image) for image in guess()])

    bars: list[tuple[int, int]] = []
    options = {"num_inference_steps": steps, "seed": 3, "num_samples": 6}
    final = pipe(TEXT, preview=look, progress=lambda *a: bars.append(a), **options)
    assert counts == bars == [(i, 2 * steps) for i in range(1, 2 * steps + 1)]
    # At most four are drawn at once.
    assert [len(images) for images in seen] == [4] * steps + [2] * steps
    last = [_array(image) for image in final]
    for guess, image in zip(seen[steps - 1] + seen[-1], last, strict=True):
        assert np.abs(guess - image).max() <= 1
    assert np.abs(seen[0][0] - last[0]).max() > 1
    plain = pipe(TEXT, **options)
    assert all(same_but_for_rounding(_array(a), b) for a, b in zip(plain, last, strict=True))


@pytest.mark.parametrize(
    ("name", "y", "options", "guessed"),
    [
        ("ddpm", None, {}, True),
        ("sd3", TEXT, {"height": 16, "width": 16, "max_sequence_length": 32}, True),
        ("sd_image", None, {"strength": 0.5}, True),
        ("dit", 3, {"guidance_scale": 1.0}, False),
        ("stable_audio", TEXT, {}, False),
    ],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_steps_are_told_of_any_pipeline(
    name: str, y: Any, options: dict[str, Any], guessed: bool, checkpoints: Callable[[str], Path]
) -> None:
    if name == "sd_image":
        y = {"text": TEXT, "image": np.zeros((16, 16, 3), dtype=np.uint8)}
    pipe = Pipeline.from_pretrained(checkpoints(name))
    seen: list[tuple[int, int, bool]] = []
    guesses = []

    def look(done: int, total: int, guess: Callable[[], list[Any]] | None) -> None:
        seen.append((done, total, guess is not None))
        if guess is not None:
            guesses.append(guess()[0])

    value = pipe(y, seed=0, num_inference_steps=4, preview=look, **options)
    total = 2 if name == "sd_image" else 4
    assert seen == [(i, total, guessed) for i in range(1, total + 1)]
    assert all(type(found) is type(value) for found in guesses)
    if guessed:
        assert np.abs(_array(guesses[-1]) - _array(value)).max() <= 1


def test_our_own_family_shows_its_steps_alike(pixels_pipe: Pipeline) -> None:
    seen = []

    def look(done: int, total: int, guess: Callable[[], list[Any]] | None) -> None:
        seen.append((done, total, [_array(image) for image in guess()]))

    options = {"seed": 0, "num_samples": 2, "num_inference_steps": 5}
    final = pixels_pipe("a green star", preview=look, **options)
    assert [s[:2] for s in seen] == [(i, 5) for i in range(1, 6)]
    for guess, image in zip(seen[-1][2], final, strict=True):
        assert np.abs(guess - _array(image)).max() <= 1
    assert np.abs(seen[0][2][0] - _array(final[0])).max() > 1
    plain = pixels_pipe("a green star", **options)
    assert all(map(same_but_for_rounding, map(_array, plain), map(_array, final)))


def test_the_rest_of_a_known_value_is_shown(pixels_pipe: Pipeline) -> None:
    size = pixels_pipe.codec.spec.shape[-1]
    mask = np.zeros((size, size), dtype=bool)
    mask[: size // 2] = True
    known = np.full((size, size, 3), 200, dtype=np.uint8)
    seen = []

    def look(done: int, total: int, guess: Callable[[], list[Any]] | None) -> None:
        seen.append(_array(guess()[0]))

    given = pixels_pipe.given("a green star", known=known, mask=mask, num_inference_steps=3)
    final = _array(given.sample(seed=0, preview=look)[0])
    assert len(seen) == 3
    # What is known is put in at the end.
    assert np.abs(seen[-1] - final)[~mask].max() <= 1 and (final[mask] == 200).all()


def test_families_without_guesses_tell_their_steps(scenes_pipe: Pipeline) -> None:
    seen: list[tuple[int, int, Any]] = []
    scenes_pipe("a green star", seed=0, preview=lambda *a: seen.append(a))
    assert seen and seen[-1][0] == seen[-1][1] and all(s[2] is None for s in seen)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What is started in the background ignores the signal of Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("name", ["sd", "ddpm", "own"])
@pytest.mark.parametrize("how", ["raise", "interrupt"])
def test_a_sampling_that_is_ended_leaves_the_pipeline_usable(
    name: str, how: str, checkpoints: Callable[[str], Path], pixels_pipe: Pipeline
) -> None:
    pipe = pixels_pipe if name == "own" else Pipeline.from_pretrained(checkpoints(name))
    y = {"sd": TEXT, "ddpm": None, "own": "a green star"}[name]
    options = {"seed": 1, "num_inference_steps": 4}
    before = _array(pipe(y, **options))
    done: list[int] = []

    def end(step: int, total: int) -> None:
        done.append(step)
        if step == 2 and how == "raise":
            raise Stopped
        if step == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Stopped if how == "raise" else KeyboardInterrupt):
        pipe(y, progress=end, **options)
    assert done == [1, 2]
    assert same_but_for_rounding(_array(pipe(y, **options)), before)
    if name != "own":
        library = pipe.model.pipeline
        assert getattr(diffusers, type(library.scheduler).__name__) is type(library.scheduler)
        assert "forward" not in vars(library.unet)


def test_copies_of_a_scheduler_take_their_own_steps() -> None:
    class Copying:
        """A pipeline that steps with a copy of its scheduler, too, as some do."""

        scheduler = diffusers.DDIMScheduler(**BETAS, clip_sample=False)

    scheduler, seen = Copying.scheduler, []
    scheduler.set_timesteps(2)
    z = torch.ones(1, 4, 2, 2)
    with followed(Copying, lambda *told: seen.append(told[:2]), None):
        other = copy.deepcopy(scheduler)
        for t in scheduler.timesteps:
            scheduler.step(z, t, z)
            other.step(z, t, z)
    assert seen == [(1, 2), (2, 2)]


def test_a_guess_is_of_the_lengths_that_are_drawn() -> None:
    pipe = Pipeline.compose(x="audio", y="text", family="diffusion", size="debug")
    pipe.fit_statistics(list(zip(("low", "high"), values("audio"), strict=False)))
    seen: list[int] = []

    def look(done: int, total: int, guess: Callable[[], list[Any]] | None) -> None:
        seen.append(guess()[0].samples.shape[-1])

    value = pipe("low", seed=0, num_inference_steps=2, preview=look)
    assert seen == [value.samples.shape[-1]] * 2
