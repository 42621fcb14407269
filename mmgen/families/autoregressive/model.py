"""A causal network as a model of P(Z | c) on sequences of tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mmgen.core.alphabet import Alphabet
from mmgen.core.condition import Condition
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.options import Option, resolve_options
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.autoregressive.conditional import AutoregressiveConditional, surprise
from mmgen.families.autoregressive.constraint import Accepts, Constraint
from mmgen.families.autoregressive.decoding import Prefix
from mmgen.families.autoregressive.excluded import Excluded
from mmgen.families.autoregressive.warping import Warping
from mmgen.nn.tokens import TokenTransformer

__all__ = ["Autoregressive", "model"]


def model(spec: Spec, condition: ConditionSpec, size: str) -> Autoregressive:
    """The autoregressive model of this size for latents and a condition of these types.

    Raises:
        SpecError: If the latents are not tokens in a row.
    """
    alphabet = Alphabet.of(spec, by="Autoregressive")
    network = TokenTransformer.of_size(
        size,
        alphabet.vocabulary + 1,
        num_outputs=alphabet.num_targets,
        condition=condition,
        causal=True,
    )
    return Autoregressive(network, spec=spec)


_CHECKED = Option("checked", True, "Draw again what is not a valid value.")
_CONSTRAINED = Option("constrained", True, "Draw only tokens that valid values go on with.")


def _warping_options(default: Warping) -> tuple[Option, ...]:
    return (
        Option(
            "temperature",
            default.temperature,
            "Below 1 likelier tokens, 0 the likeliest.",
            minimum=0.0,
        ),
        Option(
            "top_k",
            default.top_k,
            "Draw from the so many likeliest tokens; 0 for all.",
            minimum=0,
        ),
        Option(
            "top_p",
            default.top_p,
            "Draw from the likeliest tokens that reach this probability.",
            minimum=0.0,
            maximum=1.0,
        ),
        Option(
            "min_p",
            default.min_p,
            "Draw from tokens with this share of the likeliest one's probability.",
            minimum=0.0,
            maximum=1.0,
        ),
        Option(
            "repetition_penalty",
            default.repetition_penalty,
            "Above 1 fewer tokens that came before, below 1 more.",
            minimum=0.01,
            maximum=100.0,
        ),
    )


class Autoregressive(Model):
    """P(Z | c) as a product over tokens, each given those before it.

        log p(z | c) = sum_n log p(z_n | z_1 ... z_n-1, c)

    If lengths vary an end token, the family's own, follows the content; at the greatest length the
    end is certain. The loss is -log p(z | c) over the greatest number of tokens: the same factor
    for every example, since a mean over the tokens of each would favour short sequences.

    Args:
        network: A causal network (`mmgen.nn.tokens`, `mmgen.nn.grouped`) that takes the content's
            ids and one more, with which every sequence begins, and gives logits of the content and,
            if lengths vary, the end.
        spec: The type of z: tokens (L,), L a number or a letter.
        warping: How samples are drawn if not asked otherwise; as the model is, if None.
        max_new_tokens: Where samples are cut if not asked otherwise; None for nowhere.
        excluded: Tokens that are never drawn, though the network gives them some probability.
        accepts: Whether a sample will do; what will not is drawn again, if the option `checked`, on
            by default, is not switched off.
        constraint: Which samples there may be. Tokens that lead nowhere are then not drawn, if the
            option `constrained`, on by default, is not switched off.

    Raises:
        SpecError: If z is not tokens in a row, or the network does not fit.

    Source: A Neural Probabilistic Language Model (Bengio et al., 2003), Sec. 2,
    jmlr.org/papers/v3/bengio03a.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        spec: Spec,
        warping: Warping | None = None,
        max_new_tokens: int | None = None,
        excluded: Excluded | None = None,
        accepts: Accepts | None = None,
        constraint: Constraint | None = None,
    ) -> None:
        super().__init__()
        alphabet = Alphabet.of(spec, by="Autoregressive")
        want = (alphabet.vocabulary + 1, alphabet.num_targets)
        have = (network.vocabulary, network.num_outputs)
        if want != have or not network.causal:
            raise SpecError(
                f"Autoregressive expects a causal network from {want[0]} ids to {want[1]} logits; "
                f"this one has {have[0]} and {have[1]}, causal={network.causal}. Build it so."
            )
        self.network = network
        self.spec = spec
        self.warping = warping or Warping()
        self.max_new_tokens, self.excluded = max_new_tokens, excluded or Excluded()
        self.accepts, self.constraint = accepts, constraint
        for option in _warping_options(self.warping):
            option.check(option.default)
        self.alphabet = alphabet
        self.condition: ConditionSpec = network.condition

    @classmethod
    def debug(
        cls, *, spec: Spec | None = None, condition: ConditionSpec | None = None
    ) -> Autoregressive:
        """A tiny one."""
        spec = spec or Spec("text", "tokens", ("L",), vocabulary=5, max_length=8)
        return model(spec, condition or ConditionSpec(), "debug")

    def options(self) -> tuple[Option, ...]:
        options = _warping_options(self.warping)
        if self.accepts is not None:
            options = (*options, _CHECKED)
        if self.constraint is not None:
            options = (*options, _CONSTRAINED)
        if not self.spec.varies:
            return options
        most = Option(
            "max_new_tokens",
            self.max_new_tokens,
            "Cut samples after so many tokens.",
            minimum=1,
            maximum=self.alphabet.max_length,
            optional=True,
            kind=int,
        )
        return (*options, most)

    def forward(self, c: Condition, **options: Any) -> AutoregressiveConditional:
        settings = resolve_options(self.options(), options)
        weight = next(self.network.parameters())
        c = c.to(weight.device, weight.dtype)
        return AutoregressiveConditional(
            network=self.network,
            unguided=self.network,
            c=c,
            alphabet=self.alphabet,
            warping=Warping(**{name: settings[name] for name in Warping.__dataclass_fields__}),
            max_new_tokens=settings.get("max_new_tokens"),
            prefix=Prefix.none(c.batch, self.alphabet, weight.device),
            room=self.network.room(c),
            excluded=self.excluded,
            accepts=self.accepts if settings.get(_CHECKED.name) else None,
            constraint=self.constraint if settings.get(_CONSTRAINED.name) else None,
        )

    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        device = next(self.network.parameters()).device
        ids, lengths = self.alphabet.ids(latent, c.batch, device)
        lost = surprise(self.network, ids, lengths, c, self.alphabet)
        return lost.sum(1) / self.alphabet.max_length
