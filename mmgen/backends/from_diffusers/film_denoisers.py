"""Networks on latents of films that see a picture: CogVideoX, LTX and Stable Video Diffusion."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from mmgen.backends.from_diffusers.beside import Held
from mmgen.backends.from_diffusers.denoiser import Reading, told
from mmgen.backends.from_diffusers.flow_denoisers import Flow
from mmgen.backends.from_diffusers.scheduled_denoisers import OnSchedule
from mmgen.backends.given import GivenCondition
from mmgen.core.codec import Codec

__all__ = ["AttendingFilm", "GoingOn", "PicturedFilm"]


class _BesideFrames(OnSchedule):
    """What sees latents (B, T, C, H, W) with others beside those of each frame."""

    def seen(self, z_t: Tensor, c: GivenCondition) -> Tensor:
        return torch.cat((z_t, self.beside(z_t, c).to(z_t)), dim=2)


class PicturedFilm(_BesideFrames):
    """A UNet on films that is told a picture, no text: Stable Video Diffusion.

    The picture's latents stand beside those of every frame.
    """

    def predicted(self, z_t: Tensor, place: Tensor, c: GivenCondition) -> Tensor:
        own = {name: value.to(z_t) for name, value in told(c).items()}
        return self.network(self.seen(z_t, c), place, **own).sample


class AttendingFilm(_BesideFrames, Reading):
    """A transformer on films that attends to a text, a picture beside them: CogVideoX.

    The picture's latents are beside those of the first frame, zeros beside others.
    """

    @classmethod
    def lacking(cls, pipeline: Any) -> str | None:
        if pipeline.transformer.config.patch_size_t is not None:
            return "its network takes latents of several frames for one"
        return super().lacking(pipeline)

    def predicted(self, z_t: Tensor, place: Tensor, c: GivenCondition) -> Tensor:
        own, (states,) = self.pipeline, self.texts(c)
        sides = [own.vae_scale_factor_spatial * n for n in z_t.shape[-2:]]
        turned = self.network.config.use_rotary_positional_embeddings
        places = (
            own._prepare_rotary_positional_embeddings(*sides, z_t.shape[1], z_t.device)
            if turned
            else None
        )
        return self.network(
            hidden_states=self.seen(z_t, c),
            encoder_hidden_states=states.to(z_t),
            timestep=place,
            image_rotary_emb=places,
        ).sample

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        found, _ = self.pipeline.encode_prompt(
            [text],
            do_classifier_free_guidance=False,
            max_sequence_length=self.network.config.max_text_seq_length,
            device=self.device,
        )
        return (found,)


class GoingOn(Flow):
    """A transformer that goes on with a first frame, which it sees without noise: LTX.

    z_t (B, C, T, H, W) are the frames after it; it is the only one with time 0.

    Source: LTX-Video (HaCohen et al., 2024), arXiv:2501.00103; conventions of diffusers 0.42
    (Apache-2.0), `LTXImageToVideoPipeline.__call__`.
    """

    def __init__(self, pipeline: Any, *, beside: Held) -> None:
        super().__init__(pipeline)
        self.beside = beside

    @classmethod
    def codec(cls, pipeline: Any) -> Codec | None:
        return None

    def predicted(self, z_t: Tensor, place: Tensor, c: GivenCondition) -> Tensor:
        own, (states, mask) = self.pipeline, self.texts(c)
        z = torch.cat((self.beside(z_t, c).to(z_t), z_t), dim=2)
        patch = (own.transformer_spatial_patch_size, own.transformer_temporal_patch_size)
        times = (1000 * place).reshape(-1, 1, 1, 1, 1) * torch.ones_like(z[:, :1])
        times[:, :, 0] = 0
        every, rate = own.vae_temporal_compression_ratio, self._rate
        count, height, width = z.shape[2:]
        found = self.network(
            hidden_states=own._pack_latents(z, *patch),
            encoder_hidden_states=states.to(z_t),
            timestep=own._pack_latents(times, *patch)[..., 0],
            encoder_attention_mask=mask,
            num_frames=count,
            height=height,
            width=width,
            rope_interpolation_scale=(every / rate, *[own.vae_spatial_compression_ratio] * 2),
        ).sample
        return own._unpack_latents(found, count, height, width, *patch)[:, :, 1:]

    @property
    def _rate(self) -> float:
        """Frames per second of what its call makes if nothing is said."""
        return inspect.signature(self.pipeline.__call__).parameters["frame_rate"].default

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        return self.pipeline.encode_prompt(
            text, do_classifier_free_guidance=False, device=self.device
        )[:2]
