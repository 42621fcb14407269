"""P-values are uniform for values like the calibration set, and small for others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mmgen.core.errors import LoadError, SpecError, UnknownNameError
from mmgen.inference import OutlierDetector, auroc
from mmgen.inference.compression import compressed_bits
from mmgen.pipeline import Pipeline

NUMBERS = ("log_prob", "typicality")


def _kolmogorov(p_values: list[float]) -> float:
    """Distance of their distribution from the uniform one, times sqrt(n)."""
    p = np.sort(p_values)
    ranks = np.arange(1, len(p) + 1) / len(p)
    return float(max(np.abs(ranks - p).max(), np.abs(ranks - 1 / len(p) - p).max()) * len(p) ** 0.5)


@pytest.fixture
def plain(linear: Callable[..., Pipeline]) -> Pipeline:
    """A standard normal of 32 dimensions, doubled."""
    return linear(torch.zeros(32, 1).tolist(), [0.0] * 32, 1.0)


def test_p_values_are_uniform_under_the_calibration_law(plain: Pipeline) -> None:
    # One set of a hundred leaves its own mark on all tests, so several sets are drawn.
    rows: dict[str, list[float]] = {"p": [], "log_prob": [], "typicality": []}
    for seed in range(10):
        values = plain(num_samples=130, seed=1000 * seed)
        detector = OutlierDetector(plain, values[:100], scores=NUMBERS)
        for found in detector.test(values[100:]):
            rows["p"].append(found.p_value)
            for name in NUMBERS:
                rows[name].append(found.p_values[name])
    for p in rows.values():
        # 1.63 has a probability of 1 %; ranks of 101 are 0.01 apart, which adds 0.17.
        assert _kolmogorov(p) < 1.63 + 0.17
        assert np.mean(np.array(p) <= 0.1) < 0.15


def test_outliers_have_small_p_values(plain: Pipeline) -> None:
    values = plain(num_samples=100, seed=0)
    detector = OutlierDetector(plain, values, scores=NUMBERS)
    far, still = 3 * values[0], 0.1 * values[0]
    found = detector.test([far, still])
    assert found[0].p_values["log_prob"] == pytest.approx(1 / 101)
    assert found[0].p_value < 0.03
    # Nearer to the mode than any typical value: likely, and yet an outlier.
    assert found[1].p_values["log_prob"] == 1
    assert found[1].p_values["typicality"] < 0.03
    assert found[1].p_value < 0.05
    assert found[1].kind == "exact"
    one = detector.test(far)
    assert one == found[0]


def test_complexity_flags_what_likelihood_misses(pixels: Pipeline) -> None:
    values = pixels(num_samples=60, seed=0)
    detector = OutlierDetector(pixels, values[:40])
    grey = np.full((8, 8, 3), 128, np.uint8)
    found = detector.test(grey)
    assert found.p_values["log_prob"] == 1
    assert found.p_values["complexity"] == pytest.approx(1 / 41)
    usual = detector.test(values[40:])
    flat = [np.full((8, 8, 3), 118 + i, np.uint8) for i in range(20)]
    odd = detector.test(flat)
    area = {
        name: auroc([t.scores[name] for t in usual], [t.scores[name] for t in odd])
        for name in detector.scores
    }
    assert area["log_prob"] == 0
    assert area["typicality"] == 1
    assert area["complexity"] == 1


def test_noise_compresses_to_itself_and_flat_to_nothing() -> None:
    rng = np.random.default_rng(0)
    noise = torch.tensor(rng.integers(0, 256, (1, 3, 32, 32), dtype=np.uint8))
    smooth = torch.arange(32).mul(8).expand(1, 3, 32, 32).to(torch.uint8)
    sizes = [compressed_bits({"pixels": t}) / t.numel() for t in (noise, smooth, 0 * smooth)]
    assert 8 <= sizes[0] < 8.5
    assert sizes[2] <= sizes[1] < 0.5
    tokens = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6] * 50])
    given = torch.tensor([True])
    assert compressed_bits({"tokens": tokens, "given": given}) < 8 * 60
    with pytest.raises(SpecError, match="complexity of 'x' needs integers"):
        compressed_bits({"x": torch.zeros(1, 3)})


def test_calibration_is_saved_and_loaded(plain: Pipeline, tmp_path: Path) -> None:
    values = plain(num_samples=20, seed=0)
    detector = OutlierDetector(plain, values, scores=NUMBERS, temperature=2.0)
    path = detector.save(tmp_path / "calibration.json")
    again = OutlierDetector.load(plain, path)
    assert again.test(values[:3]) == detector.test(values[:3])
    assert again.options == {"temperature": 2.0}
    content = json.loads(path.read_text())
    for change, message in (
        ({"format": 99}, "has format 99"),
        ({"statistics": {"bits": [1.0, 2.0]}}, "10 or more finite"),
        ({"statistics": {"bits": "abc"}}, "does not hold a calibration"),
        ({"statistics": {}}, "does not hold a calibration"),
        ({"scores": ["oddity"]}, "No score 'oddity'"),
    ):
        path.write_text(json.dumps(content | change))
        with pytest.raises(LoadError, match=message):
            OutlierDetector.load(plain, path)
    with pytest.raises(ValueError, match="ending is none of .json"):
        detector.save(tmp_path / "calibration.pkl")


def test_conditions_are_one_for_all_or_one_each(shift: Pipeline) -> None:
    ys = [np.full(4, i, np.float32) for i in range(20)]
    values = shift(ys, seed=0)
    detector = OutlierDetector(shift, values, y=ys, scores=("log_prob",))
    right, wrong = detector.test([values[3], values[3]], [ys[3], ys[9]])
    assert wrong.p_value == pytest.approx(1 / 21)
    assert wrong.p_value < right.p_value
    with pytest.raises(ValueError, match="Expected 1 conditions"):
        detector.test([values[0]], ys[:2])


def test_bad_inputs(plain: Pipeline, linear: Callable[..., Pipeline]) -> None:
    values = plain(num_samples=20, seed=0)
    with pytest.raises(ValueError, match="10 values or more, got 3"):
        OutlierDetector(plain, values[:3], scores=NUMBERS)
    with pytest.raises(UnknownNameError, match="typicality"):
        OutlierDetector(plain, values, scores=("typical",))
    with pytest.raises(ValueError, match="got no score"):
        OutlierDetector(plain, values, scores=())
    with pytest.raises(SpecError, match="complexity"):
        OutlierDetector(plain, values)
    with pytest.raises(ValueError, match="not finite"):
        OutlierDetector(plain, [*values, np.full(32, np.nan, np.float32)], scores=NUMBERS)
    silent = linear([[1.0]], [0.0], 1.0, density=False)
    with pytest.raises(SpecError, match="no density"):
        OutlierDetector(silent, silent(num_samples=10, seed=0), scores=NUMBERS)


def test_auroc_counts_pairs() -> None:
    assert auroc([1, 2, 3], [4, 5]) == 1
    assert auroc([4, 5], [1, 2]) == 0
    assert auroc([1, 1], [1, 1, 1]) == 0.5
    assert auroc([1.0, 3.0], [2.0, 3.0]) == pytest.approx((1 + 0 + 1 + 0.5) / 4)
    with pytest.raises(ValueError, match="one inlier and one outlier"):
        auroc([], [1.0])
