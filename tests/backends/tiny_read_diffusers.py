"""Tiny pipelines of diffusers that read their text with a language model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from backends.tiny_parts import VOCODER, autoencoder
from backends.tiny_tokenizers import CHAT, byte_merges, pieces
from transformers import (
    ClapAudioConfig,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapTextConfig,
    ClapTextModelWithProjection,
    GPT2Config,
    GPT2LMHeadModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3Model,
    RobertaTokenizer,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

__all__ = ["audioldm", "audioldm2", "qwen_image", "t5", "z_image"]


def t5(folder: Path, kind: type = T5EncoderModel, config: type = T5Config) -> tuple[Any, Any]:
    """A tokenizer and a text encoder of the T5 kind."""
    folder.mkdir(parents=True)
    pieces(folder, "spiece", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    tokenizer = T5Tokenizer.from_pretrained(folder, extra_ids=0, model_max_length=32)
    sizes = {"d_model": 32, "d_ff": 37, "d_kv": 8, "num_layers": 2, "num_heads": 4}
    return tokenizer, kind(config(vocab_size=len(tokenizer), **sizes))


def _bytes(folder: Path, *special: str) -> tuple[str, str]:
    """Files of the merges of bytes, the special tokens first."""
    folder.mkdir(parents=True)
    byte_merges(list(special)).model.save(str(folder))
    return str(folder / "vocab.json"), str(folder / "merges.txt")


def _qwen_tokenizer(folder: Path) -> Qwen2Tokenizer:
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|user|>", "<|assistant|>")
    vocab, merges = _bytes(folder, *special)
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=merges, model_max_length=2048)
    tokenizer.add_special_tokens({"extra_special_tokens": list(special[1:])})
    tokenizer.chat_template = CHAT
    return tokenizer


_QWEN = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


def qwen_image(folder: Path) -> Any:
    """Qwen-Image."""
    tokenizer = _qwen_tokenizer(folder / "tokenizer_parts")
    rotary = {"mrope_section": [1, 1, 2], "rope_type": "default", "rope_theta": 1e6}
    config = Qwen2_5_VLConfig(
        text_config={**_QWEN, "vocab_size": len(tokenizer), "rope_parameters": rotary},
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 16,
            "fullatt_block_indexes": [0],
        },
    )
    transformer = diffusers.QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=3,
        joint_attention_dim=16,
        guidance_embeds=False,
        axes_dims_rope=(8, 4, 4),
    )
    vae = diffusers.AutoencoderKLQwenImage(
        base_dim=12,
        z_dim=4,
        dim_mult=[1, 2],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.1, 0.0, -0.1, 0.2],
        latents_std=[1.0, 1.5, 0.5, 1.0],
    )
    return diffusers.QwenImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=vae,
        text_encoder=Qwen2_5_VLForConditionalGeneration(config),
        tokenizer=tokenizer,
        transformer=transformer,
    )


def z_image(folder: Path) -> Any:
    """Z-Image."""
    tokenizer = _qwen_tokenizer(folder / "tokenizer_parts")
    transformer = diffusers.ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=16,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[8, 4, 4],
        axes_lens=[256, 32, 32],
    )
    with torch.no_grad():
        # These begin as what was in memory.
        transformer.x_pad_token.fill_(0.1)
        transformer.cap_pad_token.fill_(-0.1)
    vae = autoencoder(latent_channels=16, scaling_factor=0.3611, shift_factor=0.1159)
    return diffusers.ZImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=vae,
        text_encoder=Qwen3Model(Qwen3Config(**_QWEN, head_dim=8, vocab_size=len(tokenizer))),
        tokenizer=tokenizer,
        transformer=transformer,
    )


def _clap(folder: Path) -> tuple[RobertaTokenizer, ClapModel]:
    vocab, merges = _bytes(folder / "roberta", "<s>", "<pad>", "</s>", "<unk>", "<mask>")
    tokenizer = RobertaTokenizer(vocab=vocab, merges=merges, model_max_length=24)
    text = ClapTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=16,
        num_attention_heads=1,
        num_hidden_layers=1,
        projection_dim=16,
        max_position_embeddings=64,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    audio = ClapAudioConfig(
        spec_size=8,
        window_size=4,
        num_mel_bins=8,
        depths=[1, 1],
        num_attention_heads=[1, 1],
        num_hidden_layers=1,
        hidden_size=16,
        projection_dim=16,
        patch_size=2,
        patch_stride=2,
        patch_embeds_hidden_size=8,
        patch_embed_input_channels=1,
    )
    clap = ClapConfig(text_config=text.to_dict(), audio_config=audio.to_dict(), projection_dim=16)
    return tokenizer, ClapModel(clap)


def _mel_parts() -> dict[str, Any]:
    """Mel frames of 16 kHz to latents, and to sounds."""
    return {
        "vae": autoencoder(in_channels=1, out_channels=1, block_out_channels=(8, 16)),
        "vocoder": SpeechT5HifiGan(
            SpeechT5HifiGanConfig(
                **VOCODER
                | {
                    "sampling_rate": 16000,
                    "upsample_rates": [2, 2],
                    "upsample_kernel_sizes": [4, 4],
                },
                normalize_before=False,
            )
        ),
        "scheduler": diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=False),
    }


# A UNet of two scales on 8 x 8 latents of 4 channels.
_ATTENDING: dict[str, Any] = {
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}


def audioldm(folder: Path) -> Any:
    """AudioLDM, whose UNet is told one vector of a text."""
    tokenizer, clap = _clap(folder)
    unet = diffusers.UNet2DConditionModel(
        **_ATTENDING,
        cross_attention_dim=(8, 16),
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=16,
        class_embeddings_concat=True,
    )
    text_encoder = ClapTextModelWithProjection(clap.config.text_config)
    own = {"text_encoder": text_encoder, "tokenizer": tokenizer, "unet": unet}
    return diffusers.AudioLDMPipeline(**_mel_parts(), **own)


def audioldm2(folder: Path) -> Any:
    """AudioLDM 2, whose GPT-2 writes what its UNet attends to."""
    from diffusers import AudioLDM2ProjectionModel, AudioLDM2UNet2DConditionModel

    tokenizer, clap = _clap(folder)
    t5_tokenizer, t5_model = t5(folder / "t5")
    unet = AudioLDM2UNet2DConditionModel(
        **_ATTENDING,
        cross_attention_dim=((None, 16, 32),) * 2,
    )
    language = GPT2LMHeadModel(
        GPT2Config(
            n_embd=16,
            n_head=1,
            n_layer=1,
            vocab_size=64,
            n_positions=99,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    language.config.max_new_tokens = 8
    return diffusers.AudioLDM2Pipeline(
        text_encoder=clap,
        text_encoder_2=t5_model,
        projection_model=AudioLDM2ProjectionModel(
            text_encoder_dim=16, text_encoder_1_dim=32, langauge_model_dim=16
        ),
        language_model=language,
        tokenizer=tokenizer,
        tokenizer_2=t5_tokenizer,
        feature_extractor=ClapFeatureExtractor(feature_size=8, hop_length=160),
        unet=unet,
        **_mel_parts(),
    )
