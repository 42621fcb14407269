"""A model of small grey images with an exact likelihood: their pixels, one after another."""

from __future__ import annotations

from collections.abc import Sequence

from mmgen import Pipeline
from mmgen.core.nothing import Nothing
from mmgen.families.autoregressive import Autoregressive
from mmgen.modalities.image import PixelTokens
from mmgen.modalities.label import LabelEncoder
from mmgen.nn.causal_grid import CausalGridNetwork

__all__ = ["TRAINING", "grey_pixels"]

TRAINING = {"batch_size": 32, "optimizer": "muon", "learning_rate": 2e-3, "warmup": 50}

_SIZES = {"debug": (16, 16, 2), "coarse": (16, 48, 6), "small": (28, 48, 6)}


def grey_pixels(size: str, *, labels: Sequence[str] = ()) -> Pipeline:
    """P(image), or P(image | label) if there are labels, with fresh weights.

    Args:
        size: "debug" and "coarse" for images of 16 x 16, "small" for those of 28 x 28.
        labels: Names of classes.
    """
    side, dim, depth = _SIZES[size]
    codec = PixelTokens(side, channels=1)
    encoder = LabelEncoder(list(labels), dim=dim) if labels else Nothing()
    vocabulary = codec.spec.vocabulary
    network = CausalGridNetwork(
        vocabulary + 1,
        num_outputs=vocabulary,
        row=codec.row,
        dim=dim,
        depth=depth,
        condition=encoder.spec,
    )
    return Pipeline(encoder=encoder, model=Autoregressive(network, spec=codec.spec), codec=codec)
