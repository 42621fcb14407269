"""Language models whose texts are molecules: canonical where they are, as drawn where not."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from backends.sharpened import sharpened
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from mmgen import Pipeline
from mmgen.backends.recognition import recognise
from mmgen.core.errors import LoadError, SpecError
from mmgen.modalities.molecules import canonical, is_valid

pytest.importorskip("rdkit")
selfies = pytest.importorskip("selfies")

CAPTION = "an alcohol of two carbons"
SMILES = "CON(=)"
SYMBOLS = ("[C]", "[O]", "[N]", "[=C]", "[F]", "[S]")


def _tokenizer(words: list[str], pattern: str, *, fused: bool) -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    if fused:
        inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.fixture(scope="module")
def describer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 from captions to SMILES, letter by letter, that writes no other letter."""
    folder = tmp_path_factory.mktemp("molt5")
    letters = sorted(set("abcdefghijklmnopqrstuvwxyz ") - set(SMILES))
    words = ["<pad>", "</s>", "<unk>", *SMILES, *letters]
    _tokenizer(words, ".", fused=True).save_pretrained(folder)
    config = T5Config(
        vocab_size=len(words),
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=1,
        num_heads=4,
        tie_word_embeddings=False,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
    )
    model = sharpened(T5ForConditionalGeneration(config), 0.3)
    model.generation_config.suppress_tokens = [0, 2, *range(3 + len(SMILES), len(words))]
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def inventor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 that goes on with SELFIES, between whose symbols its tokenizer puts blanks."""
    folder = tmp_path_factory.mktemp("chemgpt")
    words = ["<pad>", "</s>", "<unk>", *SYMBOLS]
    _tokenizer(words, r"\[[^\]]*\]", fused=False).save_pretrained(folder)
    config = GPT2Config(
        vocab_size=len(words),
        n_positions=32,
        n_embd=32,
        n_layer=1,
        n_head=2,
        bos_token_id=1,
        eos_token_id=1,
    )
    model = sharpened(GPT2LMHeadModel(config), 0.3)
    model.generation_config.suppress_tokens = [0, 2]
    model.save_pretrained(folder)
    return folder


def test_smiles_are_canonical_or_as_they_were_drawn(describer: Path) -> None:
    texts = Pipeline.from_pretrained(describer)
    pipe = Pipeline.from_pretrained(describer, writes="smiles")
    assert pipe.codec.spec.modality == "molecules"
    asked = {"num_samples": 40, "seed": 0, "max_new_tokens": 4}
    drawn = texts(CAPTION, **asked)
    with pytest.warns(UserWarning, match=r"of 40 strings .* no molecules") as told:
        found = pipe(CAPTION, **asked)
    valid = [is_valid(text) for text in drawn]
    assert 0 < sum(valid) < 40
    assert f"{40 - sum(valid)} of 40" in str(told[0].message)
    for text, ok, value in zip(drawn, valid, found, strict=True):
        assert value == (canonical(text) if ok else text)
    # Some are written in another order than they were drawn.
    assert any(ok and text != value for text, ok, value in zip(drawn, valid, found, strict=True))


def test_selfies_are_read_however_they_are_spaced(inventor: Path) -> None:
    model = GPT2LMHeadModel.from_pretrained(inventor).eval()
    pipe = Pipeline.from_pretrained(inventor, writes="selfies")
    ids = torch.tensor([[1]])
    own = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False, pad_token_id=0
    )[0, 1:]
    written = "".join(SYMBOLS[i - 3] for i in own.tolist() if i >= 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pipe(temperature=0.0, max_new_tokens=8)
    assert len(own) > 2 and found == canonical(selfies.decoder(written))


def test_log_prob_is_that_of_the_canonical_string(describer: Path, inventor: Path) -> None:
    texts = Pipeline.from_pretrained(describer)
    pipe = Pipeline.from_pretrained(describer, writes="smiles")
    expected = texts.given(CAPTION).log_prob("CCO").nats
    for same in ("CCO", "OCC", "C(C)O"):
        assert torch.equal(pipe.given(CAPTION).log_prob(same).nats, expected)
    plain = Pipeline.from_pretrained(inventor)
    invented = Pipeline.from_pretrained(inventor, writes="selfies")
    both = plain.given("[C]").log_prob("[C][C][O]"), invented.given("[C]").log_prob("OCC")
    assert torch.equal(both[0].nats, both[1].nats)
    with pytest.raises(ValueError, match="no molecule|not a|SMILES"):
        pipe.given(CAPTION).log_prob("C(")


def test_what_is_saved_says_what_it_writes(describer: Path, tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(describer, writes="smiles")
    pipe.save_pretrained(tmp_path / "saved")
    card = json.loads((tmp_path / "saved" / "mmgen.json").read_text("utf-8"))
    assert card["writes"] == "smiles" and card["distribution"] == "P(molecules | text)"
    again = Pipeline.from_pretrained(tmp_path / "saved")
    assert again.codec.spec.modality == "molecules"
    with pytest.warns(UserWarning, match="no molecules"):
        one, other = (p(CAPTION, seed=3, num_samples=9, max_new_tokens=4) for p in (pipe, again))
    assert one == other
    assert recognise(tmp_path / "saved").x == "text"
    (tmp_path / "saved" / "mmgen.json").write_text('{"writes": "runes"}', "utf-8")
    with pytest.raises(LoadError, match="says that its texts are 'runes'"):
        Pipeline.from_pretrained(tmp_path / "saved")


def test_what_writes_no_texts_writes_no_molecules(describer: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="writes is one of smiles, selfies; got 'smile'"):
        Pipeline.from_pretrained(describer, writes="smile")
    config = '{"architectures": ["VitsModel"], "model_type": "vits"}'
    (tmp_path / "config.json").write_text(config, "utf-8")
    with pytest.raises(SpecError, match="it writes no molecules"):
        Pipeline.from_pretrained(tmp_path, writes="smiles")
