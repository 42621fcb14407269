"""Checkpoints of diffusers answer what only a distribution can, as the family itself does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mmgen import Pipeline
from mmgen.backends.from_diffusers.schedule import Scheduled
from mmgen.core.condition import Condition
from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec
from mmgen.families.diffusion import Diffusion
from mmgen.operators import Downsample


def _table(kind: str = "scaled_linear") -> Tensor:
    return diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule=kind, steps_offset=1
    ).alphas_cumprod


def test_a_schedule_is_met_at_its_steps_and_inverts() -> None:
    table = _table().double()
    path = Scheduled(table)
    t = torch.arange(1, 1001, dtype=torch.float64) / 1001
    torch.testing.assert_close(path.alpha(t) ** 2, table, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(path.step(t), torch.arange(1000, dtype=torch.float64))
    t = torch.linspace(0.001, 0.999, 57, dtype=torch.float64)
    torch.testing.assert_close(path.time_at(path.log_snr(t)), t)
    torch.testing.assert_close(path.alpha(t) ** 2 + path.sigma(t) ** 2, torch.ones_like(t))
    near = 1e-7
    for value, slope in ((path.alpha, path.alpha_slope), (path.sigma, path.sigma_slope)):
        by_hand = (value(t + near) - value(t - near)) / (2 * near)
        torch.testing.assert_close(slope(t), by_hand, atol=1e-4, rtol=1e-4)


class _Network(nn.Module):
    """The network of a checkpoint as one of mmgen, without the wrapping."""

    condition = ConditionSpec()

    def __init__(self, unet: nn.Module, table: Tensor, states: Tensor | None) -> None:
        super().__init__()
        self.unet, self.odds, self.states = unet, table.double().logit(), states

    def forward(self, z_t: Tensor, t: Tensor, c: Condition) -> Tensor:
        count = len(self.odds)
        step = (t.double() * (count + 1) - 1).clamp(-1, count - 1)
        knots = np.concatenate(([18.42], self.odds.numpy()))
        odds = np.interp(step.numpy(), np.arange(-1, count), knots)
        share = torch.from_numpy(odds).sigmoid()[:, None, None, None]
        alpha, sigma = (a.sqrt().to(z_t.dtype) for a in (share, 1 - share))
        more = {} if self.states is None else {"encoder_hidden_states": self.states}
        noise = self.unet(z_t, step.clamp(min=0).float(), **more).sample
        return (z_t - sigma * noise) / alpha


@pytest.mark.parametrize("name", ["ddpm", "sd"])
def test_the_bound_is_that_of_the_family_on_the_same_weights(
    name: str, checkpoints: Callable[[str], Path]
) -> None:
    folder = checkpoints(name)
    pipe = Pipeline.from_pretrained(folder)
    library = diffusers.DiffusionPipeline.from_pretrained(folder)
    states = None
    if name == "sd":
        states = library.encode_prompt(["A Red cat"], "cpu", 1, False)[0].detach()
    path = Scheduled(library.scheduler.alphas_cumprod)
    z = 0.5 * torch.randn(1, *pipe.model.spec.shape, generator=torch.Generator().manual_seed(0))
    network = _Network(library.unet, library.scheduler.alphas_cumprod, states)
    own = Diffusion(network, spec=pipe.model.spec, path=path, target="data")
    y = "A Red cat" if name == "sd" else None
    asked = {"likelihood": "bound", "num_bound_draws": 16}
    found, expected = (
        conditional.log_prob(Latent(z), Generators.from_seed(5, num_samples=1, batch=1))
        for conditional in (pipe.given(y, **asked).conditional, own(Condition(1), **asked))
    )
    assert found.kind == "lower bound"
    torch.testing.assert_close(found.nats, expected.nats, rtol=1e-4, atol=0.05)


def test_parts_and_measurements_of_pixels(checkpoints: Callable[[str], Path]) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("ddpm"))
    levels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    mask = np.zeros((8, 8), dtype=bool)
    mask[:3] = True
    given = pipe.given(known=Image.fromarray(levels), mask=mask, num_inference_steps=4)
    found = np.asarray(given.sample(seed=0)[0])
    assert (found[mask] == levels[mask]).all()
    assert (found[~mask] != levels[~mask]).any()
    small = torch.zeros(3, 4, 4)
    given = pipe.given(operator=Downsample(2), measurement=small, noise=0.1, num_inference_steps=4)
    assert np.asarray(given.sample(seed=0)[0]).shape == (8, 8, 3)


def test_measurements_of_latents(checkpoints: Callable[[str], Path]) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("sd"))
    small = torch.zeros(3, 4, 4)
    given = pipe.given(
        "A Red cat", operator=Downsample(4), measurement=small, noise=0.2, num_inference_steps=3
    )
    one, again = (np.asarray(given.sample(seed=0)[0]) for _ in range(2))
    assert one.shape == (16, 16, 3) and (one == again).all()
    score = pipe.given("A Red cat", likelihood="bound", num_bound_draws=4)
    assert score.log_prob(given.sample(seed=0)[0]).nats.isfinite()


def test_a_straight_path_is_scored(checkpoints: Callable[[str], Path]) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("sd3"))
    options = {"max_sequence_length": 32}
    image = pipe("A Red cat", seed=0, num_inference_steps=1, **options)
    score = pipe.given("A Red cat", likelihood="bound", num_bound_draws=4, **options)
    assert score.log_prob(image).nats.isfinite()


def test_texts_are_those_of_their_rows_whatever_was_asked_before(
    checkpoints: Callable[[str], Path],
) -> None:
    pipe = Pipeline.from_pretrained(checkpoints("sd"))
    read = pipe.model.family.network.texts
    alone = {t: read(pipe.given(t).conditional.c)[0] for t in ("A", "B", "C")}
    for batch in (["A", "B"], ["B", "C", "B"], ["C", "A"]):
        (found,) = read(pipe.given(batch).conditional.c)
        torch.testing.assert_close(found, torch.cat([alone[t] for t in batch]))
