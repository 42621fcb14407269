"""Chunks of actions: statistics, bounds, and that nothing is lost."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mmgen.core.errors import LoadError, SpecError
from mmgen.core.latent import Latent
from mmgen.modalities import actions
from mmgen.modalities.actions import ActionChunks

RNG = np.random.default_rng(0)
# Numbers of quite different size, the last one constant.
CHUNKS = list(
    (RNG.uniform(-1, 1, (50, 5, 4)) * (0.1, 1.0, 300.0, 0.0) + (0, 1, 0, 0.7)).astype(np.float32)
)


@pytest.fixture(params=["min-max", "mean-std"], scope="module")
def codec(request: pytest.FixtureRequest) -> ActionChunks:
    codec = ActionChunks(5, 4, normalisation=request.param)
    codec.fit(CHUNKS)
    return codec


def test_latents_are_normalised(codec: ActionChunks) -> None:
    z = codec.encode(codec.prepare(CHUNKS)).z.flatten(0, 1)
    if codec.normalisation == "min-max":
        expected = torch.tensor([1.0, 1.0, 1.0, 0.0])
        assert torch.allclose(z.amax(0), expected, atol=1e-5)
        assert torch.allclose(z.amin(0), -expected, atol=1e-5)
    else:
        assert z.mean(0).abs().max() < 1e-4
        assert torch.allclose(z.std(0), torch.tensor([1.0, 1.0, 1.0, 0.0]), atol=1e-2)


def test_nothing_is_lost(codec: ActionChunks) -> None:
    tensors = codec.prepare(CHUNKS)
    latent = codec.encode(tensors)
    codec.spec.check(latent.z)
    for value, found in zip(CHUNKS, codec.present(codec.decode(latent)), strict=True):
        assert found.dtype == np.float32 and found.shape == (5, 4)
        assert np.allclose(found, value, rtol=1e-5, atol=1e-5)
        assert np.array_equal(found[:, 3], value[:, 3])


def test_log_volume_is_that_of_the_map(codec: ActionChunks) -> None:
    x = codec.prepare(CHUNKS[:1])["actions"]
    jacobian = torch.autograd.functional.jacobian(
        lambda v: codec.encode({"actions": v.reshape(1, 5, 4)}).z.flatten(), x.flatten()
    )
    found = codec.log_volume({"actions": x})
    assert torch.allclose(found[0], torch.linalg.slogdet(jacobian)[1], rtol=1e-4)


def test_statistics_are_required(codec: ActionChunks) -> None:
    other = ActionChunks(5, 4)
    assert other.shift.isnan().all() and other.scale.isnan().all()
    with pytest.raises(LoadError, match="no shift and scale yet"):
        other.encode(other.prepare(CHUNKS))
    with pytest.raises(LoadError, match="no shift and scale yet"):
        other.decode(Latent(torch.zeros(1, 5, 4)))
    state = codec.state_dict()
    other.load_state_dict(state)
    tensors = codec.prepare(CHUNKS)
    assert torch.equal(other.encode(tensors).z, codec.encode(tensors).z)
    del state["scale"]
    with pytest.raises(RuntimeError, match="scale"):
        other.load_state_dict(state)
    with pytest.raises(ValueError, match="at least one chunk"):
        other.fit([])


def test_all_ways_to_hold_actions_read_the_same() -> None:
    codec = ActionChunks.debug()
    chunk = np.array([[0.0, 1.0], [0.5, -1.0], [1.0, 3.0], [-1.0, 0.0]], np.float32)
    for way in (chunk, chunk.astype(np.float64), torch.from_numpy(chunk), chunk.tolist()):
        assert np.array_equal(codec.prepare([way])["actions"][0], chunk)
    whole = codec.prepare([np.ones((4, 2), np.int64)])["actions"]
    assert whole.dtype == torch.float32 and (whole == 1).all()


def test_actions_that_the_environment_refuses_are_refused() -> None:
    codec = ActionChunks.debug()
    good = np.zeros((4, 2), np.float32)
    codec.prepare([good + (1, 3), good - 1])
    for k, value, message in (
        (0, 1.1, r"Action 0 lies in \[-1, 1\] rad, got 1.1 at step 2"),
        (1, 3.01, r"Action 1 lies in \[-1, 3\] rad, got 3.01"),
        (1, -2.0, r"Action 1 lies in"),
    ):
        bad = good.copy()
        bad[2, k] = value
        with pytest.raises(ValueError, match=message):
            codec.prepare([bad])
    # What came back from the codec is taken again, for all its rounding.
    edge = np.tile(np.float32([0.1, 0.3]), (4, 1))
    tight = ActionChunks(4, 2, low=[-0.7, 0.3], high=[0.1, 5.0])
    tight.fit([edge, np.tile(np.float32([-0.7, 5.0]), (4, 1))])
    tight.prepare(tight.present(tight.decode(tight.encode(tight.prepare([edge])))))


def test_clipping_is_an_option() -> None:
    far = Latent(torch.tensor([-9.0, 9.0]).reshape(2, 1, 1).expand(2, 4, 2))
    free, clipped = ActionChunks.debug(), ActionChunks(4, 2, low=-1.0, high=(1.0, 3.0), clip=True)
    clipped.load_state_dict(free.state_dict())
    assert free.present(free.decode(far))[1].max() == 19
    low, high = clipped.present(clipped.decode(far))
    assert (low == -1).all() and (high == (1, 3)).all()


CHOICES = [
    ({"horizon": 0}, "horizon is an integer of at least 1, got 0"),
    ({"size": True}, "size is an integer"),
    ({"size": 2.0}, "size is an integer"),
    ({"horizon": 10**15, "size": 10**15}, "at most"),
    ({"low": [0.0, 1.0, 2.0]}, "low is one number, or 2"),
    ({"low": [0.0]}, "low is one number, or 2"),
    ({"high": "much"}, "high is one number, or 2"),
    ({"high": math.nan}, "high holds NaN"),
    ({"low": 2.0, "high": [3.0, 1.0]}, "of action 1 it is 2.0 and 1.0"),
    ({"clip": True}, "clip=True needs bounds"),
    ({"units": ["rad"]}, "one unit or 2, got 1"),
    ({"normalisation": "minmax"}, "min-max, mean-std; got 'minmax'"),
]


@pytest.mark.parametrize(("choices", "message"), CHOICES)
def test_what_cannot_be_is_refused(choices: dict, message: str) -> None:
    choices = {"horizon": 4, "size": 2} | choices
    with pytest.raises(SpecError, match=message):
        ActionChunks(choices.pop("horizon"), choices.pop("size"), **choices)


def test_the_spec_tells_bounds_and_units() -> None:
    assert ActionChunks.debug().spec.low == -1 and ActionChunks.debug().spec.high == 3
    assert ActionChunks.debug().spec.units == "rad"
    half = ActionChunks(4, 2, low=(-1, -math.inf), high=1.0, units=("rad", "m")).spec
    assert half.low is None and half.high is None and half.units is None


BAD = [
    (None, TypeError, "Expected actions as an array"),
    (3.0, TypeError, "Expected actions as an array"),
    ({"actions": 1}, TypeError, "Expected actions as an array"),
    (np.zeros(2), ValueError, r"shape \(steps, action size\)"),
    (np.zeros((4, 2, 1)), ValueError, "shape"),
    (np.zeros((0, 2)), ValueError, "none of them zero"),
    ([], ValueError, "Expected actions"),
    (np.zeros((3, 2)), ValueError, "4 steps x 2 numbers, got 3 x 2"),
    (np.zeros((4, 3)), ValueError, "4 steps x 2 numbers, got 4 x 3"),
    (np.zeros((4, 2), bool), TypeError, "entries of type bool"),
    (np.zeros((4, 2), complex), TypeError, "entries of type complex"),
    (np.zeros((4, 2), object), TypeError, "entries of type object"),
    ([["a", "b"]] * 4, TypeError, "Expected actions of real numbers"),
    ([[0, 1], [2]], ValueError, "rows of actions"),
    ([[0, 10**400]] * 4, (TypeError, ValueError), "actions"),
    (np.full((4, 2), np.nan), ValueError, r"got nan at \(0, 0\)"),
    (np.full((4, 2), np.inf), ValueError, "finite"),
    (np.full((4, 2), 1e300), ValueError, "below 3.4e38"),
    ("no/such/file.npy", ValueError, "no file of actions"),
    ("", ValueError, ".npy or .csv"),
    ("a\0b.npy", ValueError, "no file of actions"),
    (b"", ValueError, ".npy file"),
    (b"\x93NUMPY\x01\x00", ValueError, ".npy file"),
]


@pytest.mark.parametrize(("value", "error", "message"), BAD)
def test_bad_actions_are_refused(value: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        ActionChunks.debug().prepare([value])


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=9)
)
ARRAYS = npst.arrays(
    st.sampled_from([np.float32, np.float64, np.int64, np.bool_, np.complex64, "U2", "S2"]),
    npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)


@settings(max_examples=200, deadline=None)
@given(st.one_of(SCALARS, ARRAYS, st.lists(SCALARS, max_size=4), st.just([[0.0, 0.0]] * 4)))
def test_any_value_is_read_or_refused_clearly(value: object) -> None:
    try:
        found = ActionChunks.debug().prepare([value])["actions"]
    except (TypeError, ValueError) as error:
        assert "actions" in str(error) or "Action" in str(error) or ".npy" in str(error)
    else:
        assert found.shape == (1, 4, 2) and found.isfinite().all()


def test_parts_by_name() -> None:
    assert actions.codec("debug").spec.shape == (4, 2)
    assert actions.codec("small").spec.shape == (16, 6)
    assert actions.encoder("debug").spec.token_dim == 32
    assert actions.encoder("small").spec.token_dim == 128
