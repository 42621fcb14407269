"""P(X | y) between values that people hold: samples, densities, summaries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmgen.core.codec import Codec, Lossless
from mmgen.core.conditional import (
    Conditional,
    LogProb,
    Progress,
    Searchable,
    Streaming,
    Tractable,
)
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.preview import Guess, Preview
from mmgen.core.rng import Generators, expand_seeds

__all__ = [
    "MAX_SAMPLES",
    "Distribution",
    "Known",
    "Scored",
    "Seen",
    "Summary",
    "check_num_samples",
]

MAX_SAMPLES = 10_000
"""Most samples of one call, all conditions together."""

Seen = Callable[[int, int, Callable[[], list[Any]] | None], None]
"""Called with (steps done, steps in all, guess), see `Distribution.sample`."""


def check_num_samples(num_samples: int, batch: int) -> None:
    """Refuse what cannot be drawn at once.

    Args:
        num_samples: Of each condition.
        batch: Number of conditions, or of candidates of all of them for one sample.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it is below 1, or there are more than MAX_SAMPLES in all.
    """
    if isinstance(num_samples, bool) or not isinstance(num_samples, int):
        raise TypeError(f"num_samples is an integer, got {num_samples!r}.")
    if not 1 <= num_samples * batch <= MAX_SAMPLES:
        raise ValueError(
            f"num_samples is at least 1 and at most {MAX_SAMPLES} over all conditions, got "
            f"{num_samples} for {batch}. Draw more in several calls with other seeds."
        )


@dataclass(frozen=True)
class Known:
    """The part of each value that is known.

    Args:
        tensors: Prepared tensors of B values, of which the entries in the mask count.
        latent: The same as latents z (B, *event).
        mask: Which entries of the latents are known, boolean (B, *event).
    """

    tensors: Mapping[str, Tensor]
    latent: Latent
    mask: Tensor

    def repeat(self, count: int) -> Known:
        """The same, `count` times over."""
        tensors = {k: v.repeat(count, *(1,) * (v.ndim - 1)) for k, v in self.tensors.items()}
        z, lengths = self.latent.z, self.latent.lengths
        latent = Latent(
            z.repeat(count, *(1,) * (z.ndim - 1)),
            None if lengths is None else lengths.repeat(count),
        )
        return Known(tensors, latent, self.mask.repeat(count, *(1,) * (self.mask.ndim - 1)))


@dataclass(frozen=True)
class Summary:
    """What samples of P(X | y) have in common, entry by entry, in the units of the values.

    Shapes are those of a value as its codec sees it, floats before rounding: an image is (3, H, W)
    in [-1, 1]. For a list of conditions there is a batch axis in front.

    Args:
        mean: Posterior mean.
        std: Standard deviation.
        low: Lower end of the band that holds each entry with probability `level`.
        high: Its upper end.
        level: Of the band, which is one for each entry and not for all of them together.
        num_samples: How many samples these are from.
    """

    mean: Tensor
    std: Tensor
    low: Tensor
    high: Tensor
    level: float
    num_samples: int


class Scored(NamedTuple):
    """A value of X, and log p(x | y) in nats: of its latent, if the codec loses some."""

    value: Any
    nats: float


@dataclass(frozen=True)
class Distribution:
    """P(X | y) for the conditions of one `given`.

    Args:
        conditional: The same in latents.
        codec: Latents to values.
        single: Whether there is one condition, not a list.
        known: What is known of each value, which samples then hold exactly.
    """

    conditional: Conditional
    codec: Codec
    single: bool
    known: Known | None = None

    def sample(
        self,
        num_samples: int = 1,
        *,
        seed: int | Sequence[int] | None = None,
        progress: Progress | None = None,
        preview: Seen | None = None,
    ) -> list[Any]:
        """A list of values for one condition, a list of such lists for several.

        Args:
            num_samples: N.
            seed: s for s, s + 1, ... over all samples, conditions outermost; or a list.
            progress: Called with (steps done, steps in all). What it raises ends the sampling.
            preview: Called after each step with (steps done, steps in all, guess). `guess()` gives
                what is being drawn as it would be now, a list of values: all samples, or those of
                the present batch if they are drawn in several. It is None for families that do
                not know. What it raises ends the sampling.

        Raises:
            ValueError: If num_samples is below 1 or beyond MAX_SAMPLES, or the seeds do not fit.
        """
        batch = self.conditional.batch
        if preview is not None:
            progress = Preview(self._shown_to(preview), progress)
        flat = self._values(self._draw(num_samples, seed, progress).flatten(), copies=num_samples)
        rows = [[flat[n * batch + b] for n in range(num_samples)] for b in range(batch)]
        return rows[0] if self.single else rows

    def latents(
        self,
        num_samples: int = 1,
        *,
        seed: int | Sequence[int] | None = None,
        progress: Progress | None = None,
    ) -> Latent:
        """What `sample` decodes, by the codec, into values.

        Args:
            num_samples: N.
            seed: As in `sample`.
            progress: As in `sample`.

        Returns:
            z (N, *event) for one condition, (N, B, *event) for several, on the CPU.
        """
        drawn = self._draw(num_samples, seed, progress)
        z, lengths = drawn.z.cpu(), drawn.lengths
        if not self.single:
            return Latent(z, lengths)
        return Latent(z[:, 0], None if lengths is None else lengths[:, 0])

    def stream(self, *, seed: int | Sequence[int] | None = None) -> Iterator[Any]:
        """One sample of each condition, while it grows.

        Args:
            seed: As in `sample`.

        Yields:
            What there is of the value so far, a list of such for several conditions. The last is
            the sample that `sample` gives for the same seed.

        Raises:
            SpecError: If samples of the model's family do not grow.
        """
        if not isinstance(self.conditional, Streaming):
            raise SpecError(
                f"Samples of {type(self.conditional).__name__} come at once. Use an autoregressive "
                "model, or progress=... of sample."
            )
        generators = Generators.from_seed(seed, num_samples=1, batch=self.conditional.batch)
        for latent in self.conditional.stream(generators):
            values = self._values(latent)
            yield values[0] if self.single else values

    def best(
        self, num_best: int = 1, *, num_beams: int | None = None, length_penalty: float = 0.0
    ) -> list[Any]:
        """The values that a beam search ranks first: the likeliest, if no length is favoured.

        Args:
            num_best: N.
            num_beams: Width of the beam, at least N; wider finds likelier ones, and takes longer.
                The greater of 4 and N if not given.
            length_penalty: a, where log p / (number of tokens, the end included)^a ranks. 0 for
                the likeliest, which are often too short where the model is unsure; 1 is what
                translators usually take.

        Returns:
            N of `Scored` for one condition, a list of such lists for several.

        Raises:
            SpecError: If the model's family cannot be searched.
            ValueError: If `num_best`, `num_beams` or `length_penalty` is out of range.
        """
        if not isinstance(self.conditional, Searchable):
            raise SpecError(
                f"{type(self.conditional).__name__} cannot be searched for its likeliest values. "
                "Use an autoregressive model, or rank samples by log_prob."
            )
        if not 0 <= length_penalty <= 10:
            raise ValueError(f"length_penalty lies between 0 and 10, got {length_penalty}.")
        width = max(4, num_best) if num_beams is None else num_beams
        own = {"num_beams": width, "length_penalty": length_penalty}
        latent, nats = self.conditional.best(num_best, **own)
        batch = self.conditional.batch
        flat = self._values(latent.flatten(), copies=num_best)
        rows = [
            [Scored(flat[n * batch + b], float(nats[n, b])) for n in range(num_best)]
            for b in range(batch)
        ]
        return rows[0] if self.single else rows

    def summary(
        self,
        num_samples: int = 100,
        *,
        level: float = 0.9,
        seed: int | Sequence[int] | None = None,
        progress: Progress | None = None,
    ) -> Summary:
        """Mean, standard deviation and credible band of each entry of X, from samples.

        Args:
            num_samples: N. The ends of the band are quantiles: take 20 / (1 - level) or more.
            level: Probability of the band, its tails being alike.
            seed: As in `sample`.
            progress: As in `sample`.

        Raises:
            SpecError: If values are not numbers.
            ValueError: If there are fewer than two samples, or no such level.
        """
        if not 0 < level < 1:
            raise ValueError(f"level lies between 0 and 1, got {level}. Use 0.9, say.")
        if num_samples == 1:
            raise ValueError("A summary takes two samples or more, got 1.")
        latent = self._draw(num_samples, seed, progress)
        with torch.no_grad():
            x = self.codec.signal(latent.flatten()).float().cpu()
        x = x.unflatten(0, (num_samples, -1))
        x = x[:, 0] if self.single else x
        ends = torch.tensor([(1 - level) / 2, (1 + level) / 2])
        # torch.quantile takes at most 2^24 numbers at once.
        flat = x.flatten(1)
        parts = flat.split(max(1, 2**24 // num_samples), dim=1)
        low, high = torch.cat([p.quantile(ends, dim=0) for p in parts], dim=1)
        return Summary(
            mean=x.mean(0),
            std=x.std(0),
            low=low.reshape(x.shape[1:]),
            high=high.reshape(x.shape[1:]),
            level=level,
            num_samples=num_samples,
        )

    def log_prob(self, x: Any, *, seed: int | Sequence[int] = 0) -> LogProb:
        """log p(x | y) in nats.

        Args:
            x: A value for one condition, a list of one each for several.
            seed: For dequantisation and for estimates.

        Returns:
            A record with nats (B,). With a lossless codec it is the density of x; with any other,
            that of its latent, and `how` says so.

        Raises:
            SpecError: If the model's family has no density.
        """
        if not isinstance(self.conditional, Tractable):
            raise SpecError(f"{type(self.conditional).__name__} can be sampled but has no density.")
        values = [x] if self.single else list(x)
        batch = self.conditional.batch
        if len(values) != batch:
            raise ValueError(f"Expected {batch} values, one for each condition, got {len(values)}.")
        tensors = self.codec.prepare(values)
        seeds = expand_seeds(seed, batch)
        rows = [
            self.codec.encode(
                self.codec.prepare([v]), generator=torch.Generator("cpu").manual_seed(s)
            )
            for v, s in zip(values, seeds, strict=True)
        ]
        found = self.conditional.log_prob(_stack(rows), Generators([seeds]))
        if not isinstance(self.codec, Lossless):
            return replace(found, how=f"{found.how}; density of the latent, the codec loses some")
        return replace(found, nats=found.nats + self.codec.log_volume(tensors).to(found.nats))

    def _shown_to(self, preview: Seen) -> Callable[[int, int, Guess | None], None]:
        """What shows guesses of latents as values."""
        whole = replace(self, known=None)

        def see(done: int, total: int, guess: Guess | None) -> None:
            preview(done, total, None if guess is None else lambda: whole._values(guess()))

        return see

    def _values(self, latent: Latent, *, copies: int = 1) -> list[Any]:
        """Values of latents, as many times over as `copies`, with what is known put back."""
        with torch.no_grad():
            tensors = self.codec.decode(latent)
            if self.known is not None:
                known = self.known.repeat(copies)
                tensors = self.codec.paste(tensors, known.tensors, known.mask)
            return self.codec.present(tensors)

    def _draw(
        self, num_samples: int, seed: int | Sequence[int] | None, progress: Progress | None
    ) -> Latent:
        batch = self.conditional.batch
        check_num_samples(num_samples, batch)
        generators = Generators.from_seed(seed, num_samples=num_samples, batch=batch)
        with torch.no_grad():
            return self.conditional.sample(num_samples, generators, progress=progress)


def _stack(rows: Sequence[Latent]) -> Latent:
    """Latents of one example each as those of a batch, zeros beyond the length of each."""
    if rows[0].lengths is None:
        return Latent(torch.cat([r.z for r in rows]))
    longest = max(r.z.shape[1] for r in rows)
    z = rows[0].z.new_zeros(len(rows), longest, *rows[0].z.shape[2:])
    for i, row in enumerate(rows):
        z[i, : row.z.shape[1]] = row.z[0]
    return Latent(z, torch.cat([r.lengths for r in rows]))
