"""What all tests share: no network, one seed, and the recipes' tiny pipelines."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch

from mmgen.pipeline import Pipeline


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def scenes_pipe() -> Pipeline:
    """The tiny text-to-image:scenes, with weights that are all off zero."""
    torch.manual_seed(1)
    pipe = Pipeline.debug("text-to-image:scenes")
    with torch.no_grad():
        for parameter in pipe.parts.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return pipe
