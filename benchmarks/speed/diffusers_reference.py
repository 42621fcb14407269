"""Pipelines of diffusers of the size of one of mmgen's, with random weights.

Two of them. "unet" is Stable Diffusion's pipeline around a UNet2DConditionModel with the levels and
widths of ours, where ours is a U-Net: the same architecture but for diffusers' feed-forward part
after each attention. "pixart" is PixArt-alpha's around a PixArtTransformer2DModel with the width,
depth, heads and tokens of ours, where ours is a transformer; else with 64 tokens, five blocks, four
heads, and the width that comes closest to our number of parameters.

Both have a latent image that a tiny AutoencoderKL makes as many times smaller as our patches are
wide, a text encoder of two layers as wide as ours, a tokenizer trained on the spot, and
DPM-Solver++(2M). Text is padded to the tokens that ours has, or to those that it needs.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from benchmarks.speed.calls import Calls
from benchmarks.speed.diffusers_parts import autoencoder, clip_tokenizer, t5_tokenizer
from benchmarks.speed.shape import Shape

__all__ = ["Reference"]


@dataclass(frozen=True)
class Reference:
    """A pipeline of diffusers.

    Args:
        pipe: The pipeline.
        shape: What it was built from.
        num_tokens: Length that texts are padded to.
    """

    pipe: Any
    shape: Shape
    num_tokens: int

    @classmethod
    def build(cls, kind: str, shape: Shape, texts: Sequence[str]) -> Reference:
        """One of random weights, with room for these texts. The library is loaded here."""
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import diffusers

            diffusers.logging.set_verbosity_error()
            pipe, num_tokens = {"unet": _stable_diffusion, "pixart": _pixart}[kind](shape, texts)
        pipe.set_progress_bar_config(disable=True)
        for part in pipe.components.values():
            if isinstance(part, nn.Module):
                part.eval()
        return cls(pipe, shape, num_tokens)

    @property
    def network(self) -> nn.Module:
        """What each step calls."""
        found = self.pipe.components
        return found["unet"] if "unet" in found else found["transformer"]

    @property
    def num_parameters(self) -> int:
        """Of all parts."""
        parts = [p for p in self.pipe.components.values() if isinstance(p, nn.Module)]
        return sum(p.numel() for part in parts for p in part.parameters())

    def draw(self, texts: Sequence[str]) -> list[Any]:
        """Images of texts."""
        return self._run(prompt=list(texts), output_type="pil")

    def prepared(self, texts: Sequence[str]) -> dict[str, Any]:
        """Arguments of `loop`: the texts encoded, with and without condition."""
        if "unet" in self.pipe.components:
            with torch.no_grad():
                found = self.pipe.encode_prompt(list(texts), torch.device("cpu"), 1, True)
            return {"prompt_embeds": found[0], "negative_prompt_embeds": found[1]}
        with torch.no_grad():
            found = self.pipe.encode_prompt(list(texts), max_sequence_length=self.num_tokens)
        names = ("prompt_embeds", "prompt_attention_mask")
        names += tuple(f"negative_{name}" for name in names)
        return dict(zip(names, found, strict=True)) | {"negative_prompt": None}

    def loop(self, prepared: dict[str, Any]) -> None:
        """Steps alone, from encoded texts to latents."""
        self._run(output_type="latent", **prepared)

    def calls(self, prepared: dict[str, Any]) -> Calls:
        """What the loop asks of the network."""
        return Calls.of(self.network, lambda: self.loop(prepared))

    def _run(self, **arguments: Any) -> list[Any]:
        if "transformer" in self.pipe.components:
            arguments |= {"clean_caption": False, "use_resolution_binning": False}
            arguments["max_sequence_length"] = self.num_tokens
        return self.pipe(
            height=self.shape.size,
            width=self.shape.size,
            num_inference_steps=self.shape.num_steps,
            guidance_scale=self.shape.guidance_scale,
            generator=torch.Generator().manual_seed(0),
            **arguments,
        ).images


def _pixart(shape: Shape, texts: Sequence[str]) -> tuple[Any, int]:
    from diffusers import DPMSolverMultistepScheduler, PixArtAlphaPipeline, PixArtTransformer2DModel
    from transformers import T5Config, T5EncoderModel

    tokenizer = t5_tokenizer()
    text_encoder = T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=shape.token_dim,
            d_ff=2 * shape.token_dim,
            d_kv=shape.token_dim // 4,
            num_layers=2,
            num_heads=4,
        )
    )
    transformer = PixArtTransformer2DModel(
        num_attention_heads=shape.num_heads,
        attention_head_dim=shape.dim // shape.num_heads,
        in_channels=4,
        out_channels=4,
        num_layers=shape.depth,
        cross_attention_dim=shape.token_dim,
        sample_size=shape.size // shape.factor,
        patch_size=shape.patch_size,
    )
    pipe = PixArtAlphaPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=autoencoder(size=shape.size, factor=shape.factor),
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(),
    )
    return pipe, max(shape.num_tokens, _longest(tokenizer, texts))


def _stable_diffusion(shape: Shape, texts: Sequence[str]) -> tuple[Any, int]:
    from diffusers import (
        DPMSolverMultistepScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = clip_tokenizer()
    num_tokens = max(shape.num_tokens, _longest(tokenizer, texts))
    tokenizer.model_max_length = num_tokens
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.token_dim,
            intermediate_size=2 * shape.token_dim,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=num_tokens,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    down = tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in shape.attends)
    up = tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(shape.attends))
    unet = UNet2DConditionModel(
        sample_size=shape.size // shape.factor,
        layers_per_block=shape.blocks,
        block_out_channels=tuple(shape.widths),
        norm_num_groups=math.gcd(32, *(w // 4 for w in shape.widths)),
        cross_attention_dim=shape.token_dim,
        # The number of heads, whatever its name (diffusers issue 2011).
        attention_head_dim=tuple(w // shape.head_dim or 1 for w in shape.widths),
        down_block_types=down,
        up_block_types=up,
    )
    pipe = StableDiffusionPipeline(
        vae=autoencoder(size=shape.size, factor=shape.factor),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DPMSolverMultistepScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return pipe, num_tokens


def _longest(tokenizer: Any, texts: Sequence[str]) -> int:
    """Tokens of the longest text."""
    return max(len(tokenizer(text).input_ids) for text in texts)
