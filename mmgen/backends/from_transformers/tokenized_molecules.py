"""Molecules as the texts of a pretrained tokenizer."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mmgen.backends.from_transformers.tokenized_text import TokenizedText
from mmgen.core.codec import Codec
from mmgen.core.latent import Latent
from mmgen.core.spec import Spec
from mmgen.modalities.molecules import SELFIES, SMILES, canonical

__all__ = ["TokenizedMolecules"]

_NOTATIONS = {"smiles": SMILES, "selfies": SELFIES}


class TokenizedMolecules(Codec):
    """The tokens of a molecule's canonical SMILES, or of that as SELFIES.

    What a model draws need not be a molecule: `raw` gives the string as it was drawn, and `present`
    the canonical SMILES where there is one and the raw string where there is none, with a warning
    that says of how many that is so. Nothing is repaired; blanks that a tokenizer puts between its
    tokens are no part of a string, since neither notation has any.

    Args:
        text: The tokens of texts.
        notation: "smiles" or "selfies".
    """

    def __init__(self, text: TokenizedText, notation: str) -> None:
        super().__init__()
        self.text, self.notation = text, _NOTATIONS[notation]

    @classmethod
    def debug(cls) -> TokenizedMolecules:
        """A tiny one, that knows no molecule."""
        return cls(TokenizedText.debug(), "smiles")

    @property
    def spec(self) -> Spec:
        return replace(self.text.spec, modality="molecules")

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        return self.text.prepare([self.notation.write(canonical(value)) for value in values])

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        return self.text.encode(tensors, generator=generator)

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        return self.text.decode(latent)

    def raw(self, tensors: Mapping[str, Tensor]) -> list[str]:
        """The strings of prepared tensors in the codec's notation, molecules or not."""
        return ["".join(text.split()) for text in self.text.present(tensors)]

    def present(self, tensors: Mapping[str, Tensor]) -> list[str]:
        """Canonical SMILES where the string is a molecule, the raw string where it is none."""
        raws = self.raw(tensors)
        found = [self._molecule(raw) for raw in raws]
        missing = found.count(None)
        if missing:
            warnings.warn(
                f"{missing} of {len(raws)} strings that were drawn are no molecules. They are "
                "given as they were drawn; mmgen.modalities.molecules.is_valid tells which.",
                stacklevel=2,
            )
        return [raw if own is None else own for raw, own in zip(raws, found, strict=True)]

    def assets(self) -> dict[str, bytes]:
        return self.text.assets()

    def load_assets(self, assets: Mapping[str, bytes]) -> None:
        self.text.load_assets(assets)

    def _molecule(self, raw: str) -> str | None:
        try:
            return canonical(self.notation.read(raw))
        except ValueError:
            return None
