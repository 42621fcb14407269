"""Tiny checkpoints of transformers that speak, as they are saved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from backends.tiny_parts import VOCODER, encodec
from backends.tiny_tokenizers import pieces
from transformers import (
    BarkConfig,
    BarkModel,
    BarkProcessor,
    BertTokenizer,
    FastSpeech2ConformerConfig,
    FastSpeech2ConformerHifiGanConfig,
    FastSpeech2ConformerWithHifiGan,
    FastSpeech2ConformerWithHifiGanConfig,
    GenerationConfig,
    SpeechT5Config,
    SpeechT5FeatureExtractor,
    SpeechT5ForTextToSpeech,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    SpeechT5Processor,
    SpeechT5Tokenizer,
)
from transformers.models.bark.generation_configuration_bark import (
    BarkCoarseGenerationConfig,
    BarkFineGenerationConfig,
    BarkSemanticGenerationConfig,
)

__all__ = ["PHONEMES", "bark", "fastspeech2", "speecht5"]

PHONEMES = "AA AE1 AH0 B D HH IY K L M N OW1 R S T . ,".split()

_MEANINGS, _CODES = 20, 16
"""Codes of meaning, and of sound in each codebook."""


def _louder(model: torch.nn.Module) -> torch.nn.Module:
    """Weights so large that what is said depends on what is read."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data *= 10
    return model.eval()


def speecht5(folder: Path) -> Path:
    """SpeechT5, that speaks as long as it may, and its vocoder of 8 kHz."""
    spm = pieces(folder, "spm_char", bos_id=0, pad_id=1, eos_id=2, unk_id=3)
    tokenizer = SpeechT5Tokenizer(str(spm))
    config = SpeechT5Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_mel_bins=8,
        speech_decoder_prenet_units=16,
        speech_decoder_postnet_units=16,
        speech_decoder_postnet_layers=2,
        speaker_embedding_dim=4,
        max_text_positions=60,
        max_speech_positions=400,
    )
    torch.manual_seed(0)
    model = _louder(SpeechT5ForTextToSpeech(config))
    model.speech_decoder_postnet.prob_out.bias.data.fill_(-100.0)
    model.save_pretrained(folder)
    SpeechT5Processor(SpeechT5FeatureExtractor(num_mel_bins=8), tokenizer).save_pretrained(folder)
    vocoder = SpeechT5HifiGanConfig(**VOCODER, initializer_range=0.3)
    SpeechT5HifiGan(vocoder).save_pretrained(folder / "vocoder")
    return folder


def bark(folder: Path) -> Path:
    """Bark of four codebooks, with one voice of its own."""
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] a red blue cat sat on the left of square".split()
    (folder / "vocab.txt").write_text("\n".join([*words, *"bcdefgh,."]), "utf-8")
    tokenizer = BertTokenizer.from_pretrained(folder)
    pad = _MEANINGS + 1 + len(tokenizer)
    sizes = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "block_size": 96}
    meaning = sizes | {"input_vocab_size": pad + 2, "output_vocab_size": pad + 2}
    coarse = _MEANINGS + 2 * _CODES
    config = BarkConfig(
        semantic_config=meaning,
        coarse_acoustics_config=sizes
        | {"input_vocab_size": coarse + 3, "output_vocab_size": coarse + 3},
        fine_acoustics_config=sizes
        | {
            "input_vocab_size": _CODES + 1,
            "output_vocab_size": _CODES + 1,
            "n_codes_total": 4,
            "n_codes_given": 1,
        },
        codec_config=encodec(target_bandwidths=[10.0], codebook_size=_CODES),
    )
    torch.manual_seed(0)
    model = BarkModel(config)
    for part in (model.semantic, model.coarse_acoustics, model.fine_acoustics):
        _louder(part)
    model.generation_config = GenerationConfig(
        model_type="bark",
        semantic_config=BarkSemanticGenerationConfig(
            eos_token_id=_MEANINGS,
            max_new_tokens=24,
            do_sample=True,
            text_encoding_offset=_MEANINGS + 1,
            text_pad_token=pad,
            semantic_infer_token=pad + 1,
            semantic_vocab_size=_MEANINGS,
            max_input_semantic_length=16,
        ).to_dict(),
        coarse_acoustics_config=BarkCoarseGenerationConfig(
            do_sample=True,
            coarse_semantic_pad_token=coarse,
            coarse_infer_token=coarse + 1,
            max_coarse_input_length=16,
            max_coarse_history=20,
            sliding_window_len=12,
        ).to_dict(),
        fine_acoustics_config=BarkFineGenerationConfig(
            temperature=0.5,
            max_fine_history_length=8,
            max_fine_input_length=16,
            n_fine_codebooks=4,
        ).to_dict(),
        sample_rate=1000,
        codebook_size=_CODES,
    )
    model.save_pretrained(folder)
    BarkProcessor(tokenizer).save_pretrained(folder)
    draw = np.random.default_rng(0)
    shapes = {
        "semantic": (_MEANINGS, (10,)),
        "coarse": (_CODES, (2, 12)),
        "fine": (_CODES, (4, 12)),
    }
    paths = {}
    for name, (count, shape) in shapes.items():
        paths[f"{name}_prompt"] = f"calm_{name}.npy"
        np.save(folder / f"calm_{name}.npy", draw.integers(0, count, shape))
    listed = {"repo_or_path": str(folder), "calm": paths}
    (folder / "speaker_embeddings_path.json").write_text(json.dumps(listed), "utf-8")
    return folder


def fastspeech2(folder: Path) -> Path:
    """FastSpeech2Conformer and its vocoder of 8 kHz, and the vocabulary of its tokenizer."""
    words = ["<blank>", "<unk>", *PHONEMES, "<sos/eos>"]
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}), "utf-8")
    config = FastSpeech2ConformerConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_mel_bins=8,
        encoder_layers=1,
        encoder_linear_units=24,
        decoder_layers=1,
        decoder_linear_units=24,
        speech_decoder_postnet_layers=2,
        speech_decoder_postnet_units=8,
        duration_predictor_channels=8,
        energy_predictor_channels=8,
        pitch_predictor_layers=2,
        pitch_predictor_channels=8,
        num_speakers=2,
    )
    vocoder = FastSpeech2ConformerHifiGanConfig(**VOCODER, initializer_range=0.3)
    both = FastSpeech2ConformerWithHifiGanConfig(
        model_config=config.to_dict(), vocoder_config=vocoder.to_dict()
    )
    torch.manual_seed(0)
    model = _louder(FastSpeech2ConformerWithHifiGan(both))
    # Each phoneme lasts two or three frames, exp(1.2) of them less one.
    model.model.duration_predictor.linear.weight.data *= 0.001
    model.model.duration_predictor.linear.bias.data.fill_(1.2)
    model.save_pretrained(folder)
    return folder
