"""Properties: any subset as a condition, all of them as what is generated."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.core.composite import CompositeEncoder
from mmgen.core.errors import LoadError, SpecError, UnknownNameError
from mmgen.modalities import properties as kind
from mmgen.modalities.properties import Properties, PropertiesEncoder
from mmgen.modalities.properties.names import check_names, read, split_units

NAMES, UNITS = ("mass", "charge", "flat"), ("g/mol", "e", "")
RNG = np.random.default_rng(0)
ROWS = [
    {"mass": 300 + 50 * float(a), "charge": float(b), "flat": 7.0}
    for a, b in RNG.standard_normal((200, 2))
]


@pytest.fixture(scope="module")
def codec() -> Properties:
    codec = Properties(NAMES, UNITS)
    codec.fit(ROWS)
    return codec


@pytest.fixture(scope="module")
def encoder() -> PropertiesEncoder:
    torch.manual_seed(0)
    encoder = PropertiesEncoder(NAMES, UNITS, dim=16)
    encoder.fit([*ROWS, {"mass": 300.0}, {"charge": math.nan}, None])
    return encoder


def test_latents_are_standardised(codec: Properties) -> None:
    z = codec.encode(codec.prepare(ROWS)).z
    codec.spec.check(z)
    assert z.mean(0).abs().max() < 1e-4
    assert torch.allclose(z.std(0, unbiased=False), torch.tensor([1.0, 1.0, 0.0]), atol=1e-4)


numbers = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=50, deadline=None)
@given(numbers, numbers, numbers)
def test_nothing_is_lost(mass: float, charge: float, flat: float) -> None:
    codec = Properties.debug()
    value = {"mass": mass, "charge": charge}
    (found,) = codec.present(codec.decode(codec.encode(codec.prepare([value]))))
    assert found == pytest.approx(value, rel=1e-6, abs=1e-4)


def test_log_volume_is_that_of_the_map(codec: Properties) -> None:
    x = codec.prepare(ROWS[:1])["properties"]
    jacobian = torch.autograd.functional.jacobian(
        lambda v: codec.encode({"properties": v[None]}).z[0], x[0]
    )
    expected = torch.linalg.slogdet(jacobian)[1]
    assert torch.allclose(codec.log_volume({"properties": x})[0], expected, rtol=1e-5)


def test_statistics_are_required(codec: Properties) -> None:
    for part, what in ((Properties(NAMES), "Properties"), (PropertiesEncoder(NAMES, dim=8), "P")):
        with pytest.raises(LoadError, match=f"{what}.* has no mean and std yet"):
            part.encode(part.prepare(ROWS[:1]))
        state = part.state_dict()
        del state["std"]
        with pytest.raises(RuntimeError, match="std"):
            part.load_state_dict(state)
    other = Properties(NAMES, UNITS)
    other.load_state_dict(codec.state_dict())
    tensors = codec.prepare(ROWS)
    assert torch.equal(other.encode(tensors).z, codec.encode(tensors).z)


def test_every_property_has_its_own_null(encoder: PropertiesEncoder) -> None:
    full = {"mass": 310.0, "charge": 0.5, "flat": 7.0}
    values = [full, {**full, "charge": math.nan}, {"mass": 310.0}, {}, None]
    c = encoder.encode(encoder.prepare(values))
    assert c.tokens.shape == (5, 3, 16) and c.mask is None
    assert torch.equal(c.tokens[1, 1], encoder.null[1])
    assert torch.equal(c.tokens[1, [0, 2]], c.tokens[0, [0, 2]])
    assert torch.equal(c.tokens[2, 1:], encoder.null[1:])
    assert torch.equal(c.tokens[3], encoder.null) and torch.equal(c.tokens[4], encoder.null)
    assert not torch.isclose(c.tokens[0], encoder.null).any(1).all()


def test_near_numbers_are_told_apart(encoder: PropertiesEncoder) -> None:
    c = encoder.encode(encoder.prepare([{"mass": 300.0}, {"mass": 330.0}, {"mass": 1e30}]))
    assert (c.tokens[0, 0] - c.tokens[1, 0]).abs().max() > 1e-2
    assert c.tokens.isfinite().all()


def test_a_sum_over_tokens_tells_which_property_is_what() -> None:
    torch.manual_seed(0)
    encoder = PropertiesEncoder(("a", "b"), dim=16)
    encoder.fit([{"a": 0.0, "b": 0.0}, {"a": 2.0, "b": 2.0}])
    one, other = encoder.encode(encoder.prepare([{"a": 0.5, "b": 2}, {"a": 2, "b": 0.5}])).tokens
    assert (one.sum(0) - other.sum(0)).abs().max() > 1e-3


def test_dropping(encoder: PropertiesEncoder) -> None:
    tensors = encoder.prepare(ROWS)
    null = encoder.encode(encoder.prepare([None])).tokens
    assert torch.equal(encoder.encode(encoder.drop(tensors, rate=1.0)).tokens[:1], null)
    generator = torch.Generator().manual_seed(0)
    some = encoder.drop(tensors, rate=0.3, generator=generator)
    alone = (some["known"].sum(1) > 0) & (some["known"].sum(1) < 3) & some["given"]
    assert alone.any() and (~some["given"]).any() and some["known"].all(1).any()
    both = CompositeEncoder(main="p", parts={"p": encoder})
    dropped = both.encode(both.drop(both.prepare([{"p": r} for r in ROWS]), rate=1.0))
    assert torch.equal(dropped.tokens[:1], null)


def test_values_never_seen_are_refused(encoder: PropertiesEncoder) -> None:
    encoder.check([{"mass": 300.0}, None, ROWS[0]], unseen_values="error")
    with pytest.raises(ValueError, match="mass was between .* g/mol in training, got 10000"):
        encoder.check([{"mass": 1e4}], unseen_values="error")
    encoder.check([{"mass": 1e4}], unseen_values="allow")


BAD = [
    ({"masss": 1.0}, ValueError, "No property 'masss'. Did you mean 'mass'"),
    ({"mass": "heavy"}, TypeError, r"mass \[g/mol\] is a number, got str"),
    ({"mass": True}, TypeError, "mass"),
    ({"charge": [1.0]}, TypeError, r"charge \[e\]"),
    ({"mass": math.inf}, ValueError, r"mass \[g/mol\] is a finite number"),
    ({"flat": 10**400}, ValueError, "flat is a finite number"),
    ({"flat": 1e300}, ValueError, "flat is a finite number"),
    ([1.0, 2.0, 3.0], TypeError, "dict from names to numbers, got list"),
    (3.0, TypeError, "dict from names to numbers"),
    ("mass", TypeError, "dict from names to numbers"),
]


@pytest.mark.parametrize(("value", "error", "message"), BAD)
def test_bad_properties_are_refused(
    codec: Properties, encoder: PropertiesEncoder, value: object, error: type, message: str
) -> None:
    for part in (codec, encoder):
        with pytest.raises(error, match=message):
            part.prepare([value])


@pytest.mark.parametrize("value", [{"mass": 1.0, "charge": 1.0}, {**ROWS[0], "flat": math.nan}])
def test_a_gap_in_what_is_generated_is_refused(codec: Properties, value: dict) -> None:
    with pytest.raises(ValueError, match="flat is not given"):
        codec.prepare([value])


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just(np.ones(2))
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(SCALARS, st.dictionaries(st.sampled_from([*NAMES, "other", 3]), SCALARS)))
def test_any_value_is_read_or_refused_clearly(value: object) -> None:
    part = PropertiesEncoder(NAMES, UNITS, dim=8)
    try:
        found = part.prepare([value])
    except (TypeError, ValueError) as error:
        assert any(name in str(error) for name in (*NAMES, "properties", "property"))
    else:
        assert found["properties"].isfinite().all()


@pytest.mark.parametrize(
    ("names", "units", "message"),
    [
        ((), (), "need their names"),
        ("mass", (), "need their names"),
        (("mass", ""), (), "not empty"),
        (("mass", "mass"), (), "its own name"),
        (("mass", "charge"), ("g",), "Expected 2 units"),
    ],
)
def test_bad_names_are_refused(names: object, units: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Properties(names, units)


def test_names_with_units() -> None:
    assert split_units(["mass [g/mol]", " log P "]) == (("mass", "log P"), ("g/mol", ""))
    for bad in ("", "[g]", "mass [g", "mass [g] x", 3):
        with pytest.raises(SpecError, match="'name' or 'name"):
            split_units([bad])


def test_statistics_need_examples() -> None:
    with pytest.raises(ValueError, match="No example gives charge"):
        PropertiesEncoder(NAMES, dim=8).fit([{"mass": 1.0, "flat": 1.0}])
    with pytest.raises(ValueError, match="at least one example"):
        Properties(NAMES).fit([])


def test_files(tmp_path: Path) -> None:
    assert json.loads(kind.save(ROWS[0], tmp_path / "a.json").read_text()) == ROWS[0]
    several = kind.save_many(ROWS[:2], tmp_path / "b.json", ["x", "y"])
    assert json.loads(several.read_text())[1] == {"condition": "y", "properties": ROWS[1]}
    with pytest.raises(ValueError, match="JSON"):
        kind.save({"mass": math.nan}, tmp_path / "c.json")
    assert not (tmp_path / "c.json").exists()


def test_every_parameter_gets_a_gradient(encoder: PropertiesEncoder) -> None:
    c = encoder.encode(encoder.prepare([ROWS[0], None]))
    c.tokens.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())
    encoder.zero_grad()


def test_parts_by_name() -> None:
    assert kind.codec("small", ("mass [g]",)).units == ("g",)
    assert kind.encoder("debug", ("mass [g]",)).spec.token_dim == 32
    assert kind.encoder("small", ("mass",)).spec.token_dim == 128


def test_names_without_units_have_empty_ones() -> None:
    assert check_names(["mass", "charge"], ()) == (("mass", "charge"), ("", ""))


def test_values_are_read_in_the_order_of_names() -> None:
    found = read({"charge": np.int64(1), "mass": np.float32(2.5)}, NAMES, UNITS)
    assert found[:2] == [2.5, 1.0] and math.isnan(found[2])
    assert all(map(math.isnan, read({"mass": None}, NAMES, UNITS)))


def test_as_the_main_part_their_names_need_no_name_of_the_part() -> None:
    own = PropertiesEncoder(("mass", "charge"), dim=32)
    own.fit([{"mass": 1.0, "charge": 0.0}, {"mass": 3.0, "charge": 1.0}])
    parts = {"numbers": own, "others": PropertiesEncoder.debug()}
    encoder = CompositeEncoder(main="numbers", parts=parts)
    bare, named, nothing, other = (
        encoder.prepare([value])["numbers"]["known"][0].tolist()
        for value in ({"mass": 2.0}, {"numbers": {"mass": 2.0}}, {}, {"others": {"mass": 150.0}})
    )
    assert bare == named == [True, False] and nothing == other == [False, False]
    with pytest.raises(ValueError, match="No property 'mas'.*mass"):
        encoder.prepare([{"mas": 2.0}])
    # A name of a part and one of a property are no one value.
    with pytest.raises(UnknownNameError, match="No part 'mass'"):
        encoder.prepare([{"mass": 2.0, "others": None}])
