"""A tiny checkpoint of transformers that acts, as it is saved."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from backends.sharpened import sharpened
from backends.tiny_tokenizers import byte_tokenizer
from transformers import PI0Config, PI0ForConditionalGeneration

__all__ = ["STATISTICS", "pi0"]

STATISTICS = {
    "actions_mean": [1.0, -2.0, 0.0],
    "actions_std": [0.5, 2.0, 1.0],
    "state_mean": [0.5, 0.0, -1.0, 2.0],
    "state_std": [1.0, 2.0, 0.5, 1.0],
}
"""Of actions of three numbers and states of four."""


def pi0(folder: Path, **stated: object) -> Path:
    """PI0, that sees four patches of each picture of 28 pixels and acts for five steps at once."""
    tokenizer = byte_tokenizer("<image>")
    tokenizer.pad_token = "<|end|>"
    tokenizer.save_pretrained(folder)
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 1}
    sizes |= {"head_dim": 8, "intermediate_size": 48, "model_type": "gemma"}
    # As many words as the processor adds to it.
    words = len(tokenizer) + 1024 + 128
    config = PI0Config(
        vlm_config={
            "model_type": "paligemma",
            "text_config": sizes | {"hidden_size": 32, "vocab_size": words},
            "vision_config": {
                "model_type": "siglip_vision_model",
                "hidden_size": 16,
                "intermediate_size": 24,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 28,
                "patch_size": 14,
                "vision_use_head": False,
            },
            "projection_dim": 32,
            "image_token_id": tokenizer.convert_tokens_to_ids("<image>"),
        },
        dit_config=sizes | {"hidden_size": 24},
        chunk_size=5,
        max_state_dim=6,
        max_action_dim=6,
        num_inference_steps=3,
    )
    torch.manual_seed(0)
    sharpened(PI0ForConditionalGeneration(config), 0.2).save_pretrained(folder)
    pictures = {
        "image_processor_type": "PI0ImageProcessor",
        "size": {"max_height": 28, "max_width": 28},
        "pad_size": {"height": 28, "width": 28},
        "image_seq_length": 4,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures), "utf-8")
    own = {"processor_class": "PI0Processor", **STATISTICS, **stated}
    (folder / "processor_config.json").write_text(json.dumps(own), "utf-8")
    return folder
