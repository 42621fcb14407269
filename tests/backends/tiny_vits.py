"""A tiny VITS with random weights, saved as its library saves it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import VitsConfig, VitsModel, VitsTokenizer

__all__ = ["tiny_vits"]


def tiny_vits(folder: Path, **choices: Any) -> Path:
    """Write one into a folder, with further fields of its configuration."""
    folder.mkdir(exist_ok=True)
    words = {c: i for i, c in enumerate("_ abcdefghijklmnopqrstuvwxyz'-")}
    (folder / "vocab.json").write_text(json.dumps(words), "utf-8")
    VitsTokenizer(
        str(folder / "vocab.json"), pad_token="_", unk_token="_", phonemize=False, is_uroman=False
    ).save_pretrained(folder)
    config = VitsConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        ffn_dim=32,
        flow_size=16,
        spectrogram_bins=17,
        upsample_initial_channel=32,
        upsample_rates=[4, 4],
        upsample_kernel_sizes=[8, 8],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
        posterior_encoder_num_wavenet_layers=2,
        prior_encoder_num_flows=2,
        prior_encoder_num_wavenet_layers=2,
        duration_predictor_num_flows=2,
        depth_separable_num_layers=2,
        duration_predictor_filter_channels=16,
        sampling_rate=16000,
        **choices,
    )
    torch.manual_seed(0)
    VitsModel(config).save_pretrained(folder)
    return folder
