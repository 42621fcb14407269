"""Gymnasium's spaces."""

from __future__ import annotations

import numpy as np
import pytest

from mmgen.core.errors import SpecError
from mmgen.modalities.actions import ObservationEncoder
from mmgen.modalities.actions.spaces import History, codec_of, named, shapes_of

spaces = pytest.importorskip("gymnasium").spaces

PUSHING = spaces.Dict(
    {
        "pixels": spaces.Box(0, 255, (16, 16, 3), np.uint8),
        "agent_pos": spaces.Box(0, 512, (2,), np.float64),
    }
)
CAMERAS = spaces.Dict(
    {
        "pixels": spaces.Dict({"top": spaces.Box(0, 255, (8, 8, 3), np.uint8)}),
        "goal": spaces.Box(-np.inf, np.inf, (4,)),
    }
)


def test_bounds_of_a_box_are_those_of_the_codec() -> None:
    box = spaces.Box(np.float32([-0.4, 0.0]), np.float32([0.4, np.inf]))
    codec = codec_of(box, horizon=3, units="rad")
    assert codec.spec.shape == (3, 2) and codec.clip
    assert codec.low.tolist() == box.low.tolist() and codec.high.tolist() == box.high.tolist()
    box.seed(0)
    chunks = [np.stack([box.sample() for _ in range(3)]) for _ in range(20)]
    codec.fit(chunks)
    for action in np.concatenate(codec.present(codec.decode(codec.encode(codec.prepare(chunks))))):
        assert box.contains(action)
    assert not codec_of(spaces.Box(-np.inf, np.inf, (2,)), horizon=3).clip


@pytest.mark.parametrize(
    "space",
    [spaces.Discrete(3), spaces.Box(0, 1, (2, 2)), spaces.Box(0, 9, (2,), np.int64), PUSHING, None],
)
def test_other_actions_are_refused(space: object) -> None:
    with pytest.raises(SpecError, match="Expected actions in a Box"):
        codec_of(space, horizon=3)


@pytest.mark.parametrize("space", [PUSHING, CAMERAS, PUSHING["agent_pos"], PUSHING["pixels"]])
def test_observations_have_the_names_that_lerobot_gives_them(space: object) -> None:
    shapes = shapes_of(space, history=2)
    found = named(space.sample())
    assert {k: (2, *v.shape) for k, v in found.items()} == shapes
    encoder = ObservationEncoder(shapes, dim=8, num_heads=2)
    history = History(2)
    observations = [history.add(space.sample()) for _ in range(3)]
    encoder.fit(observations)
    assert encoder.encode(encoder.prepare(observations)).tokens.isfinite().all()


def test_names() -> None:
    assert list(shapes_of(PUSHING, history=1)) == ["observation.state", "observation.image"]
    assert list(shapes_of(CAMERAS, history=1)) == [
        "observation.goal",
        "observation.images.top",
    ]


def test_other_observations_are_refused() -> None:
    with pytest.raises(SpecError, match="Expected observation in a Box"):
        shapes_of(spaces.Discrete(3), history=1)
    with pytest.raises(SpecError, match=r"observation\.image is Box"):
        shapes_of(spaces.Box(0, 1, (8, 8, 3)), history=1)


def test_history_begins_with_its_first_observation() -> None:
    history = History(3)
    reading = np.array([1.0])
    assert history.add(reading)["observation.state"].tolist() == [[1], [1], [1]]
    reading += 1
    assert history.add(reading)["observation.state"].tolist() == [[1], [1], [2]]
    assert [float(history.add([x])["observation.state"][0, 0]) for x in (3, 4)] == [1, 2]
    history.reset()
    assert history.add([7])["observation.state"].tolist() == [[7], [7], [7]]
    with pytest.raises(ValueError, match="at least 1, got 0"):
        History(0)
