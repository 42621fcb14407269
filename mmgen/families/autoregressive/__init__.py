"""Autoregressive models: one token after another, from left to right, with exact likelihoods."""

from mmgen.core.alphabet import Alphabet
from mmgen.core.model import Model
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.autoregressive.model import Autoregressive
from mmgen.nn.tokens import TokenTransformer

__all__ = ["Autoregressive", "model"]


def model(spec: Spec, condition: ConditionSpec, size: str) -> Model:
    """The autoregressive model of this size for latents and a condition of these types.

    Raises:
        SpecError: If the latents are not tokens in a row.
    """
    alphabet = Alphabet.of(spec, by="Autoregressive")
    widths = {"debug": (32, 2, 2), "small": (192, 4, 4)}
    dim, depth, num_heads = widths[size]
    network = TokenTransformer(
        alphabet.vocabulary + 1,
        num_outputs=alphabet.num_targets,
        dim=dim,
        depth=depth,
        num_heads=num_heads,
        condition=condition,
        causal=True,
    )
    return Autoregressive(network, spec=spec)
