"""Text as a condition: subwords through a small transformer that is trained with the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.errors import LoadError, close_names
from mmgen.core.fitted import take_asset
from mmgen.core.options import Option
from mmgen.core.parted import Parted
from mmgen.core.spec import ConditionSpec
from mmgen.modalities.text.by_sentence import by_sentence
from mmgen.modalities.text.tokenizer import Tokenizer, words_of
from mmgen.nn.transformer import Transformer, grid_positions

__all__ = ["TextEncoder"]

_TOKENIZER, _WORDS = "tokenizer.model", "words.txt"


class TextEncoder(Encoder):
    """Condition tokens, one for each subword.

    Args:
        vocabulary: Most subwords to learn; the embedding's size.
        dim: D of the condition tokens.
        depth: Number of transformer blocks.
        num_heads: Number of attention heads.
        max_tokens: Longest text, in subwords. A longer one is an error, never cut.
        words: Whether it notes which words it has learnt from, and refuses others unless asked
            not to. False for a language that puts no blanks between words.
        multiple: Batches are padded to a multiple of so many subwords.
        languages: Codes of the text's language and of the answer's, where a text of several
            sentences is to be answered one by one; None where every text is answered whole.
    """

    modality = "text"

    def __init__(
        self,
        *,
        vocabulary: int = 512,
        dim: int = 192,
        depth: int = 2,
        num_heads: int = 4,
        max_tokens: int = 64,
        words: bool = True,
        multiple: int = 16,
        languages: tuple[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.notes_words, self.multiple, self.languages = words, multiple, languages
        self.vocabulary, self.dim, self.max_tokens = vocabulary, dim, max_tokens
        self.embed = nn.Embedding(vocabulary, dim)
        self.transformer = Transformer(dim, depth=depth, num_heads=num_heads)
        self.norm = nn.LayerNorm(dim, bias=False)
        self.null = nn.Parameter(torch.randn(dim) / dim**0.5)
        nn.init.normal_(self.embed.weight, std=dim**-0.5)
        self.tokenizer: Tokenizer | None = None
        self.words: frozenset[str] = frozenset()

    @classmethod
    def debug(cls) -> TextEncoder:
        """A tiny one, with a vocabulary of a few words."""
        encoder = cls(vocabulary=320, dim=32, depth=1, num_heads=2)
        encoder.fit(["a red circle left of a blue square", "two green stars on a white background"])
        return encoder

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(token_dim=self.dim)

    @property
    def fitted(self) -> bool:
        """Whether it has a vocabulary."""
        return self.tokenizer is not None

    def fit(self, values: Sequence[Any]) -> None:
        texts = [v for v in values if v is not None]
        self.tokenizer = Tokenizer.train(texts, vocabulary=self.vocabulary)
        self.words = frozenset()
        self.extend(texts)

    def extend(self, values: Sequence[Any]) -> None:
        if not self.notes_words:
            return
        self.words |= {word for v in values if v is not None for word in words_of(v)}

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        tokenizer = self._require_tokenizer()
        for value in values:
            _check_text(value)
        ids = tokenizer.encode([v or "" for v in values])
        for value, own in zip(values, ids, strict=True):
            if len(own) > self.max_tokens:
                raise ValueError(
                    f"Expected a text of at most {self.max_tokens} subwords, got {len(own)}: "
                    f"{value[:40]!r}... Shorten it."
                )
        rows = [None if v is None else own for v, own in zip(values, ids, strict=True)]
        return self.pack(rows, multiple=self.multiple)

    @staticmethod
    def pack(rows: Sequence[Sequence[int] | None], *, multiple: int = 16) -> dict[str, Tensor]:
        """Ids of each value, or None, to the tensors that `encode` takes.

        Args:
            rows: Ids of each value.
            multiple: Of which the padded length is one.
        """
        ids = [row or () for row in rows]
        # A few fixed lengths keep the number of shapes, and so of compilations, small.
        length = max(multiple, -(-max(map(len, ids)) // multiple) * multiple)
        padded = torch.zeros(len(ids), length, dtype=torch.long)
        for row, own in zip(padded, ids, strict=True):
            row[: len(own)] = torch.tensor(own, dtype=torch.long)
        lengths = torch.tensor([len(own) for own in ids])
        given = torch.tensor([row is not None for row in rows])
        return {"ids": padded, "lengths": lengths, "given": given}

    def _require_tokenizer(self) -> Tokenizer:
        if self.tokenizer is None:
            raise LoadError("This text encoder has no vocabulary yet. Fit or load it first.")
        return self.tokenizer

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        device = self.null.device
        ids, given = tensors["ids"].to(device), tensors["given"].to(device)
        places = torch.arange(ids.shape[1], device=device)
        # Position 0 is always there: attention to nothing at all has no value.
        mask = places < tensors["lengths"].to(device).clamp(min=1)[:, None]
        x = self.transformer(
            self.embed(ids), grid_positions(ids.shape[1], device=device), mask_BL=mask
        )
        x = self.norm(x)
        first = places == 0
        null = torch.where(first[:, None], self.null.to(x.dtype), torch.zeros_like(x[:1]))
        tokens = torch.where(given[:, None, None], x, null)
        mask = torch.where(given[:, None], mask, first)
        return Condition(len(ids), tokens * mask[..., None], mask)

    def plain(self, value: str) -> str:
        return value if self.tokenizer is None else self.tokenizer.normalized(value)

    def options(self) -> tuple[Option, ...]:
        said = "What to do about words never seen in training."
        unknown = Option("unknown_words", "error", said, choices=("error", "allow"))
        said = "Whether a text of several sentences is answered one by one."
        split = Option("split", "sentences", said, choices=("sentences", "never"))
        return (*(unknown,) * self.notes_words, *(split,) * (self.languages is not None))

    def parted(self, value: Any, **options: Any) -> Parted | None:
        if self.languages is None or options["split"] == "never" or value is None:
            return None
        _check_text(value)
        tokenizer = self._require_tokenizer()

        def fits(piece: str) -> bool:
            return len(tokenizer.encode([piece])[0]) <= self.max_tokens

        source, answer = self.languages
        return by_sentence(
            value, lambda piece: piece, fits=fits, language=source, answer_language=answer
        )

    def check(self, values: Sequence[Any], **options: Any) -> None:
        for value in values:
            _check_text(value)
            if value is None or options.get("unknown_words", "allow") == "allow":
                continue
            for word in words_of(value):
                if word not in self.words:
                    raise ValueError(
                        f"The word {word!r} in {value!r} was never seen in training. "
                        f"{close_names(word, self.words)} Use words that were, or set "
                        "unknown_words='allow' to try anyway."
                    )

    def assets(self) -> dict[str, bytes]:
        if self.tokenizer is None:
            return {}
        words = {_WORDS: "\n".join(sorted(self.words)).encode()} if self.notes_words else {}
        return {_TOKENIZER: self.tokenizer.proto, **words}

    def load_assets(self, assets: Mapping[str, bytes]) -> None:
        self.tokenizer = Tokenizer(take_asset(assets, _TOKENIZER, by="The text encoder"))
        if self.tokenizer.vocabulary > self.vocabulary:
            raise LoadError(
                f"{_TOKENIZER} has {self.tokenizer.vocabulary} subwords, the weights have "
                f"{self.vocabulary}. They do not belong together."
            )
        if self.notes_words:
            words = take_asset(assets, _WORDS, by="The text encoder")
            self.words = frozenset(words.decode().split("\n"))

    def extend_by(self, assets: Mapping[str, bytes]) -> None:
        if not assets:
            return
        known, subwords = self.words, self.assets().get(_TOKENIZER)
        if subwords not in (None, take_asset(assets, _TOKENIZER, by="The text encoder")):
            raise LoadError(
                f"{_TOKENIZER} has other subwords than this text encoder. They do not belong "
                "together."
            )
        self.load_assets(assets)
        self.words |= known


def _check_text(value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise TypeError(f"Expected a text (str), got {type(value).__name__}: {value!r:.60}.")
    if not value.strip():
        raise ValueError("The text is empty. Say something, or give None for no condition.")
