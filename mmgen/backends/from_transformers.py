"""Parts of transformers checkpoints."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.core.codec import Codec
from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.errors import LoadError
from mmgen.core.latent import Latent
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.modalities.text.byte_text import utf8
from mmgen.modalities.text.ids import from_latent, pad, to_latent, unpad

__all__ = ["FrozenTextEncoder", "TokenizedText"]

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
        tokenizer = _load_tokenizer(path, where, hint="tokenizer_subfolder", **place)
        return cls(model, tokenizer, max_tokens=max_tokens)

    @classmethod
    def debug(cls) -> FrozenTextEncoder:
        """A tiny BERT with random weights and a vocabulary of a few words."""
        from transformers import BertConfig, BertModel

        tokenizer = _debug_tokenizer()
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
        return _tokenizer_files(self.tokenizer)

    def load_assets(self, assets: Mapping[str, bytes]) -> None:
        tokenizer = _tokenizer_of(assets)
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


class TokenizedText(Codec):
    """Text as the tokens of a pretrained tokenizer, for language models that others trained.

    Special tokens are no content: they are not among the codec's tokens, and a text that holds
    their names is read as any other text. What the tokenizer drops, such as case, does not come
    back, so a density of tokens is not that of the text. A text that it cannot write at all, since
    it lacks a character, is refused.

    Args:
        tokenizer: A transformers tokenizer.
        max_length: Longest text, in tokens. A longer one is an error, never cut.

    Raises:
        ValueError: If max_length is below 1.
    """

    elementwise = True

    def __init__(self, tokenizer: Any, *, max_length: int = 512) -> None:
        super().__init__()
        if max_length < 1:
            raise ValueError(f"max_length is at least 1, got {max_length}.")
        self.max_length = max_length
        self.tokenizer = tokenizer
        self.token_ids = _content_ids(tokenizer)
        """The tokenizer's own id of each token of the codec."""
        self._index = {own: i for i, own in enumerate(self.token_ids)}

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        subfolder: str = "",
        max_length: int = 512,
    ) -> TokenizedText:
        """The tokenizer of a checkpoint.

        Args:
            path: Folder or hub id.
            revision: Commit, tag or branch, for a hub id.
            subfolder: Where the tokenizer is within it.
            max_length: As in the constructor.

        Raises:
            LoadError: If there is no tokenizer, or it needs code of its own.
        """
        place = {"revision": revision, "trust_remote_code": False}
        tokenizer = _load_tokenizer(os.fspath(path), subfolder, hint="subfolder", **place)
        return cls(tokenizer, max_length=max_length)

    @classmethod
    def debug(cls) -> TokenizedText:
        """A tiny one, of a few words."""
        return cls(_debug_tokenizer(), max_length=16)

    @property
    def spec(self) -> Spec:
        return Spec(
            "text", "tokens", ("L",), vocabulary=len(self.token_ids), max_length=self.max_length
        )

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        return pad([self._tokens(value) for value in values])

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        return to_latent(tensors)

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        return from_latent(latent)

    def present(self, tensors: Mapping[str, Tensor]) -> list[str]:
        rows = [[self.token_ids[i] for i in row] for row in unpad(tensors)]
        return [self.tokenizer.decode(r, clean_up_tokenization_spaces=False) for r in rows]

    def assets(self) -> dict[str, bytes]:
        return _tokenizer_files(self.tokenizer)

    def load_assets(self, assets: Mapping[str, bytes]) -> None:
        tokenizer = _tokenizer_of(assets)
        token_ids = _content_ids(tokenizer)
        if len(token_ids) != len(self.token_ids):
            raise LoadError(
                f"The tokenizer has {len(token_ids)} tokens of content, the codec was built for "
                f"{len(self.token_ids)}. They do not belong together."
            )
        self.tokenizer, self.token_ids = tokenizer, token_ids
        self._index = {own: i for i, own in enumerate(token_ids)}

    def _tokens(self, value: Any) -> list[int]:
        utf8(value)
        own = self.tokenizer(
            value,
            add_special_tokens=False,
            split_special_tokens=True,
            truncation=False,
            verbose=False,
        )["input_ids"]
        if len(own) > self.max_length:
            raise ValueError(
                f"Expected a text of at most {self.max_length} tokens, got {len(own)}: "
                f"{value[:40]!r}... Shorten it, or build the codec with a larger max_length."
            )
        for i in own:
            if i not in self._index:
                raise ValueError(
                    f"This tokenizer has no token for a part of {value[:40]!r}: it gives "
                    f"{self.tokenizer.convert_ids_to_tokens(i)!r}, which is no content. Leave out "
                    "characters it does not know, or use another tokenizer."
                )
        return [self._index[i] for i in own]


def _content_ids(tokenizer: Any) -> list[int]:
    """Ids of all tokens that are not special, in order."""
    special = {i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
    special |= set(tokenizer.all_special_ids)
    return sorted(set(tokenizer.get_vocab().values()) - special)


def _debug_tokenizer() -> Any:
    """A tokenizer of a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = "[PAD] [UNK] a red green blue circle square star left right of".split()
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", model_max_length=32
    )


def _load_tokenizer(path: str, subfolder: str, *, hint: str, **place: Any) -> Any:
    """The tokenizer of a checkpoint. `place` is passed on to transformers."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path, subfolder=subfolder, **place)
    except (OSError, ValueError) as error:
        raise LoadError(
            f"Could not load a tokenizer from {path} ({subfolder or '.'}): {_first_line(error)} "
            f"If it is in another folder of the checkpoint, give {hint}."
        ) from None


def _tokenizer_files(tokenizer: Any) -> dict[str, bytes]:
    """The files of a tokenizer, by name."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {f.name: f.read_bytes() for f in sorted(Path(folder).iterdir()) if f.is_file()}


def _tokenizer_of(assets: Mapping[str, bytes]) -> Any:
    """The tokenizer that has these files."""
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        for name, content in assets.items():
            (Path(folder) / Path(name).name).write_bytes(content)
        try:
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise LoadError(
                f"Expected the files of a tokenizer, got {', '.join(sorted(assets)) or 'none'}:"
                f" {_first_line(error)} Save the pipeline again."
            ) from None


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
            f"({subfolder or '.'}): {_first_line(error)} Weights in other formats, and checkpoints "
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


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
