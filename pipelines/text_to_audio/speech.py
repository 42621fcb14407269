"""English text to speech at 16 kHz, in the four voices of flite.

Data: the sets `translation` and `text` below the folder that MMGEN_DATA names, and the program
flite, which says their sentences. What it has said is kept in the folder that MMGEN_SPEECH names.
"""

from __future__ import annotations

import gzip
import json
import re
import zipfile
from collections.abc import Iterable

import numpy as np

from mmgen.core.card import Card
from mmgen.core.composite import CompositeEncoder
from mmgen.core.spec import ConditionSpec
from mmgen.families.diffusion import Diffusion
from mmgen.families.diffusion.times import LogitNormalTimes
from mmgen.guidance.classifier_free import ClassifierFreeGuidance
from mmgen.guidance.durations import DurationModel
from mmgen.modalities.audio import Audio, LogMel, MelSpec, in_a_row, load, resample
from mmgen.modalities.label import LabelEncoder
from mmgen.modalities.text import Lexicon, PhoneEncoder, spoken_words
from mmgen.nn.frames import FrameNetwork
from mmgen.nn.vocoder import Vocoder
from mmgen.pipeline import Pipeline
from mmgen.simulators.speech import PHONES, VOICES, corpus, pronounce
from mmgen.training import Vocoding
from mmgen.training.data import data_file
from mmgen.training.pairs import ListedPairs, Pairs

__all__ = [
    "CARD",
    "DEBUG",
    "PRETRAINING",
    "PREVIEW",
    "SPEAKERS",
    "TRAINING",
    "build",
    "debug",
    "pairs",
    "pretraining",
    "recordings",
    "sentences",
]

CARD = Card(
    x="audio",
    y="text",
    family="diffusion",
    summary="English text to speech at 16 kHz, in one of four voices.",
    data=(
        "8,800 sentences of Tatoeba (CC BY 2.0 FR) and of Shakespeare (public domain), said by "
        "four voices of flite (Carnegie Mellon University, a BSD-like licence). Its vocoder also "
        "heard 310 recordings: kathleen (CC0 1.0) and LJ Speech (public domain)."
    ),
    licence="Apache-2.0",
    parameters=4_777_972,
    trained=(
        "By this recipe on one core of an AMD EPYC, batches of 16: 4,258 steps on 4,400 of the "
        "sentences in 70 minutes, then 2,100 on all of them, with a fresh schedule from 1e-3, "
        "in 35. Its vocoder by benchmarks.tasks.vocoder, 2,000 steps on two real voices in 32 "
        "minutes, then 100 steps of 16 pieces on these and the four of flite in two."
    ),
    scores={
        "speech: words heard wrong": "11.7 % (7.9 to 15.7, n = 574)",
        "speech: the same, over that of recordings": "1.218",
        "speech: mel-cepstral distortion from the recording, dB": "2.751 (2.686 to 2.816, n = 80)",
        "speech: seconds of computing for each of sound": "0.1463",
        "speech: seconds to the first sound": "0.333 (0.249 to 0.473, n = 80)",
    },
    limits=(
        "Of a hundred words two more are heard wrong than of flite's own recordings, whose voices "
        "are a machine's. American and Scottish English, 12 s at once."
    ),
)

RATE = 16_000
SPEAKERS = tuple(VOICES)

TRAINING = {
    "steps": 6_358,
    "batch_size": 16,
    "optimizer": "muon",
    "learning_rate": 2e-3,
    "warmup": 100,
    "by_length": 20,
    "ema": 0.998,
    "sample_every": 0,
    "checkpoint_every": 250,
    "statistics_from": 1024,
}

PRETRAINING = {
    "vocoder": {"steps": 2_000, "batch_size": 16, "learning_rate": 2e-3, "sample_every": 0},
}

DEBUG = {
    "num_mels": 16,
    "max_length": 256,
    "text_dim": 32,
    "text_depth": 1,
    "dim": 32,
    "depth": 2,
    "vocoder_dim": 32,
    "vocoder_depth": 1,
}

PREVIEW = [
    "The train to the coast leaves at half past nine.",
    {"text": "Would you like some tea?", "speaker": "slt"},
    {"text": "She sold her house and moved to Canada.", "speaker": "rms"},
    {"text": "That is not what I meant to say, my lord.", "speaker": "awb"},
    {"text": "He was born on the 3rd of May, 1912.", "speaker": "kal"},
]

# Three in four are of the first; what is said are so many of these sentences.
_SIMULATED, _SAID = (("tatoeba", 9_600), ("shakespeare", 3_200)), 8_800
_SEED = 20_261_128
_VALIDATED = 64
# The same that `benchmarks.tasks.vocoder` holds out.
_HELD_OUT, _SPLIT_SEED = 20, 20_265
_PLAIN = re.compile(r"[A-Za-z][A-Za-z ,;:.?!'\-]*")


