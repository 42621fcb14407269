"""(array, sampling_rate) given alone is one sound, whatever a list of sounds is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mmgen.modalities.audio import Audio
from mmgen.modalities.audio.files import is_one
from mmgen.pipeline import Pipeline

RATE = 8000
ARRAYS = [np.random.default_rng(i).uniform(-0.5, 0.5, 900).astype(np.float32) for i in range(2)]
SOUNDS = [Audio(array[None], RATE) for array in ARRAYS]
STEPS = {"seed": 0, "num_inference_steps": 2}


def _pipe(y: Any) -> Pipeline:
    torch.manual_seed(0)
    pipe = Pipeline.compose(x="image", y=y, family="diffusion", size="debug")
    values = SOUNDS if y == "audio" else [{"audio": s, "text": "a red square"} for s in SOUNDS]
    images = [np.zeros((16, 16, 3), np.uint8)] * 2
    pipe.fit_statistics(list(zip(values, images, strict=True)))
    with torch.no_grad():
        for parameter in pipe.parts.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return pipe


@pytest.mark.parametrize("y", ["audio", ["audio", "text"]], ids=["alone", "as main part"])
def test_a_pair_is_one_condition(y: Any) -> None:
    pipe = _pipe(y)
    expected = pipe(SOUNDS[0], **STEPS)
    for pair in ((ARRAYS[0], RATE), (torch.from_numpy(ARRAYS[0]), np.int64(RATE))):
        assert pipe.given(pair, num_inference_steps=2).single
        assert pipe(pair, **STEPS).tobytes() == expected.tobytes()
    assert len(pipe((ARRAYS[0], RATE), num_samples=2, **STEPS)) == 2
    pairs = [(array, RATE) for array in ARRAYS]
    for several in (pairs, tuple(pairs)):
        found = pipe(several, **STEPS)
        assert [x.tobytes() for x in found] == [x.tobytes() for x in pipe(SOUNDS, **STEPS)]


def test_the_code_of_a_value_given_a_pair() -> None:
    pipe = _pipe("audio")
    image = np.full((16, 16, 3), 90, np.uint8)
    code = pipe.encode(image, (ARRAYS[0], RATE))
    assert torch.equal(code, pipe.encode(image, SOUNDS[0]))
    both = pipe.encode([image, image], (ARRAYS[0], RATE))
    assert both.shape == (2, *code.shape)


@pytest.mark.parametrize(
    ("value", "one"),
    [
        ((ARRAYS[0], RATE), True),
        ({"array": ARRAYS[0], "sampling_rate": RATE}, True),
        ("a.wav", True),
        (None, True),
        ([ARRAYS[0], RATE], False),
        ((ARRAYS[0], ARRAYS[1]), False),
        ((SOUNDS[0], SOUNDS[1]), False),
        (("a.wav", RATE), False),
        ((ARRAYS[0],), False),
        ([(ARRAYS[0], RATE)], False),
    ],
)
def test_what_is_one_sound(value: Any, one: bool) -> None:
    assert is_one(value) == one


def test_two_arrays_are_no_sound() -> None:
    with pytest.raises(ValueError, match="has no sampling_rate"):
        _pipe("audio")((ARRAYS[0], ARRAYS[1]), **STEPS)
