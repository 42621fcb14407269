"""Are spoken digits the digits that were asked for?

Each of ten digits is said by each speaker some times. A classifier that has learnt from recordings
tells which of the ten words it is, of samples and of recordings that no training has seen; what it
makes of these is the measure of what it can make of samples. Measured is

- right: how many are told to be the digit that was asked for (10 % by chance), and by_digit and
  by_speaker the same for each;
- recognised: the same by an offline recogniser of English, pocketsphinx with a grammar of the ten
  words, which knows neither the speakers nor telephone quality;
- mcd: mel-cepstral distortion in dB between a sample and a recording of the same digit and speaker,
  beside that between two recordings of them, and between recordings of different digits;
- real_time_factor: seconds of computing for each second of sound, one digit at a time.

    python -m benchmarks.tasks.digits --pipeline text-to-audio:digits

Reads the set `fsdd` below the folder that MMGEN_DATA names.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmgen_pipelines.text_to_audio import digits

from benchmarks.arguments import asked_options, task_parser
from benchmarks.digit_judge import DigitJudge
from benchmarks.recognition import Recogniser, digits_grammar
from benchmarks.records import record_pipeline
from mmgen import Audio, Pipeline
from mmgen.core.composite import CompositeEncoder
from mmgen.evaluation.intervals import Proportion
from mmgen.evaluation.metrics.mel_cepstral_distortion import RATE, mel_cepstral_distortion
from mmgen.evaluation.task import Task
from mmgen.modalities.audio import resample

__all__ = ["TASK", "main"]

TASK = Task(
    summary="Are spoken digits the digits that were asked for?",
    protocol=1,
    minutes=4,
    quick=("--count=1", "--judge-steps=60"),
    quick_minutes=1,
    pipeline="text-to-audio:digits",
    x="audio",
    y=("text", "speaker"),
    data=("fsdd",),
    needs=(("soundfile", "audio"), ("pocketsphinx", "bench")),
    shown=(
        (
            "spoken digits told to be what was asked for",
            "samples/right",
            "higher",
            "{recordings/right} of recordings held out, 10 % by chance",
        ),
        (
            "the same by a recogniser of English",
            "samples/recognised",
            "higher",
            "{recordings/recognised} of recordings held out",
        ),
        (
            "mel-cepstral distortion from a recording of the same, dB",
            "mcd/samples",
            "lower",
            "{mcd/recordings} between two recordings, {mcd/other_digits} of other digits",
        ),
        (
            "seconds of computing for each of sound",
            "real_time_factor",
            "lower",
            "1 is as long as it lasts",
        ),
    ),
)
PROTOCOL = TASK.protocol
Key = tuple[str, str]


def _recorded(count: int) -> dict[Key, list[Audio]]:
    """Held-out recordings by (word, speaker)."""
    found: dict[Key, list[Audio]] = defaultdict(list)
    for word, speaker, sound in digits.recordings("val"):
        found[word, speaker].append(resample(sound, RATE))
    return {key: sounds[: max(2, count)] for key, sounds in found.items()}


def _said(
    pipe: Pipeline, keys: Sequence[Key], count: int, seed: int, options: Mapping[str, Any]
) -> tuple[dict[Key, list[Audio]], float]:
    """Samples of each, and seconds of computing for each second of sound."""
    voiced = isinstance(pipe.encoder, CompositeEncoder) and "speaker" in pipe.encoder.parts
    found: dict[Key, list[Audio]] = defaultdict(list)
    spent = length = 0.0
    for i, (word, speaker) in enumerate(keys):
        y = {"text": word, "speaker": speaker} if voiced else word
        for n in range(count):
            started = time.perf_counter()
            sound = pipe(y, seed=seed + i * count + n, **options)
            spent += time.perf_counter() - started
            length += sound.samples.shape[1] / sound.sampling_rate
            found[word, speaker].append(resample(sound.mono(), RATE))
    return found, round(spent / length, 4)


def _told(
    sounds: Mapping[Key, Sequence[Audio]], judge: DigitJudge, recogniser: Recogniser
) -> dict[str, Any]:
    rows = [(key, sound) for key, group in sounds.items() for sound in group]
    keys, flat = [key for key, _ in rows], [sound for _, sound in rows]
    told, heard = judge.said(flat), recogniser.all_heard(flat)

    def share(words: Sequence[str], keep: str | None = None) -> dict[str, Any]:
        right = [w == key[0] for w, key in zip(words, keys, strict=True) if keep in (None, *key)]
        return Proportion(sum(right), len(right)).as_dict()

    return {
        "right": share(told),
        "recognised": share(heard),
        "by_digit": {name: share(told, name) for name in dict.fromkeys(k[0] for k in keys)},
        "by_speaker": {name: share(told, name) for name in dict.fromkeys(k[1] for k in keys)},
    }


def _distances(
    samples: Mapping[Key, Sequence[Audio]], recorded: Mapping[Key, Sequence[Audio]]
) -> dict[str, float]:
    def wave(sound: Audio) -> torch.Tensor:
        return torch.from_numpy(sound.samples[0])

    keys = list(recorded)
    found: dict[str, list[float]] = defaultdict(list)
    for i, key in enumerate(keys):
        first, second = map(wave, recorded[key][:2])
        others = [k for k in keys[i:] + keys[:i] if k[1] == key[1] and k[0] != key[0]]
        found["samples"].append(mel_cepstral_distortion(first, wave(samples[key][0])))
        found["recordings"].append(mel_cepstral_distortion(first, second))
        other = wave(recorded[others[0]][0])
        found["other_digits"].append(mel_cepstral_distortion(first, other))
    return {name: round(float(np.mean(values)), 4) for name, values in found.items()}


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = task_parser("digits", pipeline="text-to-audio:digits", description=__doc__)
    parser.add_argument("--count", type=int, default=5, help="of each digit and speaker")
    parser.add_argument("--judge-steps", type=int, default=400, help="of the classifier")
    chosen = parser.parse_args(given)
    if chosen.count < 1:
        parser.error(f"--count is at least 1, got {chosen.count}")
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
    recorded = _recorded(chosen.count)
    pipe = pipe or Pipeline.from_pretrained(chosen.pipeline, device=chosen.device)
    options = asked_options(chosen.option, pipe.options())
    learnt = digits.recordings("train")
    judge = DigitJudge(
        [sound for *_, sound in learnt], [word for word, *_ in learnt], steps=chosen.judge_steps
    )
    recogniser = Recogniser(digits_grammar())
    keys = list(recorded)
    _said(pipe, keys[:1], 1, chosen.seed, options)  # sets up what later calls find
    samples, factor = _said(pipe, keys, chosen.count, chosen.seed, options)
    scores: dict[str, Any] = {
        "samples": _told(samples, judge, recogniser),
        "recordings": _told(recorded, judge, recogniser),
        "mcd": _distances(samples, recorded),
        "real_time_factor": factor,
    }
    found = {name: scores[name]["right"] for name in ("samples", "recordings")}
    lines = [f"{k}: {Proportion(v['successes'], v['count'])} told right" for k, v in found.items()]
    return record_pipeline(
        chosen,
        "digits",
        protocol=PROTOCOL,
        settings={
            "options": options,
            "seed": chosen.seed,
            "count": chosen.count,
            "judge_steps": chosen.judge_steps,
        },
        scores=scores,
        lines=[*lines, f"{scores['mcd']}, real-time factor {factor}"],
    )


if __name__ == "__main__":
    main()
