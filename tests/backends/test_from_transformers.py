"""Pretrained text encoders as encoders: the library's own hidden states, never a cut text."""

from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

from mmgen.backends.from_transformers import FrozenTextEncoder
from mmgen.core.errors import LoadError

CORPUS = [
    f"a {c} {s} on the {p} number {i}"
    for i in range(20)
    for c in ("red", "green", "blue")
    for s in ("circle", "square", "cat")
    for p in ("left", "right", "table")
]
TEXTS = ["a red cat", "a green circle on the left number 3", "blue"]


def _clip_tokenizer(folder: Path) -> CLIPTokenizer:
    folder.mkdir()
    inner = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        end_of_word_suffix="</w>",
        special_tokens=["<|startoftext|>", "<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(CORPUS, trainer)
    inner.model.save(str(folder))
    vocab, merges = str(folder / "vocab.json"), str(folder / "merges.txt")
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=32)


def _clip_config(tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=32,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _t5_tokenizer(folder: Path) -> T5Tokenizer:
    folder.mkdir()
    (folder / "corpus.txt").write_text("\n".join(CORPUS))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "corpus.txt"),
        model_prefix=str(folder / "spiece"),
        vocab_size=120,
        hard_vocab_limit=False,
        minloglevel=2,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
    )
    return T5Tokenizer.from_pretrained(folder, extra_ids=0, model_max_length=64)


