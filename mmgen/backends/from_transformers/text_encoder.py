"""Pretrained text encoders as condition encoders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.from_transformers.tokenizers import (
    debug_tokenizer,
    first_line,
    load_tokenizer,
    tokenizer_files,
    tokenizer_of,
)
from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.errors import LoadError
from mmgen.core.spec import ConditionSpec

__all__ = ["FrozenTextEncoder"]

# Tokenizers without a limit say so with a huge number.
UNLIMITED = 10**6


class FrozenTextEncoder(Encoder):
    """Condition tokens of a pretrained text encoder: its last hidden states.

    The pretrained weights are frozen: without gradients, without dropout, whatever `train` says.
    What is trained is the null, one token (D,) that stands for a text that is not given. Padding is
    masked, so a text's tokens are the same in any batch.

    Args:
        model: A transformers text encoder: CLIPTextModel, T5EncoderModel, BertModel, ...
        tokenizer: Its tokenizer.
        max_tokens: Longest text, in tokens with the special ones; that of the tokenizer if None.
            The model's number of positions, if it has one, holds in any case. A longer text is an
            error, never cut.

    Source: High-Resolution Image Synthesis with Latent Diffusion Models (Rombach et al., 2021),
    Sec. 3.3, arXiv:2112.10752; frozen language models: Imagen (Saharia et al., 2022), Sec. 2.1,
    arXiv:2205.11487.
    """

    modality = "text"

    def __init__(self, model: nn.Module, tokenizer: Any, *, max_tokens: int | None = None) -> None:
        super().__init__()
        self.model = model.requires_grad_(False).eval()
        self.tokenizer = tokenizer
        limits = (
            tokenizer.model_max_length if max_tokens is None else max_tokens,
            getattr(model.config, "max_position_embeddings", None) or UNLIMITED,
        )
        self.max_tokens = min(limits)
        self.null = nn.Parameter(torch.randn(model.config.hidden_size) * 0.02)

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        subfolder: str = "",
        tokenizer_subfolder: str | None = None,
        max_tokens: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> FrozenTextEncoder:
        """The text encoder of a checkpoint; of a model with more in it, the text encoder alone.

        Args:
            path: Folder or hub id.
            revision: Commit, tag or branch, for a hub id.
            subfolder: Where the model is within it; "text_encoder" in a diffusers pipeline.
            tokenizer_subfolder: Where the tokenizer is; `subfolder` if None; "tokenizer" in a
                diffusers pipeline.
            max_tokens: As in the constructor.
            dtype: Precision of the weights.

        Raises:
            LoadError: If there is no such checkpoint, it holds no text encoder, its weights are not
                safetensors or not all there, or it needs code of its own.
        """
        path = os.fspath(path)
        place = {"revision": revision, "trust_remote_code": False}
        model = _load_model(path, subfolder=subfolder, dtype=dtype, **place)
        where = subfolder if tokenizer_subfolder is None else tokenizer_subfolder
        tokenizer = load_tokenizer(path, where, hint="tokenizer_subfolder", **place)
        return cls(model, tokenizer, max_tokens=max_tokens)

    @classmethod
    def debug(cls) -> FrozenTextEncoder:
        """A tiny BERT with random weights and a vocabulary of a few words."""
        from transformers import BertConfig, BertModel

        tokenizer = debug_tokenizer()
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
        )
        return cls(BertModel(config, add_pooling_layer=False), tokenizer)

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(token_dim=len(self.null))

    def train(self, mode: bool = True) -> FrozenTextEncoder:
        super().train(mode)
        self.model.eval()
        return self

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        """Texts, or None, to ids (B, L), mask (B, L) and given (B,)."""
        ids = [[] if value is None else self._ids(value) for value in values]
        length = max([1, *map(len, ids)])
        pad = self.tokenizer.pad_token_id or 0
        padded = torch.full((len(ids), length), pad, dtype=torch.long)
        mask = torch.zeros(len(ids), length, dtype=torch.bool)
        for row, there, own in zip(padded, mask, ids, strict=True):
            row[: len(own)] = torch.tensor(own, dtype=torch.long)
            # One token is always there: attention to nothing at all has no value.
            there[: max(1, len(own))] = True
        return {
            "ids": padded,
            "mask": mask,
            "given": torch.tensor([value is not None for value in values]),
        }

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        device = self.null.device
        ids, mask, given = (tensors[name].to(device) for name in ("ids", "mask", "given"))
        first = torch.arange(ids.shape[1], device=device) == 0
        tokens = first[None, :, None] * self.null.expand(len(ids), 1, -1)
        if given.any():
            with torch.no_grad():
                states = self.model(
                    input_ids=ids[given], attention_mask=mask[given].long()
                ).last_hidden_state
            states = states.to(tokens.dtype) * mask[given][..., None]
            tokens = tokens.masked_scatter(given[:, None, None], states)
        return Condition(len(ids), tokens, torch.where(given[:, None], mask, first))

    def assets(self) -> dict[str, bytes]:
        return tokenizer_files(self.tokenizer)

    def load_assets(self, assets: Mapping[str, bytes]) -> None:
        tokenizer = tokenizer_of(assets)
        rows = self.model.get_input_embeddings().weight.shape[0]
        if len(tokenizer) > rows:
            raise LoadError(
                f"The tokenizer has {len(tokenizer)} tokens, the weights have {rows}. They do not "
                "belong together."
            )
        self.tokenizer = tokenizer

    def _ids(self, value: Any) -> list[int]:
        if not isinstance(value, str):
            raise TypeError(f"Expected a text (str), got {type(value).__name__}: {value!r:.60}.")
        if not value.strip():
            raise ValueError("The text is empty. Say something, or give None for no condition.")
        ids = self.tokenizer(value, truncation=False, verbose=False)["input_ids"]
        if len(ids) > self.max_tokens:
            raise ValueError(
                f"Expected a text of at most {self.max_tokens} tokens, got {len(ids)}: "
                f"{value[:40]!r}... Shorten it."
            )
        return ids


def _load_model(path: str, *, subfolder: str, dtype: torch.dtype, **place: Any) -> nn.Module:
    """The text encoder of a checkpoint. `place` is passed on to transformers."""
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding
    from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING

    place = {**place, "subfolder": subfolder}
    try:
        config = AutoConfig.from_pretrained(path, **place).get_text_config()
        alone = type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING
        model, report = (AutoModelForTextEncoding if alone else AutoModel).from_pretrained(
            path,
            **place,
            config=config,
            use_safetensors=True,
            dtype=dtype,
            output_loading_info=True,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise LoadError(
            f"Could not load a text encoder with safetensors weights from {path} "
            f"({subfolder or '.'}): {first_line(error)} Weights in other formats, and checkpoints "
            "that bring their own code, are not read."
        ) from None
    # Poolers come after the hidden states, and many checkpoints lack theirs.
    missing = sorted(k for k in report["missing_keys"] if "pooler." not in k)
    if missing:
        raise LoadError(
            f"{path} lacks weights of its text encoder: {', '.join(missing[:3])} and "
            f"{max(0, len(missing) - 3)} more. Is it a text encoder? Get the files again."
        )
    return model.get_encoder() if config.is_encoder_decoder and not alone else model
