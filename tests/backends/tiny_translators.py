"""Tiny checkpoints of transformers that translate between many languages, as they are saved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import sentencepiece
from backends.sharpened import sharpened
from backends.tiny_tokenizers import CORPUS, pieces
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    M2M100Config,
    M2M100ForConditionalGeneration,
    M2M100Tokenizer,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
    MBart50Tokenizer,
    MBartConfig,
    MBartForConditionalGeneration,
    MBartTokenizer,
    NllbTokenizer,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

__all__ = ["TRANSLATORS", "madlad", "marian", "mbart", "mbart50", "m2m100", "nllb", "with_prefixes"]

_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
_SIZES = {
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "d_model": 32,
    "max_position_embeddings": 96,
    "tie_word_embeddings": False,
}


def nllb(folder: Path) -> Path:
    """NLLB, with the codes of its two hundred languages."""
    inner = Tokenizer(models.BPE(unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=120, special_tokens=_SPECIAL, show_progress=False)
    inner.train_from_iterator(CORPUS, trainer)
    content = json.loads(inner.to_str())["model"]
    merges = [tuple(m) for m in content["merges"]]
    tokenizer = NllbTokenizer(vocab=content["vocab"], merges=merges)
    sharpened(M2M100ForConditionalGeneration(_m2m100_config(len(tokenizer)))).save_pretrained(
        folder
    )
    tokenizer.save_pretrained(folder)
    return folder


def _m2m100_config(words: int) -> M2M100Config:
    return M2M100Config(**_SIZES, vocab_size=words, decoder_start_token_id=2)


def m2m100(folder: Path) -> Path:
    """M2M100, whose languages have two letters."""
    spm = pieces(folder, "sentencepiece.bpe")
    words = sentencepiece.SentencePieceProcessor(model_file=str(spm))
    own = [words.id_to_piece(i) for i in range(len(words))]
    own = [*_SPECIAL, *(w for w in own if w not in _SPECIAL)]
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(own)}), "utf-8")
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(spm))
    words = len(own) + len(tokenizer.lang_code_to_token) + tokenizer.num_madeup_words
    sharpened(M2M100ForConditionalGeneration(_m2m100_config(words))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _scored(folder: Path) -> list[tuple[str, float]]:
    """Pieces of the corpus and their log-probabilities."""
    found = pieces(folder, "spm")
    words = sentencepiece.SentencePieceProcessor(model_file=str(found))
    scored = [(words.id_to_piece(i), words.get_score(i)) for i in range(3, len(words))]
    found.unlink()
    return scored


def mbart(folder: Path) -> Path:
    """mBART of the older kind, whose texts begin with their language alone."""
    codes = MBartTokenizer().lang_code_to_id
    vocab = [(w, 0.0) for w in _SPECIAL] + _scored(folder)
    vocab += [(code, 0.0) for code in codes] + [("<mask>", 0.0)]
    tokenizer = MBartTokenizer(vocab=vocab, src_lang="en_XX", tgt_lang="ro_RO")
    start = tokenizer.lang_code_to_id["ro_RO"]
    config = MBartConfig(**_SIZES, vocab_size=len(tokenizer), decoder_start_token_id=start)
    sharpened(MBartForConditionalGeneration(config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def mbart50(folder: Path) -> Path:
    """mBART of fifty languages, which come after the first token."""
    vocab = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *_scored(folder)]
    tokenizer = MBart50Tokenizer(vocab=vocab)
    config = MBartConfig(**_SIZES, vocab_size=len(tokenizer), decoder_start_token_id=2)
    sharpened(MBartForConditionalGeneration(config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def madlad(folder: Path) -> Path:
    """MADLAD, a T5 that is told its language by a mark before the text."""
    ids = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    marks = [f"<2{code}>" for code in ("de", "en", "zh")]
    pieces(folder, "spiece", user_defined_symbols=marks, **ids)
    tokenizer = T5Tokenizer.from_pretrained(folder, extra_ids=0)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        tie_word_embeddings=False,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
    )
    sharpened(T5ForConditionalGeneration(config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def marian(folder: Path) -> Path:
    """Marian of three languages, told which by a mark before the text."""
    for name in ("source", "target"):
        pieces(folder, name).rename(folder / f"{name}.spm")
    words = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
    own = [words.id_to_piece(i) for i in range(len(words))]
    own = [w for w in own if w not in ("<s>", "</s>", "<unk>")]
    own = ["</s>", "<unk>", ">>fra<<", ">>deu<<", ">>zho_Hans<<", *own, "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(own)}), "utf-8")
    files = (str(folder / name) for name in ("source.spm", "target.spm", "vocab.json"))
    tokenizer, pad = MarianTokenizer(*files), len(own) - 1
    config = MarianConfig(
        **_SIZES | {"tie_word_embeddings": True},
        vocab_size=len(own),
        pad_token_id=pad,
        eos_token_id=0,
        decoder_start_token_id=pad,
    )
    model = sharpened(MarianMTModel(config))
    model.final_logits_bias[0, pad] = -100.0
    model.generation_config.bad_words_ids = [[pad]]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def with_prefixes(t5: Path, folder: Path) -> Path:
    """A T5 whose configuration says what is put before a text for each of its tasks."""
    shutil.copytree(t5, folder, dirs_exist_ok=True)
    content = json.loads((folder / "config.json").read_text("utf-8"))
    content["task_specific_params"] = {
        "summarization": {"prefix": "number "},
        "translation_en_to_de": {"prefix": "A Red cat: "},
        "translation_en_to_fr": {"prefix": "A blue cat: "},
    }
    (folder / "config.json").write_text(json.dumps(content), "utf-8")
    return folder


TRANSLATORS = {"nllb": nllb, "m2m100": m2m100, "mbart": mbart, "mbart50": mbart50}
"""Those that begin a text with the language that it is in."""