def sentences(source: str, split: str = "train") -> list[str]:
    """Sentences of plain letters, of 3 to 16 words: of "tatoeba", or lines of "shakespeare"."""
    if source == "tatoeba":
        found = _lines(f"translation/tatoeba_zh_en_{split}.tsv.gz")
        said, shortest, longest = [row.split("\t")[0] for row in found], 3, 16
    else:
        found = _lines("text/tinyshakespeare.txt.gz")
        said, shortest, longest = [row.strip() for row in found if not row.endswith(":")], 5, 11
    plain = [s for s in dict.fromkeys(said) if _PLAIN.fullmatch(s)]
    return [s for s in plain if shortest <= len(s.split()) <= longest]


def recordings(speaker: str, split: str = "train") -> list[tuple[str, Audio]]:
    """(text, sound at 16 kHz) of a real voice, "kathleen" or "ljspeech"."""
    rows = [json.loads(row) for row in data_file(f"{speaker}/meta.jsonl").read_text().splitlines()]
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(rows))
    chosen = order[_HELD_OUT:] if split == "train" else order[:_HELD_OUT]
    with zipfile.ZipFile(data_file(f"{speaker}/{speaker}_dev.zip")) as archive:
        return [
            (
                rows[i].get("text_norm", rows[i]["text"]),
                resample(load(archive.read(rows[i]["file"])).mono(), RATE),
            )
            for i in order
            if i in set(chosen.tolist())
        ]


def pairs(split: str = "train", *, count: int | None = None) -> Pairs:
    """Pairs ({"text", "speaker"}, sound), of sentences that flite says: so many, or all."""
    texts = _texts() if split == "train" else _spread(sentences("tatoeba", split)[:_VALIDATED])
    return ListedPairs(
        [
            ({"text": clip.text, "speaker": clip.speaker}, clip.path)
            for clip in corpus(texts[:count])
        ]
    )


def build(
    *,
    num_mels: int = 80,
    max_length: int = 768,
    text_dim: int = 128,
    text_depth: int = 3,
    dim: int = 192,
    depth: int = 6,
    vocoder_dim: int = 256,
    vocoder_depth: int = 5,
) -> Pipeline:
    """The pipeline with fresh weights."""
    text = PhoneEncoder(PHONES, pronounce=_pronounced, dim=text_dim, depth=0, join=in_a_row)
    speaker = LabelEncoder(SPEAKERS, dim=text_dim, vector=True)
    encoder = CompositeEncoder(main="text", parts={"text": text, "speaker": speaker})
    mel = MelSpec(RATE, fft=1024, hop=256, window=1024, num_mels=num_mels, fmin=0.0, fmax=RATE / 2)
    vocoder = Vocoder(mel, dim=vocoder_dim, depth=vocoder_depth)
    codec = LogMel(mel, max_length=max_length, vocoder=vocoder)
    condition = ConditionSpec(
        vector_dim=text_dim, frame_dim=DurationModel.frame_dim(text_dim, num_mels)
    )
    network = FrameNetwork(num_mels, dim=dim, depth=depth, condition=condition)
    frames = Diffusion(
        network,
        spec=codec.spec,
        target="data",
        # What is said shows at much noise; how it is voiced, at less.
        times=LogitNormalTimes(mean=0.7, std=1.2),
        num_inference_steps=10,
    )
    guided = ClassifierFreeGuidance(frames, guidance_scale=2.0)
    model = DurationModel(guided, token_dim=text_dim, depth=text_depth, rhythm=0.0)
    return Pipeline(encoder=encoder, model=model, codec=codec, condition_dropout=0.05)


def pretraining(stage: str, pipe: Pipeline) -> Vocoding:
    """What is trained before the pipeline: its vocoder, on sounds alone."""
    return Vocoding(pipe.codec.vocoder)


def debug() -> Pipeline:
    """A tiny one with random weights."""
    pipe = build(**DEBUG)
    words = {w for y in PREVIEW for w in spoken_words(y if isinstance(y, str) else y["text"])}
    said = {word: ("m", "ae")[: len(word)] for word in words if word.isalpha()}
    pipe.encoder.parts["text"].lexicon = Lexicon.learn(said)
    pipe.codec.mean.fill_(-5.0)
    pipe.codec.std.fill_(2.0)
    return pipe


def _texts() -> list[tuple[str, str]]:
    """The sentences that flite says, each by one voice."""
    held_out = set(sentences("tatoeba", "val"))
    rng, chosen = np.random.default_rng(_SEED), []
    for source, count in _SIMULATED:
        known = [s for s in sentences(source) if s not in held_out]
        chosen += [known[i] for i in rng.permutation(len(known))[:count]]
    return _spread([chosen[i] for i in rng.permutation(len(chosen))[:_SAID]])


def _spread(texts: list[str]) -> list[tuple[str, str]]:
    """Each text with a speaker, one after another."""
    return [(text, SPEAKERS[i % len(SPEAKERS)]) for i, text in enumerate(texts)]


def _pronounced(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """These words, and all others of the same sources, so that few are left to be guessed."""
    others = {w for s in ("tatoeba", "shakespeare") for t in sentences(s) for w in spoken_words(t)}
    return pronounce({w for w in {*words, *others} if w[0].isalpha()})


def _lines(name: str) -> list[str]:
    with gzip.open(data_file(name), "rt", encoding="utf-8") as file:
        return file.read().splitlines()
