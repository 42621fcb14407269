"""Gradient checkpointing: the same is learnt, and what blocks compute is not kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from mmgen.core.errors import SpecError
from mmgen.nn.autoencoder import Autoencoder
from mmgen.pipeline import Pipeline
from mmgen.training import Autoencoding, fit
from mmgen.training.recomputing import recomputing

SETTINGS = {
    "steps": 3,
    "batch_size": 4,
    "warmup": 1,
    "precision": "no",
    "learning_rate": 1e-2,
    "sample_every": 0,
    "progress": False,
}
IMAGES = [Image.new("RGB", (16, 16), c) for c in ("red", "green", "blue", "white")]
TEXTS = ["a", "b c", "d", "e f g"]


def painter() -> Pipeline:
    torch.manual_seed(0)
    pipe = Pipeline.compose(x="image", y="text", family="diffusion", size="debug")
    pipe.fit_statistics(list(zip(TEXTS, IMAGES, strict=True)))
    return pipe


def writer() -> Pipeline:
    torch.manual_seed(0)
    pipe = Pipeline.compose(x="text", y="text", family="autoregressive", size="debug")
    pipe.fit_statistics(list(zip(TEXTS, TEXTS, strict=True)))
    return pipe


@pytest.mark.parametrize(("build", "xs"), [(painter, IMAGES), (writer, TEXTS)])
def test_the_same_is_learnt(build: Callable[[], Pipeline], xs: list, tmp_path: Path) -> None:
    pairs = list(zip(TEXTS, xs, strict=True))
    settings = SETTINGS | ({"dropout": 0.2} if build is writer else {})
    plain = fit(build(), pairs, output=tmp_path / "plain", **settings)
    again = build()
    fit(again, pairs, output=tmp_path / "again", gradient_checkpointing=True, **settings)
    theirs = again.parts.state_dict()
    assert all(torch.equal(w, theirs[n]) for n, w in plain.parts.state_dict().items())
    assert not any("forward" in vars(m) for m in again.parts.modules())


def test_blocks_keep_only_what_they_were_given() -> None:
    pipe = painter()
    batch = pipe.prepare(list(zip(TEXTS, IMAGES, strict=True)))

    def kept(wanted: bool) -> tuple[int, int]:
        """Numbers that are held for the backward pass, and calls of attention in both."""
        numbers, calls = 0, 0

        def hold(tensor: Tensor) -> Tensor:
            nonlocal numbers
            numbers += tensor.numel()
            return tensor

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        hooks = [
            m.register_forward_hook(count)
            for m in pipe.model.modules()
            if type(m).__name__ == "Attention"
        ]
        generator = torch.Generator().manual_seed(0)
        with recomputing(pipe.parts, wanted):
            with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
                loss = pipe.loss(batch, generator=generator).mean()
            loss.backward()
        for hook in hooks:
            hook.remove()
        return numbers, calls

    numbers, calls = kept(False)
    fewer, twice = kept(True)
    assert fewer < numbers / 2 and twice == 2 * calls > 0


def test_what_has_no_blocks_is_refused(tmp_path: Path) -> None:
    part = Autoencoding(Autoencoder.debug(), size=16)
    with pytest.raises(SpecError, match="what is trained here has none"):
        fit(part, [(None, x) for x in IMAGES], output=tmp_path, gradient_checkpointing=True)
