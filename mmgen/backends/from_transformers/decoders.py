"""How the decoders of pretrained models are asked what follows some tokens.

Shape letters: B batch, M states of what was read, L tokens, W words of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from mmgen.backends.from_transformers.asking import asked
from mmgen.core.condition import Condition

__all__ = ["follows", "text_part"]

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


_ASKED_ALONE = ("BlipForConditionalGeneration",)
_PARTS = {
    "BlipForConditionalGeneration": "text_decoder",
    "Pix2StructForConditionalGeneration": "decoder",
}
_ASKED: Mapping[str, Ask] = {
    "MoonshineForConditionalGeneration": _of_masked,
    "Speech2TextForConditionalGeneration": _of_subsampled,
    **dict.fromkeys(_PARTS, _of_part),
}
