"""What mmgen's door costs over a library's own call, on checkpoints that others would have made.

A language model in the shape of GPT-2 and a text-to-image pipeline in that of Stable Diffusion,
both of more than a hundred million random weights, are saved as their libraries save them and
loaded twice: by `mmgen.Pipeline.from_pretrained` and by the library. The same prompt, the same
options and the same seed, timed in turns in one run; what comes out is compared, too. Of the text,
the bytes of weights that a token needs, times the tokens in a second, are put over the rate at
which the machine reads its memory, measured in the same turns.

    python -m benchmarks.speed.checkpoints --repeats 9
    python -m benchmarks.speed.checkpoints --size debug --repeats 1
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.speed.limits import gigabytes_per_second, reading, weight_bytes
from benchmarks.speed.memory import peak_of
from benchmarks.speed.timing import Spread, interleave, ratio
from mmgen.evaluation.record import write_result
from mmgen.evaluation.task import Task
from mmgen.pipeline import Pipeline

__all__ = ["TASK", "main"]

TASK = Task(
    summary="The same checkpoints of 100 M weights through mmgen and by their library's own call.",
    protocol=1,
    minutes=5,
    quick=("--size", "debug", "--repeats", "1"),
    quick_minutes=0.5,
    quick_note="tiny networks",
    shown=(
        (
            "time of a text of GPT-2 over that by transformers",
            "text-generation/ratio",
            "lower",
            "1; at most 1.03 is asked for",
        ),
        (
            "share of the rate of reading memory that a text of GPT-2 reaches",
            "text-generation/share_of_limit/mmgen",
            "higher",
            "{text-generation/share_of_limit/library} by transformers",
        ),
        (
            "peak memory of a text of GPT-2, MB",
            "text-generation/peak_memory_mb/mmgen",
            "lower",
            "{text-generation/peak_memory_mb/library} by transformers",
        ),
        (
            "time of an image of Stable Diffusion over that by diffusers",
            "text-to-image/ratio",
            "lower",
            "1; at most 1.03 is asked for",
        ),
    ),
)
PROTOCOL = TASK.protocol
MAX_OVERHEAD = 0.03
PROMPT = "a red circle left of a blue square"
STEPS = 8
SPECIAL = ["<|startoftext|>", "<|endoftext|>"]

Case = Callable[[], Any]


@dataclass(frozen=True)
class Size:
    """How large the checkpoints are, and how much is asked of them.

    Args:
        layers: Of the language model.
        width: Of its states.
        channels: Of each level of the U-Net.
        heads: Features of a head of its attention.
        new_tokens: Of the text.
        least: Parameters that each has at the least.
        read_mb: Megabytes that are read to measure the rate of it.
        peaks: Whether peak memory is measured.
    """

    layers: int
    width: int
    channels: tuple[int, int, int]
    heads: int
    new_tokens: int
    least: float
    read_mb: int
    peaks: bool


SIZES = {
    "debug": Size(
        layers=2, width=48, channels=(32, 32, 64), heads=8, new_tokens=8, least=0, read_mb=8,
        peaks=False,
    ),
    "full": Size(
        layers=12, width=768, channels=(192, 384, 544), heads=8, new_tokens=64, least=100e6,
        read_mb=256, peaks=True,
    ),
}  # fmt: skip


def _words() -> Any:
    """Merges of bytes, those of the prompt among them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    inner = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=SPECIAL[1]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        end_of_word_suffix="</w>",
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator([PROMPT], trainer)
    return inner


def _language_model(folder: Path, size: Size) -> int:
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_words(), bos_token=SPECIAL[1], eos_token=SPECIAL[1]
    )
    own = {"n_layer": size.layers, "n_embd": size.width}
    config = GPT2Config(bos_token_id=1, eos_token_id=1, **own)
    model = GPT2LMHeadModel(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.num_parameters()


def _diffusion_model(folder: Path, size: Size) -> int:
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    (folder / "words").mkdir(parents=True)
    _words().model.save(str(folder / "words"))
    tokenizer = CLIPTokenizer(
        vocab=str(folder / "words" / "vocab.json"),
        merges=str(folder / "words" / "merges.txt"),
        model_max_length=77,
    )
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=256,
            intermediate_size=1024,
            num_hidden_layers=4,
            num_attention_heads=4,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    unet = diffusers.UNet2DConditionModel(
        sample_size=16,
        block_out_channels=size.channels,
        layers_per_block=2,
        cross_attention_dim=256,
        attention_head_dim=size.heads,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(32, 64, 64),
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
    )
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
    )
    diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return unet.num_parameters()


def _text_library(folder: Path, new_tokens: int) -> Callable[[int], str]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def library(_: int) -> str:
        inputs = tokenizer(PROMPT, return_tensors="pt")
        asked = {"max_new_tokens": new_tokens, "pad_token_id": tokenizer.eos_token_id}
        ids = model.generate(**inputs, do_sample=False, **asked)
        new = ids[0, inputs["input_ids"].shape[1] :]
        return tokenizer.decode(new, skip_special_tokens=True)

    return library


