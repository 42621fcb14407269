"""A molecule as a condition: its symbols through a small transformer trained with the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.errors import LoadError
from mmgen.core.fitted import take_asset
from mmgen.core.spec import ConditionSpec
from mmgen.modalities.molecules.merging import learn_merges, merge
from mmgen.modalities.molecules.smiles import BASIS, split_smiles
from mmgen.modalities.molecules.structure import canonical
from mmgen.modalities.molecules.vocabulary import Vocabulary
from mmgen.modalities.text.encoder import TextEncoder

__all__ = ["MoleculeEncoder"]

_SYMBOLS = "symbols.txt"


class MoleculeEncoder(Encoder):
    """Condition tokens, one for each symbol of the canonical SMILES.

    Args:
        capacity: Most symbols that `fit` may find; the embedding's size.
        dim: D of the condition tokens.
        depth: Number of transformer blocks.
        num_heads: Number of attention heads.
        max_tokens: Longest molecule, in symbols. A longer one is an error, never cut.
        merges: Most symbols that `fit` may add by merging frequent neighbours, within the capacity.

    Raises:
        ValueError: If the capacity cannot hold the symbols that all SMILES share.
    """

    modality = "molecules"

    def __init__(
        self,
        *,
        capacity: int = 128,
        dim: int = 128,
        depth: int = 2,
        num_heads: int = 4,
        max_tokens: int = 128,
        merges: int = 0,
    ) -> None:
        super().__init__()
        if capacity < len(BASIS):
            raise ValueError(f"A capacity is at least {len(BASIS)}, got {capacity}.")
        self.capacity, self.max_tokens, self.merges = capacity, max_tokens, merges
        self.sequence = TextEncoder(
            vocabulary=capacity, dim=dim, depth=depth, num_heads=num_heads, max_tokens=max_tokens
        )
        self.vocabulary: Vocabulary | None = None

    @classmethod
    def debug(cls) -> MoleculeEncoder:
        """A tiny one, fitted to a few molecules."""
        encoder = cls(capacity=40, dim=32, depth=1, num_heads=2)
        encoder.fit(["CCO", "c1cc[nH]c1", "C[C@H](N)C(=O)O"])
        return encoder

    @property
    def spec(self) -> ConditionSpec:
        return self.sequence.spec

    @property
    def fitted(self) -> bool:
        """Whether it has its symbols."""
        return self.vocabulary is not None

    def fit(self, values: Sequence[Any]) -> None:
        rows = [split_smiles(canonical(v)) for v in values if v is not None]
        single = Vocabulary.learn(rows, basis=BASIS, capacity=self.capacity)
        room = min(self.merges, self.capacity - len(single.symbols))
        merged = learn_merges(rows, room) if room else []
        self.vocabulary = Vocabulary([*single.symbols, *merged])

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        if self.vocabulary is None:
            raise LoadError("This molecule encoder has no symbols yet. Fit or load it first.")
        return self.sequence.pack([None if v is None else self._ids(v) for v in values])

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        return self.sequence.encode(tensors)

    def assets(self) -> dict[str, bytes]:
        return {} if self.vocabulary is None else {_SYMBOLS: self.vocabulary.to_bytes()}

    def load_assets(self, assets: Mapping[str, bytes]) -> None:
        data = take_asset(assets, _SYMBOLS, by="The molecule encoder")
        self.vocabulary = Vocabulary.from_bytes(data, capacity=self.capacity)

    def _ids(self, value: Any) -> list[int]:
        symbols = split_smiles(canonical(value))
        if self.merges:
            symbols = merge(symbols, self.vocabulary.ranks)
        if len(symbols) > self.max_tokens:
            raise ValueError(
                f"Expected a molecule of at most {self.max_tokens} symbols of SMILES, got "
                f"{len(symbols)}: {''.join(symbols[:20])}... Give a smaller one."
            )
        return self.vocabulary.ids(symbols)
