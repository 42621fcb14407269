"""Metrics of images and of detectors: their references, known answers, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmgen.core.conditional import LogProb
from mmgen.evaluation.metrics.bits_per_dim import bits_per_dim
from mmgen.evaluation.metrics.caption_satisfaction import caption_satisfaction
from mmgen.evaluation.metrics.detection import auroc, fpr_at
from mmgen.evaluation.metrics.features import features_of
from mmgen.evaluation.metrics.frechet import frechet_distance
from mmgen.evaluation.metrics.image_fidelity import psnr, ssim
from mmgen.evaluation.metrics.kernel_distance import kernel_distance
from mmgen.evaluation.metrics.neighbours import precision_recall
from mmgen.pipeline import Pipeline
from mmgen.simulators import scenes


def _features(count: int, dims: int = 5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, dims)) @ rng.normal(size=(dims, dims)) + rng.normal(size=dims)


def test_frechet_is_that_of_the_matrix_root() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    x, y = _features(40), _features(60, seed=1)
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = linalg.sqrtm(a @ b).real
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(a + b - 2 * root)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-9)


def test_frechet_of_a_shift_is_its_square() -> None:
    x = _features(30)
    assert frechet_distance(x, x + 2) == pytest.approx(5 * 4, rel=1e-6)
    # Fewer samples than features: covariances have no full rank.
    few = _features(4, dims=9)
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-5)
    one = np.arange(4.0)[:, None]
    assert frechet_distance(one, 3 * one) == pytest.approx(3**2 + (2 * one.std(ddof=1)) ** 2)


def test_kernel_distance_is_its_definition() -> None:
    x, y = _features(6, dims=3), _features(7, dims=3, seed=1)

    def mean(a: np.ndarray, b: np.ndarray, same: bool) -> float:
        pairs = [(i, j) for i in range(len(a)) for j in range(len(b)) if not same or i != j]
        return sum((a[i] @ b[j] / 3 + 1) ** 3 for i, j in pairs) / len(pairs)

    expected = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    found = [kernel_distance(*rng.normal(size=(2, 8, 4))) for _ in range(400)]
    assert abs(np.mean(found)) < 4 * np.std(found) / 20 and min(found) < 0


def test_precision_and_recall_are_their_definition() -> None:
    real, samples = _features(20, dims=2), _features(15, dims=2, seed=1)

    def inside(points: np.ndarray, balls: np.ndarray) -> float:
        reach = [sorted(math.dist(b, o) for o in balls)[3] for b in balls]
        hits = [
            any(math.dist(p, b) <= r for b, r in zip(balls, reach, strict=True)) for p in points
        ]
        return sum(hits) / len(hits)

    found = precision_recall(real, samples)
    assert (found.precision, found.recall) == (inside(samples, real), inside(real, samples))


def test_a_mode_that_is_left_out_costs_recall_alone() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + 50
    found = precision_recall(np.concatenate((left, right)), rng.normal(size=(400, 2)))
    assert found.precision > 0.9 and 0.4 < found.recall <= 0.5
    with pytest.raises(ValueError, match="from 1 to 199 for sets of 200 and 200, got 200"):
        precision_recall(left, right, num_neighbours=200)


@pytest.mark.parametrize("metric", [frechet_distance, kernel_distance, precision_recall])
def test_features_that_do_not_compare_are_refused(metric: object) -> None:
    x = _features(9)
    for y, message in (
        (x[:, 1:], r"got \(9, 5\) and \(9, 4\)"),
        (x[:1], "from 2 on"),
        (np.full_like(x, np.nan), "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            metric(x, y)


def test_psnr() -> None:
    x = np.full((4, 5, 3), 100, np.uint8)
    assert psnr(x, x) == math.inf
    assert psnr(x, x + 5) == pytest.approx(10 * math.log10(255**2 / 25))
    # Differences of bytes must not wrap around.
    assert psnr(np.zeros_like(x), np.full_like(x, 255)) == pytest.approx(0)
    with pytest.raises(ValueError, match=r"float64 \(4, 5, 3\)"):
        psnr(x, x.astype(np.float64))
    metrics = pytest.importorskip("skimage.metrics")
    y = np.random.default_rng(0).integers(0, 256, x.shape, np.uint8)
    assert psnr(x, y) == pytest.approx(metrics.peak_signal_noise_ratio(x, y))


def test_ssim() -> None:
    with pytest.raises(ValueError, match="11 pixels or more a side"):
        ssim(np.zeros((8, 20), np.uint8), np.zeros((8, 20), np.uint8))
    pytest.importorskip("skimage")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (24, 30, 3), np.uint8)
    assert ssim(x, x) == pytest.approx(1) and abs(ssim(x, rng.permutation(x))) < 0.3
    # Of constant images only the term of luminance is left.
    a, b = (np.full((16, 16), v, np.uint8) for v in (60, 120))
    c = (0.01 * 255) ** 2
    assert ssim(a, b) == pytest.approx((2 * 60 * 120 + c) / (60**2 + 120**2 + c), rel=1e-6)


def test_false_alarms() -> None:
    usual = list(range(20))
    assert fpr_at(usual, [17.5, 18, 18.5, 30]) == 0.5
    assert fpr_at(usual, [18.5, 40]) == 0 and fpr_at(usual, [19], kept=1.0) == 1
    assert fpr_at(np.random.default_rng(0).random(9999), np.arange(0, 1, 1e-3)) == pytest.approx(
        0.95, abs=0.01
    )
    for bad in ([], [math.nan]):
        with pytest.raises(ValueError, match="one outlier or more"):
            fpr_at(usual, bad)
    with pytest.raises(ValueError, match="share above 0"):
        fpr_at(usual, [1.0], kept=0.0)


def test_features_are_by_any_function_or_pipeline() -> None:
    images = [np.full((16, 16, 3), 16 * i, np.uint8) for i in range(7)]
    found = features_of(images, lambda some: np.stack(some) / 255, batch_size=3)
    assert found.shape == (7, 768) and found[1, 0] == pytest.approx(16 / 255)
    assert frechet_distance(found, found + 1) == pytest.approx(768)
    torch.manual_seed(0)
    pipe = Pipeline.compose(x="image", family="normalizing_flow", size="debug")
    pipe.fit_statistics([(None, image) for image in images])
    coded = features_of(images, pipe, batch_size=4)
    assert len(coded) == 7 and np.allclose(coded[5], pipe.encode(images[5]).flatten(), atol=1e-4)
    assert kernel_distance(coded, coded) <= 1e-9
    with pytest.raises(ValueError, match=r"shape \(1,\) for 7 values"):
        features_of(images, lambda some: np.zeros(1))
    with pytest.raises(ValueError, match="got none"):
        features_of([], np.stack)


def test_captions_are_satisfied_by_the_scenes_they_tell_of() -> None:
    rng = np.random.default_rng(0)
    drawn = [scenes.sample_scene(rng) for _ in range(12)]
    told = [scenes.describe(scene, rng) for scene in drawn]
    right = [scenes.check(*pair) for pair in zip(drawn, told, strict=True)]
    wrong = [scenes.check(*pair) for pair in zip(drawn, told[1:] + told[:1], strict=True)]
    found = caption_satisfaction([*right, *wrong])
    assert caption_satisfaction(right).captions.share == 1
    whole = [all(holds for _, holds in v.claims) for v in (*right, *wrong)]
    assert (found.captions.successes, found.captions.count) == (sum(whole), 24)
    claims = sum(len(v.claims) for v in (*right, *wrong))
    assert sum(p.count for p in found.claims.values()) == claims
    with pytest.raises(ValueError, match="got none"):
        caption_satisfaction([])


def _log_prob(nats: list[float], dims: list[int], kind: str = "exact") -> LogProb:
    own = torch.tensor(nats, dtype=torch.float64)
    return LogProb(own, kind, torch.zeros_like(own), torch.tensor(dims), "by hand")


def test_bits_per_dimension() -> None:
    # Sixteen values alike likely are four bits, whatever the number of dimensions of each.
    even = _log_prob([-math.log(16**n) for n in (3, 5, 8)], [3, 5, 8])
    assert bits_per_dim([even]) == {
        "mean": 4.0, "low": 4.0, "high": 4.0, "count": 3, "kind": "exact"
    }  # fmt: skip
    rng = np.random.default_rng(0)
    bits = rng.normal(3, 1, 400)
    whole = bits_per_dim([_log_prob((-bits * 2 * math.log(2)).tolist(), [2] * 400)])
    assert whole["mean"] == pytest.approx(bits.mean(), abs=1e-5)
    half = 1.96 * bits.std(ddof=1) / 20
    assert whole["high"] - whole["low"] == pytest.approx(2 * half, abs=1e-4)
    with pytest.raises(ValueError, match="of one kind, got exact, lower bound"):
        bits_per_dim([even, _log_prob([1.0], [1], "lower bound")])
    with pytest.raises(ValueError, match="two finite log p or more, got 1"):
        bits_per_dim([_log_prob([1.0], [1])])


def test_the_area_under_the_curve_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    low, high = rng.integers(0, 6, 40), rng.integers(2, 9, 30)
    pairs = [(h > v) + (h == v) / 2 for v in low for h in high]
    assert auroc(low, high) == pytest.approx(np.mean(pairs))
    assert auroc(torch.tensor(low), torch.tensor(high)) == auroc(low, high)
