"""Every operator is linear, its adjoint is its transpose, and it measures what it says."""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mmgen import operators
from mmgen.core.errors import SpecError
from mmgen.operators import (
    OPERATORS,
    Blur,
    Compose,
    Downsample,
    FanBeam,
    Greyscale,
    Mask,
    Operator,
    Radon,
    as_operator,
    check_adjoint,
    read_operator,
)
from mmgen.operators.radon import spread_angles


def _found() -> list[type[Operator]]:
    """Every operator of the package."""
    found = set()
    for info in pkgutil.iter_modules(operators.__path__):
        module = importlib.import_module(f"{operators.__name__}.{info.name}")
        found |= {k for _, k in inspect.getmembers(module, inspect.isclass)}
    concrete = [k for k in found if issubclass(k, Operator) and not inspect.isabstract(k)]
    return sorted(concrete, key=lambda k: k.__name__)


def _random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("kind", _found(), ids=lambda k: k.__name__)
def test_the_adjoint_is_the_transpose(kind: type[Operator]) -> None:
    operator = kind.debug()
    x, other = _random(2, 3, 8, 8), _random(2, 3, 8, 8, seed=1)
    y = operator.apply(x)
    assert y.dtype == torch.float64
    u = _random(*y.shape, seed=2)
    back = operator.adjoint(u)
    assert back.shape == x.shape
    gap = (y * u).sum() - (x * back).sum()
    assert abs(gap) < 1e-5 * y.norm() * u.norm()
    assert torch.allclose(operator.apply(2 * x - other), 2 * y - operator.apply(other), atol=1e-9)
    assert torch.allclose(operator.apply(x[1:]), y[1:], atol=1e-12)
    check_adjoint(operator, (1, 3, 8, 8))


@pytest.mark.parametrize("boundary", ["reflect", "circular", "zero"])
def test_blur_has_the_adjoint_of_each_boundary(boundary: str) -> None:
    operator = Blur(_random(3, 5), boundary=boundary)
    x = _random(2, 3, 6, 7)
    u = _random(2, 3, 6, 7, seed=1)
    gap = (operator.apply(x) * u).sum() - (x * operator.adjoint(u)).sum()
    assert abs(gap) < 1e-6


def test_blur_keeps_what_is_constant_and_knows_its_boundary() -> None:
    ones = torch.ones(1, 1, 9, 9)
    assert torch.allclose(Blur.gaussian(1.0).apply(ones), ones, atol=1e-6)
    shift = torch.tensor([[0.0, 0.0, 1.0]])
    x = torch.arange(4.0).expand(1, 1, 4, 4)
    expected = {"reflect": 2.0, "circular": 0.0, "zero": 0.0}
    for boundary, last in expected.items():
        row = Blur(shift, boundary=boundary).apply(x)[0, 0, 0]
        assert row.tolist() == [1.0, 2.0, 3.0, last]


def test_downsampling_averages() -> None:
    x = _random(1, 3, 4, 4)
    y = Downsample(2).apply(x)
    assert torch.allclose(y[0, 0, 0, 0], x[0, 0, :2, :2].mean())
    ramp = torch.arange(16.0, dtype=torch.float64).expand(1, 1, 16, 16)
    small = Downsample(2, filter="bicubic").apply(ramp)
    # A kernel that is even about its centre keeps a ramp, away from the edges.
    assert torch.allclose(small[0, 0, 0, 2:-2], torch.arange(4.5, 12, 2, dtype=torch.float64))


def test_grey_of_a_colour() -> None:
    red = torch.tensor([1.0, 0.0, 0.0])[None, :, None, None]
    assert torch.allclose(Greyscale().apply(red), torch.tensor(0.299))


def _disc(size: int, radius: float, x: float, y: float) -> Tensor:
    """An image of a disc, anti-aliased."""
    fine = 8
    grid = (torch.arange(size * fine, dtype=torch.float64) + 0.5) * 2 / (size * fine) - 1
    inside = (grid - x).square() + (-grid[:, None] - y).square() < radius**2
    return torch.nn.functional.avg_pool2d(inside.double()[None, None], fine)


