"""Diffusers pipelines whose networks are asked by mmgen, too: all of them learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmgen.backends.from_diffusers.beside import Beside, EncodedPicture, Held
from mmgen.backends.from_diffusers.denoiser import LibraryDenoiser
from mmgen.backends.from_diffusers.film_denoisers import AttendingFilm, GoingOn, PicturedFilm
from mmgen.backends.from_diffusers.film_lessons import (
    FirstFrameLessons,
    MaskedFilmLessons,
    PaddedFilmLessons,
    SeenFilmLessons,
)
from mmgen.backends.from_diffusers.flow_denoisers import (
    FilmFlow,
    JointFlow,
    ListedFlow,
    PackedFlow,
    PackedFrameFlow,
)
from mmgen.backends.from_diffusers.lessons import (
    CodeLessons,
    ControlLessons,
    Lessons,
    MelLessons,
    PaintedLessons,
    PictureLessons,
    SquareLessons,
    UpscalingLessons,
    WaveLessons,
)
from mmgen.backends.from_diffusers.scheduled_denoisers import (
    Attending,
    AttendingMasked,
    AttendingSized,
    Classed,
    Controlled,
    Unconditional,
)
from mmgen.backends.from_diffusers.sound_denoisers import AttendingTimed, AttendingTwice, Labelled
from mmgen.backends.given import GivenCondition
from mmgen.core.codec import Codec
from mmgen.core.latent import Latent

__all__ = ["DENOISERS", "LEARNERS", "Learning", "learning_of"]


@dataclass(frozen=True)
class Asked:
    """How the network of a class of pipelines is asked.

    Args:
        denoiser: What asks it.
        beside: What it sees beside what it denoises.
    """

    denoiser: type[LibraryDenoiser]
    beside: type[Beside] | None = None

    def __call__(self, pipeline: Any) -> LibraryDenoiser:
        """The denoiser of a loaded pipeline that has a `codec`."""
        if self.beside is None:
            return self.denoiser(pipeline)
        return self.denoiser(pipeline, beside=self.beside(pipeline))

    def codec(self, pipeline: Any) -> Codec | None:
        """As that of the denoiser."""
        if self.beside is None:
            return self.denoiser.codec(pipeline)
        return self.denoiser.codec(pipeline, beside=self.beside.channels(pipeline))


DENOISERS: dict[str, Asked] = {
    "DDPMPipeline": Asked(Unconditional),
    "DDIMPipeline": Asked(Unconditional),
    "StableDiffusionPipeline": Asked(Attending),
    "StableDiffusionInstructPix2PixPipeline": Asked(Attending, EncodedPicture),
    "StableDiffusionXLPipeline": Asked(AttendingSized),
    "PixArtAlphaPipeline": Asked(AttendingMasked),
    "PixArtSigmaPipeline": Asked(AttendingMasked),
    "StableDiffusion3Pipeline": Asked(JointFlow),
    "FluxPipeline": Asked(PackedFlow),
    "QwenImagePipeline": Asked(PackedFrameFlow),
    "ZImagePipeline": Asked(ListedFlow),
    "WanPipeline": Asked(FilmFlow),
}
"""Those that are asked everything, by the name of the pipeline's class, if there is a `codec`."""

LEARNERS: dict[str, tuple[Asked, type[Lessons]]] = {
    "StableDiffusionImg2ImgPipeline": (Asked(Attending), PictureLessons),
    "StableDiffusionXLImg2ImgPipeline": (Asked(AttendingSized), PictureLessons),
    "StableDiffusion3Img2ImgPipeline": (Asked(JointFlow), PictureLessons),
    "FluxImg2ImgPipeline": (Asked(PackedFlow), PictureLessons),
    "StableDiffusionInpaintPipeline": (Asked(Attending, Held), PaintedLessons),
    "StableDiffusionXLInpaintPipeline": (Asked(AttendingSized, Held), PaintedLessons),
    "StableDiffusionControlNetPipeline": (Asked(Controlled), ControlLessons),
    "StableDiffusionUpscalePipeline": (Asked(Attending, Held), UpscalingLessons),
    "LDMSuperResolutionPipeline": (Asked(Unconditional, Held), CodeLessons),
    "DiTPipeline": (Asked(Classed), SquareLessons),
    "CogVideoXImageToVideoPipeline": (Asked(AttendingFilm, Held), PaddedFilmLessons),
    "WanImageToVideoPipeline": (Asked(FilmFlow, Held), MaskedFilmLessons),
    "LTXImageToVideoPipeline": (Asked(GoingOn, Held), FirstFrameLessons),
    "StableVideoDiffusionPipeline": (Asked(PicturedFilm, Held), SeenFilmLessons),
    "AudioLDMPipeline": (Asked(Labelled), MelLessons),
    "AudioLDM2Pipeline": (Asked(AttendingTwice), MelLessons),
    "StableAudioPipeline": (Asked(AttendingTimed), WaveLessons),
}
"""Those that are called, and whose networks learn from the values that the call would give."""


@dataclass(frozen=True)
class Learning:
    """How a pipeline that is only called learns.

    Args:
        denoiser: Asks its network.
        lessons: What of values and conditions that sees.
    """

    denoiser: LibraryDenoiser
    lessons: Lessons

    def error(
        self, latent: Latent, c: GivenCondition, *, generator: torch.Generator | None
    ) -> Tensor:
        """Squared error (B,) of what the network was trained to predict, for values of X."""
        with torch.no_grad(), torch.autocast(self.denoiser.device.type, enabled=False):
            x_0, told = self.lessons(latent, c, generator=generator)
        return self.denoiser.error(x_0, told, generator=generator)


def learning_of(pipeline: Any) -> Learning | str:
    """How a loaded pipeline that is only called learns, or why it cannot."""
    name = type(pipeline).__name__
    if name in DENOISERS:
        lacking = DENOISERS[name].denoiser.lacking(pipeline)
        return lacking or "its network and autoencoder do not fit as those of others of its class"
    if name not in LEARNERS:
        return "how its network is asked is not known here"
    asked, lessons = LEARNERS[name]
    lacking = asked.denoiser.lacking(pipeline) or lessons.lacking(pipeline)
    return lacking or Learning(asked(pipeline), lessons(pipeline))
