"""Observations as a condition."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mmgen.core.errors import LoadError, SpecError
from mmgen.modalities.actions import ObservationEncoder

RNG = np.random.default_rng(0)
OBSERVATIONS = [
    {
        "state": RNG.normal(5, 3, (2, 3)).astype(np.float32),
        "camera": RNG.integers(0, 256, (2, 8, 8, 3), np.uint8),
    }
    for _ in range(40)
]
GOOD = OBSERVATIONS[0]


@pytest.fixture(scope="module")
def encoder() -> ObservationEncoder:
    torch.manual_seed(0)
    encoder = ObservationEncoder.debug().eval()
    encoder.fit([*OBSERVATIONS, None, {"state": None, "camera": GOOD["camera"]}])
    return encoder


def test_tokens_for_every_step_and_patch(encoder: ObservationEncoder) -> None:
    c = encoder.encode(encoder.prepare(OBSERVATIONS[:3]))
    # Two steps of numbers, two of four patches.
    assert c.tokens.shape == (3, 2 + 2 * 4, 32) and c.mask.all()
    alone = encoder.encode(encoder.prepare(OBSERVATIONS[1:2]))
    assert torch.allclose(c.tokens[1], alone.tokens[0], atol=1e-5)


def test_statistics_standardise(encoder: ObservationEncoder) -> None:
    seen = np.concatenate([o["state"] for o in OBSERVATIONS])
    assert np.allclose(encoder.parts[0].mean, seen.mean(0), atol=1e-5)
    assert np.allclose(encoder.parts[0].std, seen.std(0), atol=1e-5)
    still = ObservationEncoder({"a": (1, 2)}, dim=8)
    still.fit([{"a": [[0.3, 1.0]]}, {"a": [[0.3, 2.0]]}])
    assert still.parts[0].std.tolist() == [1.0, 0.5]


def test_statistics_are_required(encoder: ObservationEncoder) -> None:
    other = ObservationEncoder({"state": (2, 3)}, dim=8)
    with pytest.raises(LoadError, match="no mean and std of state yet"):
        other.encode(other.prepare([None]))
    with pytest.raises(ValueError, match="No example gives state"):
        other.fit([None])
    state = encoder.state_dict()
    del state["parts.0.std"]
    with pytest.raises(RuntimeError, match=r"parts\.0\.std"):
        ObservationEncoder.debug().load_state_dict(state)


def test_names_and_shapes_are_saved_and_checked(encoder: ObservationEncoder) -> None:
    ObservationEncoder.debug().load_assets(encoder.assets())
    shapes = dict(reversed(encoder.shapes.items()))
    with pytest.raises(LoadError, match="names and shapes it was trained on"):
        ObservationEncoder(shapes, patch_size=4).load_assets(encoder.assets())
    for bad in ({}, {"observation.json": b"["}, {"observation.json": json.dumps([1]).encode()}):
        with pytest.raises(LoadError, match=r"observation\.json"):
            encoder.load_assets(bad)


def test_none_gives_the_null_of_each_name(encoder: ObservationEncoder) -> None:
    c = encoder.encode(encoder.prepare([GOOD, {**GOOD, "camera": None}, None]))
    assert torch.equal(c.tokens[1, :2], c.tokens[0, :2])
    assert torch.equal(c.tokens[1, 2], encoder.null[1])
    assert c.mask[1].tolist() == [True] * 3 + [False] * 7
    assert torch.equal(c.tokens[2, 0], encoder.null[0]) and not c.tokens[2, 1].any()
    assert c.mask[2].sum() == 2


def test_dropping(encoder: ObservationEncoder) -> None:
    tensors = encoder.prepare(OBSERVATIONS)
    null = encoder.encode(encoder.prepare([None] * len(OBSERVATIONS)))
    dropped = encoder.encode(encoder.drop(tensors, rate=1.0))
    assert torch.equal(dropped.tokens, null.tokens) and torch.equal(dropped.mask, null.mask)
    some = encoder.drop(tensors, rate=0.4, generator=torch.Generator().manual_seed(0))
    assert {1, 2} <= set(some["known"].sum(1).tolist()) and not some["given"].all()


def test_the_order_of_steps_matters(encoder: ObservationEncoder) -> None:
    back = {name: array[::-1] for name, array in GOOD.items()}
    a, b = encoder.encode(encoder.prepare([GOOD, back])).tokens
    assert (a[:2].sum(0) - b[:2].sum(0)).abs().max() > 1e-3
    assert (a[2:].sum(0) - b[2:].sum(0)).abs().max() > 1e-3


def test_a_name_may_be_any_text() -> None:
    shapes = {name: (1, 2) for name in ("given", "known", "observation.state", "of given")}
    encoder = ObservationEncoder(shapes, dim=8)
    values = [dict.fromkeys(shapes, [[float(i), 1.0]]) for i in range(2)]
    encoder.fit(values)
    assert encoder.encode(encoder.drop(encoder.prepare(values), rate=0.0)).tokens.shape == (2, 4, 8)


def test_every_parameter_gets_a_gradient(encoder: ObservationEncoder) -> None:
    c = encoder.encode(encoder.prepare([GOOD, None]))
    (c.tokens * torch.randn_like(c.tokens)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())


def _with(name: str, value: object) -> dict:
    return {**GOOD, name: value}


NAN = GOOD["state"].copy()
NAN[1, 2] = math.nan
BAD = [
    (3.0, TypeError, "dict with state, camera, got float"),
    (GOOD["state"], TypeError, "dict with state, camera"),
    ({"state": GOOD["state"]}, ValueError, "lacks camera"),
    ({}, ValueError, "lacks state"),
    (_with("sate", 1), ValueError, "No observation 'sate' is known. Did you mean 'state'"),
    (_with("state", np.zeros((1, 3))), ValueError, r"state of shape \(2, 3\), got \(1, 3\)"),
    (_with("state", np.zeros(3)), ValueError, "state of shape"),
    (_with("state", NAN), ValueError, r"state of finite numbers.* got nan at \(1, 2\)"),
    (_with("state", "abc"), TypeError, "Expected state as an array"),
    (_with("state", np.full((2, 3), "a")), TypeError, "state of real numbers"),
    (_with("camera", GOOD["camera"][0]), ValueError, r"camera of shape \(2, 8, 8, 3\)"),
    (_with("camera", GOOD["camera"][:1]), ValueError, "camera of shape"),
    (_with("camera", list(GOOD["camera"][:1])), ValueError, "camera as 2 images in a row, got 1"),
    (_with("camera", "film.mp4"), TypeError, "camera as 2 images"),
    (_with("camera", [3, 4]), TypeError, "camera: Expected an image"),
    (_with("camera", [b"x", b"y"]), ValueError, "camera: Could not read"),
    (_with("camera", [np.zeros((8, 9, 3), np.uint8)] * 2), ValueError, "camera of 8 x 8 pixels"),
    (_with("camera", np.full((2, 8, 8, 3), math.nan)), ValueError, "camera: An image of floats"),
]


@pytest.mark.parametrize(("value", "error", "message"), BAD)
def test_bad_observations_are_refused(
    encoder: ObservationEncoder, value: object, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        encoder.prepare([value])


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=9)
)
ARRAYS = npst.arrays(
    st.sampled_from([np.float32, np.float64, np.uint8, np.bool_, np.complex64, "U2"]),
    st.one_of(
        npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
        st.sampled_from([(2, 3), (2, 8, 8, 3)]),
    ),
)
ANY = st.one_of(SCALARS, ARRAYS, st.lists(SCALARS, max_size=3))
ENTRIES = st.dictionaries(st.sampled_from(["state", "camera", "other", 3]), ANY)


@settings(max_examples=150, deadline=None)
@given(st.one_of(SCALARS, ENTRIES, ENTRIES.map(lambda entries: GOOD | entries)))
def test_any_value_is_read_or_refused_clearly(value: object) -> None:
    encoder = test_any_value_is_read_or_refused_clearly.encoder
    try:
        found = encoder.prepare([value])
    except (TypeError, ValueError) as error:
        assert any(word in str(error) for word in ("state", "camera", "observation"))
    else:
        assert found["of state"].shape == (1, 2, 3) and found["of state"].isfinite().all()
        assert found["of camera"].shape == (1, 2, 3, 8, 8)


test_any_value_is_read_or_refused_clearly.encoder = ObservationEncoder.debug()


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({}, "a shape for each name"),
        (["state"], "a shape for each name"),
        ({"": (1, 2)}, "not empty"),
        ({"state": (3,)}, r"state is \(history, size\)"),
        ({"state": (0, 3)}, "state is"),
        ({"state": "23"}, "state is"),
        ({"state": (1, 2.0)}, "state is"),
        ({"camera": (1, 8, 8, 4)}, "camera is"),
        ({"camera": (1, 8, 9, 3)}, "camera are multiples of the patch size 8; got 8 x 9"),
        ({"state": (2**20, 2**10)}, "more than"),
    ],
)
def test_bad_shapes_are_refused(shapes: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ObservationEncoder(shapes, dim=8)


def test_angles_are_seen_without_a_jump_at_a_full_turn() -> None:
    torch.manual_seed(0)
    encoder = ObservationEncoder({"state": (2, 3)}, dim=8, angles={"state": (1,)}, width=16)
    seen = [{"state": RNG.uniform(0, 2 * math.pi, (2, 3))} for _ in range(20)]
    encoder.fit(seen)
    # Two numbers, a sine and a cosine.
    assert encoder.parts[0].mean.shape == (4,)
    turned = [{"state": s["state"] + [0, 2 * math.pi, 0]} for s in seen[:3]]
    other = [{"state": s["state"] + [0, 1, 0]} for s in seen[:3]]
    tokens = [encoder.encode(encoder.prepare(y)).tokens for y in (seen[:3], turned, other)]
    assert torch.allclose(tokens[0], tokens[1], atol=1e-4)
    assert not torch.allclose(tokens[0], tokens[2], atol=1e-2)
    assets = encoder.assets()
    ObservationEncoder({"state": (2, 3)}, angles={"state": (1,)}).load_assets(assets)
    with pytest.raises(LoadError, match=r"take .*\(1,\).* as angles; this encoder takes none"):
        ObservationEncoder({"state": (2, 3)}).load_assets(assets)
    assert "angles" not in json.loads(ObservationEncoder.debug().assets()["observation.json"])


@pytest.mark.parametrize("angles", [{"state": (3,)}, {"state": (1, 1)}, {"other": (0,)}])
def test_angles_that_are_not_there(angles: dict) -> None:
    with pytest.raises(SpecError, match="Angles of '(state|other)' are places of its [03] numbers"):
        ObservationEncoder({"state": (2, 3)}, angles=angles)
