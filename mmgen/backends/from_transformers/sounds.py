"""Sounds as what the encoders of pretrained speech recognition models make of them.

Shape letters: B batch, T frames, F features, M states, P tokens that every text begins with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from mmgen.backends.from_transformers.beginnings import UNTOLD, Beginnings
from mmgen.backends.from_transformers.decoders import follows
from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.options import Option
from mmgen.core.parted import Parted
from mmgen.core.spec import ConditionSpec
from mmgen.modalities.audio.files import is_one, load_batch
from mmgen.modalities.audio.value import Audio

__all__ = ["Sounds", "in_windows"]

_VALUE_KEYS = {"audio", "language", "task"}
# Of a model that tells no limit: an hour, which is what memory holds.
_MOST_SECONDS = 3600
# Of one that is heard in parts.
_MOST_EVER = 24 * _MOST_SECONDS


class Sounds(Encoder):
    """Sounds as the states of a pretrained encoder, and what its decoder begins with.

    A value is a sound, as the audio modality takes it, or {"audio": a sound, "language": ...,
    "task": ...} for a model that knows several. It has one channel and the model's own sampling
    rate; another is refused, never changed without being asked. So is one that is longer than the
    model hears; with split="windows" it is heard in parts, cut where it is quietest, and what is
    written of them is joined. None is an error: such a model always hears something.

    Sounds of several lengths are read apart, because the convolutions of these encoders see the
    padding.

    Args:
        model: A transformers model of speech recognition.
        extractor: Its feature extractor.
        encoder: The part of it that hears.
        width: D, of the states that it gives.
        beginnings: What its decoder begins with; None if it has no decoder.
        least_samples: Of a sound that fills one frame.
        between: What stands between the texts of two parts of a sound.
    """

    modality = "audio"

    def __init__(
        self,
        model: nn.Module,
        extractor: Any,
        *,
        encoder: nn.Module,
        width: int,
        beginnings: Beginnings | None = None,
        least_samples: int = 1,
        between: str = " ",
    ) -> None:
        super().__init__()
        # Not a part: the pipeline's model holds it, and the encoder is a part of it.
        self._whole = [model]
        self.encoder, self.extractor, self.width = encoder, extractor, width
        self.beginnings, self.least_samples, self.between = beginnings, least_samples, between
        self.name = extractor.model_input_names[0]
        self.most_frames = getattr(model.config, "max_source_positions", None)
        # Of a window that all sounds fill, if that is how the model hears.
        self.most_samples = getattr(extractor, "n_samples", None)

    @property
    def spec(self) -> ConditionSpec:
        begun = None if self.beginnings is None else self.beginnings.count
        return ConditionSpec(token_dim=self.width, vector_dim=begun)

    def is_one(self, value: Any) -> bool:
        return is_one(value)

    def options(self) -> tuple[Option, ...]:
        if self._window is None:
            return ()
        said = "Whether a sound that is longer than the model hears is heard in parts."
        return (Option("split", "never", said, choices=("windows", "never")),)

    def parted(self, value: Any, **options: Any) -> Parted | None:
        most = self._window
        if most is None or options["split"] == "never":
            return None
        asked, rate = _parts(value), self.extractor.sampling_rate
        samples, _ = load_batch([asked["audio"]], sampling_rate=rate, max_samples=_MOST_EVER * rate)
        windows = in_windows(samples[0].numpy(), most, step=rate // 50)
        if len(windows) == 1:
            return None

        def join(answers: Sequence[str]) -> str:
            return self.between.join(answers)

        sounds = (Audio(window[None], rate) for window in windows)
        values = tuple({**asked, "audio": sound} for sound in sounds)
        # Nothing tells which words of a text belong to which part of its sound.
        return Parted(values, join, lambda text: None)

    @property
    def _window(self) -> int | None:
        """How many samples are heard at once, if there is a most."""
        if self.most_samples is not None or self.most_frames is None:
            return self.most_samples
        # Frames of such models are a hundredth of a second.
        return self.most_frames * self.extractor.sampling_rate // 100

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        """Sounds to features (B, T, F), or (B, F, T) of one length, and more.

        Returns:
            `features`, how many rows of them each has `lengths` (B,), the ids that its text begins
            with `begin` (B, P), -1 for a language that is not told, and `given` (B,).
        """
        asked = [_parts(value) for value in values]
        rows = [self._features(parts["audio"]) for parts in asked]
        first = self.beginnings or Beginnings(())
        begins = [first.ids(p.get("language"), p.get("task")) for p in asked]
        return {
            "features": pad_sequence(rows, batch_first=True),
            "lengths": torch.tensor([len(row) for row in rows]),
            "begin": torch.tensor(begins, dtype=torch.long),
            "given": torch.ones(len(rows), dtype=torch.bool),
        }

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        weight = next(self.parameters())
        features, lengths = tensors["features"], tensors["lengths"]
        states: list[Tensor] = [weight] * len(features)
        for length in lengths.unique().tolist():
            alike = (lengths == length).nonzero()[:, 0].tolist()
            read = features[alike, :length].to(weight.device, weight.dtype)
            found = self.encoder(**{self.name: read}).last_hidden_state
            for i, row in zip(alike, found, strict=True):
                states[i] = row
        tokens = pad_sequence(states, batch_first=True)
        counts = torch.tensor([len(row) for row in states], device=weight.device)
        mask = torch.arange(tokens.shape[1], device=weight.device) < counts[:, None]
        if self.beginnings is None:
            return Condition(len(tokens), tokens, mask)
        begin = tensors["begin"].to(weight.device)
        c = Condition(len(tokens), tokens, mask, begin)
        if not (begin == UNTOLD).any():
            return c
        return Condition(c.batch, tokens, mask, self._heard(begin, c))

    def _heard(self, begin_BP: Tensor, c: Condition) -> Tensor:
        """The beginnings with the likeliest language of each sound in place of one not told.

        Source: Robust Speech Recognition via Large-Scale Weak Supervision (Radford et al., 2022),
        Sec. 2.3, arXiv:2212.04356
        """
        place = len(self.beginnings.start)
        logits, _ = follows(self._whole[0], begin_BP[:, :place], c, None)
        known = torch.tensor(sorted(set(self.beginnings.languages.values())), device=logits.device)
        likeliest = known[logits[:, -1, known].argmax(1)]
        begin_BP = begin_BP.clone()
        untold = begin_BP[:, place] == UNTOLD
        begin_BP[untold, place] = likeliest[untold]
        return begin_BP

    def _features(self, sound: Any) -> Tensor:
        """The features of one sound, time in rows unless its length is fixed."""
        rate, most = self.extractor.sampling_rate, self.most_samples
        samples, _ = load_batch([sound], sampling_rate=rate, max_samples=_MOST_SECONDS * rate)
        if most is not None and samples.shape[1] > most:
            raise self._too_long(samples.shape[1] / rate, f"{most / rate:g} s")
        if samples.shape[1] < self.least_samples:
            raise self._unheard(samples.shape[1])
        # Some divide by the spread of the features, which may be none.
        with np.errstate(divide="ignore", invalid="ignore"):
            read = self.extractor(samples[0].numpy(), sampling_rate=rate, return_tensors="pt")
        features = read[self.name][0]
        if not len(features) or not features.isfinite().all():
            raise self._unheard(samples.shape[1])
        if most is None and self.most_frames is not None and len(features) > self.most_frames:
            raise self._too_long(samples.shape[1] / rate, f"{self.most_frames} frames")
        return features

    def _unheard(self, count: int) -> ValueError:
        return ValueError(
            f"Nothing can be heard in this sound of {count} samples: it is silent, or too short "
            "for one frame. Give a longer one, or another."
        )

    def _too_long(self, seconds: float, most: str) -> ValueError:
        return ValueError(
            f"Expected a sound of at most {most}, got {seconds:g} s. The model hears no more at "
            'once, and nothing is cut. Give split="windows" to have it heard in parts, cut where '
            "it is quietest, or give its parts as a list."
        )


def in_windows(samples_N: np.ndarray, most: int, *, step: int) -> list[np.ndarray]:
    """A sound in parts of which none is short, each but the last cut where it is quietest.

    That place is looked for in the last third of what fits.

    Args:
        samples_N: The sound.
        most: Most samples of a part.
        step: Samples of a stretch whose loudness is told.
    """
    parts, rest_N, third = [], samples_N, most // 3
    while len(rest_N) > most:
        first, last = most - third, min(most, len(rest_N) - third)
        loud = rest_N[first : last - (last - first) % step].reshape(-1, step).astype(np.float64)
        quietest = int((loud**2).sum(1).argmin()) if len(loud) else 0
        end = min(first + quietest * step + step // 2, last)
        parts.append(rest_N[:end])
        rest_N = rest_N[end:]
    return [*parts, rest_N]


def _parts(value: Any) -> Mapping[str, Any]:
    if value is None:
        raise ValueError("This model makes a text of a sound. Give one, not None.")
    if not isinstance(value, Mapping) or "audio" not in value:
        return {"audio": value}
    unknown = sorted(set(value) - _VALUE_KEYS)
    if unknown:
        raise TypeError(
            'Expected a sound, or {"audio": a sound, "language": ..., "task": ...}; '
            f"{unknown[0]!r} is none of these."
        )
    return value
