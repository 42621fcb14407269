"""CTranslate2 as the engine of translation and language models of transformers.

A checkpoint is converted once, into a cache, and then runs without its library, in eight bits if
asked to. The engine's own draws follow no seed of a caller's, so a sample is the likeliest text,
token by token; `best` searches further.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.ctranslate2_conversion import converted
from mmgen.backends.ctranslate2_engines import ENGINES, Asked, Engine
from mmgen.backends.foreign import Foreign, Place
from mmgen.backends.from_transformers.loading import load as load_transformers
from mmgen.backends.from_transformers.prompts import Prompts
from mmgen.backends.from_transformers.sequence_to_sequence import Sources
from mmgen.backends.from_transformers.tokenized_text import TokenizedText
from mmgen.backends.given import GivenCondition
from mmgen.backends.recognition import Recognised
from mmgen.core.condition import Condition
from mmgen.core.conditional import LogProb, Progress, Searchable
from mmgen.core.encoder import Encoder
from mmgen.core.errors import LoadError, SpecError
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.options import Option
from mmgen.core.parted import Parted
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec

__all__ = ["COMPUTE_TYPES", "load"]

COMPUTE_TYPES = ("float32", "int8", "int8_float32", "int16", "bfloat16", "float16", "auto")

_AT_ONCE = 32
"""Texts that the engine is given together."""
_OPTIONS = (
    Option(
        "temperature", 0.0, "0, the likeliest tokens: draws have no seed.", minimum=0.0, maximum=0.0
    ),
    Option("max_new_tokens", 256, "Cut samples after so many tokens.", minimum=1, maximum=100_000),
)


class AskedOutside(Encoder):
    """Conditions as ids, read as for the library's own model, for one that runs outside of torch.

    Args:
        reading: What reads them for the model: `Sources` or `Prompts`. It is asked to prepare, and
            never to encode.
    """

    modality = "text"

    def __init__(self, reading: Sources | Prompts) -> None:
        super().__init__()
        # Not a part: what it would encode with has no weights.
        self._reading = [reading]

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec()

    def options(self) -> tuple[Option, ...]:
        return tuple(o for o in self._reading[0].options() if o.name != "glossary")

    def asked(self, value: Any, **options: Any) -> Any:
        return self._reading[0].asked(value, **options)

    def parted(self, value: Any, **options: Any) -> Parted | None:
        return self._reading[0].parted(value, **options)

    def prepare(self, values: Sequence[Any]) -> dict[str, Any]:
        """Values to what the engine is asked, `asked`, and given (B,)."""
        found = self._reading[0].prepare(values)
        if "terms" in found:
            raise ValueError(
                "CTranslate2 is not told of terms that an answer has to contain. Load the "
                "checkpoint without engine= to give a glossary."
            )
        begins = found["begin"].tolist() if "begin" in found else [()] * len(values)
        rows = zip(found["ids"], found["mask"], begins, strict=True)
        asked = tuple(Asked(tuple(ids[there].tolist()), tuple(b)) for ids, there, b in rows)
        return {"asked": asked, "given": found["given"]}

    def encode(self, tensors: Mapping[str, Any]) -> GivenCondition:
        values = tuple({"asked": one} for one in tensors["asked"])
        return GivenCondition(len(values), values=values)


class EngineModel(Model):
    """P(text | text) by an engine.

    Args:
        engine: The engine.
        codec: Of the texts; its tokens are those of the tokenizer that end nothing.
    """

    condition = ConditionSpec()

    def __init__(self, engine: Engine, codec: TokenizedText) -> None:
        super().__init__()
        self.engine, self.spec = engine, codec.spec
        self.own_ids = list(codec.token_ids)
        self.places = {own: i for i, own in enumerate(self.own_ids)}
        # The engine's weights are no tensors; this says where its results are.
        self.place = nn.Parameter(torch.zeros(0), requires_grad=False)

    def options(self) -> tuple[Option, ...]:
        return _OPTIONS

    def forward(self, c: Condition, **options: Any) -> EngineConditional:
        if not isinstance(c, GivenCondition):
            raise SpecError("An engine takes conditions from AskedOutside.")
        chosen = {o.name: options.get(o.name, o.default) for o in _OPTIONS}
        return EngineConditional(self, c, chosen)

    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        raise SpecError("CTranslate2 does not train. Load the checkpoint without engine=.")


@dataclass(frozen=True)
class EngineConditional(Searchable):
    """P(text | text) of each of a batch of B texts.

    Args:
        model: The model.
        c: Texts.
        options: Of sampling.
    """

    model: EngineModel
    c: GivenCondition
    options: dict[str, Any]

    @property
    def batch(self) -> int:
        return self.c.batch

    def sample(
        self,
        num_samples: int = 1,
        generators: Generators | None = None,
        *,
        progress: Progress | None = None,
    ) -> Latent:
        rows = []
        for start in range(0, self.batch, _AT_ONCE):
            rows += [found[0][0] for found in self._found(start, beam_size=1)]
            if progress is not None:
                progress(len(rows), self.batch)
        return self._latent(rows * num_samples, (num_samples, self.batch))

    def log_prob(self, latent: Latent, generators: Generators | None = None) -> LogProb:
        """log p(z | c), exact but for the engine's precision, the end counted."""
        lengths = latent.lengths
        if lengths is None:
            lengths = torch.full((len(latent.z),), latent.z.shape[1])
        texts = [
            (i, [self.model.own_ids[token] for token in row[:length]])
            for i, (row, length) in enumerate(zip(latent.z.tolist(), lengths.tolist(), strict=True))
        ]
        nats = torch.tensor(self._scored(texts))
        return LogProb(
            nats=nats,
            kind="exact",
            std_error=torch.zeros_like(nats),
            num_dims=lengths + 1,
            how="sum of log p of each token given those before it, the end included",
        )

    def best(
        self, num_best: int, *, num_beams: int, length_penalty: float = 0.0
    ) -> tuple[Latent, Tensor]:
        def rank(scored: tuple[float, tuple[int, ...]]) -> float:
            return scored[0] / (len(scored[1]) + 1) ** length_penalty

        rows, scores = [], torch.zeros(num_best, self.batch)
        how = {
            "beam_size": num_beams,
            "num_hypotheses": num_beams,
            "length_penalty": length_penalty,
        }
        beams = [
            found for start in range(0, self.batch, _AT_ONCE) for found in self._found(start, **how)
        ]
        for i, found in enumerate(beams):
            # What was cut while it went on has a score without its end.
            texts = list(dict.fromkeys(tuple(self._content(ids)) for ids, _ in found))
            if len(texts) < num_best:
                raise ValueError(
                    f"num_best is {num_best}, but a beam of {num_beams} found {len(texts)} texts. "
                    "Ask for fewer, or give a greater num_beams."
                )
            scored = list(zip(self._scored([(i, ids) for ids in texts]), texts, strict=True))
            for n, (score, ids) in enumerate(sorted(scored, key=rank, reverse=True)[:num_best]):
                rows.append((n * self.batch + i, ids))
                scores[n, i] = score
        ordered = [ids for _, ids in sorted(rows, key=lambda row: row[0])]
        return self._latent(ordered, (num_best, self.batch)), scores

    def _scored(self, texts: Sequence[tuple[int, Sequence[int]]]) -> list[float]:
        """log p of own ids and the end after them, each with the place of its condition."""
        scores: list[float] = []
        for start in range(0, len(texts), _AT_ONCE):
            some = texts[start : start + _AT_ONCE]
            asked = [self.c.values[i]["asked"] for i, _ in some]
            scores += self.model.engine.score(asked, [ids for _, ids in some])
        return scores

    def _content(self, ids: Sequence[int]) -> list[int]:
        return [own for own in ids if own in self.model.places]

    def _found(self, start: int, **how: Any) -> list[list[tuple[list[int], float]]]:
        """What the engine makes of some conditions, from a place on."""
        longest = self.options["max_new_tokens"]
        asked = [value["asked"] for value in self.c.values[start : start + _AT_ONCE]]
        return self.model.engine.generate(asked, longest=longest, **how)

    def _latent(self, rows: Sequence[Sequence[int]], shape: tuple[int, int]) -> Latent:
        content = [[self.model.places[i] for i in self._content(row)] for row in rows]
        lengths = torch.tensor([len(row) for row in content])
        z = torch.zeros(len(rows), max(1, int(lengths.max())), dtype=torch.long)
        for padded, row in zip(z, content, strict=True):
            padded[: len(row)] = torch.tensor(row, dtype=torch.long)
        return Latent(z.unflatten(0, shape), lengths.unflatten(0, shape))