def test_parallel_rays_through_a_disc_have_the_length_of_chords() -> None:
    size, radius, x, y = 64, 0.5, 0.2, -0.3
    angles = spread_angles(12)
    sinogram = Radon(size, angles=angles, num_detectors=90).apply(_disc(size, radius, x, y))
    s = (2 * (torch.arange(90, dtype=torch.float64) + 0.5) / 90 - 1) * math.sqrt(2)
    away = s - (x * angles.cos() + y * angles.sin())[:, None]
    chords = 2 * (radius**2 - away.square()).clamp(min=0).sqrt()
    error = (sinogram[0, 0] - chords).norm() / chords.norm()
    assert error < 0.02, f"{error:.3f}"


def test_rays_from_a_point_through_a_disc_have_the_length_of_chords() -> None:
    size, radius, x, y, source, detector = 64, 0.4, 0.2, -0.3, 3.0, 1.0
    angles = spread_angles(9, over=2 * math.pi)
    operator = FanBeam(
        size,
        angles=angles,
        num_detectors=80,
        source_distance=source,
        detector_distance=detector,
    )
    sinogram = operator.apply(_disc(size, radius, x, y))[0, 0]
    reach = (source + detector) * math.sqrt(2) / math.sqrt(source**2 - 2)
    u = (2 * (torch.arange(80, dtype=torch.float64) + 0.5) / 80 - 1) * reach
    for theta, row in zip(angles.tolist(), sinogram, strict=True):
        at = (source * math.sin(theta), -source * math.cos(theta))
        to = (
            -detector * math.sin(theta) + u * math.cos(theta),
            detector * math.cos(theta) + u * math.sin(theta),
        )
        way = torch.stack((to[0] - at[0], to[1] - at[1]), dim=1)
        way = way / way.norm(dim=1, keepdim=True)
        away = (x - at[0]) * way[:, 1] - (y - at[1]) * way[:, 0]
        chords = 2 * (radius**2 - away.square()).clamp(min=0).sqrt()
        assert (row - chords).norm() / chords.norm() < 0.04


def test_a_far_source_gives_parallel_rays() -> None:
    x = _disc(32, 0.6, 0.1, 0.2)
    angles = spread_angles(4)
    far = FanBeam(32, angles=angles, num_detectors=40, source_distance=1e5, detector_distance=0.0)
    parallel = Radon(32, angles=angles, num_detectors=40)
    assert torch.allclose(far.apply(x), parallel.apply(x), atol=2e-3)


def test_rows_have_their_own_masks() -> None:
    mask = torch.tensor([[True, False], [False, False], [True, True]])
    operator = Mask(mask, rows=True)
    x = torch.ones(3, 2)
    assert torch.equal(operator.apply(x), mask.float())
    chosen = operator.select(torch.tensor([2, 0]))
    assert torch.equal(chosen.apply(x[:2]), mask[[2, 0]].float())
    assert torch.equal(
        Compose([operator]).select(torch.tensor([1])).apply(x[:1]), torch.zeros(1, 2)
    )


class _Foreign:
    """An operator of another library, with a scale that its adjoint may forget."""

    def __init__(self, scale: float, offset: float = 0.0) -> None:
        self.scale, self.offset = scale, offset

    def A(self, x: Tensor) -> Tensor:
        return 3 * x[:, :2] + self.offset

    def A_adjoint(self, y: Tensor) -> Tensor:
        return torch.cat((self.scale * y, 0 * y[:, :1]), dim=1)


