"""Tiny checkpoints of transformers that speak by the codes of a sound, as they are saved."""

from __future__ import annotations

from pathlib import Path

import torch
from backends.tiny_tokenizers import byte_tokenizer
from transformers import (
    CsmConfig,
    CsmForConditionalGeneration,
    CsmProcessor,
    DacConfig,
    DacModel,
    DiaConfig,
    DiaFeatureExtractor,
    DiaForConditionalGeneration,
    DiaProcessor,
    DiaTokenizer,
    EncodecFeatureExtractor,
    PocketTTSAudioTokenizerConfig,
    PocketTTSAudioTokenizerModel,
    PocketTTSConfig,
    PocketTTSFeatureExtractor,
    PocketTTSForConditionalGeneration,
    PocketTTSProcessor,
)

__all__ = ["csm", "dia", "pocket_tts"]

_CODES = 32
_TEMPLATE = (
    "{% for m in messages %}<|end|>[{{ m['role'] }}]{% for p in m['content'] %}"
    "{% if p['type'] == 'text' %}{{ p['text'] }}<|stop|>{% else %}<|AUDIO|><|audio_eos|>"
    "{% endif %}{% endfor %}{% endfor %}"
)


def _louder(model: torch.nn.Module, std: float = 0.3) -> torch.nn.Module:
    """Weights so large that what is said depends on what is read."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data = torch.randn(parameter.shape) * std
    return model.eval()


def csm(folder: Path, *, chat: bool = True) -> Path:
    """Csm of four codebooks, and its codec of 24 kHz, a code of which is 80 ms."""
    tokenizer = byte_tokenizer("<|stop|>", "<|AUDIO|>", "<|audio_eos|>")
    tokenizer.pad_token = "<|end|>"
    sizes = {"intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2, "vocab_size": _CODES, "num_codebooks": 4}
    config = CsmConfig(
        **sizes,
        hidden_size=32,
        text_vocab_size=len(tokenizer),
        max_position_embeddings=96,
        pad_token_id=0,
        bos_token_id=0,
        codebook_pad_token_id=_CODES - 1,
        codebook_eos_token_id=0,
        audio_token_id=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
        audio_eos_token_id=tokenizer.convert_tokens_to_ids("<|audio_eos|>"),
        depth_decoder_config=sizes
        | {"hidden_size": 24, "backbone_hidden_size": 32, "max_position_embeddings": 5},
        codec_config={
            "model_type": "mimi",
            "hidden_size": 16,
            "num_filters": 2,
            "codebook_size": _CODES,
            "codebook_dim": 8,
            "vector_quantization_hidden_dimension": 8,
            "num_quantizers": 4,
            "upsample_groups": 16,
            "num_hidden_layers": 1,
            "intermediate_size": 16,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
        },
    )
    model = _louder(CsmForConditionalGeneration(config))
    for name, buffer in model.codec_model.named_buffers():
        # The codes of an untrained codec all mean the same.
        if name.endswith("embed_sum"):
            buffer.normal_()
    model.generation_config.max_new_tokens = 3
    model.save_pretrained(folder)
    CsmProcessor(
        EncodecFeatureExtractor(sampling_rate=24000),
        tokenizer,
        chat_template=_TEMPLATE if chat else None,
    ).save_pretrained(folder)
    return folder


def dia(folder: Path) -> Path:
    """Dia of nine channels, as its processor wants them, and its codec of 44.1 kHz."""
    sizes = {"hidden_size": 32, "intermediate_size": 48, "head_dim": 8}
    config = DiaConfig(
        encoder_config=sizes
        | {"num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 4}
        | {"max_position_embeddings": 64},
        decoder_config=sizes
        | {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
        | {"cross_num_attention_heads": 4, "cross_num_key_value_heads": 4}
        | {"cross_head_dim": 8, "cross_hidden_size": 32},
    )
    model = _louder(DiaForConditionalGeneration(config))
    model.generation_config.update(
        max_new_tokens=20, do_sample=True, guidance_scale=3.0, temperature=1.8, top_k=45
    )
    model.save_pretrained(folder)
    codec = DacModel(
        DacConfig(
            encoder_hidden_size=2,
            decoder_hidden_size=32,
            n_codebooks=9,
            codebook_dim=4,
            sampling_rate=44100,
        )
    )
    _louder(codec).save_pretrained(folder / "vocoder")
    codec = DacModel.from_pretrained(folder / "vocoder")
    heard = DiaFeatureExtractor(sampling_rate=44100, hop_length=512)
    DiaProcessor(heard, DiaTokenizer(), audio_tokenizer=codec).save_pretrained(folder)
    return folder


def pocket_tts(folder: Path) -> Path:
    """Pocket TTS, and its codec of 24 kHz, a vector of which is eight samples."""
    named = {n: f"<|{n}|>" for n in ("audio_prompt", "audio_latent", "audio_bos", "prompt_bos")}
    tokenizer = byte_tokenizer(*named.values())
    tokenizer.pad_token, tokenizer.padding_side = "<|end|>", "left"
    ids = {n: tokenizer.convert_tokens_to_ids(t) for n, t in named.items()}
    attributes = {
        "audio_prompt_token": named["audio_prompt"],
        "audio_latent_token": named["audio_latent"],
        "audio_bos_token": named["audio_bos"],
        "audio_prompt_bos_token": named["prompt_bos"],
    }
    tokenizer._set_model_specific_special_tokens(attributes)
    config = PocketTTSConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=1024,
        latent_dim=8,
        pad_token_id=0,
        audio_prompt_token_id=ids["audio_prompt"],
        audio_latent_token_id=ids["audio_latent"],
        audio_bos_token_id=ids["audio_bos"],
        audio_prompt_bos_token_id=ids["prompt_bos"],
        flow_head_config={
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "latent_dim": 8,
            "condition_dim": 32,
            "frequency_embedding_size": 16,
        },
    )
    model = _louder(PocketTTSForConditionalGeneration(config))
    model.generation_config.update(do_sample=True, temperature=0.7, eos_threshold=-1.0)
    model.save_pretrained(folder)
    codec = PocketTTSAudioTokenizerModel(
        PocketTTSAudioTokenizerConfig(
            hidden_size=16,
            num_filters=2,
            upsampling_ratios=[2, 2],
            latent_stride=2,
            latent_dim=8,
            upsample_groups=16,
            num_hidden_layers=1,
            intermediate_size=16,
            num_attention_heads=2,
            num_key_value_heads=2,
        )
    )
    _louder(codec).save_pretrained(folder / "vocoder")
    codec = PocketTTSAudioTokenizerModel.from_pretrained(folder / "vocoder")
    heard = PocketTTSFeatureExtractor(frame_size=8, pad_to_multiple_of=8)
    template = (
        "{% for m in messages %}{% for p in m['content'] %}{% if p['type'] == 'audio' %}"
        "<|prompt_bos|><|audio_prompt|>{% endif %}{% endfor %}{% for p in m['content'] %}"
        "{% if p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}{% endfor %}"
        "<|audio_bos|>"
    )
    PocketTTSProcessor(
        heard, tokenizer, audio_tokenizer=codec, chat_template=template
    ).save_pretrained(folder)
    return folder
