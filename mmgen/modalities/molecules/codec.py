"""Molecules as strings of symbols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmgen.core.errors import LoadError
from mmgen.core.fitted import take_asset
from mmgen.core.spec import Spec
from mmgen.modalities.molecules.merging import learn_merges, merge
from mmgen.modalities.molecules.notation import SMILES, Notation
from mmgen.modalities.molecules.structure import canonical
from mmgen.modalities.molecules.vocabulary import Vocabulary
from mmgen.modalities.text.ids import TokenRows, pad, unpad

__all__ = ["MoleculeTokens"]

_SYMBOLS = "symbols.txt"


class MoleculeTokens(TokenRows):
    """One token for each symbol of a molecule's canonical SMILES, or of that as SELFIES.

    A molecule has other strings, too, so log p of its canonical one is at most log p of the
    molecule. What a model draws need not be a molecule: `raw` gives the string as it was drawn, and
    `present` the canonical SMILES where there is one and the raw string where there is none.

    Args:
        notation: How molecules are written: SMILES or SELFIES.
        capacity: Most symbols that `fit` may find, those of the notation's basis among them; the
            specification's vocabulary, however many there are.
        max_length: Longest molecule, in symbols. A longer one is an error, never cut.
        merges: Most symbols that `fit` may add by merging frequent neighbours, within the capacity.
            Rows are then shorter, and a molecule costs fewer steps.

    Raises:
        ValueError: If the capacity cannot hold the basis, max_length is below 1, or merges below 0.
    """

    def __init__(
        self,
        notation: Notation = SMILES,
        *,
        capacity: int = 64,
        max_length: int = 128,
        merges: int = 0,
    ) -> None:
        super().__init__()
        if capacity < len(notation.basis) or max_length < 1:
            raise ValueError(
                f"Expected a capacity of at least {len(notation.basis)}, the basis of "
                f"{notation.name}, and a max_length of at least 1; got {capacity} and {max_length}."
            )
        if merges < 0:
            raise ValueError(f"merges is at least 0, got {merges}.")
        self.notation, self.capacity, self.max_length = notation, capacity, max_length
        self.merges = merges
        self.vocabulary: Vocabulary | None = None

    @classmethod
    def debug(cls) -> MoleculeTokens:
        """A tiny one, fitted to a few molecules."""
        codec = cls(capacity=40, max_length=48)
        codec.fit(["CCO", "c1cc[nH]c1", "C[C@H](N)C(=O)O"])
        return codec

    @property
    def spec(self) -> Spec:
        return Spec(
            "molecules", "tokens", ("L",), vocabulary=self.capacity, max_length=self.max_length
        )

    @property
    def fitted(self) -> bool:
        """Whether it has its symbols."""
        return self.vocabulary is not None

    def fit(self, values: Sequence[Any]) -> None:
        """Take the symbols of examples of X.

        Raises:
            TypeError, ValueError: If one is no molecule, or there are more symbols than `capacity`.
        """
        rows = [self._symbols(value) for value in values]
        single = Vocabulary.learn(rows, basis=self.notation.basis, capacity=self.capacity)
        room = min(self.merges, self.capacity - len(single.symbols))
        merged = learn_merges(rows, room) if room else []
        self.vocabulary = Vocabulary([*single.symbols, *merged])

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        vocabulary = self._require_vocabulary()
        return pad([vocabulary.ids(self._checked(value)) for value in values])

    def raw(self, tensors: Mapping[str, Tensor]) -> list[str]:
        """The strings of prepared tensors in the codec's notation, molecules or not."""
        vocabulary = self._require_vocabulary()
        return [vocabulary.text(row) for row in unpad(tensors)]

    def present(self, tensors: Mapping[str, Tensor]) -> list[str]:
        """Canonical SMILES where the string is a molecule, the raw string where it is none."""
        return [self._shown(raw) for raw in self.raw(tensors)]

    def accepts(self, ids: list[int]) -> bool:
        """Whether ids of symbols are a molecule."""
        try:
            canonical(self.notation.read(self._require_vocabulary().text(ids)))
        except ValueError:
            return False
        return True

    def begins(self, ids: list[int]) -> bool:
        """Whether the symbols of a molecule may begin with those of these ids."""
        return self.notation.begins(self._require_vocabulary().text(ids))

    def closing(self, ids: list[int]) -> list[int]:
        """Which ids close a branch or a ring that the symbols of these open."""
        vocabulary = self._require_vocabulary()
        return self.notation.closing(vocabulary.text(ids), vocabulary.symbols)

    def assets(self) -> dict[str, bytes]:
        return {} if self.vocabulary is None else {_SYMBOLS: self.vocabulary.to_bytes()}

    def load_assets(self, assets: Mapping[str, bytes]) -> None:
        data = take_asset(assets, _SYMBOLS, by="MoleculeTokens")
        self.vocabulary = Vocabulary.from_bytes(data, capacity=self.capacity)

    def _symbols(self, value: Any) -> list[str]:
        return self.notation.split(self.notation.write(canonical(value)))

    def _checked(self, value: Any) -> list[str]:
        symbols = self._symbols(value)
        if self.merges:
            symbols = merge(symbols, self._require_vocabulary().ranks)
        if len(symbols) > self.max_length:
            raise ValueError(
                f"Expected a molecule of at most {self.max_length} symbols of {self.notation.name}"
                f", got {len(symbols)}: {''.join(symbols[:20])}... Give a smaller one, or build "
                "the codec with a larger max_length."
            )
        return symbols

    def _shown(self, raw: str) -> str:
        try:
            return canonical(self.notation.read(raw))
        except ValueError:
            return raw

    def _require_vocabulary(self) -> Vocabulary:
        if self.vocabulary is None:
            raise LoadError(
                "MoleculeTokens has no symbols yet. Call fit(molecules) on examples, or load saved "
                "ones."
            )
        return self.vocabulary
