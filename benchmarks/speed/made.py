"""Checkpoints of random weights, saved as their libraries save them, to be trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.diffusers_parts import clip_tokenizer

__all__ = ["SIZES", "diffusion_model", "language_model", "pictures", "texts"]

SIZES = ("debug", "full")
WORDS = "a red circle left of blue square two green stars on white background above the".split()


def language_model(folder: Path, size: str) -> int:
    """A causal model in the shape of GPT-2, whose words are one token each.

    Returns:
        Number of parameters: at "full" more than a hundred million.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    special = ["<unk>", "<|endoftext|>"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token=special[0]))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token=special[0], bos_token=special[1], eos_token=special[1]
    )
    shape = {"debug": (2, 2, 32), "full": (12, 12, 768)}[size]
    own = dict(zip(("n_layer", "n_head", "n_embd"), shape, strict=True))
    config = GPT2Config(vocab_size=50257, n_positions=512, bos_token_id=1, eos_token_id=1, **own)
    if size == "debug":
        config.vocab_size = len(vocabulary)
    model = GPT2LMHeadModel(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.num_parameters()


def diffusion_model(folder: Path, size: str) -> int:
    """A text-to-image pipeline in the shape of Stable Diffusion, for images of 64 x 64.

    Returns:
        Number of parameters of the network that denoises.
    """
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel

    widths, dim = {"debug": ((32, 64), 32), "full": ((160, 320), 256)}[size]
    tokenizer = clip_tokenizer()
    tokenizer.model_max_length = 77
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=dim,
            intermediate_size=4 * dim,
            num_hidden_layers=2,
            num_attention_heads=4,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    unet = diffusers.UNet2DConditionModel(
        sample_size=16,
        block_out_channels=widths,
        layers_per_block=2,
        cross_attention_dim=dim,
        attention_head_dim=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(32, 32, 64),
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
    )
    scheduler = diffusers.DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
    )
    parts: dict[str, Any] = {"vae": vae, "text_encoder": encoder, "tokenizer": tokenizer}
    diffusers.StableDiffusionPipeline(
        **parts,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return unet.num_parameters()


def texts(tokens: int, count: int) -> list[tuple[None, str]]:
    """Pairs (None, x): texts of so many words, each of which is a token."""
    rng = np.random.default_rng(0)
    return [(None, " ".join(rng.choice(WORDS, tokens))) for _ in range(count)]


def pictures(count: int) -> list[tuple[str, np.ndarray]]:
    """Pairs (y, x) of a text and an image of 64 x 64."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 64, 64, 3)).astype(np.uint8)
    return [(" ".join(rng.choice(WORDS, 8)), image) for image in images]
