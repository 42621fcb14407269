"""Images: PIL images to people, uint8 (3, H, W) to codecs."""

from mmgen.modalities.image.files import SUFFIXES, grid, load, save, save_many, to_pil
from mmgen.modalities.image.latents import Latents
from mmgen.modalities.image.pixels import Pixels

__all__ = ["SUFFIXES", "Latents", "Pixels", "codec", "grid", "load", "save", "save_many", "to_pil"]


def codec(size: str) -> Pixels:
    """The codec of this size: pixels of small square images."""
    return Pixels({"debug": 16, "small": 32}[size])