def _text_own(folder: Path, new_tokens: int) -> Callable[[int], str]:
    pipe = Pipeline.from_pretrained(folder)
    return lambda _: pipe(PROMPT, temperature=0.0, max_new_tokens=new_tokens)


WAYS = {"mmgen": _text_own, "library": _text_library}
"""From a checkpoint and a number of tokens to what writes a text."""


def _text_cases(folder: Path, size: Size) -> tuple[Case, Case]:
    ours, library = (way(folder, size.new_tokens) for way in WAYS.values())
    return lambda: ours(1), lambda: library(1)


def _image_cases(folder: Path, size: Size) -> tuple[Case, Case]:
    import diffusers

    pipe = Pipeline.from_pretrained(folder)
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)

    def library() -> np.ndarray:
        generator = torch.Generator().manual_seed(0)
        found = pipeline(PROMPT, num_inference_steps=STEPS, generator=generator)
        return np.asarray(found.images[0])

    return lambda: np.asarray(pipe(PROMPT, num_inference_steps=STEPS, seed=0)), library


CHECKPOINTS = {
    "text-generation": (_language_model, _text_cases),
    "text-to-image": (_diffusion_model, _image_cases),
}


def _text_limit(folder: Path, size: Size, seconds: dict[str, list[float]]) -> dict[str, Any]:
    """How near a text comes to the rate at which memory is read, and its peak memory."""
    from transformers import AutoModelForCausalLM

    needed = weight_bytes(AutoModelForCausalLM.from_pretrained(folder))
    _, num_bytes = reading(size.read_mb)
    bandwidth = Spread.of(gigabytes_per_second(num_bytes, seconds["memory"]))
    read = {n: Spread.of([size.new_tokens * needed / s / 1e9 for s in seconds[n]]) for n in WAYS}
    child = ["-m", "benchmarks.speed.decoding_memory", "checkpoints"]
    peaks = {
        name: peak_of([*child, name, str(folder), str(size.new_tokens)], what=name)
        for name in WAYS
        if size.peaks
    }
    return {
        "bytes_per_token": needed,
        "gigabytes_per_second": bandwidth.as_dict(),
        "share_of_limit": {n: round(own.median / bandwidth.median, 4) for n, own in read.items()},
        "peak_memory_mb": peaks or None,
    }


def _same(one: Any, other: Any) -> bool:
    """Whether texts are the same, or pictures but for a level: sums may round otherwise."""
    if isinstance(one, str):
        return one == other
    a, b = (np.asarray(image).astype(int) for image in (one, other))
    return a.shape == b.shape and int(np.abs(a - b).max()) <= 1


def main(arguments: list[str] | None = None) -> Path:
    """Measure, and write benchmarks/results/speed_checkpoints.json."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.speed.checkpoints",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", choices=sorted(SIZES), default="full")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    settings = parser.parse_args(arguments)
    size = SIZES[settings.size]
    scores: dict[str, Any] = {}
    for name, (build, cases) in CHECKPOINTS.items():
        with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made = Path(folder) / "made"
            count = build(made, size)
            if count < size.least:
                raise RuntimeError(f"{name} has {count / 1e6:.0f} M parameters, not 100 M.")
            ours, library = cases(made, size)
            same = _same(ours(), library())
            print(f"{name}, {count / 1e6:.0f} M, {settings.repeats} times ...", file=sys.stderr)
            timed = {"mmgen": ours, "library": library, "memory": reading(size.read_mb)[0]}
            seconds = interleave(timed, settings.repeats)
            limit = _text_limit(made, size, seconds) if name == "text-generation" else {}
        overhead = Spread.of(ratio(seconds["mmgen"], seconds["library"]))
        scores[name] = {
            "parameters": count,
            "same_output": bool(same),
            "mmgen_seconds": Spread.of(seconds["mmgen"]).as_dict(),
            "library_seconds": Spread.of(seconds["library"]).as_dict(),
            "ratio": overhead.as_dict(),
            "within": bool(overhead.median <= 1 + MAX_OVERHEAD),
            **limit,
        }
        print(f"{name:16} mmgen / library {overhead.median:.3f}, same output: {same}")
    return write_result(
        settings.output / "speed_checkpoints.json",
        task="speed of checkpoints",
        protocol=PROTOCOL,
        settings={
            "size": settings.size,
            "repeats": settings.repeats,
            "new_tokens": size.new_tokens,
            "steps": STEPS,
            "threads": torch.get_num_threads(),
            "cores_allowed": len(os.sched_getaffinity(0)),
        },
        scores=scores,
    )


if __name__ == "__main__":
    main()
