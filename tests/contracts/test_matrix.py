"""The table: every X given every Y, by at least one family, on tiny real pipelines.

Each cell builds, learns, gives every parameter a gradient, samples valid values of the right
lengths, gives each sample of a batch as if alone, comes back equal from a folder, and has a finite
log_prob where its type has one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from modality_values import LABELS, conditions, values

from mmgen.compose import codec_names, families_for, family_names
from mmgen.core.conditional import Tractable
from mmgen.core.rng import Generators
from mmgen.modalities import modality, modality_names
from mmgen.modalities.audio import Audio
from mmgen.pipeline import Pipeline

CONDITIONS = ("nothing", *modality_names(), "several")
SEVERAL = ["text", "label", "properties"]
FAMILY = {"text": "autoregressive", "molecules": "autoregressive", "label": "autoregressive"}
CHEAP = {"num_inference_steps": 3, "num_bound_draws": 2, "likelihood": "bound"}
CHEAP |= {"num_proposals": 4, "num_importance_draws": 8}
CELLS = [(x, y, FAMILY.get(x, "diffusion")) for x in modality_names() for y in CONDITIONS]
CELLS += [
    (x, y, family)
    for x in modality_names()
    for family in families_for(x)
    for y in ("nothing", "text")
    if (x, y, family) not in CELLS
]


# Those that no cell above has: each by the first family that fits.
OTHER_CODECS = {
    (x, codec): families_for(x, codec=codec)[0]
    for x in modality_names()
    for codec in codec_names(x)
    if type(modality(x).CODECS[codec]("debug")) is not type(modality(x).codec("debug"))
    or codec == "selfies"
}


def _names(*used: str) -> dict[str, list[str]]:
    parts = [p for name in used for p in (SEVERAL if name == "several" else [name])]
    return {name: LABELS[name] for name in parts if name in LABELS}


def _composed(
    x: str, y: str, family: str, codec: str | None = None
) -> tuple[Pipeline, list[tuple[Any, Any]]]:
    torch.manual_seed(0)
    parts = None if y == "nothing" else SEVERAL if y == "several" else y
    pipe = Pipeline.compose(
        x=x, y=parts, family=family, size="debug", labels=_names(x, y), codec=codec
    )
    given = values(x)
    if codec == "mu_law":
        # A token for each sample: a few hundredths of a second are plenty.
        given = [Audio(sound.samples[:, : 100 + i], 8000) for i, sound in enumerate(given)]
    pairs = list(zip(conditions(y), map(pipe.codec.adapt, given), strict=True))
    pipe.fit_statistics(pairs)
    return pipe, pairs


def _options(pipe: Pipeline) -> dict[str, Any]:
    known = {o.name: o for o in pipe.options()}
    # An option of this name may mean another choice in another family.
    return {
        name: value
        for name, value in CHEAP.items()
        if name in known and (not known[name].choices or value in known[name].choices)
    }


def _learns(pipe: Pipeline, pairs: list) -> None:
    tensors = pipe.prepare(pairs)
    with torch.no_grad():
        for parameter in pipe.parts.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    phases = pipe.model.phases or (None,)
    own = [p for p in pipe.parts.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(own, lr=1e-3)
    first = last = 0.0
    reached: set[str] = set()
    for step in range(12):
        phase = phases[step % len(phases)]
        kwargs = {} if phase is None else {"phase": phase}
        generator = torch.Generator().manual_seed(0)
        loss = pipe.loss(tensors, generator=generator, condition_dropout=0.0, **kwargs).mean()
        optimizer.zero_grad()
        loss.backward()
        if step < 2 * len(phases):
            # What stands for a condition that is not given learns, too.
            pipe.loss(
                tensors, generator=generator, condition_dropout=1.0, **kwargs
            ).mean().backward()
        reached |= {
            n for n, p in pipe.parts.named_parameters() if p.grad is not None and p.grad.any()
        }
        optimizer.step()
        last = float(loss.detach())
        first = last if step == 0 else first
    assert {n for n, p in pipe.parts.named_parameters() if p.requires_grad} <= reached
    # Adversaries hold each other's losses where they are.
    assert len(phases) > 1 or last < first


def _same(a: Any, b: Any, tolerance: float = 0.0) -> bool:
    if isinstance(a, (str, int)):
        return a == b
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(abs(a[k] - b[k]) <= tolerance for k in a)
    for name in ("samples", "frames"):
        if hasattr(a, name):
            a, b = getattr(a, name), getattr(b, name)
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return a.shape == b.shape and bool(np.abs(a - b).max(initial=0) <= tolerance)


@torch.no_grad()
def _samples_are_valid(pipe: Pipeline, ys: list) -> None:
    dist = pipe.given(ys, **_options(pipe))
    seeds = [[3, 4, 5, 6]]
    latent = dist.conditional.sample(1, Generators(seeds))
    pipe.codec.spec.check(latent.z)
    if latent.lengths is not None:
        assert latent.lengths.shape == (1, 4)
        assert latent.lengths.max() <= (pipe.codec.spec.max_length or latent.z.shape[2])
    # One of each kind of condition: its type, or which parts are given.
    kinds = {(type(y), *(y if isinstance(y, dict) else ())): i for i, y in enumerate(ys)}
    for i in kinds.values():
        y = ys[i]
        own = pipe.given([y], **_options(pipe)).conditional.sample(1, Generators([[3 + i]]))
        size = own.z.shape[2]
        if pipe.codec.spec.kind == "tokens":
            assert torch.equal(own.z[0, 0], latent.z[0, i, : own.z.shape[-1]])
        else:
            assert (own.z[0, 0] - latent.z[0, i, :size]).abs().max() < 1e-4


@torch.no_grad()
def _comes_back(pipe: Pipeline, ys: list, folder: Path) -> None:
    loaded = Pipeline.from_pretrained(pipe.save_pretrained(folder / "saved"))
    options = _options(pipe)
    for a, b in zip(pipe(ys, seed=1, **options), loaded(ys, seed=1, **options), strict=True):
        assert _same(a, b)


@torch.no_grad()
def _density_is_finite(pipe: Pipeline, pairs: list) -> None:
    dist = pipe.given([y for y, _ in pairs], **_options(pipe))
    if isinstance(dist.conditional, Tractable):
        found = dist.log_prob([x for _, x in pairs])
        assert found.nats.shape == (4,) and found.nats.isfinite().all()
        assert found.kind in ("exact", "estimate", "lower bound")
        assert (found.num_dims > 0).all()


def _keeps_the_contract(pipe: Pipeline, pairs: list, folder: Path) -> None:
    ys = [c for c, _ in pairs]
    _learns(pipe, pairs)
    pipe.parts.eval()
    _samples_are_valid(pipe, ys)
    _comes_back(pipe, ys, folder)
    _density_is_finite(pipe, pairs)


@pytest.mark.parametrize(("x", "y", "family"), CELLS, ids=["-".join(cell) for cell in CELLS])
def test_cell(x: str, y: str, family: str, tmp_path: Path) -> None:
    if "molecules" in (x, y):
        pytest.importorskip("rdkit")
    _keeps_the_contract(*_composed(x, y, family), tmp_path)


@pytest.mark.parametrize(("x", "codec"), OTHER_CODECS)
def test_other_codecs(x: str, codec: str, tmp_path: Path) -> None:
    if x == "molecules":
        pytest.importorskip("selfies")
    _keeps_the_contract(*_composed(x, "text", OTHER_CODECS[x, codec], codec), tmp_path)


def test_each_modality_has_a_family_and_some_have_three() -> None:
    targets = {"text", "image", "audio", "video", "actions", "molecules", "label", "properties"}
    assert set(modality_names()) == targets
    for name in modality_names():
        assert len(families_for(name)) >= (3 if name in ("image", "audio", "actions") else 1)
    used = {family for _, _, family in CELLS}
    assert used == set(family_names())
