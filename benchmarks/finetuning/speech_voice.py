"""The reader of four voices, all of a program, learns that of a person whom it never heard.

The pairs are 180 sentences that kathleen reads (CC0 1.0, the set `kathleen`), each with its text
alone; 20 others are held out. The base speaks in one of four voices that a label asks for, and
without a label in any of them. (Its vocoder, which is frozen here, has heard her.) So that it does
not forget how words sound that she does not read, 540 of its own sentences, with their labels, are
learnt again beside hers: the program flite says them, into the folder that MMGEN_SPEECH names.

The judge says the held-out sentences without a label, compares each with her recording by
mel-cepstral distortion, and counts the words that an offline recogniser, pocketsphinx, hears wrong,
beside those of her recordings.

    python -m benchmarks.finetuning.speech_voice
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmgen_pipelines.text_to_audio import speech

from benchmarks.finetuning.measured import Case, case_parser, finetuned
from benchmarks.recognition import Recogniser
from mmgen.evaluation.metrics.mel_cepstral_distortion import mel_cepstral_distortion
from mmgen.evaluation.metrics.word_errors import word_errors
from mmgen.evaluation.task import Task
from mmgen.pipeline import Pipeline
from mmgen.training.pairs import ListedPairs

__all__ = ["TASK", "main", "pairs"]

TASK = Task(
    summary="The reader of four voices learns the voice of a person.",
    protocol=3,
    minutes=9,
    quick=("--quick",),
    quick_minutes=1,
    quick_note="three steps",
    pipeline="text-to-audio:speech",
    x="audio",
    y=("text", "speaker"),
    data=("kathleen",),
    needs=(("soundfile", "audio"), ("pocketsphinx", "bench"), ("jiwer", "bench")),
    shown=(
        ("loss on held-out sentences", "loss/after", "lower", "{loss/before} before"),
        ("mel-cepstral distortion, dB", "distortion/after", "lower", "{distortion/before} before"),
        ("words heard wrong", "wrong/after", "lower", "{wrong/real} of her recordings"),
    ),
)

SETTINGS = {
    "steps": 360,
    "batch_size": 16,
    "optimizer": "muon",
    "learning_rate": 7e-4,
    "warmup": 20,
    "ema": 0.98,
    "by_length": 10,
    "validate_every": 60,
}
VOICE = "kathleen"
_JUDGED, _QUICKLY = 20, 1


def pairs(split: str, *, rehearsed: int = 540) -> ListedPairs:
    """Pairs (text, sound) of the voice: "val", or "train" with so many of the base's own."""
    own: list[tuple[Any, Any]] = list(speech.recordings(VOICE, split))
    if split == "train":
        known = speech.pairs("train", count=rehearsed)
        own += [known.pair(i, np.random.default_rng(0)) for i in range(rehearsed)]
    return ListedPairs(own)


def main(arguments: Sequence[str] | None = None) -> Path:
    """Fine-tune and measure; write benchmarks/results/finetuning_speech_voice.json."""
    asked = case_parser("speech_voice", TASK, __doc__).parse_args(arguments)
    held_out = pairs("val")
    count = min(_QUICKLY if asked.quick else _JUDGED, len(held_out))
    said = [held_out.pair(i, np.random.default_rng(0)) for i in range(count)]
    texts, recogniser = [text for text, _ in said], Recogniser()

    def judge(pipe: Pipeline) -> Mapping[str, float]:
        sounds = pipe(texts, seed=0)
        apart = [
            mel_cepstral_distortion(*(torch.from_numpy(s.samples[0]) for s in (sound, recording)))
            for sound, (_, recording) in zip(sounds, said, strict=True)
        ]
        heard = recogniser.all_heard(sounds)
        return {
            "distortion": round(float(np.mean(apart)), 3),
            "wrong": word_errors(heard, texts)["wer"],
        }

    case = Case(
        name="speech_voice",
        task=TASK,
        learnt=pairs("train", rehearsed=_QUICKLY) if asked.quick else pairs("train"),
        held_out=held_out,
        settings=SETTINGS,
        judge=judge,
        repeats=2,
        real={"wrong": word_errors(recogniser.all_heard([x for _, x in said]), texts)["wer"]},
    )
    return finetuned(case, asked)[0]


if __name__ == "__main__":
    main()