def _t5_config(tokenizer: T5Tokenizer) -> T5Config:
    return T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_ff=64,
        d_kv=8,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
    )


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders: a text encoder alone, and the same kind within a larger model."""
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("checkpoints")
    clip, t5 = _clip_tokenizer(root / "clip_tokenizer"), _t5_tokenizer(root / "t5_tokenizer")
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=8,
        patch_size=4,
    )
    whole = CLIPConfig(
        text_config=_clip_config(clip).to_dict(), vision_config=vision.to_dict(), projection_dim=16
    )
    made = {
        "clip": (CLIPTextModel(_clip_config(clip)), clip),
        "clip_whole": (CLIPModel(whole), clip),
        "t5": (T5EncoderModel(_t5_config(t5)), t5),
        "t5_whole": (T5ForConditionalGeneration(_t5_config(t5)), t5),
    }
    for name, (model, tokenizer) in made.items():
        model.save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    return {name: root / name for name in made}


def _reference(name: str, folder: Path) -> nn.Module:
    if name == "clip_whole":
        return CLIPModel.from_pretrained(folder).text_model.eval()
    return (CLIPTextModel if name == "clip" else T5EncoderModel).from_pretrained(folder).eval()


NAMES = ["clip", "clip_whole", "t5", "t5_whole"]


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_parity(name: str, checkpoints: dict[str, Path]) -> None:
    folder = checkpoints[name]
    encoder = FrozenTextEncoder.from_pretrained(folder)
    c = encoder.encode(encoder.prepare(TEXTS))
    inputs = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    reference = _reference(name, folder)
    states = reference(
        input_ids=inputs.input_ids, attention_mask=inputs.attention_mask
    ).last_hidden_state
    mask = inputs.attention_mask.bool()
    assert encoder.spec.token_dim == states.shape[-1] == 32
    assert torch.equal(c.mask, mask)
    assert (c.tokens - states)[mask].abs().max() < 1e-5
    assert c.tokens[~mask].abs().max() == 0


@pytest.mark.parametrize("name", ["clip", "t5"])
@torch.no_grad()
def test_batch_equals_alone(name: str, checkpoints: dict[str, Path]) -> None:
    encoder = FrozenTextEncoder.from_pretrained(checkpoints[name])
    values = [TEXTS[0], None, *TEXTS[1:]]
    together = encoder.encode(encoder.prepare(values))
    for i, value in enumerate(values):
        alone = encoder.encode(encoder.prepare([value]))
        assert together.mask[i].sum() == alone.mask.sum()
        got = together.tokens[i][together.mask[i]]
        assert (got - alone.tokens[0][alone.mask[0]]).abs().max() < 1e-5


def test_none_is_the_learned_null() -> None:
    encoder = FrozenTextEncoder.debug()
    tensors = encoder.prepare(["a red circle", None])
    assert tensors["ids"].shape == tensors["mask"].shape == (2, 3)
    assert tensors["given"].tolist() == [True, False]
    c = encoder.encode(tensors)
    assert c.mask.tolist() == [[True] * 3, [True, False, False]]
    assert torch.equal(c.tokens[1, 0], encoder.null)
    only = encoder.encode(encoder.prepare([None, None]))
    assert only.tokens.shape == (2, 1, 32)
    assert torch.equal(only.tokens[1, 0], encoder.null)


def test_dropping_gives_the_null() -> None:
    encoder = FrozenTextEncoder.debug()
    tensors = encoder.drop(encoder.prepare(["a red circle", "a star"]), rate=1.0)
    c = encoder.encode(tensors)
    assert torch.equal(c.tokens[:, 0], encoder.null.expand(2, -1))
    assert c.mask.sum(1).tolist() == [1, 1]


def test_only_the_null_is_trained() -> None:
    encoder = FrozenTextEncoder.debug().train()
    assert [n for n, p in encoder.named_parameters() if p.requires_grad] == ["null"]
    assert not encoder.model.training
    tensors = encoder.prepare(["a red circle", None])
    c = encoder.encode(tensors)
    assert torch.equal(c.tokens, encoder.encode(tensors).tokens)  # no dropout
    (c.tokens * c.mask[..., None]).sum().backward()
    assert torch.equal(encoder.null.grad, torch.ones(32))
    assert all(p.grad is None for p in encoder.model.parameters())


def test_long_texts_are_refused_with_their_length(checkpoints: dict[str, Path]) -> None:
    encoder = FrozenTextEncoder.from_pretrained(checkpoints["clip"])
    text = "red " * 40
    length = len(encoder.tokenizer(text)["input_ids"])
    assert length > 32
    with pytest.raises(ValueError, match=f"at most 32 tokens, got {length}: 'red red"):
        encoder.prepare(["a cat", text])
    fitting = "red " * 40
    while len(encoder.tokenizer(fitting)["input_ids"]) > 32:
        fitting = fitting[4:]
    ids = encoder.prepare([fitting])["ids"]
    assert ids.tolist() == [encoder.tokenizer(fitting)["input_ids"]]
    encoder = FrozenTextEncoder.from_pretrained(checkpoints["t5"], max_tokens=10)
    with pytest.raises(ValueError, match="at most 10 tokens, got "):
        encoder.prepare([text])
    encoder = FrozenTextEncoder.from_pretrained(checkpoints["t5"], max_tokens=200)
    assert encoder.prepare([text])["ids"].shape[1] > 64


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("", ValueError, "The text is empty"),
        (" \n", ValueError, "The text is empty"),
        (3, TypeError, "Expected a text .str., got int: 3"),
        (["a"], TypeError, "Expected a text .str., got list"),
    ],
)
def test_refusals(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        FrozenTextEncoder.debug().prepare(["a star", value])


def test_weights_and_assets_come_back(checkpoints: dict[str, Path]) -> None:
    encoder = FrozenTextEncoder.from_pretrained(checkpoints["t5"])
    other = FrozenTextEncoder(
        T5EncoderModel(T5Config.from_pretrained(checkpoints["t5"])),
        FrozenTextEncoder.debug().tokenizer,
    )
    other.load_state_dict(encoder.state_dict())
    other.load_assets(encoder.assets())
    a, b = (e.encode(e.prepare(TEXTS)) for e in (encoder, other))
    assert torch.equal(a.tokens, b.tokens)
    with pytest.raises(LoadError, match="Expected the files of a tokenizer, got none"):
        other.load_assets({})
    with pytest.raises(LoadError, match="weights have 12. They do not belong together"):
        FrozenTextEncoder.debug().load_assets(encoder.assets())


def test_diffusers_layout(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    CLIPTextModel.from_pretrained(checkpoints["clip"]).save_pretrained(tmp_path / "text_encoder")
    AutoTokenizer.from_pretrained(checkpoints["clip"]).save_pretrained(tmp_path / "tokenizer")
    encoder = FrozenTextEncoder.from_pretrained(
        tmp_path, subfolder="text_encoder", tokenizer_subfolder="tokenizer"
    )
    plain = FrozenTextEncoder.from_pretrained(checkpoints["clip"])
    assert torch.equal(_tokens(encoder), _tokens(plain))


def _tokens(encoder: FrozenTextEncoder) -> Tensor:
    return encoder.encode(encoder.prepare(TEXTS)).tokens


def test_pickled_weights_are_refused(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    model = CLIPTextModel.from_pretrained(checkpoints["clip"])
    model.config.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(checkpoints["clip"]).save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(LoadError, match="text encoder with safetensors weights.*not read"):
        FrozenTextEncoder.from_pretrained(tmp_path)


def test_missing_weights_are_refused(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    FrozenTextEncoder.from_pretrained(checkpoints["t5"]).model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(checkpoints["t5"]).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    lost = "encoder.block.0.layer.0.SelfAttention.q.weight"
    del weights[lost]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(LoadError, match=f"lacks weights of its text encoder: {lost}"):
        FrozenTextEncoder.from_pretrained(tmp_path)


def test_half_a_file_is_refused(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    for file in checkpoints["t5"].iterdir():
        content = file.read_bytes()
        if file.suffix == ".safetensors":
            content = content[: len(content) // 2]
        (tmp_path / file.name).write_bytes(content)
    with pytest.raises(LoadError, match="Could not load a text encoder"):
        FrozenTextEncoder.from_pretrained(tmp_path)


def test_no_checkpoint_there(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="Could not load a text encoder"):
        FrozenTextEncoder.from_pretrained(tmp_path)


def test_code_in_a_checkpoint_is_not_run(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        '{"model_type": "own", "auto_map": {"AutoConfig": "code.Own", "AutoModel": "code.Own"}}'
    )
    (tmp_path / "code.py").write_text("raise SystemExit('ran')")
    with pytest.raises(LoadError, match="bring their own code"):
        FrozenTextEncoder.from_pretrained(tmp_path)
