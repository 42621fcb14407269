"""Diffusers pipelines whose networks are ones of the diffusion family, too."""

from __future__ import annotations

from mmgen.backends.from_diffusers.denoiser import LibraryDenoiser
from mmgen.backends.from_diffusers.flow_denoisers import (
    FilmFlow,
    JointFlow,
    ListedFlow,
    PackedFlow,
    PackedFrameFlow,
)
from mmgen.backends.from_diffusers.scheduled_denoisers import (
    Attending,
    AttendingMasked,
    AttendingSized,
    Unconditional,
)

__all__ = ["DENOISERS"]

DENOISERS: dict[str, type[LibraryDenoiser]] = {
    "DDPMPipeline": Unconditional,
    "DDIMPipeline": Unconditional,
    "StableDiffusionPipeline": Attending,
    "StableDiffusionXLPipeline": AttendingSized,
    "PixArtAlphaPipeline": AttendingMasked,
    "PixArtSigmaPipeline": AttendingMasked,
    "StableDiffusion3Pipeline": JointFlow,
    "FluxPipeline": PackedFlow,
    "QwenImagePipeline": PackedFrameFlow,
    "ZImagePipeline": ListedFlow,
    "WanPipeline": FilmFlow,
}
"""By the name of the pipeline's class. Each is made of a loaded pipeline, if its `codec` is one."""
