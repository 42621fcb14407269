"""The loop itself: the steps of one run, and what is written of them."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, gather_object
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmgen.adapter import Adapter
from mmgen.core.errors import SpecError
from mmgen.learner import Learner
from mmgen.modalities import modality
from mmgen.pipeline import Pipeline
from mmgen.training import parting
from mmgen.training.batches import Batches
from mmgen.training.checkpoint import load_assets, load_checkpoint, save_checkpoint
from mmgen.training.describing import Machine, described, first_card
from mmgen.training.dropout import dropout, dropout_layers
from mmgen.training.ema import WeightAverage
from mmgen.training.encodings import Encodings, Kept, frozen_parts
from mmgen.training.interrupting import Interruption, ignore_interrupts, put_off
from mmgen.training.lengths import OrderByLength, read_lengths
from mmgen.training.losses import Losses
from mmgen.training.machine import (
    attention,
    chosen_precision,
    compile_networks,
    memory_gb,
    progress_bar,
    require_known,
    require_tensorboard,
)
from mmgen.training.moving import moved_to
from mmgen.training.optimizers import optimizers_of
from mmgen.training.pairs import Pairs, batch_at, index_at
from mmgen.training.parting import Undo
from mmgen.training.settings import TrainSettings
from mmgen.training.streaming import StreamedPairs
from mmgen.training.trainable import Trainable
from mmgen.training.validation import Validation

__all__ = ["Run", "Step"]

_ENCODED = "encoded"


class Step(nn.Module):
    """The whole loss as one module's forward, which is what data-parallel wrappers hook."""

    def __init__(self, pipe: Trainable) -> None:
        super().__init__()
        self.parts = pipe.parts
        self._pipe = pipe

    @property
    def _no_split_modules(self) -> list[str]:
        """Classes of blocks that libraries say to part one by one; Accelerate looks for it."""
        parts = list(self.parts.modules())
        named = {n for part in parts for n in getattr(part, "_no_split_modules", None) or ()}
        return sorted(named & {type(part).__name__ for part in parts})

    def forward(
        self,
        tensors: Mapping[str, Any],
        seed: int,
        phase: str | None,
        condition_dropout: float | None = None,
    ) -> Tensor:
        generator = torch.Generator("cpu").manual_seed(seed)
        turn: dict[str, Any] = {} if phase is None else {"phase": phase}
        if condition_dropout is not None:
            turn["condition_dropout"] = condition_dropout
        return self._pipe.loss(tensors, generator=generator, **turn).mean()


