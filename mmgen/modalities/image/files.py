"""Reading what people hold as images, and writing them."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError
from torch import Tensor

from mmgen.core.files import check_output, write_beside
from mmgen.core.npy import load_array
from mmgen.modalities.image.levels import to_signal

__all__ = [
    "PREVIEW_SUFFIX",
    "SUFFIXES",
    "doubts",
    "fit_into_square",
    "grid",
    "load",
    "load_batch",
    "load_mask",
    "load_measurement",
    "measures",
    "save",
    "save_many",
    "to_pil",
]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tiff")
PREVIEW_SUFFIX = SUFFIXES[0]
MAX_PIXELS = 2**26


def load(value: Any) -> Tensor:
    """Any image to uint8 (3, H, W), transparent parts on white.

    Args:
        value: PIL image; path; bytes of an image file; uint8 array or tensor (H, W, 3), (H, W) or
            (3, H, W); or floats of those shapes in [0, 1].

    Raises:
        TypeError: If it is none of these.
        ValueError: If it cannot be read, or it is not clear how.
    """
    if isinstance(value, (str, os.PathLike)):
        return load(_open(Path(value), repr(str(value))))
    if isinstance(value, bytes):
        return load(_open(io.BytesIO(value), f"{len(value)} bytes"))
    if isinstance(value, Image.Image):
        return _from_pil(value)
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        return _from_array(value)
    raise TypeError(
        f"Expected an image (PIL image, path, bytes, array or tensor), got {type(value).__name__}."
    )


def load_mask(path: str | os.PathLike[str]) -> np.ndarray:
    """Which pixels are known, boolean: those that are white in a black-and-white picture (H, W).

    Args:
        path: A picture, or a .npy file of an array of any shape.

    Raises:
        ValueError: If it cannot be read, or a pixel is neither black nor white.
    """
    if Path(path).suffix.lower() == ".npy":
        return load_array(path, what="a mask")
    levels = load(path)
    white, black = (levels == 255).all(0), (levels == 0).all(0)
    between = int((~(white | black)).sum())
    if between:
        raise ValueError(
            f"A mask is black where a pixel is unknown and white where it is known; {between} "
            f"pixels of {str(path)!r} are neither. Draw it without smooth edges, and save it as "
            "PNG."
        )
    return white.numpy()


def load_measurement(path: str | os.PathLike[str]) -> np.ndarray:
    """What a picture measures of an image: floats in [-1, 1] at the centres of their levels.

    Args:
        path: A picture, (1, H, W) if it is one of greys alone and (3, H, W) otherwise; or a .npy
            file of an array of any shape, taken as it is.

    Raises:
        ValueError: If it cannot be read.
    """
    if Path(path).suffix.lower() == ".npy":
        return load_array(path, what="a measurement")
    picture = _open(Path(path), repr(str(path)))
    levels = load(picture)
    if picture.mode in ("1", "L"):
        levels = levels[:1]
    return to_signal(levels, device=levels.device).numpy()


def load_batch(values: Sequence[Any], *, size: int) -> Tensor:
    """Square images to uint8 (B, 3, size, size).

    Raises:
        ValueError: If one has another size. It is never scaled without being asked.
    """
    images = [load(v) for v in values]
    for image in images:
        if image.shape[1:] != (size, size):
            raise ValueError(
                f"Expected images of {size} x {size} pixels, got {image.shape[2]} x "
                f"{image.shape[1]}. Resize or crop it first."
            )
    return torch.stack(images)


def measures(value: Any) -> dict[str, float]:
    """Width and height of an image, in pixels."""
    return dict(zip(("height", "width"), load(value).shape[1:], strict=True))


def doubts(value: Any) -> list[str]:
    """What may be wrong with an image: it is all of one colour."""
    flat = load(value).flatten(1)
    return ["of one colour"] if bool((flat == flat[:, :1]).all()) else []


def fit_into_square(value: Any, size: int) -> Image.Image:
    """An image scaled so that its shorter side is `size`, and cropped in the middle to a square."""
    image = to_pil(load(value))
    return ImageOps.fit(image, (size, size), method=Image.Resampling.LANCZOS)


def to_pil(image: Tensor) -> Image.Image:
    """uint8 (3, H, W) to a PIL image."""
    return Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy())


def save(value: Image.Image, path: str | os.PathLike[str]) -> Path:
    """Write one image in the format that the file's ending names.

    Raises:
        ValueError: If the ending is not that of an image, or the folder does not exist.
    """
    path = check_output(path, SUFFIXES, what="an image")
    kind = Image.registered_extensions()[path.suffix.lower()]
    buffer = io.BytesIO()
    value.save(buffer, format=kind)
    write_beside(path, buffer.getvalue())
    return path


def save_many(
    values: Sequence[Image.Image], path: str | os.PathLike[str], titles: Sequence[str] = ()
) -> Path:
    """Write several images as one grid, each under its title if titles are given."""
    return save(values[0] if len(values) == 1 else grid(values, titles), path)


def grid(
    values: Sequence[Image.Image], titles: Sequence[str] = (), *, columns: int | None = None
) -> Image.Image:
    """A contact sheet, as square as it gets."""
    columns = columns or math.ceil(math.sqrt(len(values)))
    rows = math.ceil(len(values) / columns)
    width, height = (max(v.size[i] for v in values) for i in (0, 1))
    lines = 2 if titles else 0
    cell_w, cell_h = width + 4, height + 4 + 11 * lines
    sheet = Image.new("RGB", (columns * cell_w, rows * cell_h), (200, 200, 200))
    draw = ImageDraw.Draw(sheet)
    for i, value in enumerate(values):
        x, y = (i % columns) * cell_w + 2, (i // columns) * cell_h + 2
        sheet.paste(value, (x, y))
        if titles:
            for j, line in enumerate(_wrap(titles[i], width // 6, lines)):
                draw.text((x, y + height + 11 * j), line, fill=(0, 0, 0))
    return sheet


def _wrap(text: str, width: int, lines: int) -> list[str]:
    wrapped = [""]
    for word in text.split():
        if len(wrapped[-1]) + len(word) >= width and wrapped[-1]:
            wrapped.append("")
        wrapped[-1] = f"{wrapped[-1]} {word}".strip()
    return [line[:width] for line in wrapped[:lines]]


def _open(source: Path | io.BytesIO, name: str) -> Image.Image:
    try:
        image = Image.open(source)
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(
                f"The image {name} has {image.width} x {image.height} pixels; at most "
                f"{MAX_PIXELS} are read. Make it smaller first."
            )
        image.load()
    except FileNotFoundError:
        raise ValueError(f"There is no image at {name}.") from None
    except UnidentifiedImageError:
        raise ValueError(
            f"Could not read {name} as an image: it is in no format that Pillow knows."
        ) from None
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"Could not read {name} as an image: {error}") from None
    return image


def _from_pil(image: Image.Image) -> Tensor:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def _from_array(array: np.ndarray) -> Tensor:
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.ndim != 3 or 0 in array.shape or (array.shape[2] == 3) == (array.shape[0] == 3):
        raise ValueError(
            "Expected an image array (H, W, 3), (3, H, W) or (H, W), got shape "
            f"{tuple(array.shape)}."
        )
    if array.shape[2] != 3:
        array = array.transpose(1, 2, 0)
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise ValueError(
                f"An image of floats lies in [0, 1]; this one spans {array.min()} to "
                f"{array.max()}. Rescale it, or give uint8."
            )
        array = (array * 255).round()
    elif array.dtype != np.uint8:
        raise ValueError(f"An image array is uint8 or float, got {array.dtype}.")
    return torch.from_numpy(np.ascontiguousarray(array.astype(np.uint8))).permute(2, 0, 1)
