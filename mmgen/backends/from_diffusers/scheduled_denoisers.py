"""Networks that were trained on the steps of a scheduler: Stable Diffusion and its kin."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.from_diffusers.beside import Beside
from mmgen.backends.from_diffusers.denoiser import LibraryDenoiser, Reading, square_images, told
from mmgen.backends.from_diffusers.noising import CosineNoising, SteppedNoising, noising_of
from mmgen.backends.given import GivenCondition
from mmgen.core.codec import Codec

__all__ = [
    "Attending",
    "AttendingMasked",
    "AttendingSized",
    "Classed",
    "Controlled",
    "OnSchedule",
    "Unconditional",
]


class OnSchedule(LibraryDenoiser):
    """A network that was trained on the steps of a scheduler.

    Args:
        pipeline: A loaded diffusers pipeline whose scheduler has a `noising_of`.
        beside: What the network sees beside z_t, if it does.
    """

    learns_variance = False
    """Whether half of what the network gives is a variance."""
    upcasts = False
    """Whether its call decodes in float32 what might overflow in float16."""
    noising: SteppedNoising | CosineNoising

    def __init__(self, pipeline: Any, *, beside: Beside | None = None) -> None:
        super().__init__(pipeline)
        self.noising, self.beside = noising_of(pipeline.scheduler), beside
        self.predicts = self.noising.predicts

    @classmethod
    def lacking(cls, pipeline: Any) -> str | None:
        scheduler = pipeline.scheduler
        if noising_of(scheduler) is not None:
            return None
        predicts = scheduler.config.get("prediction_type")
        return f"what a {type(scheduler).__name__} with {predicts!r} trains is not known here"

    @classmethod
    def codec(cls, pipeline: Any, *, beside: int = 0) -> Codec | None:
        if cls.lacking(pipeline):
            return None
        vae = getattr(pipeline, "vae", None)
        upcast = cls.upcasts and bool(vae.config.get("force_upcast"))
        own = {"learns_variance": cls.learns_variance, "upcast": upcast}
        return square_images(pipeline, beside=beside, **own)

    def forget(self) -> None:
        super().forget()
        if self.beside is not None:
            self.beside.forget()

    def forward(self, z_t: Tensor, t: Tensor, c: GivenCondition) -> Tensor:
        found = self.predicted(z_t.to(self.dtype), self.noising.place(t), c).to(z_t)
        return self.noising.data_of(z_t, found, t)

    def seen(self, z_t: Tensor, c: GivenCondition) -> Tensor:
        """What goes into the network (B, C, H, W)."""
        return z_t if self.beside is None else torch.cat((z_t, self.beside(z_t, c).to(z_t)), dim=1)


class Unconditional(OnSchedule):
    """A UNet that is told nothing but what stands beside z_t."""

    def predicted(self, z_t: Tensor, place: Tensor, c: GivenCondition) -> Tensor:
        return self.network(self.seen(z_t, c), place).sample


class Attending(OnSchedule, Reading):
    """A UNet on latents that attends to a text: Stable Diffusion 1 and 2."""

    def predicted(self, z_t: Tensor, place: Tensor, c: GivenCondition) -> Tensor:
        (states,) = self.texts(c)
        own = {"encoder_hidden_states": states.to(z_t), **told(c)}
        return self.network(self.seen(z_t, c), place, **own).sample

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        return (encoded_text(self.pipeline, text, self.device),)


class Controlled(OnSchedule, Reading):
    """What sees a picture and adds to the inside of a UNet, which stays as it is: a ControlNet.

    Source: Adding Conditional Control to Text-to-Image Diffusion Models (Zhang et al., 2023),
    Sec. 3.3, arXiv:2302.05543.
    """

    @classmethod
    def lacking(cls, pipeline: Any) -> str | None:
        kind = type(pipeline.controlnet).__name__
        if kind != "ControlNetModel":
            return f"what controls it is of the kind {kind}"
        if pipeline.controlnet.config.global_pool_conditions:
            return "its control is averaged over the picture"
        return super().lacking(pipeline)

    @property
    def network(self) -> nn.Module:
        return self.pipeline.controlnet

    def predicted(self, z_t: Tensor, place: Tensor, c: GivenCondition) -> Tensor:
        (states,) = self.texts(c)
        own = {"encoder_hidden_states": states.to(z_t)}
        shown = {name: value.to(z_t) for name, value in told(c).items()}
        down, middle = self.network(z_t, place, **own, **shown, return_dict=False)
        added = {
            "down_block_additional_residuals": down,
            "mid_block_additional_residual": middle,
        }
        return self.pipeline.unet(z_t, place, **own, **added).sample

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        return (encoded_text(self.pipeline, text, self.device),)


class Classed(OnSchedule):
    """A transformer that is told a class: DiT.

    Where half of what it gives is a variance, that half is left as it is: it learns by the simple
    loss alone.

    Sources: Scalable Diffusion Models with Transformers (Peebles & Xie, 2022), Sec. 3.1,
    arXiv:2212.09748; Improved Denoising Diffusion Probabilistic Models (Nichol & Dhariwal, 2021),
    Eq. 14, arXiv:2102.09672.
    """

    @classmethod
    def lacking(cls, pipeline: Any) -> str | None:
        config = pipeline.transformer.config
        if config.out_channels not in (None, config.in_channels, 2 * config.in_channels):
            given, seen = config.out_channels, config.in_channels
            return f"its network makes {given} channels of {seen}, and not as many or twice as many"
        return super().lacking(pipeline)

    def predicted(self, z_t: Tensor, place: Tensor, c: GivenCondition) -> Tensor:
        labels = torch.tensor([values["label"] for values in c.values], device=z_t.device)
        found = self.network(z_t, timestep=place, class_labels=labels).sample
        return found[:, : z_t.shape[1]]


class AttendingSized(OnSchedule, Reading):
    """A UNet that is also told the size of the image, here that of all of it: SDXL."""

    upcasts = True

    @classmethod
    def lacking(cls, pipeline: Any) -> str | None:
        if pipeline.unet.config.get("time_cond_proj_dim") is not None:
            return "its network was distilled to imitate guidance, and is no model without"
        if pipeline.config.get("requires_aesthetics_score"):
            return "its network is also told how beautiful an image is"
        return super().lacking(pipeline)

    def predicted(self, z_t: Tensor, place: Tensor, c: GivenCondition) -> Tensor:
        states, pooled = (x.to(z_t) for x in self.texts(c))
        factor = self.pipeline.vae_scale_factor
        size = [factor * n for n in z_t.shape[-2:]]
        sides = torch.tensor([*size, 0, 0, *size]).to(z_t).expand(len(z_t), -1)
        more = {"text_embeds": pooled, "time_ids": sides}
        own = {"encoder_hidden_states": states, "added_cond_kwargs": more}
        return self.network(self.seen(z_t, c), place, **own).sample

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        states, _, pooled, _ = self.pipeline.encode_prompt(
            text, device=self.device, do_classifier_free_guidance=False
        )
        return states, pooled


class AttendingMasked(OnSchedule, Reading):
    """A transformer that attends to a text with a mask: PixArt."""

    learns_variance = True

    def predicted(self, z_t: Tensor, place: Tensor, c: GivenCondition) -> Tensor:
        states, mask = self.texts(c)
        more: dict[str, Tensor | None] = {"resolution": None, "aspect_ratio": None}
        if self.network.config.sample_size == 128:
            height, width = (self.pipeline.vae_scale_factor * n for n in z_t.shape[-2:])
            size, ratio = torch.tensor([[height, width]]), torch.tensor([[height / width]])
            more = {
                "resolution": size.to(z_t).expand(len(z_t), -1),
                "aspect_ratio": ratio.to(z_t).expand(len(z_t), -1),
            }
        found = self.network(
            z_t,
            encoder_hidden_states=states.to(z_t),
            encoder_attention_mask=mask,
            timestep=place,
            added_cond_kwargs=more,
        ).sample
        return found.chunk(2, dim=1)[0]

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        # As its call reads a text if nothing is said.
        clean = inspect.signature(self.pipeline.__call__).parameters["clean_caption"].default
        return self.pipeline.encode_prompt(
            text, do_classifier_free_guidance=False, device=self.device, clean_caption=clean
        )[:2]


def encoded_text(pipeline: Any, text: str, device: torch.device) -> Tensor:
    """What a text encoder makes of a text (1, ...), by the pipeline's own call of it."""
    if hasattr(pipeline, "encode_prompt"):
        return pipeline.encode_prompt([text], device, 1, False)[0]
    return pipeline._encode_prompt([text], device, 1, False)
