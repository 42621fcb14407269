"""How complex a value is: the size of its lossless compression.

Source: Input Complexity and Out-of-Distribution Detection with Likelihood-Based Generative Models
(Serrà et al., 2019), Sec. 3, arXiv:1909.11480, where it is the best of several image compressors.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmgen.core.errors import SpecError

__all__ = ["compressed_bits"]


def compressed_bits(tensors: Mapping[str, Tensor]) -> int:
    """Bits of one value's prepared integers, by the better of zlib and, for pixels, PNG.

    Args:
        tensors: What a codec's `prepare` gave for one value. Booleans are not counted.

    Raises:
        SpecError: If the value has numbers that are no integers, whose exact compression says
            nothing of them.
    """
    total = 0
    for name, tensor in tensors.items():
        if tensor.dtype == torch.bool:
            continue
        if tensor.is_floating_point():
            raise SpecError(
                f"The complexity of {name!r} needs integers, such as pixels or tokens; it holds "
                f"{tensor.dtype}. Leave the score 'complexity' out."
            )
        array = _smallest(tensor[0].cpu().numpy())
        sizes = [len(zlib.compress(array.tobytes(), 9))]
        pictures = list(_pictures(array))
        if pictures:
            sizes.append(sum(map(_png_size, pictures)))
        total += 8 * min(sizes)
    return total


def _smallest(array: np.ndarray) -> np.ndarray:
    """The same integers in as few bytes as hold them all."""
    if array.size == 0 or array.min() < 0:
        return np.ascontiguousarray(array)
    for kind in (np.uint8, np.uint16, np.uint32):
        if array.max() <= np.iinfo(kind).max:
            return np.ascontiguousarray(array.astype(kind))
    return np.ascontiguousarray(array)


def _pictures(array: np.ndarray) -> Iterator[np.ndarray]:
    """The frames (H, W) or (H, W, 3) of bytes laid out as (..., C, H, W), if they are."""
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or array.shape[-3] not in (1, 3):
        return
    for frame in array.reshape(-1, *array.shape[-3:]):
        yield frame[0] if len(frame) == 1 else frame.transpose(1, 2, 0)


def _png_size(picture: np.ndarray) -> int:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "png", optimize=True)
    return buffer.tell()
