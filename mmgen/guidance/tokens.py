"""Guidance of tokens by what the model itself expects without the condition."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.options import Option
from mmgen.core.token_conditional import TokenConditional
from mmgen.guidance.contrast import Contrast, scale_option

__all__ = ["TokenGuidance"]


class TokenGuidance(Model):
    """A model of tokens whose draws exaggerate what the condition changes.

    With l_c and l_null the logits of a token with and without the condition, tokens are drawn by

        l = l_null + guidance_scale (l_c - l_null),

    and parts of the condition may have weights of their own (`mmgen.guidance.contrast`).

    **This changes samples and not densities**: `log_prob` and `best` of the returned conditional
    are those of the wrapped model, whatever the scale.

    Args:
        model: A model whose conditionals are autoregressive or masked.
        guidance_scale: Default scale. 1 is no guidance, 0 ignores the condition.

    Raises:
        TypeError: If the default is not a number.
        ValueError: If the default is out of range.

    Source: Stay on Topic with Classifier-Free Guidance (Sanchez et al., 2023), Eq. 7,
    arXiv:2306.17806.
    """

    uses_null = True

    def __init__(self, model: Model, *, guidance_scale: float = 1.0) -> None:
        super().__init__()
        self.model = model
        self.spec = model.spec
        self.condition = model.condition
        self.guidance_scale = float(guidance_scale)
        scale_option(self.guidance_scale).check(self.guidance_scale)

    def options(self) -> tuple[Option, ...]:
        return (*self.model.options(), scale_option(self.guidance_scale))

    def forward(self, c: Condition, **options: Any) -> TokenConditional:
        """P(Z | c), drawn with guidance.

        Raises:
            SpecError: If guidance is asked for and c has no null, or if the wrapped model is
                neither.
        """
        scale = options.pop("guidance_scale", self.guidance_scale)
        base = self.model(c, **options)
        if not isinstance(base, TokenConditional):
            raise SpecError(
                "TokenGuidance wraps autoregressive and masked models; "
                f"{type(self.model).__name__} gives {type(base).__name__}. Leave the guidance out."
            )
        if not Contrast.needed(c, scale):
            return base
        return dataclasses.replace(base, network=_Guided(base.network, scale))

    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        return self.model.loss(latent, c, generator=generator)


class _Guided:
    """A network that reads every sequence once with each condition that is compared."""

    def __init__(self, network: Any, scale: float) -> None:
        self.network, self.contrast = network, Contrast(scale)

    def __call__(self, ids_RL: Tensor, c: Condition) -> Tensor:
        ids = self.contrast.rows(ids_RL, c)
        return self._combined(self.network(ids, self.contrast.conditions(c)), c)

    def cache(self) -> _Caches:
        return _Caches(self.network.cache())

    def extend(self, ids_RL: Tensor, c: Condition, cache: _Caches) -> Tensor:
        cache.rows, cache.count = c.batch, Contrast.count(c)
        ids = self.contrast.rows(ids_RL, c)
        return self._combined(self.network.extend(ids, self.contrast.conditions(c), cache.cache), c)

    def _combined(self, logits: Tensor, c: Condition) -> Tensor:
        return self.contrast.combine(logits.float(), c)[0]


class _Caches:
    """The cache of R sequences with their conditions, then of the same R with each other one."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache
        self.rows = self.count = 0

    @property
    def length(self) -> int:
        return self.cache.length

    def select(self, index: Tensor) -> None:
        # Rows may end before anything was read.
        if self.count:
            self.cache.select(torch.cat([index + i * self.rows for i in range(self.count)]))
