"""What all tests share: no network, one seed, and the recipes' tiny pipelines."""

from __future__ import annotations

import gc
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker has a core. A second thread of its own would wait for the other workers.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from mmgen.pipeline import Pipeline


def pytest_configure() -> None:
    """Look for no cycles while modules are imported, which leave half a million objects."""
    gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Look for cycles from now on, and only among what tests make."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def scenes_pipe() -> Pipeline:
    """The tiny text-to-image:scenes, autoregressive on codes, with weights all off zero."""
    # The same weights whichever test asks first.
    torch.manual_seed(0)
    return _moved(Pipeline.debug("text-to-image:scenes"))


@pytest.fixture(scope="session")
def pixels_pipe() -> Pipeline:
    """The tiny text-to-image:emoji, diffusion on pixels, that knows words of some scenes."""
    torch.manual_seed(0)
    pipe = Pipeline.debug("text-to-image:emoji")
    pipe.encoder.fit(
        [
            {"text": "a red circle left of a blue square", "style": None},
            {"text": "a green star, two blue squares", "style": None},
        ]
    )
    return _moved(pipe)


def _moved(pipe: Pipeline) -> Pipeline:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in pipe.parts.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return pipe
