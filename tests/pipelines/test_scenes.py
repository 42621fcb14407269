"""The shipped pipelines about pictures of shapes: one draws them, the other reads them."""

from __future__ import annotations

import numpy as np
import pytest

from mmgen.pipeline import Pipeline
from mmgen.simulators import scenes

COLOURS = ("red", "green", "blue", "yellow")


@pytest.fixture(scope="module")
def reader() -> Pipeline:
    return Pipeline.from_pretrained("image-to-text:scenes")


@pytest.fixture(scope="module")
def single() -> list[tuple[scenes.Thing, np.ndarray]]:
    """Pictures of one thing in four colours."""
    rng = np.random.default_rng(5)
    drawn = (scenes.sample_scene(rng, num_things=1) for _ in range(400))
    chosen = [scene for scene in drawn if scene.things[0].colour in COLOURS][:24]
    return [(scene.things[0], scenes.render(scene)) for scene in chosen]


def test_it_tells_what_is_there(
    reader: Pipeline, single: list[tuple[scenes.Thing, np.ndarray]]
) -> None:
    right = 0
    for thing, picture in single:
        captions = [f"a {colour} {thing.shape}" for colour in COLOURS]
        nats = reader.given([picture] * len(captions)).log_prob(captions).nats
        right += COLOURS[int(nats.argmax())] == thing.colour
    assert right >= 23


def test_samples_are_captions(
    reader: Pipeline, single: list[tuple[scenes.Thing, np.ndarray]]
) -> None:
    words = set(scenes.vocabulary())
    texts = reader([picture for _, picture in single], seed=0)
    assert all(set(text.replace(",", "").split()) <= words for text in texts)
    assert np.mean([thing.colour in t for (thing, _), t in zip(single, texts, strict=True)]) > 0.6


def test_it_chooses_the_pictures_of_the_default_pipeline() -> None:
    pipe = Pipeline.from_pretrained("text-to-image")
    text = "a red circle left of a blue square"
    alone = [np.asarray(pipe(text, seed=s, num_candidates=1)) for s in range(2)]
    best = pipe(text, num_samples=2, seed=0)
    reads = Pipeline.from_pretrained("image-to-text:scenes")
    for one, chosen in zip(alone, best, strict=True):
        nats = reads.given([one, chosen]).log_prob([text, text]).nats
        assert nats[1] >= nats[0] - 1e-4
