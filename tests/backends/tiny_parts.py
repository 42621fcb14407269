"""Parts that tiny checkpoints of several kinds share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from backends.tiny_tokenizers import byte_merges
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, EncodecConfig

__all__ = ["VOCODER", "autoencoder", "clip", "clip_tokenizer", "encodec"]

VOCODER = {
    "model_in_dim": 8,
    "sampling_rate": 8000,
    "upsample_initial_channel": 16,
    "upsample_rates": [4, 4],
    "upsample_kernel_sizes": [8, 8],
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3]],
}
"""Sizes of a HiFi-GAN of eight bands."""


def autoencoder(**sizes: Any) -> diffusers.AutoencoderKL:
    """One of images that halves their sides once; `sizes` are other arguments of it."""
    usual = {"block_out_channels": (16, 32), "latent_channels": 4, "norm_num_groups": 8}
    return diffusers.AutoencoderKL(
        **usual | sizes,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )


def encodec(**sizes: Any) -> dict[str, Any]:
    """The configuration of a codec of sounds of 1 kHz, a code of which is four samples."""
    return EncodecConfig(
        sampling_rate=1000,
        num_filters=4,
        hidden_size=8,
        upsampling_ratios=[2, 2],
        codebook_dim=8,
        num_lstm_layers=1,
        **sizes,
    ).to_dict()


def clip_tokenizer(folder: Path) -> CLIPTokenizer:
    """Of bytes, in this folder."""
    special = ["<|startoftext|>", "<|endoftext|>"]
    inner = byte_merges(special, vocab_size=400, end_of_word_suffix="</w>")
    folder.mkdir(parents=True)
    inner.model.save(str(folder))
    return CLIPTokenizer(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=77
    )


def clip(tokenizer: CLIPTokenizer, kind: type = CLIPTextModel) -> torch.nn.Module:
    """A text encoder for it."""
    return kind(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=37,
            num_hidden_layers=2,
            num_attention_heads=4,
            projection_dim=32,
            max_position_embeddings=77,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
