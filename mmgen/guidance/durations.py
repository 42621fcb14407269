"""How long each token of a condition lasts, drawn before the sample itself: speech from phones.

    P(Z | c) = P(d | c) P(Z | frames(c, d)),   log d_l ~ N(m_l, s_l^2), rounded, at least 1,

where token l of the condition lasts d_l steps of the latent, one token after another, and frames
are the tokens' features on all their steps. In training durations are not told: each step belongs
to a token by the monotonic alignment that is likeliest under N(mean of the token, 1), and the
means learn from the steps that they are given. Those means are of each token as it comes, before
tokens have looked at each other: what knows its neighbours can speak for them, and alignments then
settle on anything. Frames hold means that know.

Sources: Glow-TTS (Kim et al., 2020), Sec. 3.1 and 3.2, arXiv:2005.11129; flow matching between
such means: Matcha-TTS (Mehta et al., 2023), Sec. 2, arXiv:2309.03199.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.conditional import Conditional, Progress
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent, within
from mmgen.core.model import Model
from mmgen.core.options import Option
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec
from mmgen.nn.alignment import monotonic_durations, spread
from mmgen.nn.transformer import Transformer, grid_positions

__all__ = ["DurationModel"]

# Nats by which a step is worse if it lies the whole sequence away from the diagonal. Without it
# the first alignments, when all means are alike, would be arbitrary. In 96 sentences of flite,
# after nine rounds of alignments and means, 95 % of the boundaries of phones were within 40 ms of
# flite's own with 50, 88 % with 200 and 77 % with 1,000.
DIAGONAL = 20.0
_SHORTEST, _LONGEST = -3.0, 1.0
"""Bounds of the logarithm of the deviation of log-durations."""


class DurationModel(Model):
    """P(Z | c) for latents (T, F) that the tokens of c run along.

    Args:
        model: P(Z | frames), for conditions of frames `DurationModel.frame_dim` wide, and of a
            vector if c has one.
        token_dim: Width of the tokens of c.
        depth: Blocks that tokens go through, as the vector modulates them.
        num_heads: Their attention heads.
        rhythm: How much durations vary unless a sample says so itself, as the option of that name.

    Raises:
        SpecError: If the model is for other latents or other frames.
    """

    boundary = ("plain", "mean", "duration.2")

    def __init__(
        self,
        model: Model,
        *,
        token_dim: int,
        depth: int = 2,
        num_heads: int = 4,
        rhythm: float = 0.5,
    ) -> None:
        super().__init__()
        if not model.spec.varies or model.spec.event_dims != 2:
            raise SpecError(
                f"DurationModel is for latents (T, F) whose length varies; these are "
                f"{model.spec.shape}. Leave it out."
            )
        features, vector_dim = int(model.spec.shape[1]), model.condition.vector_dim
        width = self.frame_dim(token_dim, features)
        if model.condition != ConditionSpec(vector_dim=vector_dim, frame_dim=width):
            raise SpecError(
                f"DurationModel makes conditions of frames {width} wide and no tokens; its model "
                f"expects {model.condition}. Build that with frame_dim={width}."
            )
        self.model, self.spec, self.rhythm = model, model.spec, rhythm
        self.condition = ConditionSpec(token_dim=token_dim, vector_dim=vector_dim)
        self.uses_null = model.uses_null
        self.vector = nn.Linear(vector_dim, token_dim) if vector_dim else None
        self.transformer = Transformer(
            token_dim, depth=depth, num_heads=num_heads, modulated=vector_dim is not None
        )
        self.norm = nn.LayerNorm(token_dim, eps=1e-6, bias=False)
        self.plain = nn.Linear(token_dim, features)
        self.offset = nn.Linear(vector_dim, features, bias=False) if vector_dim else None
        self.mean = nn.Linear(token_dim, features)
        self.duration = nn.Sequential(
            nn.Linear(token_dim, token_dim), nn.SiLU(), nn.Linear(token_dim, 2)
        )
        for last in (self.plain, self.mean, self.duration[-1]):
            nn.init.normal_(last.weight, std=1e-3)
            nn.init.zeros_(last.bias)

    @staticmethod
    def frame_dim(token_dim: int, features: int) -> int:
        """Width of the frames: a token's features, its mean, and the place within it."""
        return token_dim + features + 2

    def options(self) -> tuple[Option, ...]:
        return (
            *self.model.options(),
            Option("speed", 1.0, "How fast, 2 for half as long.", minimum=0.25, maximum=4.0),
            Option(
                "rhythm",
                self.rhythm,
                "How much durations vary: 1 as the model has learnt, 0 not at all.",
                minimum=0.0,
                maximum=2.0,
            ),
        )

    def forward(self, c: Condition, **options: Any) -> Conditional:
        speed, rhythm = options.pop("speed", 1.0), options.pop("rhythm", self.rhythm)
        tokens = self._tokens(c)

        def given(c: Condition) -> Conditional:
            return self.model(c, **options)

        return _DurationConditional(
            given=given,
            framed=self._framed,
            c=c,
            tokens=tokens,
            speed=speed,
            rhythm=rhythm,
            most=self.spec.max_length,
        )

    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        lengths, tokens = _lengths(latent), self._tokens(c)
        z = latent.z[:, : int(lengths.max())]
        durations = self._aligned(z, lengths, tokens)
        there_BL = (durations > 0).float()
        apart = (durations.clamp(min=1).log() - tokens.log_mean) / tokens.log_std.exp()
        timing = ((apart.square() / 2 + tokens.log_std) * there_BL).sum(1) / there_BL.sum(1)
        framed = self._framed(c, tokens, durations, lengths)
        shape = 0.0
        for mean in (
            framed.frames[..., -2 - z.shape[2] : -2],
            spread(tokens.plain, durations, z.shape[1])[0],
        ):
            error = (z - mean.float()).square() * within(lengths, z)
            shape = shape + error.flatten(1).sum(1) / 2 / (lengths * z.shape[2])
        own = self.model.loss(Latent(z, lengths), framed, generator=generator)
        return own + shape + timing

    def durations(self, latent: Latent, c: Condition) -> Tensor:
        """Steps of each token (B, L) under the likeliest alignment with a latent.

        Args:
            latent: z (B, T, F).
            c: Condition of the same batch.
        """
        with torch.no_grad():
            return self._aligned(latent.z, _lengths(latent), self._tokens(c))

    def _tokens(self, c: Condition) -> _Tokens:
        mask = c.mask
        if mask is None:
            mask = torch.ones(c.tokens.shape[:2], dtype=torch.bool, device=c.tokens.device)
        positions = grid_positions(c.tokens.shape[1], device=c.tokens.device)
        modulation = None if self.vector is None else self.vector(c.vector)
        h = self.norm(self.transformer(c.tokens, positions, mask_BL=mask, modulation_BD=modulation))
        log_mean, log_std = self.duration(h).float().unbind(-1)
        plain = self.plain(c.tokens)
        if self.offset is not None:
            plain = plain + self.offset(c.vector)[:, None]
        # Some steps each, to begin with.
        log_std = log_std.clamp(_SHORTEST, _LONGEST)
        return _Tokens(h, self.mean(h), plain, log_mean + 1.5, log_std, mask)

    @torch.no_grad()
    def _aligned(self, z: Tensor, lengths: Tensor, tokens: _Tokens) -> Tensor:
        z, mean = z.float(), tokens.plain.float()
        score = mean @ z.transpose(1, 2) - mean.square().sum(-1, keepdim=True) / 2
        # Of a text that is longer than its sound, the rest is not said.
        count = tokens.mask.sum(1).minimum(lengths)
        through = (torch.arange(z.shape[1], device=z.device) + 0.5) / lengths[:, None]
        along = (torch.arange(mean.shape[1], device=z.device) + 0.5) / count[:, None]
        score = score - DIAGONAL * (along[:, :, None] - through[:, None]).square()
        return monotonic_durations(score, count, lengths)

    def _framed(
        self, c: Condition, tokens: _Tokens, durations: Tensor, lengths: Tensor
    ) -> Condition:
        """The condition of the wrapped model. What guidance leads away from has even durations."""
        both = torch.cat((tokens.features, tokens.mean), dim=-1)
        found, place = spread(both, durations, int(lengths.max()))
        null = c.null
        if null is not None:
            other = self._tokens(null)
            null = self._framed(null, other, _even(other.mask, lengths), lengths)
        return Condition(
            c.batch,
            vector=c.vector,
            null=null,
            lengths=lengths,
            frames=torch.cat((found, place), dim=-1),
        )


