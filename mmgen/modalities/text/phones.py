"""Text as a condition that is spoken: phones, the pauses between them, and where words begin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.errors import LoadError
from mmgen.core.fitted import take_asset
from mmgen.core.options import Option
from mmgen.core.parted import Parted
from mmgen.core.spec import ConditionSpec
from mmgen.modalities.text.fitting import split_to_fit
from mmgen.modalities.text.lexicon import Lexicon
from mmgen.modalities.text.spoken import PAUSES, spoken_words
from mmgen.nn.transformer import Transformer, grid_positions

__all__ = ["PhoneEncoder"]

_LEXICON = "lexicon.xz"
_START = "^"


class PhoneEncoder(Encoder):
    """Condition tokens, one for each phone or pause of an English text read aloud.

    Words are looked up in a dictionary, which is kept beside the weights; others are said as their
    letters teach (`Lexicon`).

    Args:
        phones: All phones that the dictionary uses.
        pronounce: From words to their phones, asked by `fit` and never again. None where a
            dictionary is loaded.
        dim: D of the condition tokens.
        depth: Number of transformer blocks; 0 for tokens that do not look at each other.
        num_heads: Number of attention heads.
        max_tokens: Longest text, in phones and pauses. A longer one is an error, never cut.
        join: From what is said of each sentence to what is said of a text. None where every text
            is answered whole.
        multiple: Batches are padded to a multiple of so many tokens.
    """

    modality = "text"

    def __init__(
        self,
        phones: Sequence[str],
        *,
        pronounce: Callable[[Iterable[str]], Mapping[str, Sequence[str]]] | None = None,
        dim: int = 128,
        depth: int = 2,
        num_heads: int = 4,
        max_tokens: int = 256,
        join: Callable[[Sequence[Any]], Any] | None = None,
        multiple: int = 8,
    ) -> None:
        super().__init__()
        self.join = join
        self.dim, self.max_tokens, self.multiple = dim, max_tokens, multiple
        self.pronounce = pronounce
        # Phones are told apart by whether they begin a word.
        symbols = (_START, *PAUSES, *phones, *(f"_{phone}" for phone in phones))
        self._ids = {symbol: i for i, symbol in enumerate(symbols)}
        self.embed = nn.Embedding(len(symbols), dim)
        self.transformer = Transformer(dim, depth=depth, num_heads=num_heads)
        self.norm = nn.LayerNorm(dim, bias=False)
        self.null = nn.Parameter(torch.randn(dim) / dim**0.5)
        nn.init.normal_(self.embed.weight, std=dim**-0.5)
        self.lexicon: Lexicon | None = None

    @classmethod
    def debug(cls) -> PhoneEncoder:
        """A tiny one, with a dictionary of two words."""
        encoder = cls(("d", "e", "g", "o", "r"), dim=32, depth=1, num_heads=2)
        encoder.lexicon = Lexicon.learn({"red": ("r", "e", "d"), "dog": ("d", "o", "g")})
        return encoder

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(token_dim=self.dim)

    @property
    def fitted(self) -> bool:
        """Whether it has a dictionary."""
        return self.lexicon is not None

    def fit(self, values: Sequence[Any]) -> None:
        """Look up the words of texts.

        Raises:
            LoadError: If there is nothing to ask how they are said.
        """
        if self.pronounce is None:
            raise LoadError(
                "This encoder has no dictionary of pronunciations and nothing to ask for one. "
                "Build it with pronounce=..., or load saved weights, which hold it."
            )
        words = {w for v in values if v is not None for w in spoken_words(v)} - {*PAUSES}
        self.lexicon = Lexicon.learn(self.pronounce(words))

    def symbols(self, text: str) -> list[str]:
        """What a text is to the model: "^", phones ("_" before those that begin a word), pauses.

        Raises:
            ValueError: If there is nothing in it to say.
        """
        if self.lexicon is None:
            raise LoadError("This encoder has no dictionary yet. Fit or load it first.")
        found = [_START]
        for word in spoken_words(text):
            if word in PAUSES:
                found.append(word)
                continue
            phones = [p for p in self.lexicon.phones(word) if p in self._ids]
            found += [f"_{phones[0]}", *phones[1:]] if phones else []
        if all(symbol in PAUSES for symbol in found[1:]):
            raise ValueError(f"There is nothing to say in {text!r:.60}. Give English words.")
        return found if found[-1] in PAUSES else [*found, "."]

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        rows: list[list[int]] = []
        for value in values:
            if value is not None and not isinstance(value, str):
                raise TypeError(
                    f"Expected a text (str), got {type(value).__name__}: {value!r:.60}."
                )
            own = [] if value is None else [self._ids[s] for s in self.symbols(value)]
            if len(own) > self.max_tokens:
                raise ValueError(
                    f"Expected a text of at most {self.max_tokens} phones and pauses, got "
                    f"{len(own)}: {value[:40]!r}... Give it in several parts."
                )
            rows.append(own)
        length = -(-max(1, *map(len, rows), 1) // self.multiple) * self.multiple
        padded = torch.zeros(len(rows), length, dtype=torch.long)
        for row, own in zip(padded, rows, strict=True):
            row[: len(own)] = torch.tensor(own, dtype=torch.long)
        return {
            "ids": padded,
            "lengths": torch.tensor([len(own) for own in rows]),
            "given": torch.tensor([value is not None for value in values]),
        }

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        device = self.null.device
        ids, given = tensors["ids"].to(device), tensors["given"].to(device)
        places = torch.arange(ids.shape[1], device=device)
        # Position 0 is always there: attention to nothing at all has no value.
        mask = places < tensors["lengths"].to(device).clamp(min=1)[:, None]
        x = self.transformer(
            self.embed(ids), grid_positions(ids.shape[1], device=device), mask_BL=mask
        )
        first = places == 0
        null = torch.where(first[:, None], self.null.to(x.dtype), torch.zeros_like(x[:1]))
        tokens = torch.where(given[:, None, None], self.norm(x), null)
        mask = torch.where(given[:, None], mask, first)
        return Condition(len(ids), tokens * mask[..., None], mask)

    def options(self) -> tuple[Option, ...]:
        said = "Whether a text of several sentences is said one by one."
        split = Option("split", "sentences", said, choices=("sentences", "never"))
        return () if self.join is None else (split,)

    def parted(self, value: Any, **options: Any) -> Parted | None:
        if self.join is None or options["split"] == "never" or not isinstance(value, str):
            return None

        def fits(piece: str) -> bool:
            return len(self.symbols(piece)) <= self.max_tokens

        pieces = [p.strip() for p in split_to_fit(value, fits, "en")]
        said = tuple(p for p in pieces if any(c.isalnum() for c in p))
        # What was said cannot be told apart again.
        return Parted(said, self.join, lambda sound: None) if len(said) > 1 else None

    def assets(self) -> dict[str, bytes]:
        return {} if self.lexicon is None else {_LEXICON: self.lexicon.to_bytes()}

    def load_assets(self, assets: Mapping[str, bytes]) -> None:
        self.lexicon = Lexicon.from_bytes(take_asset(assets, _LEXICON, by="The phone encoder"))
