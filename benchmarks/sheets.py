"""Contact sheets small enough to be kept beside results."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from mmgen.core.files import write_beside
from mmgen.modalities.image import grid

__all__ = ["beside", "bordered", "enlarged", "write_sheet"]

_RED, _GAP = (220, 0, 0), (200, 200, 200)


def enlarged(image: Image.Image, times: int) -> Image.Image:
    """The image with every pixel a square of `times` pixels."""
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)


def bordered(image: Image.Image, failed: bool, width: int = 3) -> Image.Image:
    """The image in a frame, red where it failed."""
    return ImageOps.expand(image, width, _RED if failed else _GAP)


def beside(left: Image.Image, right: Image.Image, gap: int = 2) -> Image.Image:
    """Two images as one."""
    both = Image.new("RGB", (left.width + gap + right.width, max(left.height, right.height)), _GAP)
    both.paste(left, (0, 0))
    both.paste(right, (left.width + gap, 0))
    return both


def write_sheet(
    path: Path,
    images: Sequence[Image.Image],
    titles: Sequence[str],
    *,
    columns: int | None = None,
    limit: int = 400_000,
) -> Path:
    """Write images as one PNG of at most `limit` bytes, with as many colours as that leaves."""
    sheet = grid(images, titles, columns=columns)
    data = b""
    for colours in (None, 256, 128, 64, 32, 16):
        buffer = io.BytesIO()
        palette = Image.Quantize.MEDIANCUT
        chosen = sheet if colours is None else sheet.quantize(colours, method=palette, dither=0)
        chosen.save(buffer, format="PNG", optimize=True)
        data = buffer.getvalue()
        if len(data) <= limit:
            break
    write_beside(path, data)
    return path
