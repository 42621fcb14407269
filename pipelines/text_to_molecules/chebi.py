"""Molecules of biology, from what a dictionary of chemistry says of them.

Data: the set `molecules` below the folder that MMGEN_DATA names, with chebi20_validation.tsv.gz.
"""

from __future__ import annotations

import gzip
from functools import cache

from mmgen.core.card import Card
from mmgen.families.autoregressive import Autoregressive
from mmgen.families.autoregressive.constraint import Constraint
from mmgen.families.autoregressive.warping import Warping
from mmgen.guidance.tokens import TokenGuidance
from mmgen.modalities.molecules import MoleculeTokens, canonical
from mmgen.modalities.molecules.smiles import split_smiles
from mmgen.modalities.text import TextEncoder
from mmgen.nn.tokens import TokenTransformer
from mmgen.pipeline import Pipeline
from mmgen.training.data import data_file
from mmgen.training.pairs import ListedPairs, Pairs

__all__ = ["CARD", "DEBUG", "DOORS", "PREVIEW", "TRAINING", "build", "debug", "described", "pairs"]

CARD = Card(
    x="molecules",
    y="text",
    family="autoregressive",
    summary="Molecules from their descriptions in the words of ChEBI.",
    data=(
        "The shorter 2,614 of the 3,301 descriptions of ChEBI-20's validation split "
        "(github.com/blender-nlp/MolT5 at 754f9bf; descriptions of ChEBI, CC BY 4.0); one in 10 of "
        "them is held out."
    ),
    licence="CC BY 4.0 for the weights, as the descriptions; code Apache-2.0.",
    parameters=1_132_385,
    trained=(
        "By this recipe on a CPU: 1,200 steps of 32 descriptions, which sees each 16 times; 12 "
        "minutes of a core."
    ),
    scores={
        "described: strings that are molecules": "98.5 % (96.1 to 99.4, n = 262)",
        "described: the molecule described": "0.4 % (0.1 to 2.1, n = 262)",
        "described: similarity of Morgan fingerprints": "0.2635",
        "described: similarity of MACCS keys": "0.5248",
        "described: BLEU of characters": "0.5264",
    },
    limits=(
        "Has a tenth of the descriptions that published models learn from, so it learns what kinds "
        "of molecules there are and what their words mean, hardly which molecule is meant."
    ),
)

# The same weights under the name of one molecule.
DOORS = {"text-to-molecule": {}}

TRAINING = {
    "steps": 1200,
    "batch_size": 32,
    "optimizer": "muon",
    "learning_rate": 2e-3,
    "warmup": 100,
    "dropout": 0.1,
    "by_length": 50,
    "sample_every": 600,
}

DEBUG = {"dim": 32, "depth": 1, "num_heads": 2, "encoder_depth": 1, "vocabulary": 320}

PREVIEW = [
    "The molecule is a monosaccharide derivative. It has a role as a metabolite.",
    "The molecule is a fatty acid methyl ester.",
    "The molecule is a member of the class of benzoic acids. It is a conjugate acid of a benzoate.",
]

_HELD_OUT = 10
# What is longer would take most of the time of a step, and is one row in four.
_LONGEST_TEXT, _LONGEST_SMILES = 500, 128


@cache
def described(split: str = "train") -> list[tuple[str, str]]:
    """Descriptions and canonical SMILES as the file has them; of every 10, "test" has the first.

    Raises:
        ValueError: If there is no such split.
    """
    if split not in ("train", "test"):
        raise ValueError(f"Expected the split 'train' or 'test', got {split!r}.")
    with gzip.open(
        data_file("molecules/chebi20_validation.tsv.gz"), "rt", encoding="utf-8"
    ) as file:
        rows = [line.rstrip("\n").split("\t") for line in file][1:]
    # The file writes each backslash twice.
    found = [(text, smiles.replace("\\\\", "\\")) for _, smiles, text in rows]
    short = [
        (text, canonical(smiles))
        for text, smiles in found
        if len(text) <= _LONGEST_TEXT and len(smiles) <= _LONGEST_SMILES
    ]
    held = split == "test"
    return [pair for i, pair in enumerate(short) if (i % _HELD_OUT == 0) == held]


def pairs(split: str = "train") -> Pairs:
    """Pairs (description, molecule): "train", or "test" without symbols that those have not."""
    known = {symbol for _, smiles in described("train") for symbol in split_smiles(smiles)}
    return ListedPairs(pair for pair in described(split) if known.issuperset(split_smiles(pair[1])))


def build(
    *,
    dim: int = 112,
    depth: int = 3,
    num_heads: int = 4,
    encoder_depth: int = 2,
    vocabulary: int = 1024,
    capacity: int = 512,
) -> Pipeline:
    """The pipeline with fresh weights.

    Args:
        dim: Width.
        depth: Blocks of the network.
        num_heads: Heads of attention.
        encoder_depth: Blocks that read a description.
        vocabulary: Subwords of descriptions.
        capacity: Tokens: symbols of SMILES, and merged ones.
    """
    encoder = TextEncoder(
        vocabulary=vocabulary,
        dim=dim,
        depth=encoder_depth,
        num_heads=num_heads,
        max_tokens=256,
        words=False,
    )
    codec = MoleculeTokens(capacity=capacity, max_length=128, merges=capacity)
    network = TokenTransformer(
        capacity + 1, dim=dim, depth=depth, num_heads=num_heads, condition=encoder.spec, causal=True
    )
    model = Autoregressive(
        network,
        spec=codec.spec,
        # The likeliest string is more often no molecule, and could not be drawn again.
        warping=Warping(temperature=0.5, min_p=0.1),
        accepts=codec.accepts,
        constraint=Constraint(codec.begins, codec.accepts, codec.closing),
    )
    return Pipeline(encoder=encoder, model=TokenGuidance(model), codec=codec)


def debug() -> Pipeline:
    """A tiny one with random weights."""
    pipe = build(**DEBUG)
    pipe.encoder.fit(PREVIEW)
    pipe.codec.fit(["CCO", "c1cc[nH]c1", "C[C@H](N)C(=O)O", "CCCCCC(=O)OC"])
    return pipe
