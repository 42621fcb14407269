"""The reader of six voices takes one of them for its own, and needs no label for it.

The pairs are 180 sentences that kathleen reads (CC0 1.0, the set `kathleen`), each with its text
alone; 20 others are held out. The base knows her as one of six voices that a label asks for, and
without a label it speaks in any of them. So this is a new voice for what a text alone sounds like,
and not one that was never heard.

The judge says some held-out sentences without a label, and compares each with her recording by
mel-cepstral distortion.

    python -m benchmarks.finetuning.speech_voice
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from mmgen_pipelines.text_to_audio import speech

from benchmarks.finetuning.measured import Case, case_parser, finetuned
from mmgen.evaluation.metrics.mel_cepstral_distortion import mel_cepstral_distortion
from mmgen.evaluation.task import Task
from mmgen.pipeline import Pipeline
from mmgen.training.pairs import ListedPairs

__all__ = ["TASK", "main", "pairs"]

TASK = Task(
    summary="The reader of six voices takes one of them for its own.",
    protocol=1,
    minutes=6,
    quick=("--quick",),
    quick_minutes=1,
    quick_note="three steps",
    pipeline="text-to-audio:speech",
    x="audio",
    y=("text", "speaker"),
    data=("kathleen",),
    shown=(
        ("loss on held-out sentences", "loss/after", "lower", "{loss/before} before"),
        ("mel-cepstral distortion, dB", "distortion/after", "lower", "{distortion/before} before"),
    ),
)

SETTINGS = {
    "steps": 120,
    "batch_size": 8,
    "learning_rate": 2e-4,
    "warmup": 10,
    "ema": 0.98,
    "by_length": 10,
    "validate_every": 40,
}
VOICE = "kathleen"
_JUDGED, _QUICKLY = 10, 1


def pairs(split: str) -> ListedPairs:
    """Pairs (text, sound) of the voice: "train" or "val"."""
    return ListedPairs(speech.recordings(VOICE, split))


def main(arguments: Sequence[str] | None = None) -> Path:
    """Fine-tune and measure; write benchmarks/results/finetuning_speech_voice.json."""
    asked = case_parser("speech_voice", TASK, __doc__).parse_args(arguments)
    held_out = pairs("val")
    count = min(_QUICKLY if asked.quick else _JUDGED, len(held_out))
    said = [held_out.pair(i, np.random.default_rng(0)) for i in range(count)]

    def judge(pipe: Pipeline) -> Mapping[str, float]:
        sounds = pipe([text for text, _ in said], seed=0)
        apart = [
            mel_cepstral_distortion(*(torch.from_numpy(s.samples[0]) for s in (sound, recording)))
            for sound, (_, recording) in zip(sounds, said, strict=True)
        ]
        return {"distortion": round(float(np.mean(apart)), 3)}

    case = Case(
        name="speech_voice",
        task=TASK,
        learnt=pairs("train"),
        held_out=held_out,
        settings=SETTINGS,
        judge=judge,
        repeats=2,
    )
    return finetuned(case, asked)[0]


if __name__ == "__main__":
    main()
