"""Networks on latents of sounds: AudioLDM, AudioLDM 2 and Stable Audio."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgen.backends.from_diffusers.denoiser import Reading
from mmgen.backends.from_diffusers.scheduled_denoisers import OnSchedule, encoded_text
from mmgen.backends.given import GivenCondition

__all__ = ["AttendingTimed", "AttendingTwice", "Labelled"]


class Labelled(OnSchedule, Reading):
    """A UNet that is told one vector of a text: AudioLDM."""

    def predicted(self, z_t: Tensor, place: Tensor, c: GivenCondition) -> Tensor:
        (vector,) = self.texts(c)
        own = {"encoder_hidden_states": None, "class_labels": vector.to(z_t)}
        return self.network(z_t, place, **own).sample

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        return (encoded_text(self.pipeline, text, self.device),)


class AttendingTwice(OnSchedule, Reading):
    """A UNet that attends to a text and to what a language model goes on with: AudioLDM 2."""

    def predicted(self, z_t: Tensor, place: Tensor, c: GivenCondition) -> Tensor:
        rows = self.each_text(c)
        longest = max(states.shape[1] for states, _, _ in rows)
        own = {
            "encoder_hidden_states": torch.cat([more for _, _, more in rows]).to(z_t),
            "encoder_hidden_states_1": torch.cat(
                [F.pad(states, (0, 0, 0, longest - states.shape[1])) for states, _, _ in rows]
            ).to(z_t),
            "encoder_attention_mask_1": torch.cat(
                [F.pad(mask, (0, longest - mask.shape[1])) for _, mask, _ in rows]
            ),
        }
        return self.network(z_t, place, **own).sample

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        return self.pipeline.encode_prompt([text], self.device, 1, False)


class AttendingTimed(OnSchedule, Reading):
    """A transformer that attends to a text and to how long a sound is: Stable Audio."""

    def predicted(self, z_t: Tensor, place: Tensor, c: GivenCondition) -> Tensor:
        from diffusers.models.embeddings import get_1d_rotary_pos_embed

        own = self.pipeline
        (states,) = self.texts(c)
        ends = [values["seconds"] for values in c.values]
        with torch.no_grad():
            times = own.encode_duration([0.0] * len(ends), ends, self.device, False, len(ends))
        told = torch.cat(times, dim=2).to(z_t)
        places = get_1d_rotary_pos_embed(
            own.rotary_embed_dim,
            z_t.shape[2] + told.shape[1],
            use_real=True,
            repeat_interleave_real=False,
        )
        return self.network(
            z_t,
            place.to(z_t),
            encoder_hidden_states=torch.cat((states, *times), dim=1).to(z_t),
            global_hidden_states=told,
            rotary_embedding=tuple(x.to(z_t.device) for x in places),
            return_dict=False,
        )[0]

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        return (self.pipeline.encode_prompt([text], self.device, False),)
