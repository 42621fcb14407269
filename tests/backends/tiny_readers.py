"""Tiny checkpoints of transformers that write texts of sounds and pictures, as they are saved."""

from __future__ import annotations

import json
from pathlib import Path

import sentencepiece
import torch
import transformers
from backends.sharpened import sharpened
from backends.tiny_tokenizers import byte_tokenizer, pieces
from transformers import (
    AddedToken,
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    CLIPImageProcessor,
    DonutSwinConfig,
    GenerationConfig,
    GitConfig,
    GitForCausalLM,
    GitProcessor,
    GPT2Config,
    MBartConfig,
    MoonshineConfig,
    MoonshineForConditionalGeneration,
    Pix2StructConfig,
    Pix2StructForConditionalGeneration,
    Pix2StructImageProcessor,
    Pix2StructProcessor,
    Speech2TextConfig,
    Speech2TextFeatureExtractor,
    Speech2TextForConditionalGeneration,
    Speech2TextProcessor,
    Speech2TextTokenizer,
    T5Tokenizer,
    TrOCRConfig,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTImageProcessor,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Processor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

__all__ = [
    "blip",
    "ctc",
    "git",
    "moonshine",
    "pix2struct",
    "speech2text",
    "vision_encoder_decoder",
    "whisper",
]

_MARKS = "startoftranscript en de transcribe translate startofprev nospeech notimestamps"
_SIZES = {
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "d_model": 32,
}


def whisper(folder: Path) -> Path:
    """Whisper of two languages, that hears a second at once."""
    content = json.loads(byte_tokenizer().backend_tokenizer.to_str())["model"]
    words = {"<|endoftext|>" if w == "<|end|>" else w: i for w, i in content["vocab"].items()}
    tokenizer = WhisperTokenizer(vocab=words, merges=[tuple(m) for m in content["merges"]])
    marks = [AddedToken(f"<|{name}|>", special=True) for name in _MARKS.split()]
    tokenizer.add_tokens(marks, special_tokens=True)
    ids = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in _MARKS.split()}
    end = tokenizer.eos_token_id
    config = WhisperConfig(
        **_SIZES,
        vocab_size=len(tokenizer) + 3,
        max_source_positions=50,
        max_target_positions=40,
        decoder_start_token_id=ids["startoftranscript"],
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        begin_suppress_tokens=None,
    )
    model = sharpened(WhisperForConditionalGeneration(config))
    model.generation_config = GenerationConfig(
        decoder_start_token_id=ids["startoftranscript"],
        eos_token_id=end,
        pad_token_id=end,
        lang_to_id={"<|en|>": ids["en"], "<|de|>": ids["de"]},
        task_to_id={name: ids[name] for name in ("transcribe", "translate")},
        no_timestamps_token_id=ids["notimestamps"],
        is_multilingual=True,
        suppress_tokens=[5, 6, 7, *ids.values()],
        begin_suppress_tokens=[words["Ġ"], end],
        max_length=40,
    )
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(chunk_length=1), tokenizer).save_pretrained(folder)
    return folder


def speech2text(folder: Path, *, multilingual: bool = False) -> Path:
    """Speech2Text, that hears a second and a half at once and writes one language, or eight."""
    more = {}
    if multilingual:
        codes = transformers.models.speech_to_text.tokenization_speech_to_text.LANGUAGES["mustc"]
        more = {"user_defined_symbols": [f"<lang:{code}>" for code in codes]}
    ids = {"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3}
    spm = pieces(folder, "sentencepiece.bpe", **ids, **more)
    words = sentencepiece.SentencePieceProcessor(model_file=str(spm))
    own = {words.id_to_piece(i): i for i in range(len(words))}
    (folder / "vocab.json").write_text(json.dumps(own), "utf-8")
    tokenizer = Speech2TextTokenizer(
        str(folder / "vocab.json"),
        str(spm),
        **({"lang_codes": "mustc", "tgt_lang": "fr"} if multilingual else {}),
    )
    config = Speech2TextConfig(
        **_SIZES,
        vocab_size=len(own),
        conv_channels=16,
        max_source_positions=150,
        max_target_positions=40,
    )
    model = sharpened(Speech2TextForConditionalGeneration(config))
    model.generation_config.bad_words_ids = [[1]]
    model.save_pretrained(folder)
    Speech2TextProcessor(Speech2TextFeatureExtractor(), tokenizer).save_pretrained(folder)
    return folder


def moonshine(folder: Path) -> Path:
    """Moonshine, that hears the samples themselves, any number of them."""
    tokenizer = byte_tokenizer("<s>")
    config = MoonshineConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        encoder_num_hidden_layers=1,
        decoder_num_hidden_layers=2,
        encoder_num_attention_heads=4,
        decoder_num_attention_heads=4,
        max_position_embeddings=40,
        decoder_start_token_id=1,
        bos_token_id=1,
        eos_token_id=0,
        pad_token_id=0,
    )
    sharpened(MoonshineForConditionalGeneration(config)).save_pretrained(folder)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)
    Wav2Vec2Processor(extractor, tokenizer).save_pretrained(folder)
    return folder


