"""Can what a pipeline says be understood, and does it sound like the speaker?

Sentences that no training has seen are said by the pipeline, in the voice of each speaker in turn.
Beside every sample lies a recording of the same speaker, a voice of the program flite, saying the
same. An offline recogniser, pocketsphinx, hears both, and both are compared:

- wer, cer: word and character error rates of what is heard, of recordings, of recordings that went
  through the pipeline's codec and back (`copies`), and of samples;
- ratio: the word error rate of samples over that of recordings; 1.3 is asked for;
- mcd: mel-cepstral distortion in dB from the recording, after alignment; beside it that of the
  copy, and of a recording of another sentence by the same speaker, which is chance;
- stoi: intelligibility of copies, by pystoi;
- real_time_factor: seconds of computing for each second of sound, sentence by sentence, 0.3 is
  asked for; first_sound: seconds from a sentence to its sound.

    python -m benchmarks.tasks.speech --pipeline text-to-audio:speech

Needs the program flite, and reads the set `translation` below the folder that MMGEN_DATA names. A
recogniser is no listener: it was made from American voices, and what it makes of a recording is the
measure of what it can make of a sample. What people say is measured where a pipeline learns their
voices, by benchmarks.finetuning.speech_voice.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmgen_pipelines.text_to_audio import speech

from benchmarks.arguments import asked_options, task_parser
from benchmarks.recognition import Recogniser
from benchmarks.records import record_pipeline
from mmgen import Audio, Pipeline
from mmgen.core.composite import CompositeEncoder
from mmgen.evaluation.metrics.mel_cepstral_distortion import RATE, mel_cepstral_distortion
from mmgen.evaluation.metrics.stoi import stoi
from mmgen.evaluation.metrics.word_errors import word_errors
from mmgen.evaluation.task import Task
from mmgen.modalities.audio import in_a_row, resample, save
from mmgen.simulators.speech import VOICES, speak

__all__ = ["TASK", "main"]

TASK = Task(
    summary="Can what a pipeline says be understood, and does it sound like the speaker?",
    protocol=2,
    minutes=10,
    quick=("--count=4",),
    quick_minutes=2,
    pipeline="text-to-audio:speech",
    x="audio",
    y=("text", "speaker"),
    data=("translation",),
    needs=(
        ("soundfile", "audio"),
        ("pocketsphinx", "bench"),
        ("jiwer", "bench"),
        ("pystoi", "bench"),
    ),
    shown=(
        (
            "words heard wrong",
            "samples/wer",
            "lower",
            "{recordings/wer} of recordings, {copies/wer} of copies",
        ),
        (
            "the same, over that of recordings",
            "ratio",
            "lower",
            "1; at most 1.3 is asked for",
        ),
        (
            "mel-cepstral distortion from the recording, dB",
            "mcd/samples",
            "lower",
            "{mcd/copies} of copies, {mcd/other_sentences} by chance",
        ),
        (
            "seconds of computing for each of sound",
            "speed/real_time_factor",
            "lower",
            "at most 0.3 is asked for",
        ),
        ("seconds to the first sound", "speed/first_sound", "lower", "one short sentence"),
    ),
)
PROTOCOL = TASK.protocol
SENTENCE_SEED = 20_267
_FEWEST_WORDS = 5


@dataclass(frozen=True)
class _Item:
    """A sentence, who says it, and the recording, of one channel at 16 kHz."""

    text: str
    speaker: str
    recording: Audio


def _simulated(count: int) -> list[_Item]:
    texts = [
        text for text in speech.sentences("tatoeba", "val") if len(text.split()) >= _FEWEST_WORDS
    ]
    order = np.random.default_rng(SENTENCE_SEED).permutation(len(texts))[:count]
    speakers = tuple(VOICES)
    found = []
    for i, place in enumerate(order):
        said = speak(texts[place], speaker=speakers[i % len(speakers)])
        sound = Audio(said.samples[None], said.sampling_rate)
        found.append(_Item(said.text, said.speaker, resample(sound, RATE)))
    return found


def _said(
    pipe: Pipeline, items: Sequence[_Item], seed: int, options: Mapping[str, Any]
) -> tuple[list[Audio], list[float]]:
    """A sample of each, one at a time, and the seconds that each took."""
    voiced = isinstance(pipe.encoder, CompositeEncoder) and "speaker" in pipe.encoder.parts
    sounds, seconds = [], []
    for i, item in enumerate(items):
        y = {"text": item.text, "speaker": item.speaker} if voiced else item.text
        started = time.perf_counter()
        sound = pipe(y, seed=seed + i, **options)
        seconds.append(time.perf_counter() - started)
        sounds.append(resample(sound.mono(), RATE))
    return sounds, seconds


@torch.no_grad()
def _copies(pipe: Pipeline, items: Sequence[_Item]) -> list[Audio]:
    """The recordings as they come back through the codec, as long as they were."""
    copies = []
    for item in items:
        value = pipe.codec.adapt(item.recording)
        latent = pipe.codec.encode(pipe.codec.prepare([value]))
        copy = resample(pipe.codec.present(pipe.codec.decode(latent))[0].mono(), RATE)
        copies.append(Audio(copy.samples[:, : item.recording.samples.shape[1]], RATE))
    return copies


def _scores(
    items: Sequence[_Item],
    sounds: Mapping[str, Sequence[Audio]],
    recogniser: Recogniser,
) -> dict[str, Any]:
    texts = [item.text for item in items]
    found: dict[str, Any] = {}
    for name, group in sounds.items():
        heard = recogniser.all_heard(group)
        found[name] = word_errors(heard, texts)
        found[name]["by_speaker"] = _by_speaker(items, heard)
    wrong = found["recordings"]["wer"]["share"]
    found["ratio"] = round(found["samples"]["wer"]["share"] / wrong, 3) if wrong else None
    waves = {k: [torch.from_numpy(s.samples[0]) for s in group] for k, group in sounds.items()}
    found["mcd"] = {
        name: _mean(
            [
                mel_cepstral_distortion(x, y)
                for x, y in zip(waves["recordings"], waves[name], strict=True)
            ]
        )
        for name in ("samples", "copies")
    }
    others = _other_sentences(items)
    found["mcd"]["other_sentences"] = _mean(
        [mel_cepstral_distortion(waves["recordings"][i], waves["recordings"][j]) for i, j in others]
    )
    found["stoi"] = _mean(
        [
            stoi(x[: len(y)], y, sampling_rate=RATE)
            for x, y in zip(waves["recordings"], waves["copies"], strict=True)
        ]
    )
    return found


def _by_speaker(items: Sequence[_Item], heard: Sequence[str]) -> dict[str, Any]:
    found = {}
    for speaker in dict.fromkeys(item.speaker for item in items):
        rows = [i for i, item in enumerate(items) if item.speaker == speaker]
        own = word_errors([heard[i] for i in rows], [items[i].text for i in rows])
        found[speaker] = {name: entry["share"] for name, entry in own.items()}
    return found


def _other_sentences(items: Sequence[_Item]) -> list[tuple[int, int]]:
    """Each item, and the next one by the same speaker."""
    rows: dict[str, list[int]] = {}
    for i, item in enumerate(items):
        rows.setdefault(item.speaker, []).append(i)
    return [
        (i, own[(n + 1) % len(own)]) for own in rows.values() for n, i in enumerate(own) if own[1:]
    ]


def _mean(values: Sequence[float]) -> dict[str, float | int] | None:
    if not values:
        return None
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {
        "mean": round(float(np.mean(values)), 4),
        "std_error": round(spread / len(values) ** 0.5, 4),
        "count": len(values),
    }


def _speed(sounds: Sequence[Audio], seconds: Sequence[float]) -> dict[str, Any]:
    length = sum(sound.samples.shape[1] for sound in sounds) / RATE
    low, middle, high = np.quantile(seconds, (0.05, 0.5, 0.95))
    return {
        "real_time_factor": round(sum(seconds) / length, 4),
        "first_sound": {
            "median": round(float(middle), 3),
            "low": round(float(low), 3),
            "high": round(float(high), 3),
            "count": len(seconds),
        },
        "seconds_of_sound": round(length, 1),
        "threads": torch.get_num_threads(),
    }


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = task_parser("speech", pipeline="text-to-audio:speech", description=__doc__)
    parser.add_argument("--count", type=int, default=80, help="sentences that flite says")
    parser.add_argument("--samples", type=Path, help="WAV file for some samples")
    chosen = parser.parse_args(given)
    if chosen.count < 1:
        parser.error("--count is at least 1")
    return chosen


def main(given: Sequence[str] | None = None, *, pipe: Pipeline | None = None) -> Path:
    """Run the task and write its result.

    Args:
        given: Arguments of the command line; those of this process if None.
        pipe: What to measure in place of what --pipeline names.

    Returns:
        The JSON file.
    """
    chosen = _arguments(given)
    items = _simulated(chosen.count)
    pipe = pipe or Pipeline.from_pretrained(chosen.pipeline, device=chosen.device)
    options = asked_options(chosen.option, pipe.options())
    _said(pipe, items[:1], chosen.seed, options)  # sets up what later calls find
    samples, seconds = _said(pipe, items, chosen.seed, options)
    sounds = {
        "recordings": [item.recording for item in items],
        "copies": _copies(pipe, items),
        "samples": samples,
    }
    scores = _scores(items, sounds, Recogniser())
    scores["speed"] = _speed(samples, seconds)
    if chosen.samples:
        save(in_a_row(samples[:: max(1, len(samples) // 8)]), chosen.samples)
    return record_pipeline(
        chosen,
        "speech",
        protocol=PROTOCOL,
        settings={
            "options": options,
            "seed": chosen.seed,
            "count": chosen.count,
            "sentence_seed": SENTENCE_SEED,
        },
        scores=scores,
        lines=_lines(scores),
    )


def _lines(scores: Mapping[str, Any]) -> list[str]:
    rates = (f"{scores[k]['wer']['share']:.1%} of {k}" for k in ("recordings", "copies", "samples"))
    return [
        f"words heard wrong: {', '.join(rates)}; MCD {scores['mcd']['samples']['mean']} dB; STOI "
        f"of copies {scores['stoi']['mean']}",
        f"speed: {scores['speed']}",
    ]


if __name__ == "__main__":
    main()
