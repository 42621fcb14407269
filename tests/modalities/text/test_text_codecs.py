"""Text codecs: every text comes back as it was, and what cannot be encoded is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.core.codec import Lossless
from mmgen.core.errors import LoadError
from mmgen.core.latent import Latent
from mmgen.modalities import text as texts
from mmgen.modalities.text import ByteText, SubwordText

CORPUS = [
    "The Quick brown fox jumps over the lazy dog.\nAnd again, the quick brown fox!\n",
    "def f(x):\n    return  x + 1\t# two  spaces",
    "狐狸跳过懒狗。狐狸跳过懒狗。",
] * 5
HARD = [
    "",
    " ",
    "\n\n  \t\r\n",
    "Grüße, MÜLLER ﬁ Å",
    "\u2581a \u2581\u2581",
    "<unk> <s> </s> <0x41> \u0200\u0120",
    "\x00\x7f\ufeff\ufffd",
    "👩‍👩‍👧‍👦 שלום 你好",
    " leading and trailing ",
]


def _codecs() -> dict[str, ByteText | SubwordText]:
    subwords = SubwordText(400, max_length=256)
    subwords.fit(CORPUS)
    return {"bytes": ByteText(256), "subwords": subwords}


CODECS = _codecs()


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> ByteText | SubwordText:
    return CODECS[request.param]


def _again(codec: ByteText | SubwordText, values: list[str]) -> list[str]:
    return codec.present(codec.decode(codec.encode(codec.prepare(values))))


def test_hard_texts_come_back(codec: ByteText | SubwordText) -> None:
    assert _again(codec, HARD) == HARD
    assert _again(codec, CORPUS) == CORPUS


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=60), min_size=1, max_size=4))
def test_any_text_comes_back(values: list[str]) -> None:
    for codec in CODECS.values():
        assert _again(codec, values) == values


ODD = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.binary(max_size=9),
    st.text(max_size=300),
    st.lists(st.text(max_size=3), max_size=2),
)


@settings(max_examples=100, deadline=None)
@given(ODD)
def test_any_value_is_encoded_or_refused_clearly(value: object) -> None:
    for codec in CODECS.values():
        try:
            tensors = codec.prepare([value])
        except (TypeError, ValueError) as error:
            assert str(error)
        else:
            assert codec.present(tensors) == [value]


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (5, TypeError, "Expected a text .str., got int: 5"),
        (b"a", TypeError, "Expected a text"),
        (None, TypeError, "Expected a text"),
        ("ab\ud800", ValueError, "half of a surrogate pair at place 2"),
        ("x7" * 2000, ValueError, "at most 256 .*, got .*'x7x7.*Shorten it"),
    ],
)
def test_bad_text_is_refused(
    codec: ByteText | SubwordText, value: object, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        codec.prepare(["fine", value])


def test_exactly_the_greatest_length_fits() -> None:
    codec = ByteText(4)
    assert codec.prepare(["é é"[:2] + "e"])["lengths"].tolist() == [4]
    with pytest.raises(ValueError, match="at most 4 bytes, got 5"):
        codec.prepare(["é éé"[:3]])


def test_latents_are_tokens_zero_beyond_their_lengths(codec: ByteText | SubwordText) -> None:
    latent = codec.encode(codec.prepare(["ab", "", "longer than that"]))
    spec = codec.spec
    spec.check(latent.z)
    assert spec.kind == "tokens" and spec.varies and isinstance(codec, Lossless)
    assert int(latent.z.max()) < spec.vocabulary
    for row, length in zip(latent.z, latent.lengths, strict=True):
        assert not row[length:].any()
    assert codec.log_volume(codec.prepare(["a", "b"])).tolist() == [0.0, 0.0]


def test_what_lies_beyond_the_length_changes_nothing(codec: ByteText | SubwordText) -> None:
    latent = codec.encode(codec.prepare(["ab", "longer than that"]))
    noisy = latent.z.clone()
    noisy[0, int(latent.lengths[0]) :] = 99
    tensors = codec.decode(Latent(noisy, latent.lengths))
    assert torch.equal(tensors["ids"], latent.z)
    full = codec.decode(Latent(latent.z[1:]))
    assert codec.present(full) == ["longer than that"]


def test_a_part_of_a_text_can_be_known(codec: ByteText | SubwordText) -> None:
    known = codec.prepare(["hello you", "a"])
    latent = codec.encode(known)
    masks = [torch.arange(int(n)) < 2 for n in latent.lengths]
    mask = codec.latent_mask(latent, masks)
    assert mask.sum(1).tolist() == [min(2, int(n)) for n in latent.lengths]
    drawn = codec.prepare(["somewhat longer text", "another"])
    pasted = codec.paste(drawn, known, mask)
    first, second = codec.present(pasted)
    assert first.startswith(
        codec.present({"ids": known["ids"][:1, :2], "lengths": torch.tensor([2])})[0]
    )
    assert second.startswith("a") and torch.equal(pasted["lengths"], drawn["lengths"])


def test_tokens_that_are_no_text_show_the_replacement_character() -> None:
    assert ByteText(9).present(
        {"ids": torch.tensor([[0x61, 0xFF]]), "lengths": torch.tensor([2])}
    ) == ["a\ufffd"]
    codec = SubwordText(10_000)
    codec.fit(["few words"])
    unused = torch.tensor([[9_999, codec.merges.encode(b"a")[0]]])
    assert codec.present({"ids": unused, "lengths": torch.tensor([2])}) == ["\ufffda"]


def test_subwords_shorten_what_they_were_learnt_from() -> None:
    lengths = {n: c.prepare([CORPUS[0]])["lengths"].item() for n, c in CODECS.items()}
    assert lengths["subwords"] < 0.5 * lengths["bytes"]


def test_subwords_are_learnt_once_for_all(tmp_path: Path) -> None:
    codec, other = CODECS["subwords"], SubwordText(400, max_length=256)
    assert codec.fitted and not other.fitted and ByteText(4).fitted
    with pytest.raises(LoadError, match="no subwords yet"):
        other.prepare(["a"])
    other.load_assets(codec.assets())
    assert torch.equal(other.prepare(HARD)["ids"], codec.prepare(HARD)["ids"])
    again = SubwordText(400)
    again.fit(CORPUS)
    assert again.assets() == codec.assets()


def test_assets_that_do_not_fit_are_refused() -> None:
    from mmgen.modalities.text import Tokenizer

    assets = CODECS["subwords"].assets()
    with pytest.raises(LoadError, match=r"needs merges\.model"):
        SubwordText().load_assets({})
    with pytest.raises(LoadError, match="has 400 subwords, the codec holds 300"):
        SubwordText(300).load_assets(assets)
    words = Tokenizer.train(["a red circle"], vocabulary=300).proto
    for proto in (b"nonsense", assets["merges.model"][:200], words):
        with pytest.raises(LoadError, match="merges"):
            SubwordText().load_assets({"merges.model": proto})


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 256, the bytes.*got 100 and 256"):
        SubwordText(100)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        ByteText(0)


def test_codecs_by_size() -> None:
    assert texts.codec("debug").spec.vocabulary == 256
    assert texts.codec("debug").spec.max_length == 32
    assert texts.codec("small").spec.vocabulary == 1024


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_files_come_back(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    path = tmp_path_factory.getbasetemp() / "text.txt"
    texts.save(value, path)
    assert texts.load(path) == value


def test_files_that_are_no_text_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_bytes(b"ab\xff")
    with pytest.raises(ValueError, match="no UTF-8 at byte 2"):
        texts.load(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="Could not read"):
        texts.load(tmp_path / "b.txt")
    with pytest.raises(ValueError, match="Could not read"):
        texts.load(tmp_path)
    with pytest.raises(TypeError, match="path of a text file, got int"):
        texts.load(3)
    monkeypatch.setattr("mmgen.modalities.text.files.MAX_BYTES", 2)
    with pytest.raises(ValueError, match="larger than 2 bytes"):
        texts.load(tmp_path / "a.txt")