@dataclass(frozen=True)
class _Tokens:
    """Of each token: features (B, L, D), means (B, L, F), log-duration and mask (B, L)."""

    features: Tensor
    mean: Tensor
    plain: Tensor
    log_mean: Tensor
    log_std: Tensor
    mask: Tensor

    def select(self, index: Tensor) -> _Tokens:
        parts = (self.features, self.mean, self.plain, self.log_mean, self.log_std, self.mask)
        return _Tokens(*(x.index_select(0, index.to(x.device)) for x in parts))


@dataclass(frozen=True)
class _DurationConditional(Conditional):
    """Draws durations, then a latent that long, from the same generator."""

    given: Callable[[Condition], Conditional]
    framed: Callable[[Condition, _Tokens, Tensor, Tensor], Condition]
    c: Condition
    tokens: _Tokens
    speed: float
    rhythm: float
    most: int

    @property
    def batch(self) -> int:
        return self.c.batch

    @torch.no_grad()
    def sample(
        self,
        num_samples: int = 1,
        generators: Generators | None = None,
        *,
        progress: Progress | None = None,
    ) -> Latent:
        generators = generators or Generators.from_seed(
            None, num_samples=num_samples, batch=self.batch
        )
        own = generators.flat()
        index = torch.arange(num_samples * self.batch) % self.batch
        tokens = self.tokens.select(index)
        # As many numbers whatever the batch is padded to.
        noise = own.randn(self.most, device=tokens.mask.device)[0]
        noise = F.pad(noise, (0, tokens.mask.shape[1]))[:, : tokens.mask.shape[1]]
        drawn = tokens.log_mean + self.rhythm * tokens.log_std.exp() * noise
        durations = _whole(drawn.exp() / self.speed, tokens.mask, self.most)
        lengths = durations.sum(1)
        c = self.framed(self.c.select(index), tokens, durations, lengths)
        found = self.given(c).sample(1, own, progress=progress)
        z = found.z[0].unflatten(0, (num_samples, self.batch))
        return Latent(z, lengths.reshape(num_samples, self.batch))


