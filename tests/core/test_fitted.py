"""Parts know whether they have their vocabularies and statistics, and keep those they have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mmgen.core.composite import CompositeEncoder
from mmgen.core.errors import LoadError
from mmgen.core.nothing import Nothing
from mmgen.modalities.audio.log_mel import LogMel
from mmgen.modalities.image import Pixels
from mmgen.modalities.label import LabelEncoder
from mmgen.modalities.text import TextEncoder
from mmgen.modalities.text.subwords import SubwordText
from mmgen.pipeline import Pipeline

IMAGES = list(np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8))
TEXTS = ["a red square", "a blue circle", "a star", "two stars"]


def _text() -> TextEncoder:
    return TextEncoder(vocabulary=300, dim=32, depth=1, num_heads=2)


def test_a_part_is_fitted_once_it_has_what_fit_takes() -> None:
    assert Nothing().fitted and LabelEncoder(("a", "b"), dim=4).fitted
    pixels, text = Pixels(16), _text()
    assert not pixels.fitted and not text.fitted
    pixels.fit(IMAGES)
    text.fit(TEXTS)
    assert pixels.fitted and text.fitted


def test_a_composite_is_fitted_when_all_its_parts_are() -> None:
    both = CompositeEncoder(
        main="text", parts={"text": _text(), "label": LabelEncoder(("a", "b"), dim=32)}
    )
    assert not both.fitted
    both.fit(TEXTS)
    assert both.fitted


def test_a_pipeline_takes_what_is_missing_and_keeps_what_is_there() -> None:
    pipe = Pipeline.compose(x="image", y="text", family="diffusion", size="debug")
    pipe.codec.fit(IMAGES)
    mean = pipe.codec.mean.clone()
    assert pipe.codec.fitted and pipe.needs_statistics
    darker = [(text, image // 2) for text, image in zip(TEXTS, IMAGES, strict=True)]
    pipe.fit_statistics(darker)
    assert not pipe.needs_statistics and pipe.encoder.fitted
    assert torch.equal(pipe.codec.mean, mean)


@pytest.mark.parametrize("part", [TextEncoder, SubwordText, LogMel])
def test_a_part_without_its_file_says_which(part: Any) -> None:
    made = part.debug()
    name = next(iter(made.assets()))
    with pytest.raises(LoadError, match=f"needs {name}, which is missing. Save it again"):
        made.load_assets({})
