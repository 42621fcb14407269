"""Tiny pipelines of diffusers with random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
from backends.tiny_parts import autoencoder, clip, clip_tokenizer
from backends.tiny_pictured_diffusers import (
    cogvideox_of_image,
    controlled,
    latent_upscaler,
    pictured,
    stable_video,
    upscaler,
    wan_of_image,
)
from backends.tiny_read_diffusers import audioldm, audioldm2, qwen_image, t5, z_image
from transformers import CLIPTextModelWithProjection, UMT5Config, UMT5EncoderModel

__all__ = ["BUILT"]


def _unet(channels: int = 4, **more: Any) -> torch.nn.Module:
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=channels,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(32, 64),
        norm_num_groups=8,
        cross_attention_dim=32,
        attention_head_dim=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **more,
    )


def _stable_diffusion(
    folder: Path,
    kind: str = "StableDiffusionPipeline",
    channels: int = 4,
    *,
    prediction: str = "epsilon",
    **more: Any,
) -> Any:
    tokenizer = clip_tokenizer(folder / "tokenizer_parts")
    return getattr(diffusers, kind)(
        vae=autoencoder(),
        text_encoder=clip(tokenizer),
        tokenizer=tokenizer,
        unet=_unet(channels, **more),
        scheduler=diffusers.DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            steps_offset=1,
            prediction_type=prediction,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _sd3(folder: Path) -> Any:
    tokenizer = clip_tokenizer(folder / "clip")
    t5_tokenizer, t5_model = t5(folder / "t5")
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8,
        patch_size=1,
        in_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=32,
        pooled_projection_dim=64,
        out_channels=4,
    )
    return diffusers.StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder(shift_factor=0.0609, scaling_factor=1.5035),
        text_encoder=clip(tokenizer, CLIPTextModelWithProjection),
        tokenizer=tokenizer,
        text_encoder_2=clip(tokenizer, CLIPTextModelWithProjection),
        tokenizer_2=tokenizer,
        text_encoder_3=t5_model,
        tokenizer_3=t5_tokenizer,
    )


def _flux(folder: Path, *, guided: bool = False) -> Any:
    tokenizer = clip_tokenizer(folder / "clip")
    t5_tokenizer, t5_model = t5(folder / "t5")
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=[4, 4, 8],
        guidance_embeds=guided,
    )
    return diffusers.FluxPipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder(shift_factor=0.0609, scaling_factor=1.5035),
        text_encoder=clip(tokenizer),
        tokenizer=tokenizer,
        text_encoder_2=t5_model,
        tokenizer_2=t5_tokenizer,
    )


def _ddpm(folder: Path) -> Any:
    unet = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(32, 64),
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    return diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler(num_train_timesteps=20))


def _dit(folder: Path) -> Any:
    transformer = diffusers.DiTTransformer2DModel(
        sample_size=8,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        out_channels=8,
        attention_bias=True,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=10,
        norm_type="ada_norm_zero",
        norm_elementwise_affine=False,
    )
    return diffusers.DiTPipeline(transformer, autoencoder(), diffusers.DDIMScheduler())


def _wan(folder: Path) -> Any:
    tokenizer, encoder = t5(folder / "t5", UMT5EncoderModel, UMT5Config)
    vae = diffusers.AutoencoderKLWan(
        base_dim=3,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
    )
    transformer = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=16,
        out_channels=16,
        text_dim=32,
        freq_dim=256,
        ffn_dim=32,
        num_layers=1,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
    )
    return diffusers.WanPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        vae=vae,
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
    )


def _stable_audio(folder: Path) -> Any:
    from diffusers.pipelines.stable_audio import StableAudioProjectionModel

    tokenizer, encoder = t5(folder / "t5")
    transformer = diffusers.StableAudioDiTModel(
        sample_size=4,
        in_channels=3,
        num_layers=1,
        attention_head_dim=4,
        num_key_value_attention_heads=2,
        out_channels=3,
        cross_attention_dim=4,
        time_proj_dim=8,
        global_states_input_dim=8,
        cross_attention_input_dim=4,
    )
    vae = diffusers.AutoencoderOobleck(
        encoder_hidden_size=6,
        downsampling_ratios=[1, 2],
        decoder_channels=3,
        decoder_input_channels=3,
        audio_channels=2,
        channel_multiples=[2, 4],
        sampling_rate=1000,
    )
    return diffusers.StableAudioPipeline(
        transformer=transformer,
        scheduler=diffusers.EulerDiscreteScheduler(prediction_type="v_prediction"),
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        projection_model=StableAudioProjectionModel(
            text_encoder_dim=32, conditioning_dim=4, min_value=0, max_value=32
        ),
    )


def _sdxl(folder: Path) -> Any:
    tokenizer = clip_tokenizer(folder / "clip")
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        layers_per_block=1,
        block_out_channels=(32, 64),
        norm_num_groups=8,
        cross_attention_dim=64,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 1),
        projection_class_embeddings_input_dim=80,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    return diffusers.StableDiffusionXLPipeline(
        vae=autoencoder(),
        text_encoder=clip(tokenizer),
        tokenizer=tokenizer,
        text_encoder_2=clip(tokenizer, CLIPTextModelWithProjection),
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=diffusers.EulerDiscreteScheduler(steps_offset=1, timestep_spacing="leading"),
        add_watermarker=False,
    )


def _pixart(folder: Path) -> Any:
    tokenizer, encoder = t5(folder / "t5")
    transformer = diffusers.PixArtTransformer2DModel(
        sample_size=8,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=3,
        caption_channels=32,
        in_channels=4,
        cross_attention_dim=24,
        out_channels=8,
        attention_bias=True,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
    )
    return diffusers.PixArtAlphaPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        vae=autoencoder(),
        transformer=transformer,
        scheduler=diffusers.DDIMScheduler(steps_offset=1),
    )


def _ltx(folder: Path) -> Any:
    tokenizer, encoder = t5(folder / "t5")
    transformer = diffusers.LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        patch_size=1,
        patch_size_t=1,
        num_attention_heads=4,
        attention_head_dim=8,
        cross_attention_dim=32,
        num_layers=1,
        caption_channels=32,
    )
    vae = diffusers.AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        decoder_inject_noise=(False,) * 5,
        upsample_residual=(False,) * 4,
        upsample_factor=(1,) * 4,
        timestep_conditioning=False,
        patch_size=1,
        patch_size_t=1,
    )
    return diffusers.LTXPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=transformer,
    )


def _cogvideox(folder: Path, channels: int = 4, **more: Any) -> Any:
    tokenizer, encoder = t5(folder / "t5")
    transformer = diffusers.CogVideoXTransformer3DModel(
        in_channels=channels,
        out_channels=4,
        time_embed_dim=2,
        text_embed_dim=32,
        num_layers=1,
        sample_width=2,
        sample_height=2,
        sample_frames=9,
        patch_size=2,
        temporal_compression_ratio=4,
        max_text_seq_length=16,
        **{"num_attention_heads": 4, "attention_head_dim": 8, **more},
    )
    vae = diffusers.AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    )
    return diffusers.CogVideoXPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        vae=vae,
        transformer=transformer,
        scheduler=diffusers.DDIMScheduler(steps_offset=1),
    )


BUILT: dict[str, Callable[[Path], Any]] = {
    "sd": _stable_diffusion,
    "sd2": lambda f: _stable_diffusion(f, prediction="v_prediction", use_linear_projection=True),
    "sd_image": lambda f: _stable_diffusion(f, "StableDiffusionImg2ImgPipeline"),
    "sd_paint": lambda f: _stable_diffusion(f, "StableDiffusionInpaintPipeline", 9),
    "sd_edit": lambda f: _stable_diffusion(f, "StableDiffusionInstructPix2PixPipeline", 8),
    "sdxl": _sdxl,
    "sd3": _sd3,
    "pixart": _pixart,
    "ltx": _ltx,
    "cogvideox": _cogvideox,
    "flux": _flux,
    "guided_flux": lambda f: _flux(f, guided=True),
    "ddpm": _ddpm,
    "dit": _dit,
    "wan": _wan,
    "stable_audio": _stable_audio,
    "qwen_image": qwen_image,
    "z_image": z_image,
    "audioldm": audioldm,
    "audioldm2": audioldm2,
    "ddim": lambda f: diffusers.DDIMPipeline(_ddpm(f).unet, diffusers.DDIMScheduler()),
    "pixart_sigma": lambda f: pictured("PixArtSigmaPipeline", _pixart(f)),
    "sd_control": lambda f: controlled(_stable_diffusion(f)),
    "upscale": lambda f: upscaler(
        _stable_diffusion(f, channels=7, num_class_embeds=1000),
    ),
    "ldm_upscale": lambda f: latent_upscaler(),
    "ltx_image": lambda f: pictured("LTXImageToVideoPipeline", _ltx(f)),
    "cogvideox_image": lambda f: cogvideox_of_image(
        _cogvideox(
            f,
            channels=8,
            num_attention_heads=2,
            attention_head_dim=16,
            use_rotary_positional_embeddings=True,
        )
    ),
    "cogvideox_video": lambda f: pictured("CogVideoXVideoToVideoPipeline", _cogvideox(f)),
    "wan_image": lambda f: wan_of_image(_wan(f)),
    "svd": lambda f: stable_video(),
}
