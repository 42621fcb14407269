"""What any distribution answers, of diffusers too: what is known, Bayes' rule, chains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from backends import tiny_readers
from PIL import Image
from rounding import same_but_for_rounding

from mmgen import Pipeline
from mmgen.core.errors import SpecError
from mmgen.core.rng import derive_seeds
from mmgen.inference import classify, rerank
from mmgen.operators import Downsample

TEXT = "A Red cat"
# diffusers makes arrays of tensors.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def painter(checkpoints: Callable[[str], Path]) -> Pipeline:
    """One that heeds its words, as trained ones do."""
    pipe = Pipeline.from_pretrained(checkpoints("sd"))
    with torch.no_grad():
        for name, weight in pipe.model.pipeline.unet.named_parameters():
            if "attn2.to_out" in name or "attn2.to_v" in name:
                weight.mul_(12)
    return pipe


@pytest.fixture
def picture() -> Image.Image:
    levels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return Image.fromarray(levels)


@pytest.mark.parametrize("name", ["sd", "sd3"])
def test_the_rest_of_a_picture_through_latents(
    name: str, checkpoints: Callable[[str], Path], picture: Image.Image
) -> None:
    pipe = Pipeline.from_pretrained(checkpoints(name))
    mask = np.zeros((16, 16), dtype=bool)
    mask[:, :9] = True
    own = {"max_sequence_length": 32} if name == "sd3" else {}
    given = pipe.given(TEXT, known=picture, mask=mask, num_inference_steps=2, **own)
    one, other = (np.asarray(x) for x in given.sample(2, seed=3))
    for found in (one, other):
        assert (found[mask] == np.asarray(picture)[mask]).all()
    assert (one[~mask] != other[~mask]).any()
    assert same_but_for_rounding(given.sample(seed=4)[0], other)
    # What is open has no influence.
    hidden = np.where(mask[..., None], np.asarray(picture), 0)
    given = pipe.given(TEXT, known=hidden, mask=mask, num_inference_steps=2, **own)
    assert same_but_for_rounding(given.sample(seed=3)[0], one)


def test_which_words_explain_a_picture(painter: Pipeline, picture: Image.Image) -> None:
    words = [TEXT, "blue"]
    # Both with the same noise, so that what differs is what the words do.
    bound = {"likelihood": "bound", "num_bound_draws": 32}
    nats = torch.cat([painter.given(y, **bound).log_prob(picture).nats for y in words])
    assert (nats[0] - nats[1]).abs() > 1
    found = classify(painter, picture, words, seed=1)
    assert found.best == words[int(nats.argmax())] and found.kind == "lower bound"
    assert abs(float(found.probability.sum()) - 1) < 1e-6 and float(found.probability.max()) > 0.6


def test_candidates_are_ranked_by_the_model(checkpoints: Callable[[str], Path]) -> None:
    prior = Pipeline.from_pretrained(checkpoints("ddpm"))
    pictures = prior(num_samples=2, seed=0, num_inference_steps=1)
    bound = {"likelihood": "bound", "num_bound_draws": 8}
    ranked = rerank(prior, None, pictures, **bound)
    nats = [float(prior.given(**bound).log_prob(x).nats) for x in pictures]
    assert [r.score for r in ranked] == pytest.approx(sorted(nats, reverse=True), abs=1e-3)
    assert ranked[0].value is pictures[int(np.argmax(nats))]


def test_what_is_written_is_painted_and_what_is_painted_is_read(
    painter: Pipeline, gpt2: Path, tmp_path: Path
) -> None:
    write = Pipeline.from_pretrained(gpt2)
    steps = {"num_inference_steps": 1}
    chain = write >> painter
    short = {"max_new_tokens": 4, "temperature": 0.0}
    image = chain({"text": TEXT}, seed=5, **short, **steps)
    text = write({"text": TEXT}, seed=5, **short)
    _, seed = derive_seeds(5, 2)
    assert isinstance(image, Image.Image) and text.strip()
    assert same_but_for_rounding(image, painter(text, seed=seed, **steps))
    captioner = Pipeline.from_pretrained(tiny_readers.blip(tmp_path))
    read = (painter >> captioner)(TEXT, seed=1, max_new_tokens=3, temperature=0.0, **steps)
    assert isinstance(read, str)


def test_what_has_no_density_says_so(checkpoints: Callable[[str], Path]) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("dit"))
    image: Any = np.zeros((16, 16, 3), dtype=np.uint8)
    with pytest.raises(SpecError, match="can be sampled but has no density"):
        classify(pipe, image, [3, 4])
    with pytest.raises(SpecError, match="can be sampled but not completed"):
        pipe.given(3, known=image, mask=np.ones((16, 16), dtype=bool))
    with pytest.raises(SpecError, match="values of a fixed shape"):
        pipe.given(3, operator=Downsample(2), measurement=np.zeros((3, 8, 8)), noise=0.1)
