"""Values come back from their codes, and the way between two stays among likely ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from mmgen.core.errors import SpecError
from mmgen.inference import interpolate
from mmgen.pipeline import Pipeline


def test_codes_are_standardised_values(shift: Pipeline) -> None:
    y = np.ones(4, np.float32)
    x = shift(y, seed=3)
    code = shift.encode(x, y)
    assert torch.allclose(code, torch.tensor((x / 2 - y) / 0.5), atol=1e-5)
    assert np.allclose(shift.decode(code[None], y)[0], x, atol=1e-5)
    codes = shift.encode([x, -x], [y, -y])
    assert torch.allclose(codes, torch.stack((code, -code)))


def test_an_image_comes_back_from_its_noise(digits_pipe: Pipeline) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    codes = digits_pipe.encode([image], "b")
    assert codes.shape == (1, 3, 16, 16)
    back = np.asarray(digits_pipe.decode(codes, "b")[0])
    # In latents the tolerance is 1e-3, and rounding down may lose one step.
    assert np.abs(back.astype(int) - image.astype(int)).max() <= 1
    assert (back == image).mean() > 0.99


def test_the_way_between_turns_evenly(shift: Pipeline) -> None:
    a, b = np.eye(4, dtype=np.float32)[:2]
    way = interpolate(shift, a, 3 * b, 5)
    assert len(way) == 5
    assert np.allclose(way[0], a, atol=1e-5)
    assert np.allclose(way[-1], 3 * b, atol=1e-5)
    norms = [np.linalg.norm(x) for x in way]
    assert np.allclose(norms, [1.0, 1.5, 2.0, 2.5, 3.0], atol=1e-4)
    angles = [np.arctan2(x[1], x[0]) for x in way]
    assert np.allclose(np.diff(angles), np.pi / 8, atol=1e-4)


def test_where_there_is_no_circle_the_way_is_straight(shift: Pipeline) -> None:
    a = np.array([1, 2, 0, 0], np.float32)
    for b in (-a, 2 * a, 0 * a):
        assert np.allclose(interpolate(shift, a, b, 3)[1], (a + b) / 2, atol=1e-5)


def test_bad_inputs(linear: Callable[..., Pipeline], shift: Pipeline) -> None:
    silent = linear([[1.0]], [0.0], 1.0, density=False)
    one = np.zeros(1, np.float32)
    with pytest.raises(SpecError, match="Drawn has no codes"):
        silent.encode(one)
    with pytest.raises(SpecError, match="Drawn has no codes"):
        silent.decode(torch.zeros(1, 1))
    four = np.zeros(4, np.float32)
    with pytest.raises(ValueError, match="Expected 2 conditions, one for each, got 1"):
        shift.encode([four, four], [four])
    with pytest.raises(ValueError, match="2 or more, got 1"):
        interpolate(shift, four, four, 1)
