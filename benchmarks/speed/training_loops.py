"""The same steps of training by `mmgen.training.fit`, by transformers' Trainer and by a plain loop.

Each takes a checkpoint and pairs and gives the seconds of its steps, the first ones left out. All
use fused AdamW, clip gradients at 1 and prepare their batches in the same process. `fit` keeps no
running average of weights here, since the others have none.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from mmgen.pipeline import Pipeline
from mmgen.training import fit
from mmgen.training.pairs import Pairs

__all__ = ["Work", "by_diffusers_loop", "by_fit", "by_trainer"]

RATE = 1e-5


@dataclass(frozen=True)
class Work:
    """What is trained, and how long.

    Args:
        folder: The checkpoint.
        pairs: What from.
        batch_size: Pairs in a step.
        steps: How many to time.
        skipped: How many to take before.
        precision: "no" or "bf16".
    """

    folder: Path
    pairs: Sequence[tuple[Any, Any]]
    batch_size: int
    steps: int
    skipped: int
    precision: str

    def batch(self, step: int) -> list[tuple[Any, Any]]:
        """The pairs of a step, one after another and over again."""
        first = step * self.batch_size
        places = range(first, first + self.batch_size)
        return [self.pairs[place % len(self.pairs)] for place in places]


class _Enough(Exception):
    """All steps were timed."""


class _Stamped(Pairs):
    """Pairs that note when each batch begins to be read. They count as drawn, so none is kept."""

    def __init__(self, work: Work) -> None:
        self._work, self._read = work, 0
        self.times: list[float] = []

    def __len__(self) -> int:
        return len(self._work.pairs)

    def pair(self, index: int, rng: np.random.Generator) -> tuple[Any, Any]:
        # The very first one is read for statistics.
        if self._read and (self._read - 1) % self._work.batch_size == 0:
            self.times.append(_now())
            if len(self.times) > self._work.skipped + self._work.steps:
                raise _Enough
        self._read += 1
        return self._work.pairs[index]


def by_fit(work: Work) -> list[float]:
    """Seconds of each step of `fit`."""
    pipe = Pipeline.from_pretrained(work.folder)
    stamped = _Stamped(work)
    with tempfile.TemporaryDirectory() as output:
        try:
            fit(
                pipe,
                stamped,
                output=output,
                steps=10**6,
                batch_size=work.batch_size,
                learning_rate=RATE,
                precision=work.precision,
                ema=0.0,
                statistics_from=1,
                checkpoint_every=10**6,
                sample_every=0,
                progress=False,
            )
        except _Enough:
            return _seconds(stamped.times, work)
    raise RuntimeError("fit ended before all of its steps were timed.")


def by_trainer(work: Work) -> list[float]:
    """Seconds of each step of transformers' Trainer, on a causal language model."""
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained(work.folder)
    end = [tokenizer.eos_token_id]
    rows = [torch.tensor(end + tokenizer(x)["input_ids"] + end) for _, x in work.pairs]
    times: list[float] = []

    class Stamps(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            times.append(_now())

    with tempfile.TemporaryDirectory() as output:
        Trainer(
            model=AutoModelForCausalLM.from_pretrained(work.folder),
            args=TrainingArguments(
                output_dir=output,
                per_device_train_batch_size=work.batch_size,
                max_steps=work.skipped + work.steps + 1,
                learning_rate=RATE,
                lr_scheduler_type="cosine",
                bf16=work.precision == "bf16",
                use_cpu=not torch.cuda.is_available(),
                optim="adamw_torch_fused",
                max_grad_norm=1.0,
                save_strategy="no",
                logging_strategy="no",
                report_to=[],
                disable_tqdm=True,
            ),
            train_dataset=[{"input_ids": row, "labels": row} for row in rows],
            callbacks=[Stamps()],
        ).train()
    return _seconds(times, work)


def by_diffusers_loop(work: Work) -> list[float]:
    """Seconds of each step of a loop written with diffusers' parts and Accelerate alone."""
    import diffusers
    from accelerate import Accelerator

    pipeline = diffusers.DiffusionPipeline.from_pretrained(work.folder)
    schedule = diffusers.DDPMScheduler.from_config(pipeline.scheduler.config)
    accelerator = Accelerator(mixed_precision=work.precision)
    pipeline.vae.requires_grad_(False).to(accelerator.device)
    pipeline.text_encoder.requires_grad_(False).to(accelerator.device)
    own = torch.optim.AdamW(pipeline.unet.parameters(), lr=RATE, fused=True)
    unet, optimizer = accelerator.prepare(pipeline.unet.train(), own)
    times = []
    for step in range(work.skipped + work.steps + 1):
        times.append(_now())
        texts, images = zip(*work.batch(step), strict=True)
        pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
        pixels = pixels.to(accelerator.device).permute(0, 3, 1, 2) / 127.5 - 1
        ids = pipeline.tokenizer(
            list(texts), padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids.to(accelerator.device)
        with torch.no_grad():
            z = pipeline.vae.encode(pixels).latent_dist.sample()
            z = z * pipeline.vae.config.scaling_factor
            c = pipeline.text_encoder(ids)[0]
        eps = torch.randn_like(z)
        t = torch.randint(0, len(schedule), (len(z),), device=z.device)
        found = unet(schedule.add_noise(z, eps, t), t, c).sample
        accelerator.backward(F.mse_loss(found.float(), eps))
        accelerator.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return _seconds(times, work)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _seconds(times: Sequence[float], work: Work) -> list[float]:
    return np.diff(times)[-work.steps :].tolist()