def vision_encoder_decoder(folder: Path, decoder: str = "gpt2") -> Path:
    """A picture that a ViT sees, or a Swin for "mbart", and a decoder writes of."""
    tokenizer = byte_tokenizer()
    common = {
        "vocab_size": len(tokenizer),
        "bos_token_id": 0,
        "eos_token_id": 0,
        "is_decoder": True,
        "add_cross_attention": True,
    }
    sizes = {
        "decoder_layers": 2,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 48,
        "max_position_embeddings": 48,
        "pad_token_id": 1,
    }
    writer = {
        "gpt2": lambda: GPT2Config(**common, n_positions=48, n_embd=32, n_layer=2, n_head=2),
        "trocr": lambda: TrOCRConfig(**common, **sizes, d_model=32, cross_attention_hidden_size=24),
        "mbart": lambda: MBartConfig(**common, **sizes, d_model=32, is_encoder_decoder=False),
    }[decoder]()
    vision = ViTConfig(
        image_size=16,
        patch_size=8,
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    if decoder == "mbart":
        vision = DonutSwinConfig(
            image_size=(16, 16),
            patch_size=2,
            embed_dim=8,
            depths=[1, 1],
            num_heads=[2, 2],
            window_size=2,
        )
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        vision, writer, decoder_start_token_id=0, pad_token_id=0, eos_token_id=0
    )
    sharpened(VisionEncoderDecoderModel(config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


def blip(folder: Path) -> Path:
    """BLIP, whose texts begin and end with tokens of its own."""
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] a red blue cat sat on the left ##s right".split()
    words += list("bcdefghijklmnopqrstuvwxyz,.")
    (folder / "vocab.txt").write_text("\n".join(words), "utf-8")
    tokenizer = BertTokenizer.from_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4}
    writer = sizes | {
        "vocab_size": len(words) + 2,
        "encoder_hidden_size": 32,
        "num_hidden_layers": 2,
        "max_position_embeddings": 24,
        "bos_token_id": len(words),
        "sep_token_id": 3,
        "pad_token_id": 0,
        "eos_token_id": 3,
    }
    vision = sizes | {"num_hidden_layers": 1, "image_size": 16, "patch_size": 8}
    config = BlipConfig(text_config=writer, vision_config=vision)
    sharpened(BlipForConditionalGeneration(config)).save_pretrained(folder)
    processor = BlipImageProcessor(size={"height": 16, "width": 16})
    BlipProcessor(processor, tokenizer).save_pretrained(folder)
    return folder


def git(folder: Path) -> Path:
    """GIT, that reads five states of a picture before its words."""
    folder.mkdir(exist_ok=True)
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] a red blue cat sat on the left ##s right".split()
    words += list("bcdefghijklmnopqrstuvwxyz,.")
    (folder / "vocab.txt").write_text("\n".join(words), "utf-8")
    tokenizer = BertTokenizer.from_pretrained(folder)
    seeing = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2}
    config = GitConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=24,
        bos_token_id=2,
        eos_token_id=3,
        vision_config=seeing | {"num_hidden_layers": 1, "image_size": 16, "patch_size": 8},
    )
    torch.manual_seed(0)
    sharpened(GitForCausalLM(config)).save_pretrained(folder)
    processor = CLIPImageProcessor(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    )
    GitProcessor(processor, tokenizer).save_pretrained(folder)
    return folder


def pix2struct(folder: Path) -> Path:
    """Pix2Struct, that sees at most eight patches of 8 pixels."""
    pieces(folder, "spiece", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    tokenizer = T5Tokenizer.from_pretrained(folder, extra_ids=0)
    sizes = {"hidden_size": 32, "d_ff": 48, "d_kv": 8}
    config = Pix2StructConfig(
        text_config=sizes | {"vocab_size": len(tokenizer), "num_layers": 2, "num_heads": 4},
        vision_config=sizes
        | {
            "patch_embed_hidden_size": 3 * 8 * 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "seq_len": 16,
        },
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
    )
    sharpened(Pix2StructForConditionalGeneration(config)).save_pretrained(folder)
    processor = Pix2StructImageProcessor(max_patches=8, patch_size={"height": 8, "width": 8})
    Pix2StructProcessor(processor, tokenizer).save_pretrained(folder)
    return folder


def ctc(folder: Path, kind: str) -> Path:
    """Wav2Vec2, Hubert or WavLM, with a label for each letter."""
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEL"]
    (folder / "vocab.json").write_text(json.dumps({c: i for i, c in enumerate(letters)}), "utf-8")
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(letters),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=(8, 8),
        conv_kernel=(10, 4),
        conv_stride=(5, 40),
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        num_feat_extract_layers=2,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForCTC")(config).eval()
    model.lm_head.weight.data *= 40
    model.save_pretrained(folder)
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=False)
    Wav2Vec2Processor(extractor, tokenizer).save_pretrained(folder)
    return folder