class Run:
    """One run of training.

    Args:
        pipe: What is trained, in place.
        pairs: What from.
        settings: How.
        output: Folder of checkpoints, log and samples. None for steps that leave nothing on disk
            and do not move the average, so that the weights can be had back from it.
        preview: Conditions to draw samples for.
        validation: Pairs to measure on.
    """

    def __init__(
        self,
        pipe: Trainable,
        pairs: Pairs | StreamedPairs,
        settings: TrainSettings,
        *,
        output: Path | None,
        preview: Sequence[Any] = (),
        validation: Pairs | None = None,
    ) -> None:
        if settings.by_length and isinstance(pairs, StreamedPairs):
            raise ValueError(
                "by_length sorts by lengths that are known before; those of a stream are not. "
                "Leave it out, or give pairs that have a number and an index."
            )
        if settings.statistics == "new" and not isinstance(pipe, Learner):
            raise TypeError(f"Statistics are those of a pipeline, got {type(pipe).__name__}.")
        dropout_layers(pipe.parts, settings.dropout)
        self.pipe, self.pairs, self.output, self.settings = pipe, pairs, output, settings
        self.preview = list(preview)
        self.phases: tuple[str | None, ...] = pipe.phases or (None,)
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
        logged = settings.tensorboard and output is not None
        # Accelerate keeps the precision of the first run of a process; this may be another.
        AcceleratorState._reset_state()
        self.accelerator = Accelerator(
            mixed_precision=chosen_precision(settings.precision),
            gradient_accumulation_steps=settings.accumulation,
            log_with="tensorboard" if logged else None,
            project_dir=output,
            # In one phase the parameters of the others are not used.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)]
            if len(self.phases) > 1
            else None,
        )
        version = 2 if self.accelerator.is_fsdp2 else 1
        require_known(self.accelerator.distributed_type, fsdp_version=version)
        if logged:
            require_tensorboard()
            self.accelerator.init_trackers("tensorboard")
        self._fit_statistics()
        step = Step(pipe)
        self._undo = Undo(step)
        own = optimizers_of(pipe, step, settings, precision=self.accelerator.mixed_precision)
        self.step, *self.optimizers = parting.prepared(self.accelerator, step, own)
        self.bare = self.accelerator.unwrap_model(self.step)
        self.parted = any(map(parting.is_parted, self.bare.parameters()))
        if self.parted:
            self._require_whole_nowhere()
        self.average = WeightAverage(self.bare, decay=settings.ema)
        self.validation = None
        if validation is not None:
            own = {"average": self.average, "folder": output / "best", "settings": settings}
            step = self.step if self.parted else None
            self.validation = Validation(pipe, validation, step=step, **own)
        if settings.compile:
            compile_networks(pipe.parts)
        self._order: Callable[[int], int] | None = None
        self._encodings: Encodings | None = None
        self._interruption = Interruption()

    def _require_whole_nowhere(self) -> None:
        """Refuse what would need all weights in one place.

        Raises:
            SpecError: If there is some.
        """
        needs = {
            "preview": bool(self.preview),
            'optimizer="muon"': self.settings.optimizer == "muon",
            "a dry run": self.output is None,
        }
        for name, asked in needs.items():
            if asked:
                raise SpecError(
                    f"{name} needs whole weights, and each process has a share of them. Leave it "
                    "out, or start the run with copies: accelerate launch --multi_gpu."
                )

    def _fit_statistics(self) -> None:
        if not (self.pipe.needs_statistics or isinstance(self.pipe, Pipeline)):
            return
        if self.output is not None and load_assets(self.output / "checkpoint", self.pipe.parts):
            # The pairs may be others by now, the vocabulary must not.
            return
        most = self.settings.statistics_from
        if isinstance(self.pairs, StreamedPairs):
            found = self.pairs.first(most)
        else:
            count = min(most, max(len(self.pairs), 256))
            # Far from where training starts, so that simulated pairs are other ones; where an epoch
            # begins, so that of few pairs none is left out.
            first = 2**40 - 2**40 % len(self.pairs)
            found = batch_at(self.pairs, first, count, seed=self.settings.seed)
        self.pipe.fit_statistics(found)
        if self.settings.statistics == "new":
            self.pipe.rescale(found)

    def save(self, factors: Mapping[str, tuple[Tensor, Tensor]] | None) -> None:
        """Write the pipeline, and the adapters alone; with what its card says of this run."""
        pipe, own = self.pipe, self.accelerator
        card = pipe.card or first_card(pipe)
        if card is not None:
            machine = Machine(own.device.type, own.mixed_precision, own.num_processes)
            found = {"settings": self.settings, "validation": self.validation, "machine": machine}
            pipe.card = described(card, base=pipe.origin, pairs=self.pairs, **found)
        # Under torchrun or accelerate launch, one process of several writes.
        if not self.accelerator.is_main_process:
            return
        if pipe.can_be_saved:
            pipe.save_pretrained(self.output / "pipeline")
        if factors is not None:
            own = Adapter(pipe.origin, factors, pipe.encoder.assets(), pipe.card)
            own.save(self.output / "adapter")

    def run(self, show: bool) -> None:
        """Take all steps that are left. Ctrl-C ends it after a checkpoint of the step then done.

        Raises:
            KeyboardInterrupt: If it was stopped so.
        """
        done = self._resume()
        if done == 0:
            self._validate(0)
        self.pipe.parts.train()
        shown = show and self.accelerator.is_main_process
        self._order = self._chosen_order(shown)
        self._encodings = self._kept_encodings(done, shown)
        bar = progress_bar(disable=not shown)
        withheld = dropout(self.pipe.parts, self.settings.dropout)
        with bar, attention(self.accelerator.device), withheld, put_off() as self._interruption:
            task = bar.add_task("training", total=self.settings.steps, completed=done, note="")
            for step, note in self.steps(done):
                bar.update(task, completed=step, note=note)
        if self.validation is not None:
            self.accelerator.wait_for_everyone()
            self.validation.restore_best()
        self._forget_encodings()
        self.average.copy_to_module()
        if self.parted:
            self._undo()
        self.pipe.parts.eval()
        # Not `end_training`, which would leave a second run of this process without its group.
        for tracker in self.accelerator.trackers:
            tracker.finish()

    def steps(self, done: int) -> Iterator[tuple[int, str]]:
        """Take the steps after `done` ones.

        Yields:
            The number of steps done, and what was logged of it, "" for nothing.
        """
        settings = self.settings
        first = done * settings.accumulation
        self._order = self._order or self._chosen_order(False)
        own = {"order": self._order, "encodings": self._encodings, "first": first, **self._share}
        batches = Batches(self.pipe, self.pairs, settings, **own)
        losses = Losses(self.phases)
        started = time.monotonic()
        own = {"num_workers": settings.workers, "worker_init_fn": ignore_interrupts}
        loader = DataLoader(batches, batch_size=None, **own)
        for number, tensors in enumerate(loader, start=first):
            turn = done % len(self.phases)
            phase, optimizer = self.phases[turn], self.optimizers[turn]
            with self.accelerator.accumulate(self.step):
                seed = settings.seed * 1_000_003 + batches.part(number)
                torch.manual_seed(seed)
                loss = self.step(moved_to(tensors, self.accelerator.device), seed, phase)
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self._moved_by(optimizer), settings.clip)
                self._set_learning_rate(optimizer, done)
                optimizer.step()
                # Gradients also reach what this phase leaves as it is.
                for each in self.optimizers:
                    each.zero_grad()
            losses.take(number, phase, loss)
            if not self.accelerator.sync_gradients:
                continue
            done += 1
            if self.output is None:
                losses.check(done, batches.where, None)
                yield done, ""
                continue
            self.average.update(done)
            note, asked = "", self._interruption.of_any()
            saved = asked or self._due(done, settings.checkpoint_every)
            if saved or self._due(done, settings.log_every):
                # Before what came of them is written.
                losses.check(done, batches.where, self.output, batches.prepared)
            if self._due(done, settings.log_every):
                note = self._log(done, losses, time.monotonic() - started)
                started = time.monotonic()
                losses.clear()
            stop = self._validate(done)
            self._at_intervals(done, saved)
            if asked:
                # A launcher ends the others once one of them has ended.
                self.accelerator.wait_for_everyone()
                raise KeyboardInterrupt
            yield done, note
            if stop:
                return

    @property
    def _share(self) -> dict[str, int]:
        """Which of how many processes this is."""
        return {"process": self.accelerator.process_index, "world": self.accelerator.num_processes}

    def _chosen_order(self, show: bool) -> Callable[[int], int] | None:
        """From positions to indices of pairs, if they have some."""
        settings = self.settings
        if isinstance(self.pairs, StreamedPairs):
            return None
        if not settings.by_length:
            return partial(index_at, self.pairs, seed=settings.seed)
        with progress_bar(disable=not show) as bar:
            total = -(-len(self.pairs) // self._share["world"])
            task = bar.add_task("reading lengths", total=total, note="")
            lengths = read_lengths(
                self.pipe,
                self.pairs,
                seed=settings.seed,
                progress=lambda count: bar.update(task, completed=count),
                **self._share,
            )
        own = {"batch_size": settings.batch_size, "pool": settings.by_length}
        return OrderByLength(self.pairs, lengths, seed=settings.seed, **own)

    def _kept_encodings(self, done: int, show: bool) -> Encodings | None:
        """What frozen parts give for each pair, if pairs are seen again."""
        pipe, settings, share = self.pipe, self.settings, self._share
        self._forget_encodings()
        # What is parted is there in a step alone.
        fixed = isinstance(pipe, Learner) and self.pairs.fixed and not self.parted
        if not (fixed and settings.cache_gb):
            return None
        left = (settings.steps - done) * settings.accumulation * settings.batch_size
        if left * share["world"] <= len(self.pairs):
            return None
        dropout = pipe.condition_dropout
        parts = frozen_parts(pipe, dropout=dropout)
        if not parts:
            return None
        kept = Kept(self.output / _ENCODED, limit=settings.cache_gb * 1e9, **share)
        found = Encodings(pipe, parts, kept, dropout=dropout)
        own = range(share["process"], len(self.pairs), share["world"])
        with progress_bar(disable=not show) as bar, attention(self.accelerator.device):
            task = bar.add_task("encoding", total=len(own), note="")
            done_well = found.fill(
                self.pairs,
                own,
                batch_size=settings.batch_size,
                autocast=self.accelerator.autocast,
                progress=lambda count: bar.update(task, completed=count),
            )
        if all(gather_object([done_well])):
            return found
        self._forget_encodings()
        return None

    def _forget_encodings(self) -> None:
        """Remove the files of what frozen parts gave, once every process is done with them."""
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            shutil.rmtree(self.output / _ENCODED, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    def _validate(self, done: int) -> bool:
        """Measure if it is time to.

        Returns:
            Whether the run should end.
        """
        validation = self.validation
        if validation is None or not self._due(done, self.settings.validate_every):
            return False
        # Every process measures the same, so that all of them stop together.
        loss = validation.measure()
        validation.take(done, loss, write=self.accelerator.is_main_process)
        self._write({"step": done, "validation_loss": round(loss, 6)})
        return validation.stalled

    def _due(self, done: int, every: int) -> bool:
        """Whether a step is one of every so many, or the last; never if every is 0."""
        return every > 0 and (done % every == 0 or done == self.settings.steps)

    def _at_intervals(self, done: int, saved: bool) -> None:
        main = self.accelerator.is_main_process
        # Of what is parted every process has a share.
        if saved and (main or self.parted):
            self._save(done, write=main)
        if main and self.preview and self._due(done, self.settings.sample_every):
            self._draw(done)

    def _log(self, done: int, losses: Losses, seconds: float) -> str:
        loss = losses.mean()
        rate = len(losses) * self.settings.batch_size * self.accelerator.num_processes / seconds
        row = {
            "step": done,
            "loss": round(loss, 6),
            **losses.means(),
            "learning_rate": self.optimizers[(done - 1) % len(self.phases)].param_groups[0]["lr"],
            "pairs_per_second": round(rate, 2),
            "memory_gb": round(memory_gb(), 3),
        }
        self._write(row)
        return f"loss {loss:.4f}  {rate:.0f} pairs/s  {row['memory_gb']:.1f} GB"

    def _write(self, row: Mapping[str, Any]) -> None:
        """A line of the log."""
        if self.accelerator.is_main_process:
            with open(self.output / "log.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            numbers = {k: v for k, v in row.items() if k != "step"}
            self.accelerator.log(numbers, step=row["step"])

    def _draw(self, done: int) -> None:
        self.pipe.parts.eval()
        # Compiling once more for the few shapes of an overview would cost more than it saves.
        with self.average.applied(), torch.compiler.set_stance("force_eager"):
            values = self.pipe(self.preview, seed=0)
        self.pipe.parts.train()
        kind = modality(self.pipe.codec.spec.modality)
        titles = [
            ", ".join(map(str, y.values())) if isinstance(y, Mapping) else str(y)
            for y in self.preview
        ]
        kind.save_many(values, self.output / f"samples_{done:07d}{kind.PREVIEW_SUFFIX}", titles)

    def _moved_by(self, optimizer: torch.optim.Optimizer) -> Iterable[nn.Parameter]:
        if len(self.phases) == 1:
            return self.step.parameters()
        return [p for group in optimizer.param_groups for p in group["params"]]

    def _set_learning_rate(self, optimizer: torch.optim.Optimizer, done: int) -> None:
        s = self.settings
        if done < s.warmup:
            share = (done + 1) / s.warmup
        else:
            share = 0.5 + 0.5 * math.cos(math.pi * (done - s.warmup) / max(1, s.steps - s.warmup))
        for group in optimizer.param_groups:
            group["lr"] = s.learning_rate * share

    def _save(self, done: int, *, write: bool) -> None:
        save_checkpoint(
            self.output / "checkpoint" if write else None,
            step=done,
            module=self.bare,
            parts=self.pipe.parts,
            optimizers=self.optimizers,
            average=self.average,
            settings=self.settings,
            validation=self.validation,
        )

    def _resume(self) -> int:
        folder = self.output / "checkpoint"
        if not folder.is_dir():
            return 0
        return load_checkpoint(
            folder,
            module=self.bare,
            optimizers=self.optimizers,
            average=self.average,
            settings=self.settings,
            validation=self.validation,
        )
