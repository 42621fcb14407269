"""Pretrained language models that see: P(text | pictures and a text) by the autoregressive family.

Shape letters: B batch, M prompt tokens, D width, L tokens, V targets, A axes of positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from mmgen.backends.from_transformers.asking import asked
from mmgen.backends.from_transformers.axes import Placed
from mmgen.backends.from_transformers.causal import ReadingOn, padded_left
from mmgen.backends.from_transformers.targets import Targets
from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.spec import ConditionSpec
from mmgen.core.typed import named_values
from mmgen.modalities import image as images
from mmgen.modalities.image.files import to_pil

__all__ = ["Conversations", "SeeingLanguageModel"]

# What processors give that says nothing of a picture.
_OF_TEXT = {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids"}


class SeeingLanguageModel(ReadingOn):
    """The language model in a pretrained one that sees, as a network of the autoregressive family.

    The condition's tokens are what it reads of a prompt (B, M, D): the embeddings of words, and in
    their places those of pictures.

    Args:
        model: A transformers model of pictures and text to text.
        targets: Its ids as targets.
        context: Most tokens that it reads, prompt and text together; None for any number.
    """

    def __init__(self, model: nn.Module, targets: Targets, *, context: int | None) -> None:
        super().__init__(model, targets, context=context)
        width = model.get_input_embeddings().weight.shape[1]
        self.condition = ConditionSpec(token_dim=width)

    def _prompt(self, c: Condition) -> Tensor:
        return c.tokens

    def _positions(self, c: Condition, mask_BL: Tensor) -> Tensor:
        plain_BL = super()._positions(c, mask_BL)
        if not isinstance(c, Placed):
            return plain_BL
        # A picture takes fewer positions than it has tokens.
        plain_BL = plain_BL + (c.following - c.mask.sum(1))[:, None]
        prompt_BMA, _ = padded_left(c.positions, c.mask)
        placed_BLA = plain_BL[..., None].repeat(1, 1, prompt_BMA.shape[2])
        placed_BLA[:, : prompt_BMA.shape[1]] = prompt_BMA
        return placed_BLA.permute(2, 0, 1)

    def _embedded(self, ids_BL: Tensor) -> Tensor:
        return self.model.get_input_embeddings()(ids_BL)

    def _run(self, read: Tensor, length: int, kept: Any, **given: Any) -> tuple[Tensor, Any]:
        found, kept = asked(self.model.get_decoder(), kept, inputs_embeds=read, **given)
        states_BLD = found.last_hidden_state[:, -length:]
        return self.model.get_output_embeddings()(states_BLD), kept


class Conversations(Encoder):
    """Pictures and texts as what a pretrained language model that sees reads of them.

    A value is {"image": a picture or a list of them, "text": what to say of it}, either of which
    may be missing, or {"messages": [{"role": ..., "content": [{"type": "image", "image": ...},
    {"type": "text", "text": ...}]}]}; a content may be a text alone. The processor's chat template
    writes them out, and a picture alone is a message, too. Where there is no template, a text has
    the processor's own mark wherever a picture is. None is an error.

    Prompts are read one by one: pictures may be of several sizes, and none is padded.

    Args:
        model: A transformers model of pictures and text to text.
        processor: What it reads them with.
        max_tokens: Longest prompt, pictures among it. A longer one is an error, never cut.
    """

    modality = None

    def __init__(self, model: nn.Module, processor: Any, *, max_tokens: int | None) -> None:
        super().__init__()
        # Not a part: the pipeline's model holds it.
        self._whole = [model]
        self.embeddings = model.get_input_embeddings()
        self.processor, self.max_tokens = processor, max_tokens
        self.mark_id = model.config.image_token_id

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(token_dim=self.embeddings.weight.shape[1])

    def read(self, text: str) -> Any:
        """A JSON object, or the path of a .json file that holds one."""
        example = '{"image": "cat.png", "text": "What is this?"}'
        return named_values(text, what="a condition", example=example)

    def prepare(self, values: Sequence[Any]) -> dict[str, Any]:
        """Values to what the processor makes of each, `read`, and given (B,)."""
        rows = tuple(map(self._row, values))
        return {"read": rows, "given": torch.ones(len(rows), dtype=torch.bool)}

    def encode(self, tensors: Mapping[str, Any]) -> Condition:
        rows = [self._embedded(row) for row in tensors["read"]]
        tokens = pad_sequence(rows, batch_first=True)
        counts = torch.tensor([len(row) for row in rows], device=tokens.device)
        mask = torch.arange(tokens.shape[1], device=tokens.device) < counts[:, None]
        c = Condition(len(rows), tokens, mask)
        if not hasattr(self._whole[0].base_model, "get_rope_index"):
            return c
        places = [self._places(row).to(tokens.device) for row in tensors["read"]]
        following = torch.stack([place.max() + 1 for place in places])
        return Placed.of(c, pad_sequence(places, batch_first=True), following)

    def _places(self, row: Mapping[str, Tensor]) -> Tensor:
        """Where each token of a prompt stands, on each axis (M, A)."""
        ids = row["input_ids"]
        own = {n: row[n] for n in ("mm_token_type_ids", "image_grid_thw") if n in row}
        own.setdefault("mm_token_type_ids", torch.zeros_like(ids))
        places_ABM, _ = self._whole[0].base_model.get_rope_index(ids, **own)
        return places_ABM[:, 0].mT

    def _embedded(self, row: Mapping[str, Tensor]) -> Tensor:
        """What the language model reads of one prompt (M, D)."""
        weight = self.embeddings.weight
        ids_M = row["input_ids"][0].to(weight.device)
        words_MD = self.embeddings(ids_M)
        seen = {
            name: value.to(weight.device, weight.dtype if value.is_floating_point() else None)
            for name, value in row.items()
            if name not in _OF_TEXT
        }
        if not seen:
            return words_MD
        found = self._whole[0].model.get_image_features(**seen, return_dict=True).pooler_output
        states_KD = torch.cat(list(found)) if isinstance(found, (list, tuple)) else found
        states_KD = states_KD.reshape(-1, words_MD.shape[1])
        places_M = ids_M == self.mark_id
        if int(places_M.sum()) != len(states_KD):
            raise ValueError(
                f"The prompt has room for {int(places_M.sum())} tokens of pictures, and these give "
                f"{len(states_KD)}. The processor and the weights do not belong together."
            )
        return words_MD.masked_scatter(places_M[:, None], states_KD.to(words_MD))

    def _row(self, value: Any) -> dict[str, Tensor]:
        if not isinstance(value, Mapping) or not value:
            raise TypeError(
                'Expected {"image": ..., "text": ...} or {"messages": [...]}; got '
                f"{value!r:.60}."
            )
        if set(value) != {"messages"}:
            found = self._of_parts(value)
        else:
            found = self._chat([self._message(m) for m in _listed(value["messages"])])
        count = found["input_ids"].shape[1]
        if self.max_tokens is not None and count > self.max_tokens:
            raise ValueError(
                f"Expected a prompt of at most {self.max_tokens} tokens, pictures among it, got "
                f"{count}. The model reads no more; nothing is cut. Shorten it."
            )
        return found

    def _of_parts(self, value: Mapping[str, Any]) -> dict[str, Tensor]:
        unknown = sorted(map(str, set(value) - {"image", "text"}))
        if unknown:
            raise TypeError(
                'A condition is {"image": ..., "text": ...} or {"messages": [...]}; '
                f"{unknown[0]!r} is none of these."
            )
        image, text = value.get("image"), value.get("text")
        pictures = list(image) if isinstance(image, (list, tuple)) else [image]
        pictures = [] if image is None else pictures
        if self.processor.chat_template:
            parts = [{"type": "image", "image": x} for x in pictures]
            parts += [] if text is None else [{"type": "text", "text": text}]
            return self._chat([self._message({"role": "user", "content": parts})])
        mark = self.processor.image_token
        times = text.count(mark) if isinstance(text, str) else -1
        if times != len(pictures):
            raise ValueError(
                f"This processor has no chat template, so a text says by {mark} where each of its "
                f"{len(pictures)} pictures is; got {text!r:.60}."
            )
        shown = [to_pil(images.load(x)) for x in pictures] or None
        return dict(self.processor(text=[text], images=shown, return_tensors="pt"))

    def _chat(self, messages: list[dict[str, Any]]) -> dict[str, Tensor]:
        from jinja2 import TemplateError

        if not self.processor.chat_template:
            raise ValueError(
                "This processor has no chat template, so it does not know how messages are put. "
                'Give {"image": ..., "text": ...}.'
            )
        try:
            found = self.processor.apply_chat_template(
                messages,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
        except TemplateError as error:
            raise ValueError(f"The chat template refuses these messages: {error}") from None
        return dict(found)

    def _message(self, message: Any) -> dict[str, Any]:
        """A message whose parts are read, so that nothing in it is a place to look at."""
        if not isinstance(message, Mapping) or set(message) != {"role", "content"}:
            raise TypeError(
                'A message is {"role": "user" or another, "content": a text or a list of parts}; '
                f"got {message!r:.80}."
            )
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        return {"role": message["role"], "content": list(map(self._part, _listed(parts)))}

    def _part(self, part: Any) -> dict[str, Any]:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind not in ("image", "text") or set(part) != {"type", kind}:
            raise TypeError(
                'A part is {"type": "image", "image": ...} or {"type": "text", "text": ...}; got '
                f"{part!r:.80}."
            )
        if kind == "image":
            return {"type": "image", "image": to_pil(images.load(part["image"]))}
        text, mark = part["text"], self.processor.image_token
        if not isinstance(text, str):
            raise TypeError(f"Expected a text (str), got {type(text).__name__}: {text!r:.60}.")
        if mark in text:
            raise ValueError(f"{mark} stands for a picture. Give the picture as a part of its own.")
        return {"type": "text", "text": text}


def _listed(parts: Any) -> Sequence[Any]:
    if not isinstance(parts, (list, tuple)) or not parts:
        raise TypeError(f"Expected a list of messages, or of parts of one; got {parts!r:.60}.")
    return parts
