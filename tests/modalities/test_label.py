"""Labels: as tokens, as a condition, and in files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.core.errors import SpecError
from mmgen.modalities import label as labels
from mmgen.modalities.label import LabelCodec, LabelEncoder

NAMES = ("cat", "dog", "fox")


def test_a_label_comes_back_as_its_name() -> None:
    codec = LabelCodec.debug()
    tensors = codec.prepare(["dog", 2, "cat"])
    latent = codec.encode(tensors)
    codec.spec.check(latent.z)
    assert latent.z.tolist() == [[1], [2], [0]] and codec.spec.vocabulary == 3
    assert codec.present(codec.decode(latent)) == ["dog", "fox", "cat"]
    assert codec.log_volume(tensors).tolist() == [0, 0, 0]


def test_a_label_to_generate_is_given() -> None:
    with pytest.raises(TypeError, match="Expected a class name or its index"):
        LabelCodec.debug().prepare([None])


SCALARS = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.text(max_size=9),
    st.binary(max_size=9),
    st.sampled_from(["cat", 0, True, b"cat", ["cat"], {"label": "cat"}, ()]),
)


@settings(max_examples=100, deadline=None)
@given(SCALARS)
def test_any_value_is_read_or_refused_clearly(value: object) -> None:
    for part in (LabelCodec.debug(), LabelEncoder.debug()):
        try:
            found = part.prepare([value])["label"]
        except (TypeError, ValueError) as error:
            assert "class" in str(error)
        else:
            assert -1 <= int(found) < 3


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "needs its class names"),
        ("cat", "needs its class names"),
        (("cat", ""), "not empty"),
        (("cat", 3), "is a text"),
        (("cat", "dog", "cat"), "'cat' is given twice"),
    ],
)
def test_bad_names_are_refused(names: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        LabelCodec(names)
    with pytest.raises(SpecError, match=message):
        LabelEncoder(names, dim=8)


def test_files(tmp_path: Path) -> None:
    assert labels.save("dog", tmp_path / "a.txt").read_text() == "dog\n"
    assert json.loads(labels.save("dog", tmp_path / "a.json").read_text()) == "dog"
    several = labels.save_many(["dog", "cat"], tmp_path / "b.txt", ["first", "second"])
    assert several.read_text() == "first\tdog\nsecond\tcat\n"
    listed = json.loads(labels.save_many(["dog", "cat"], tmp_path / "b.json").read_text())
    assert listed == ["dog", "cat"]
    titled = labels.save_many(["dog"], tmp_path / "c.json", ["first"]).read_text()
    assert json.loads(titled) == [{"condition": "first", "label": "dog"}]
    with pytest.raises(ValueError, match="cannot hold a label"):
        labels.save("dog", tmp_path / "a.png")


def test_parts_by_name() -> None:
    assert labels.codec("debug", NAMES).spec.vocabulary == 3
    encoder = labels.encoder("small", NAMES)
    c = encoder.encode(encoder.prepare(["cat", None]))
    assert c.tokens.shape == (2, 1, 128)
    assert torch.equal(c.tokens[1, 0], encoder.embed.weight[-1])
