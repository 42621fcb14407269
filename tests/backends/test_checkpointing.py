"""Networks of transformers and diffusers compute activations anew, and learn the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from mmgen.backends.checkpointing import library_networks
from mmgen.pipeline import Pipeline
from mmgen.training.recomputing import recomputing


@pytest.mark.parametrize("name", ["gpt2", "t5", "sd"])
def test_gradients_are_the_same(
    name: str, checkpoints: Callable[[str], Path], request: pytest.FixtureRequest
) -> None:
    if name == "sd":
        pipe = Pipeline.from_pretrained(checkpoints(name))
        pairs = [("a red one", Image.new("RGB", (pipe.codec.size,) * 2, "red"))] * 2
    else:
        pipe = Pipeline.from_pretrained(request.getfixturevalue(name))
        pairs = [("one two", " three"), ("a b", " c")]
    batch = pipe.prepare(pairs)
    pipe.parts.train()
    kept, found = [], []
    for wanted in (False, True):
        pipe.parts.zero_grad()
        numbers = []

        def hold(tensor: torch.Tensor, numbers: list[int] = numbers) -> torch.Tensor:
            numbers.append(tensor.numel())
            return tensor

        with recomputing(pipe.parts, wanted):
            torch.manual_seed(0)
            with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
                loss = pipe.loss(batch, generator=torch.Generator().manual_seed(0)).mean()
            loss.backward()
        kept.append(sum(numbers))
        found.append([p.grad.clone() for p in pipe.parts.parameters() if p.grad is not None])
    plain, again = found
    assert len(plain) == len(again) > 0
    # What all blocks share is summed in another order.
    assert all(
        torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(plain, again, strict=True)
    )
    assert kept[1] < 0.8 * kept[0]
    networks = library_networks(pipe.parts)
    flags = [vars(m).get("gradient_checkpointing") for n in networks for m in n.modules()]
    assert networks and not any(flags)
