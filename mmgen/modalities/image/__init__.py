"""Images: PIL images to people, uint8 (3, H, W) to codecs."""

from mmgen.modalities.image.files import SUFFIXES, grid, load, save, save_many, to_pil
from mmgen.modalities.image.pixels import Pixels

__all__ = ["SUFFIXES", "Pixels", "grid", "load", "save", "save_many", "to_pil"]
