"""Images: PIL images to people, uint8 (3, H, W) to codecs."""

from mmgen.modalities.image.codes import Codes
from mmgen.modalities.image.encoder import ImageEncoder
from mmgen.modalities.image.files import (
    PREVIEW_SUFFIX,
    SUFFIXES,
    doubts,
    grid,
    load,
    load_mask,
    load_measurement,
    measures,
    save,
    save_many,
    to_pil,
)
from mmgen.modalities.image.latents import Latents
from mmgen.modalities.image.pixel_tokens import PixelTokens
from mmgen.modalities.image.pixels import Pixels
from mmgen.nn.autoencoder import Autoencoder
from mmgen.nn.vq import QuantizingAutoencoder

__all__ = [
    "CODECS",
    "COLUMNS",
    "IN_FILES",
    "PREVIEW_SUFFIX",
    "SUFFIXES",
    "Codes",
    "ImageEncoder",
    "Latents",
    "PixelTokens",
    "Pixels",
    "codec",
    "doubts",
    "encoder",
    "grid",
    "load",
    "measures",
    "load_mask",
    "load_measurement",
    "save",
    "save_many",
    "to_pil",
]

COLUMNS = ("image", "file_name", "img", "picture", "path", "png", "jpg", "jpeg", "webp")
IN_FILES = True


_SIDES = {"debug": 16, "small": 32}


def _pixels(size: str) -> Pixels:
    return Pixels(_SIDES[size])


def _pixel_tokens(size: str) -> PixelTokens:
    # A step for each level of each pixel: of a smaller image, so that it ends.
    return PixelTokens({"debug": 4, "small": 16}[size])


def _latents(size: str) -> Latents:
    return Latents(Autoencoder.debug() if size == "debug" else Autoencoder(), size=_SIDES[size])


def _codes(size: str) -> Codes:
    small = size == "debug"
    autoencoder = QuantizingAutoencoder.debug() if small else QuantizingAutoencoder()
    return Codes(autoencoder, size=_SIDES[size])


CODECS = {"pixels": _pixels, "pixel_tokens": _pixel_tokens, "latents": _latents, "codes": _codes}


def codec(size: str) -> Pixels:
    """The codec of this size: pixels of small square images."""
    return _pixels(size)


def encoder(size: str, labels: tuple[str, ...] = ()) -> ImageEncoder:
    """The encoder of this size, for images of the size that the codec takes."""
    if size == "debug":
        return ImageEncoder(16, patch_size=4, dim=32, depth=1, num_heads=2)
    return ImageEncoder(32, patch_size=4, dim=128, depth=2, num_heads=4)
