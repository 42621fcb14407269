"""How near do sounds come back from their mel frames?

A vocoder learns the speech of two voices by errors of spectra, then (with --adversarial-steps) also
against a discriminator. Clips that it has never heard go to log-mel frames and back, by it and by
Griffin-Lim, which learns nothing:

- mel_distance: in decades, over windows of 2 to 128 ms at 16 kHz; 0 is best;
- log_spectral_distance: in bels; 0 is best. Of two independent noises of the same spectrum it is
  0.79, and less if one is smooth instead, so that it rewards blurring;
- real_time_factor: seconds of computing for each second of sound, one clip at a time.

    OMP_NUM_THREADS=1 ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 \\
        -m benchmarks.tasks.vocoder --steps 3000 --adversarial-steps 900

Reads the sets `ljspeech` and `kathleen` below the folder that MMGEN_DATA names. Of the steps that
alternate, each counts. The trained vocoder is left in --model as vocoder.safetensors and mel.json,
and --take measures it again; samples.wav holds a clip of each voice itself, by Griffin-Lim, and by
the vocoder. With torchrun, --batch is that of each process, and the first one measures. On two
cores, this takes an estimated forty minutes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from torch import Tensor, nn

from benchmarks.arguments import training_parser
from benchmarks.speech import read_speech
from mmgen.core.errors import LoadError
from mmgen.core.files import read_json, read_tensors, write_beside
from mmgen.evaluation.record import write_result
from mmgen.evaluation.spectra import log_spectral_distance, mel_distance
from mmgen.evaluation.task import Task
from mmgen.modalities.audio import Audio, GriffinLim, MelSpec, codec, in_a_row, save
from mmgen.nn.discriminator import SpectralDiscriminator
from mmgen.nn.mel import MelTransform
from mmgen.nn.vocoder import Vocoder
from mmgen.training import Vocoding, fit

__all__ = ["TASK", "main"]

TASK = Task(
    summary="How near do sounds come back from their mel frames?",
    protocol=1,
    minutes=40,
    quick=(
        "--size=debug",
        "--steps=3",
        "--batch=2",
        "--piece=0.25",
        "--count=2",
        "--model=runs/bench/quick/models/vocoder",
    ),
    quick_minutes=2,
    quick_note="a tiny vocoder that learns nothing",
    data=("ljspeech", "kathleen"),
    needs=(("soundfile", "audio"),),
    shown=(
        (
            "mel distance of copies, decades",
            "vocoder/mel_distance",
            "lower",
            "{griffin_lim/mel_distance} by Griffin-Lim",
        ),
        (
            "log-spectral distance, bels",
            "vocoder/log_spectral_distance",
            "lower",
            "{griffin_lim/log_spectral_distance} by Griffin-Lim, 0.79 of independent noises",
        ),
        (
            "seconds of computing for each of sound",
            "vocoder/real_time_factor",
            "lower",
            "{griffin_lim/real_time_factor} by Griffin-Lim",
        ),
    ),
)
PROTOCOL = TASK.protocol
SPLIT_SEED = 20_265
VOICES = ("ljspeech", "kathleen")
SIZES = {"debug": {"dim": 32, "depth": 2}, "small": {"dim": 256, "depth": 5}}
WEIGHTS, DEFINITION = "vocoder.safetensors", "mel.json"
# Both stages; the second begins with what the first has learnt.
TRAINING = {"warmup": 100, "checkpoint_every": 250, "sample_every": 0}
LEARNING_RATES = {"reconstruction": 2e-3, "adversarial": 3e-4}


def _train(vocoder: Vocoder, clips: Sequence[Audio], chosen: argparse.Namespace) -> None:
    pairs = [(None, clip) for clip in clips]
    tasks: dict[str, tuple[int, Vocoding]] = {
        "reconstruction": (chosen.steps, Vocoding(vocoder, seconds=chosen.piece))
    }
    if chosen.adversarial_steps:
        sizes = [vocoder.mel.fft // 2, vocoder.mel.fft, 2 * vocoder.mel.fft]
        discriminator = SpectralDiscriminator(sizes, dim=8 if chosen.size == "debug" else 32)
        adversarial = Vocoding(vocoder, discriminator=discriminator, seconds=chosen.piece)
        tasks["adversarial"] = (chosen.adversarial_steps, adversarial)
    for stage, (steps, task) in tasks.items():
        fit(
            task,
            pairs,
            output=chosen.model / stage,
            steps=steps,
            batch_size=chosen.batch,
            seed=chosen.seed,
            learning_rate=LEARNING_RATES[stage],
            **TRAINING,
        )


def _take(vocoder: Vocoder, folder: Path) -> None:
    """Weights that an earlier run left."""
    try:
        found = MelSpec(**read_json(folder / DEFINITION))
    except (TypeError, ValueError) as error:
        raise LoadError(f"{folder / DEFINITION} defines no mel spectrogram: {error}") from None
    if found != vocoder.mel:
        differences = "; ".join(found.differences(vocoder.mel))
        raise LoadError(f"The vocoder in {folder} is for other frames: {differences}.")
    try:
        vocoder.load_state_dict(dict(read_tensors(folder / WEIGHTS)))
    except RuntimeError:
        raise LoadError(f"The vocoder in {folder} is of another size; see --size.") from None


def _leave(vocoder: Vocoder, folder: Path) -> None:
    from safetensors.torch import save as to_bytes

    tensors = {k: v.detach().cpu().contiguous() for k, v in vocoder.state_dict().items()}
    write_beside(folder / WEIGHTS, to_bytes(tensors))
    write_beside(folder / DEFINITION, json.dumps(vocoder.mel.as_dict(), indent=1).encode())


@torch.no_grad()
def _copies(vocoder: nn.Module, clips: Sequence[Tensor]) -> tuple[list[Tensor], float]:
    """Clips (1, N) as they come back, and seconds of computing for each second of sound."""
    transform = MelTransform(vocoder.mel)
    copies, taken = [], 0.0
    vocoder.decode(transform(clips[0]))  # the first call of all sets up what later ones find
    for x in clips:
        frames = transform(x)
        started = time.perf_counter()
        y = vocoder.decode(frames)
        taken += time.perf_counter() - started
        copies.append(y[:, : x.shape[1]].float().clamp(-1, 1))
    return copies, taken * vocoder.mel.sampling_rate / sum(x.shape[1] for x in clips)


def _scores(
    clips: Sequence[Tensor], copies: Sequence[Tensor], voices: Sequence[str], rate: int
) -> dict[str, Any]:
    """Means over clips, and over those of each voice."""
    both = list(zip(clips, copies, strict=True))
    distances = {
        "mel_distance": [float(mel_distance(x, y, sampling_rate=rate)) for x, y in both],
        "log_spectral_distance": [float(log_spectral_distance(x, y)) for x, y in both],
    }
    found: dict[str, Any] = {}
    for name, each in distances.items():
        spread = float(np.std(each, ddof=1)) if len(each) > 1 else 0.0
        found[name] = {
            "mean": round(float(np.mean(each)), 5),
            "std_error": round(spread / len(each) ** 0.5, 5),
        } | {
            voice: round(
                float(np.mean([d for d, v in zip(each, voices, strict=True) if v == voice])), 5
            )
            for voice in dict.fromkeys(voices)
        }
    return found


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = training_parser("vocoder", description=__doc__)
    parser.set_defaults(steps=3000)
    parser.add_argument("--adversarial-steps", type=int, default=0, help="after those, in turns")
    parser.add_argument("--batch", type=int, default=16, help="pieces in a step")
    parser.add_argument("--piece", type=float, default=1.0, help="length of a piece in s")
    parser.add_argument("--count", type=int, default=20, help="clips of each voice held out")
    parser.add_argument("--take", type=Path, help="folder of a vocoder to measure, untrained")
    chosen = parser.parse_args(given)
    if chosen.size not in SIZES:
        parser.error(f"--size is one of {', '.join(SIZES)}, got {chosen.size!r}")
    if chosen.count < 1 or chosen.adversarial_steps < 0:
        parser.error("--count is at least 1 and --adversarial-steps at least 0")
    return chosen


def main(given: Sequence[str] | None = None) -> Path:
    """Run the task and write its result.

    Args:
        given: Arguments of the command line; those of this process if None.

    Returns:
        The JSON file.
    """
    chosen = _arguments(given)
    torch.manual_seed(chosen.seed)
    vocoder = Vocoder(codec(chosen.size).mel, **SIZES[chosen.size])
    rate = vocoder.mel.sampling_rate
    train: list[Audio] = []
    held_out: list[tuple[str, Audio]] = []
    for voice in VOICES:
        clips = read_speech(voice, sampling_rate=rate)
        order = np.random.default_rng(SPLIT_SEED).permutation(len(clips))
        held_out += [(voice, clips[i]) for i in order[: chosen.count]]
        train += [clips[i] for i in order[chosen.count :]]
    path = chosen.output / "vocoder.json"
    if chosen.take is None:
        _train(vocoder, train, chosen)
        state = PartialState()
        chosen.processes, first = state.num_processes, state.is_main_process
        state.destroy_process_group()
        if not first:
            return path
        _leave(vocoder.cpu(), chosen.model)
    else:
        _take(vocoder, chosen.take)
    sounds = [torch.from_numpy(clip.samples) for _, clip in held_out]
    scores, heard = {}, [sounds]
    for name, method in (("griffin_lim", GriffinLim(vocoder.mel)), ("vocoder", vocoder.eval())):
        copies, factor = _copies(method, sounds)
        heard.append(copies)
        scores[name] = _scores(sounds, copies, [voice for voice, _ in held_out], rate)
        scores[name]["real_time_factor"] = round(factor, 5)
    chosen.output.mkdir(parents=True, exist_ok=True)
    _write(path, chosen, vocoder, scores)
    some = [group[i] for i in (0, len(sounds) - 1) for group in heard]
    chosen.model.mkdir(parents=True, exist_ok=True)
    save(in_a_row([Audio(x.numpy(), rate) for x in some]), chosen.model / "samples.wav")
    print(f"{'':<14}{'mel distance':>14}{'log-spectral':>14}{'real-time':>12}")
    for name, row in scores.items():
        cells = [row[key]["mean"] for key in ("mel_distance", "log_spectral_distance")]
        print(f"{name:<14}{cells[0]:14.4f}{cells[1]:14.4f}{row['real_time_factor']:12.4f}")
    print(path)
    return path


def _write(
    path: Path, chosen: argparse.Namespace, vocoder: Vocoder, scores: dict[str, Any]
) -> None:
    names = ["size", "count"]
    if chosen.take is None:
        names += ["steps", "adversarial_steps", "batch", "piece", "processes", "seed"]
    else:
        names.append("take")
    settings: dict[str, Any] = {name: getattr(chosen, name) for name in names}
    settings |= {"voices": list(VOICES), "split_seed": SPLIT_SEED, "mel": vocoder.mel.as_dict()}
    settings["parameters"] = sum(p.numel() for p in vocoder.parameters())
    write_result(path, task="vocoder", protocol=PROTOCOL, settings=settings, scores=scores)


if __name__ == "__main__":
    main()