def load(found: Recognised, place: Place, *, compute_type: str) -> Foreign:
    """The parts of a pipeline whose model runs in CTranslate2.

    Raises:
        MissingDependency: If CTranslate2 is not installed.
        LoadError: If it does not know the architecture, or the task is another.
    """
    if found.library != "transformers" or found.task not in ENGINES:
        raise LoadError(
            f"CTranslate2 runs {', '.join(ENGINES)} of transformers; {found.source} is "
            f"{found.task} of {found.library}. Leave engine= out."
        )
    if compute_type not in COMPUTE_TYPES:
        raise ValueError(
            f"compute_type is one of {', '.join(COMPUTE_TYPES)}; got {compute_type!r}."
        )
    # What configurations and tokenizer say of it, without the weights.
    plain = load_transformers(found, replace(place, weights=False), torch.float32)
    tokenizer = plain.codec.tokenizer
    where = {**place.as_dict(), "revision": found.revision or place.revision}
    folder = converted(found, where, _language_tokens(plain))
    try:
        engine = ENGINES[found.task](folder, tokenizer, compute_type=compute_type)
    except (RuntimeError, ValueError) as error:
        raise LoadError(f"CTranslate2 cannot run {found.source}: {error}") from None
    ends = set(tokenizer.convert_tokens_to_ids([tokenizer.eos_token]))
    codec = TokenizedText(
        tokenizer,
        max_length=100_000,
        token_ids=[i for i in range(len(tokenizer)) if i not in ends],
        as_target=plain.codec.as_target,
    )

    def save(folder: Path) -> None:
        raise SpecError(
            "What CTranslate2 runs is not what the checkpoint was. Load it without engine= to save."
        )

    return Foreign(AskedOutside(plain.encoder), EngineModel(engine, codec), codec, found, save)


def _language_tokens(plain: Foreign) -> list[str]:
    """Those that an answer may begin with, in the order of their ids."""
    languages = getattr(plain.encoder, "languages", None)
    ids = sorted(languages.begins.values()) if languages else []
    return plain.codec.tokenizer.convert_ids_to_tokens(ids)
