"""Pipelines: the batching rules, seeds, options, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rounding import same_but_for_rounding

from mmgen.core.errors import OptionError, SpecError, UnknownNameError
from mmgen.core.rng import MAX_SEED
from mmgen.modalities.image import Pixels
from mmgen.pipeline import Pipeline

CAPTIONS = ["a green star", "a red circle left of a blue square", "two blue squares"]
EXACT = 1e-5
# How many samples there are, and which, is the same for any number of steps.
FEW = {"num_inference_steps": 4}


def latents(pipe: Pipeline, y: object, seeds: list[int], **options: object) -> torch.Tensor:
    """Latents of one sample per condition."""
    from mmgen.core.rng import Generators

    dist = pipe.given(y, **options)
    return dist.conditional.sample(1, Generators([seeds])).z[0]


def test_one_in_one_out_list_in_list_out(pixels_pipe: Pipeline) -> None:
    assert isinstance(pixels_pipe(CAPTIONS[0], seed=0, **FEW), Image.Image)
    many = pixels_pipe(CAPTIONS, seed=0, **FEW)
    assert len(many) == 3 and all(isinstance(v, Image.Image) for v in many)
    assert len(pixels_pipe(CAPTIONS[0], num_samples=1, seed=0, **FEW)) == 1
    rows = pixels_pipe(CAPTIONS, num_samples=2, seed=0, **FEW)
    assert [len(r) for r in rows] == [2, 2, 2]


def test_seeds_run_over_samples_conditions_outermost(pixels_pipe: Pipeline) -> None:
    rows = pixels_pipe(CAPTIONS[:2], num_samples=2, seed=5, **FEW)
    listed = pixels_pipe(CAPTIONS[:2], num_samples=2, seed=[5, 6, 7, 8], **FEW)
    alone = [pixels_pipe(CAPTIONS[i // 2], seed=5 + i, **FEW) for i in range(4)]
    flat = [v for row in rows for v in row]
    for a, b, c in zip(flat, [v for row in listed for v in row], alone, strict=True):
        assert np.array_equal(a, b)
        assert same_but_for_rounding(a, c)


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m", "ancestral"])
def test_sample_i_of_a_batch_equals_the_sample_alone(pixels_pipe: Pipeline, sampler: str) -> None:
    options = {"sampler": sampler, "num_inference_steps": 8}
    batch = latents(pixels_pipe, CAPTIONS, [3, 4, 5], **options)
    for i, caption in enumerate(CAPTIONS):
        alone = latents(pixels_pipe, [caption], [3 + i], **options)
        assert (batch[i] - alone[0]).abs().max() <= EXACT


def test_conditions_some_missing_equal_each_alone(pixels_pipe: Pipeline) -> None:
    y = ["a green star", None, "two blue squares", None]
    batch = latents(pixels_pipe, y, [0, 1, 2, 3], **FEW)
    for i, value in enumerate(y):
        assert (batch[i] - latents(pixels_pipe, [value], [i], **FEW)[0]).abs().max() <= EXACT


def test_same_seed_same_sample_in_another_process(tmp_path: Path, pixels_pipe: Pipeline) -> None:
    pixels_pipe.save_pretrained(tmp_path / "saved")
    code = (
        "import sys; from mmgen import Pipeline; p = Pipeline.from_pretrained(sys.argv[1]); "
        "p('a green star', seed=7).save(sys.argv[2])"
    )
    picture = tmp_path / "other.png"
    command = [sys.executable, "-c", code, str(tmp_path / "saved"), str(picture)]
    subprocess.run(command, check=True)
    assert same_but_for_rounding(Image.open(picture), pixels_pipe("a green star", seed=7))


def test_different_seeds_and_conditions_differ(pixels_pipe: Pipeline) -> None:
    a, b = latents(pixels_pipe, ["a green star"] * 2, [0, 1])
    c = latents(pixels_pipe, ["two blue squares"], [0])[0]
    assert (a - b).abs().max() > 0.1
    assert (a - c).abs().max() > 1e-4


def test_no_seed_gives_fresh_samples(pixels_pipe: Pipeline) -> None:
    one, other = (pixels_pipe("a green star", **FEW) for _ in range(2))
    assert not np.array_equal(one, other)


def test_options_are_listed_and_unknown_ones_refused(pixels_pipe: Pipeline) -> None:
    names = {o.name for o in pixels_pipe.options()}
    assert {"num_inference_steps", "guidance_scale", "negative_prompt", "sampler"} <= names
    with pytest.raises(OptionError, match="guidance_scal.*Did you mean 'guidance_scale'.*sampler"):
        pixels_pipe("a green star", guidance_scal=3)
    assert issubclass(OptionError, TypeError)


def test_a_negative_prompt_changes_the_sample(pixels_pipe: Pipeline) -> None:
    plain = latents(pixels_pipe, ["a green star"], [0])
    away = latents(pixels_pipe, ["a green star"], [0], negative_prompt="two blue squares")
    assert (plain - away).abs().max() > 1e-4


def test_progress_reaches_its_end(pixels_pipe: Pipeline) -> None:
    seen: list[tuple[int, int]] = []
    pixels_pipe("a green star", seed=0, num_inference_steps=5, progress=lambda *a: seen.append(a))
    assert seen == [(i, 5) for i in range(1, 6)]


def test_log_prob_is_a_record(pixels_pipe: Pipeline) -> None:
    image = pixels_pipe("a green star", seed=0)
    found = pixels_pipe.given("a green star", likelihood="bound", num_bound_draws=8).log_prob(image)
    assert found.kind == "lower bound"
    assert found.nats.shape == (1,) and found.std_error.shape == (1,)
    assert int(found.num_dims[0]) == 3 * 16 * 16
    assert torch.isfinite(found.bits_per_dim).all()
    again = pixels_pipe.given("a green star", likelihood="bound", num_bound_draws=8).log_prob(image)
    assert torch.equal(found.nats, again.nats)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precision_gives_nearly_the_same(
    pixels_pipe: Pipeline, tmp_path: Path, dtype: torch.dtype
) -> None:
    saved = pixels_pipe.save_pretrained(tmp_path / "saved")
    low = Pipeline.from_pretrained(saved, dtype=dtype)
    assert next(low.model.parameters()).dtype == dtype
    a, b = (np.asarray(p("a green star", seed=0), int) for p in (pixels_pipe, low))
    assert np.abs(a - b).mean() < 8
    assert low.codec.std.dtype == torch.float32


def test_parts_that_do_not_fit_are_refused_when_built(pixels_pipe: Pipeline) -> None:
    with pytest.raises(SpecError, match=r"expects latents \(3, 16, 16\).*gives \(3, 8, 8\)"):
        Pipeline(encoder=pixels_pipe.encoder, model=pixels_pipe.model, codec=Pixels.debug())


BAD = [
    ({"y": ""}, ValueError, "empty"),
    ({"y": "   "}, ValueError, "empty"),
    ({"y": 7}, TypeError, "Expected a text"),
    ({"y": b"a star"}, TypeError, "Expected a text"),
    ({"y": ["a star", 3]}, TypeError, "Expected a text"),
    ({"y": []}, ValueError, "at least one condition"),
    ({"y": "a green elephant"}, ValueError, "'elephant'.*never seen"),
    ({"y": "a grean star"}, ValueError, "'grean'.*Did you mean 'green'"),
    ({"y": " ".join(["star"] * 300)}, ValueError, "at most 64 subwords, got"),
    ({"num_samples": 0}, ValueError, "at least 1"),
    ({"num_samples": -3}, ValueError, "at least 1"),
    ({"num_samples": 10**9}, ValueError, "at most 10000"),
    ({"num_samples": 2.5}, TypeError, "num_samples is an integer"),
    ({"num_inference_steps": 0}, ValueError, "num_inference_steps is at least 1, got 0"),
    ({"num_inference_steps": 2.5}, TypeError, "num_inference_steps is int"),
    ({"guidance_scale": -1.0}, ValueError, "guidance_scale is at least 0"),
    ({"guidance_scale": float("nan")}, ValueError, "finite"),
    ({"guidance_scale": "lots"}, TypeError, "guidance_scale is float"),
    ({"sampler": "eular"}, ValueError, "sampler is one of"),
    ({"seed": -1}, ValueError, "seed lies between 0"),
    ({"seed": MAX_SEED + 1}, ValueError, "seed lies between 0"),
    ({"seed": 1.5}, TypeError, "seed is an integer"),
    ({"seed": [1, 2, 3]}, ValueError, "Expected 1 seeds.*got 3"),
    ({"seed": ["x"]}, TypeError, "A seed is an integer"),
    ({"negative_prompt": ""}, ValueError, "empty"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD)
def test_bad_input(pixels_pipe: Pipeline, arguments: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        pixels_pipe(arguments.pop("y", "a green star"), **arguments)


def test_words_never_seen_can_be_allowed(pixels_pipe: Pipeline) -> None:
    assert pixels_pipe("a green elephant", seed=0, unknown_words="allow")


def test_a_wrong_name_lists_the_close_ones() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'text-to-image"):
        Pipeline.from_pretrained("text-to-imagee")


def test_half_precision_changes_no_latent(
    scenes_pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is trained on the latents that the codec gives everywhere else."""
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)) for _ in range(8)]
    tensors = scenes_pipe.prepare([("a red circle", image) for image in images])
    own = scenes_pipe.codec.encode(tensors["x"]).z
    with torch.autocast("cpu", torch.bfloat16):
        halved = scenes_pipe.codec.encode(tensors["x"]).z
        seen = []
        loss = scenes_pipe.model.loss

        def watched(latent, *rest, **options):  # noqa: ANN001, ANN002, ANN003, ANN202
            seen.append(latent.z)
            return loss(latent, *rest, **options)

        monkeypatch.setattr(scenes_pipe.model, "loss", watched)
        scenes_pipe.loss(tensors, generator=torch.Generator().manual_seed(0))
    assert torch.equal(seen[0], own)
    # There is a difference to be seen, so the test can fail.
    assert not torch.equal(halved, own)
