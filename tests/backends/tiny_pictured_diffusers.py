"""Tiny pipelines of diffusers that see a picture, or begin with a film."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from backends.tiny_parts import autoencoder
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

__all__ = [
    "cogvideox_of_image",
    "controlled",
    "latent_upscaler",
    "pictured",
    "stable_video",
    "upscaler",
    "wan_of_image",
]

_BLOCKS = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
}


def pictured(kind: str, words: Any) -> Any:
    """The pipeline of another class that has the parts of one that takes words alone."""
    return getattr(diffusers, kind)(**words.components)


def upscaler(words: Any) -> Any:
    """The upscaler of Stable Diffusion, which takes a small picture beside its latents."""
    return diffusers.StableDiffusionUpscalePipeline(
        vae=autoencoder(scaling_factor=0.08333),
        text_encoder=words.text_encoder,
        tokenizer=words.tokenizer,
        unet=words.unet,
        low_res_scheduler=diffusers.DDPMScheduler(),
        scheduler=words.scheduler,
    )


def controlled(words: Any) -> Any:
    """Stable Diffusion with a ControlNet, which has learnt something."""
    controlnet = diffusers.ControlNetModel.from_unet(
        words.unet, conditioning_embedding_out_channels=(8, 16)
    )
    for part in (*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block):
        # That begin as zeros.
        torch.nn.init.normal_(part.weight, std=0.1)
    parts = {**words.components, "controlnet": controlnet}
    return diffusers.StableDiffusionControlNetPipeline(**parts, requires_safety_checker=False)


def latent_upscaler() -> Any:
    """The upscaler of latent diffusion, without words."""
    unet = diffusers.UNet2DModel(
        sample_size=16,
        in_channels=6,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(32, 64),
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    vqvae = diffusers.VQModel(**_BLOCKS, latent_channels=3, norm_num_groups=8)
    return diffusers.LDMSuperResolutionPipeline(vqvae, unet, diffusers.DDIMScheduler())


def _eye(width: int, side: int, patch: int) -> Any:
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=width,
            projection_dim=width,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=side,
            patch_size=patch,
        )
    )


def cogvideox_of_image(words: Any) -> Any:
    """CogVideoX from a first frame, on the schedule of the published ones."""
    scheduler = diffusers.CogVideoXDDIMScheduler(
        prediction_type="v_prediction", rescale_betas_zero_snr=True, snr_shift_scale=1.0
    )
    parts = {**words.components, "scheduler": scheduler}
    return diffusers.CogVideoXImageToVideoPipeline(**parts)


def wan_of_image(words: Any) -> Any:
    """Wan from a first frame."""
    transformer = diffusers.WanTransformer3DModel(
        **{**words.transformer.config, "in_channels": 36, "image_dim": 4}
    )
    return diffusers.WanImageToVideoPipeline(
        **{**words.components, "transformer": transformer, "transformer_2": None},
        image_encoder=_eye(4, 32, 16),
        image_processor=CLIPImageProcessor(crop_size=32, size=32),
    )


def stable_video() -> Any:
    """Stable Video Diffusion, which sees a picture and no words."""
    blocks = ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal")
    unet = diffusers.UNetSpatioTemporalConditionModel(
        sample_size=8,
        in_channels=8,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(32, 64),
        num_attention_heads=2,
        cross_attention_dim=32,
        projection_class_embeddings_input_dim=96,
        addition_time_embed_dim=32,
        down_block_types=blocks,
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    )
    vae = diffusers.AutoencoderKLTemporalDecoder(
        block_out_channels=_BLOCKS["block_out_channels"],
        down_block_types=_BLOCKS["down_block_types"],
        latent_channels=4,
    )
    return diffusers.StableVideoDiffusionPipeline(
        vae=vae,
        image_encoder=_eye(32, 224, 56),
        unet=unet,
        scheduler=diffusers.EulerDiscreteScheduler(
            prediction_type="v_prediction",
            timestep_type="continuous",
            use_karras_sigmas=True,
            sigma_max=700.0,
            sigma_min=0.002,
        ),
        feature_extractor=CLIPImageProcessor(crop_size=32, size=32),
    )
