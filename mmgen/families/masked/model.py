"""A network that fills in hidden tokens, as a model of P(Z | c)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmgen.core.alphabet import Alphabet
from mmgen.core.condition import Condition
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.options import Option, resolve_options
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.masked.bound import bound_of, hidden_id
from mmgen.families.masked.conditional import MaskedConditional
from mmgen.families.masked.filling import ORDERS, Filling
from mmgen.nn.tokens import TokenTransformer

__all__ = ["Masked", "model"]


def model(spec: Spec, condition: ConditionSpec, size: str) -> Masked:
    """The masked model of this size for latents and a condition of these types.

    Raises:
        SpecError: If the latents are not tokens in a row.
    """
    alphabet = Alphabet.of(spec, by="Masked")
    network = TokenTransformer.of_size(
        size,
        alphabet.num_targets + 1,
        num_outputs=alphabet.num_targets,
        condition=condition,
        causal=False,
    )
    return Masked(network, spec=spec)


class Masked(Model):
    """P(Z | c) as the end of a path from hidden places to tokens.

    If lengths vary, a sequence has all the places of the longest, with ends after its content; so
    the length is drawn with the rest. The loss is one draw of the bound of -log p(z | c), over the
    number of places; how many are hidden is stratified over the batch.

    Args:
        network: A transformer that sees all places. It takes the content's ids, the end if lengths
            vary, and one id for hidden places, and gives logits of all but the last.
        spec: The type of z: tokens (L,), L a number or a letter.

    Raises:
        SpecError: If z is not tokens in a row, or the network does not fit.

    Source: Simple and Effective Masked Diffusion Language Models (Sahoo et al., 2024), Eq. 10-11,
    arXiv:2406.07524
    """

    def __init__(self, network: TokenTransformer, *, spec: Spec) -> None:
        super().__init__()
        alphabet = Alphabet.of(spec, by="Masked")
        want = (alphabet.num_targets + 1, alphabet.num_targets)
        have = (network.vocabulary, network.num_outputs)
        if want != have or network.causal:
            raise SpecError(
                f"Masked expects a network from {want[0]} ids to {want[1]} logits that is not "
                f"causal; this one has {have[0]} and {have[1]}, causal={network.causal}. Build it "
                "so."
            )
        self.network = network
        self.spec = spec
        self.alphabet = alphabet
        self.condition: ConditionSpec = network.condition

    @classmethod
    def debug(cls, *, spec: Spec | None = None, condition: ConditionSpec | None = None) -> Masked:
        """A tiny one."""
        spec = spec or Spec("text", "tokens", ("L",), vocabulary=5, max_length=8)
        return model(spec, condition or ConditionSpec(), "debug")

    def options(self) -> tuple[Option, ...]:
        return (
            Option(
                "num_inference_steps",
                64,
                "Steps that reveal a sample: more is slower and closer to the model.",
                minimum=1,
                maximum=10_000,
            ),
            Option("temperature", 1.0, "Below 1 likelier tokens, 0 the likeliest.", minimum=0.0),
            Option(
                "order",
                "random",
                "What is revealed first: as the model was trained, or what it is sure of.",
                choices=ORDERS,
            ),
            Option(
                "num_bound_draws",
                64,
                "Draws of the bound for log_prob, an even number.",
                minimum=2,
                maximum=100_000,
            ),
        )

    def forward(self, c: Condition, **options: Any) -> MaskedConditional:
        settings = resolve_options(self.options(), options)
        if settings["num_bound_draws"] % 2:
            raise ValueError(
                f"num_bound_draws is an even number, got {settings['num_bound_draws']}."
            )
        weight = self.network.out.weight
        shape = (c.batch, self.alphabet.max_length)
        return MaskedConditional(
            network=self.network,
            unguided=self.network,
            c=c.to(weight.device, weight.dtype),
            alphabet=self.alphabet,
            known=torch.full(shape, hidden_id(self.alphabet), device=weight.device),
            # More steps than places would reveal nothing.
            filling=Filling(
                num_steps=min(settings["num_inference_steps"], self.alphabet.max_length),
                temperature=settings["temperature"],
                order=settings["order"],
            ),
            num_bound_draws=settings["num_bound_draws"],
        )

    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        device = self.network.out.weight.device
        ids, _ = self.alphabet.ids(latent, c.batch, device)
        batch = len(ids)
        uniform = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
        lost = bound_of(
            self.network,
            ids,
            c,
            self.alphabet,
            known=torch.zeros_like(ids, dtype=torch.bool),
            uniform=uniform.to(device),
            scores=torch.rand(ids.shape, generator=generator).to(device),
        )
        return lost / self.alphabet.max_length