def test_foreign_operators_are_adapted_and_tried() -> None:
    check_adjoint(as_operator(_Foreign(3.0)), (2, 3))
    with pytest.raises(SpecError, match="not the transpose of its map"):
        check_adjoint(as_operator(_Foreign(1.0)), (2, 3))
    with pytest.raises(SpecError, match="is not linear: zero is measured as something else"):
        check_adjoint(as_operator(_Foreign(3.0, offset=1.0)), (2, 3))
    with pytest.raises(SpecError, match=r"gives values of shape \(2, 3\); expected \(2, 4\)"):
        check_adjoint(as_operator(_Foreign(3.0)), (2, 4))
    with pytest.raises(TypeError, match="methods A and A_adjoint; got Tensor"):
        as_operator(torch.eye(3))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Mask(torch.ones(2, 2)), "A mask is boolean.*got torch.float32"),
        (lambda: Blur(torch.ones(2, 3)), r"two axes of odd size, got \(2, 3\)"),
        (lambda: Blur(torch.full((1, 1), torch.nan)), "finite"),
        (lambda: Blur(torch.ones(1, 1), boundary="wrap"), "boundary is one of"),
        (lambda: Blur.gaussian(0.0), "above 0, got 0.0"),
        (lambda: Downsample(0), "factor is an integer from 1 on, got 0"),
        (lambda: Downsample(2, filter="box"), "filter is one of"),
        (lambda: Radon(8, angles=torch.zeros(0)), "a list of angles"),
        (lambda: FanBeam(8, angles=torch.zeros(1), source_distance=1.0), "outside of the image"),
        (lambda: Compose([3]), "Compose takes operators, got int"),
    ],
)
def test_bad_operators(build: object, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        build()


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (Downsample(3), r"multiples of it, got \(3, 8, 8\)"),
        (Radon(16, angles=torch.zeros(1)), r"images \(..., 16, 16\), got \(3, 8, 8\)"),
        (Mask(torch.ones(4, 4, dtype=torch.bool)), r"mask of shape \(4, 4\) does not fit"),
        (Blur(torch.ones(17, 1)), r"more than half its size, got \(3, 8, 8\)"),
        (Compose([Greyscale(), Greyscale()]), r"takes values \(..., 3, H, W\), got \(1, 8, 8\)"),
    ],
)
def test_values_of_another_shape(operator: Operator, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        operator.apply(torch.zeros(1, 3, 8, 8))


SEEN = np.array([[True, False], [False, True]])
NAMED: dict[str, Operator] = {
    "greyscale": Greyscale(),
    "downsample:factor=4": Downsample(4),
    "downsample:factor=2,filter=bicubic": Downsample(2, filter="bicubic"),
    "blur:std=0.5": Blur.gaussian(0.5),
    "blur:std=0.5,boundary=zero": Blur.gaussian(0.5, boundary="zero"),
    "radon:size=8,num_angles=3": Radon(8, angles=spread_angles(3)),
    "fan_beam:size=8,num_angles=3": FanBeam(8, angles=spread_angles(3, over=2 * math.pi)),
}


@pytest.mark.parametrize("text", NAMED)
def test_operators_can_be_typed(text: str) -> None:
    x = _random(1, 3, 8, 8)
    found = read_operator([text], read=np.load)
    assert torch.equal(found.apply(x), NAMED[text].apply(x))


def test_several_are_applied_in_order_and_arrays_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "seen.npy", SEEN)
    texts = ["downsample:factor=4", f"mask:mask={tmp_path / 'seen.npy'}"]
    x = _random(1, 3, 8, 8)
    expected = Mask(torch.as_tensor(SEEN)).apply(Downsample(4).apply(x))
    assert torch.equal(read_operator(texts, read=np.load).apply(x), expected)


def test_each_operator_has_its_name() -> None:
    own = {kind.__module__.split(".")[-1] for kind in _found()} - {"adapted", "compose"}
    assert own == set(OPERATORS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("greyscal", "No operator 'greyscal'. Did you mean 'greyscale'"),
        ("", "No operator ''"),
        ("downsample", "downsample needs factor: type downsample:factor=..."),
        ("downsample:", "downsample needs factor"),
        ("downsample:factor", "Expected downsample:factor=...,filter=....*got 'factor' in"),
        ("downsample:factor=2,factor=2", "no argument twice; got 'factor=2'"),
        ("downsample:factor=two", "factor is an integer, got 'two'"),
        ("downsample:factor=0", "factor is an integer from 1 on, got 0"),
        ("downsample:factor=2,filter=lanczos", "filter is one of average, bicubic"),
        ("greyscale:factor=2", "Expected greyscale alone.*got 'factor=2'"),
        ("blur:std=nan", "std is a number of pixels above 0, got nan"),
        ("blur:kernel=x", "Expected blur:std=...,boundary=..."),
        ("radon:size=8,num_angles=-1", "num_angles is at least 1, got -1"),
        ("radon:size=8", "radon needs num_angles"),
    ],
)
def test_what_is_typed_wrongly_is_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_operator([text], read=np.load)
