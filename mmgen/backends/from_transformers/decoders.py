"""How the decoders of pretrained models are asked what follows some tokens.

Shape letters: B batch, M states of what was read, L tokens, W words of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.from_transformers.asking import asked
from mmgen.core.condition import Condition

__all__ = ["begins_as_text", "follows", "seeing_part", "text_part"]

Ask = Callable[[nn.Module, Tensor, Condition, Any], tuple[Any, Any]]


def follows(model: nn.Module, own_BL: Tensor, c: Condition, cache: Any) -> tuple[Tensor, Any]:
    """What follows each of some tokens.

    Args:
        model: A transformers model.
        own_BL: Its ids, those that the cache has not seen.
        c: What its encoder has read, (B, M, D) with the mask (B, M).
        cache: Keys and values of an earlier call; None at the beginning.

    Returns:
        Logits (B, L, W), and the cache with these ids.
    """
    found, kept = _ASKED.get(type(model).__name__, _by_states)(model, own_BL, c, cache)
    return found.logits, kept


def text_part(model: nn.Module) -> nn.Module:
    """The part of a model that writes, where it is one that stands by itself."""
    return model.text_decoder if type(model).__name__ in _ASKED_ALONE else model


def begins_as_text(model: nn.Module) -> bool:
    """Whether its texts begin with what begins any text, and not with an id of its decoder's."""
    return type(model).__name__ in _EYES


def seeing_part(model: nn.Module) -> nn.Module:
    """The part of a model of pictures that sees them."""
    place = _EYES.get(type(model).__name__)
    return model.get_encoder() if place is None else model.get_submodule(place)


def _by_states(
    model: nn.Module, own_BL: Tensor, c: Condition, cache: Any, *, mask: Tensor | None = None
) -> tuple[Any, Any]:
    from transformers.modeling_outputs import BaseModelOutput

    return asked(
        model,
        cache,
        encoder_outputs=BaseModelOutput(last_hidden_state=c.tokens),
        attention_mask=(c.mask if mask is None else mask).long(),
        decoder_input_ids=own_BL,
    )


def _of_subsampled(model: nn.Module, own_BL: Tensor, c: Condition, cache: Any) -> tuple[Any, Any]:
    # It takes the mask of frames, and halves their number with each convolution.
    frames = c.mask.repeat_interleave(2**model.config.num_conv_layers, dim=1)
    return _by_states(model, own_BL, c, cache, mask=frames)


def _of_masked(model: nn.Module, own_BL: Tensor, c: Condition, cache: Any) -> tuple[Any, Any]:
    # It takes the mask of states from what its encoder gave, and none from a caller.
    read = SimpleNamespace(
        last_hidden_state=c.tokens,
        attention_mask=c.mask.long(),
        hidden_states=None,
        attentions=None,
    )
    return asked(model, cache, encoder_outputs=read, decoder_input_ids=own_BL)


def _of_part(model: nn.Module, own_BL: Tensor, c: Condition, cache: Any) -> tuple[Any, Any]:
    # The whole has no such call, or takes for padding what texts begin with.
    return asked(
        getattr(model, _PARTS[type(model).__name__]),
        cache,
        input_ids=own_BL,
        encoder_hidden_states=c.tokens,
        encoder_attention_mask=c.mask.long(),
    )


def _of_git(model: nn.Module, own_BL: Tensor, c: Condition, cache: Any) -> tuple[Any, Any]:
    # The whole takes the picture itself, and would look at it for each text.
    from transformers import DynamicCache

    git, seen, states = model.git, 0 if cache is None else cache.get_seq_length(), c.tokens.shape[1]
    first = max(0, seen - states)
    places = torch.arange(first, first + own_BL.shape[1], device=own_BL.device)
    read = git.embeddings(input_ids=own_BL, position_ids=places[None])
    if not seen:
        read = torch.cat((git.visual_projection(c.tokens), read), dim=1)
    to = torch.arange(seen + read.shape[1], device=read.device)
    # All of a picture sees all of it, and a word whatever came before.
    open_LL = (to <= to[seen:, None]) | (to < states)
    mask = torch.zeros(open_LL.shape, dtype=read.dtype, device=read.device)
    mask = mask.masked_fill(~open_LL, torch.finfo(read.dtype).min)
    kept = DynamicCache(config=model.config) if cache is None else cache
    found = git.encoder(
        read, attention_mask=mask[None, None], past_key_values=kept, use_cache=True
    ).last_hidden_state
    return SimpleNamespace(logits=model.output(found[:, -own_BL.shape[1] :])), kept


_EYES = {
    "BlipForConditionalGeneration": "vision_model",
    "GitForCausalLM": "git.image_encoder",
}
_ASKED_ALONE = ("BlipForConditionalGeneration",)
_PARTS = {
    "BlipForConditionalGeneration": "text_decoder",
    "Pix2StructForConditionalGeneration": "decoder",
}
_ASKED: Mapping[str, Ask] = {
    "MoonshineForConditionalGeneration": _of_masked,
    "Speech2TextForConditionalGeneration": _of_subsampled,
    "GitForCausalLM": _of_git,
    **dict.fromkeys(_PARTS, _of_part),
}
