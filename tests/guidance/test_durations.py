"""Durations are learnt from sequences alone, drawn before them, and alike in any batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmgen.core.condition import Condition
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.diffusion import Diffusion
from mmgen.guidance.classifier_free import ClassifierFreeGuidance
from mmgen.guidance.durations import DurationModel
from mmgen.nn.frames import FrameNetwork
from mmgen.nn.grid import GridTransformer

FEATURES, DIM, MOST = 4, 16, 40
SPEC = Spec("audio", "continuous", ("T", FEATURES), max_length=MOST)


def _model(features: int = FEATURES, *, attentive: bool = False) -> DurationModel:
    torch.manual_seed(0)
    condition = ConditionSpec(vector_dim=DIM, frame_dim=DurationModel.frame_dim(DIM, features))
    own: dict[str, Any] = {"dim": 32, "depth": 2, "condition": condition}
    network = FrameNetwork(FEATURES, **own)
    if attentive:
        network = GridTransformer(("T", FEATURES), num_heads=2, **own)
    frames = Diffusion(network, spec=SPEC, target="data", num_inference_steps=8)
    return DurationModel(ClassifierFreeGuidance(frames, guidance_scale=1.0), token_dim=DIM)


def _sentences(count: int, seed: int) -> tuple[Latent, Condition, torch.Tensor]:
    """Tokens of three kinds, each at a level of its own for as long as its kind lasts."""
    g = torch.Generator().manual_seed(seed)
    kinds = torch.stack([torch.randperm(3, generator=g) for _ in range(count)])
    kinds = torch.cat((kinds, kinds.flip(1)[:, 1:]), dim=1)
    lasting = torch.tensor([2, 4, 7])[kinds]
    lengths = lasting.sum(1)
    levels = torch.eye(FEATURES)[:3] * 3
    z = torch.zeros(count, int(lengths.max()), FEATURES)
    for row, own, kind in zip(z, lasting, kinds, strict=True):
        said = levels[kind].repeat_interleave(own, dim=0)
        row[: len(said)] = said + 0.1 * torch.randn(said.shape, generator=g)
    table = torch.randn(3, DIM, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(kinds.shape, dtype=torch.bool)
    c = Condition(count, table[kinds], mask, torch.zeros(count, DIM))
    return Latent(z, lengths), c, lasting


@pytest.fixture(scope="module")
def trained() -> DurationModel:
    model = _model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(90):
        latent, c, _ = _sentences(16, step)
        loss = model.loss(latent, c, generator=torch.Generator().manual_seed(step)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def test_it_learns_when_each_token_is_said(trained: DurationModel) -> None:
    latent, c, lasting = _sentences(32, 1000)
    assert (trained.durations(latent, c) == lasting).float().mean() > 0.95


def test_samples_last_and_look_as_they_should(trained: DurationModel) -> None:
    latent, c, lasting = _sentences(8, 1001)
    with torch.no_grad():
        found = trained(c, rhythm=0.0).sample(2, Generators.from_seed(0, num_samples=2, batch=8))
    assert (found.lengths - latent.lengths).abs().float().mean() < 1
    exact = found.lengths[0] == latent.lengths
    error = (found.z[0, exact, : latent.z.shape[1]] - latent.z[exact]).square().mean()
    assert exact.any() and error < 0.25 * latent.z[exact].square().mean()
    with torch.no_grad():
        fast = trained(c, rhythm=0.0, speed=2.0).sample()
    assert (fast.lengths.float() / found.lengths[0]).mean() < 0.7


def test_a_sample_is_the_same_in_any_batch(trained: DurationModel) -> None:
    _, c, _ = _sentences(3, 7)
    generators = Generators.from_seed([4, 5, 6], num_samples=1, batch=3)
    # Another row with more tokens, so that this one is padded.
    longer = Condition(3, torch.cat((c.tokens, c.tokens), dim=1), None, c.vector)
    mask = torch.arange(10).expand(3, -1) < torch.tensor([10, 5, 5])[:, None]
    with torch.no_grad():
        together = trained(Condition(3, longer.tokens, mask, c.vector)).sample(1, generators)
        alone = trained(c.select(torch.tensor([1]))).sample(
            1, Generators.from_seed([5], num_samples=1, batch=1)
        )
    assert together.lengths[0, 1] == alone.lengths[0, 0]
    assert torch.allclose(together.z[0, 1], alone.z[0, 0], atol=1e-4)


def test_guidance_leads_away_from_evenly_spread_tokens(trained: DurationModel) -> None:
    _, c, _ = _sentences(2, 3)
    null = Condition(2, c.tokens[:, :1] * 0, None, c.vector)
    with torch.no_grad():
        found = trained(c.with_null(null), guidance_scale=2.0, rhythm=0.0).sample()
        plain = trained(c.with_null(null), rhythm=0.0).sample()
    assert found.z.isfinite().all() and (found.lengths == plain.lengths).all()


def test_what_would_not_fit_is_said_faster_and_too_many_tokens_are_refused() -> None:
    model = _model().eval()
    tokens = torch.randn(1, 30, DIM)
    with torch.no_grad():
        assert model(Condition(1, tokens, None, torch.zeros(1, DIM))).sample().lengths <= MOST
        with pytest.raises(ValueError, match="41 tokens do not fit into 40 steps"):
            model(Condition(1, torch.randn(1, 41, DIM), None, torch.zeros(1, DIM))).sample()
    with pytest.raises(SpecError, match="frame_dim=22"):
        _model(features=5)


def test_frames_reach_a_transformer_too() -> None:
    model = _model(attentive=True)
    latent, c, _ = _sentences(4, 0)
    loss = model.loss(latent, c, generator=torch.Generator().manual_seed(0))
    loss.sum().backward()
    assert loss.shape == (4,) and model.model.model.network.frames.weight.grad.abs().sum() > 0
    with torch.no_grad():
        assert model.eval()(c).sample().z.shape == (1, 4, MOST, FEATURES)
    with pytest.raises(SpecError, match="Frames are a condition of sequences"):
        GridTransformer(
            (3, 8, 8), dim=32, depth=1, num_heads=2, condition=ConditionSpec(frame_dim=4)
        )