def _lengths(latent: Latent) -> Tensor:
    if latent.lengths is not None:
        return latent.lengths.to(latent.z.device)
    return torch.full((len(latent.z),), latent.z.shape[1], device=latent.z.device)


def _whole(durations_BL: Tensor, mask_BL: Tensor, most: int) -> Tensor:
    """Whole durations, at least 1 where a token is. What would not fit is said faster.

    Raises:
        ValueError: If there are more tokens than steps.
    """
    if (count := int(mask_BL.sum(1).max())) > most:
        raise ValueError(
            f"{count} tokens do not fit into {most} steps, one each. Give it in several parts."
        )
    durations_BL = durations_BL * mask_BL
    # Of what is beyond one step each, as much as there is room for.
    room = (most - mask_BL.sum(1)).clamp(min=0)
    beyond = (durations_BL.round() - 1).clamp(min=0) * mask_BL
    share = (room / beyond.sum(1).clamp(min=1)).clamp(max=1)[:, None]
    return ((beyond * share).floor().long() + 1) * mask_BL


def _even(mask_BL: Tensor, lengths_B: Tensor) -> Tensor:
    """Durations (B, L) as equal as can be that sum to the lengths, tokens beyond them left out."""
    count = mask_BL.sum(1, keepdim=True)
    edges = torch.arange(mask_BL.shape[1] + 1, device=mask_BL.device).clamp(max=count)
    return (edges * lengths_B[:, None] // count).diff(dim=1)
