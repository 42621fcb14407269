"""Tiny checkpoints of transformers that answer about pictures, as they are saved."""

from __future__ import annotations

from pathlib import Path

import torch
from backends.sharpened import sharpened
from backends.tiny_tokenizers import byte_tokenizer
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

__all__ = ["idefics3", "llava"]

_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<image>{% else %}{{ p['text'] }}{% endif %}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_ROLES = ("<|user|>", "<|assistant|>")


def _writer(words: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=words,
        max_position_embeddings=96,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=0,
        eos_token_id=0,
    )


def llava(folder: Path, *, chat: bool = True) -> Path:
    """LLaVA, that sees four patches of a picture of 28 pixels."""
    tokenizer = byte_tokenizer("<image>", *_ROLES)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=28,
            patch_size=14,
        ),
        text_config=_writer(len(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
    )
    # What has one axis is not sharpened.
    torch.manual_seed(0)
    model = sharpened(LlavaForConditionalGeneration(config), 0.3)
    model.generation_config.eos_token_id = 0
    model.save_pretrained(folder)
    processor = CLIPImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    )
    LlavaProcessor(
        processor,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_TEMPLATE if chat else None,
    ).save_pretrained(folder)
    return folder


def idefics3(folder: Path) -> Path:
    """Idefics3, that sees a picture of 28 pixels and, of larger ones, their parts."""
    marks = ("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>")
    places = tuple(f"<row_{i}_col_{j}>" for i in range(1, 4) for j in range(1, 4))
    tokenizer = byte_tokenizer(*marks, *places, *_ROLES)
    config = Idefics3Config(
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 7,
        },
        text_config=_writer(len(tokenizer)),
    )
    # What has one axis is not sharpened.
    torch.manual_seed(0)
    model = sharpened(Idefics3ForConditionalGeneration(config), 0.3)
    model.generation_config.eos_token_id = 0
    model.save_pretrained(folder)
    processor = Idefics3ImageProcessor(
        size={"longest_edge": 56}, max_image_size={"longest_edge": 28}
    )
    Idefics3Processor(
        processor, tokenizer, image_seq_len=4, chat_template=_TEMPLATE
    ).save_pretrained(folder)
    return folder
