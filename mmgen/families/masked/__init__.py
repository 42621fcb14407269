"""Masked diffusion of tokens: hidden places are filled in any order, so any part may be known."""

from mmgen.core.alphabet import Alphabet
from mmgen.core.model import Model
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.masked.model import Masked
from mmgen.nn.tokens import TokenTransformer

__all__ = ["Masked", "model"]


def model(spec: Spec, condition: ConditionSpec, size: str) -> Model:
    """The masked model of this size for latents and a condition of these types.

    Raises:
        SpecError: If the latents are not tokens in a row.
    """
    alphabet = Alphabet.of(spec, by="Masked")
    widths = {"debug": (32, 2, 2), "small": (192, 4, 4)}
    dim, depth, num_heads = widths[size]
    network = TokenTransformer(
        alphabet.num_targets + 1,
        num_outputs=alphabet.num_targets,
        dim=dim,
        depth=depth,
        num_heads=num_heads,
        condition=condition,
        causal=False,
    )
    return Masked(network, spec=spec)
