"""Properties: named numbers with units, any subset of which may be given."""

from mmgen.modalities.properties.codec import Properties
from mmgen.modalities.properties.encoder import PropertiesEncoder
from mmgen.modalities.properties.files import PREVIEW_SUFFIX, SUFFIXES, load, save, save_many
from mmgen.modalities.properties.names import split_units

__all__ = [
    "COLUMNS",
    "IN_FILES",
    "NAMES",
    "PREVIEW_SUFFIX",
    "SUFFIXES",
    "Properties",
    "PropertiesEncoder",
    "codec",
    "encoder",
    "load",
    "save",
    "save_many",
]

COLUMNS = ("properties",)
IN_FILES = False

NAMES = "property names, each alone or as 'name [unit]'"
"""What the names are that `codec` and `encoder` take."""


def codec(size: str, labels: tuple[str, ...]) -> Properties:
    """The codec for these properties; it is the same in every size."""
    return Properties(*split_units(labels))


def encoder(size: str, labels: tuple[str, ...]) -> PropertiesEncoder:
    """The encoder of this size for these properties, giving one token for each."""
    return PropertiesEncoder(*split_units(labels), dim={"debug": 32, "small": 128}[size])
