"""How near an image is to the one it should be: PSNR and SSIM.

Higher is better: PSNR in decibels, infinite for equal images; SSIM at most 1. Means over images are
means of these, not of errors. Sample size: an image; report how many. PSNR's reference is
`skimage.metrics.peak_signal_noise_ratio`; SSIM is that of scikit-image, with the Gaussian window of
the paper, which other libraries cut off elsewhere and so differ in the third digit.
"""

from __future__ import annotations

import math

import numpy as np

from mmgen.core.errors import MissingDependency

__all__ = ["psnr", "ssim"]


def psnr(x: np.ndarray, y: np.ndarray) -> float:
    """10 log10(255^2 / mean (x - y)^2).

    Args:
        x: An image, uint8 (H, W) or (H, W, C).
        y: The one it should be, of the same shape.

    Raises:
        ValueError: If they are of other shapes or types.
    """
    _require_alike(x, y)
    error = np.square(x.astype(np.float64) - y).mean()
    return math.inf if error == 0 else float(10 * math.log10(255**2 / error))


def ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Structural similarity, the mean over pixels and channels.

    Args:
        x: An image, uint8 (H, W) or (H, W, C), of 11 pixels or more a side.
        y: The one it should be, of the same shape.

    Raises:
        ValueError: If they are of other shapes or types, or too small.
        MissingDependency: If scikit-image is not installed.

    Source: Image Quality Assessment (Wang et al., 2004), Sec. III-B, doi:10.1109/TIP.2003.819861
    """
    _require_alike(x, y)
    if min(x.shape[:2]) < 11:
        raise ValueError(f"SSIM needs images of 11 pixels or more a side, got {x.shape[:2]}.")
    try:
        from skimage.metrics import structural_similarity
    except ImportError:
        raise MissingDependency("skimage", extra="bench", purpose="SSIM") from None
    return float(
        structural_similarity(
            x,
            y,
            data_range=255,
            channel_axis=2 if x.ndim == 3 else None,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def _require_alike(x: np.ndarray, y: np.ndarray) -> None:
    if x.shape != y.shape or x.ndim not in (2, 3) or x.dtype != np.uint8 or y.dtype != np.uint8:
        raise ValueError(
            "Expected two images uint8 (H, W) or (H, W, C) of one shape, got "
            f"{x.dtype} {x.shape} and {y.dtype} {y.shape}."
        )
