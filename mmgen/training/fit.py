"""The one training loop."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from mmgen.pipeline import Pipeline
from mmgen.training.adapters import adapted
from mmgen.training.locking import locked, require_free
from mmgen.training.pairs import ListedPairs, Pairs
from mmgen.training.reading import Source, read_pairs
from mmgen.training.recomputing import recomputing
from mmgen.training.run import Run
from mmgen.training.selecting import only_training
from mmgen.training.settings import TrainSettings
from mmgen.training.streaming import StreamedPairs
from mmgen.training.trainable import Trainable

__all__ = ["fit", "training_pairs"]

Trained = TypeVar("Trained", bound=Trainable)


def fit(
    pipe: Trained,
    pairs: Source,
    *,
    output: str | os.PathLike[str],
    validation: Source | None = None,
    preview: Sequence[Any] = (),
    progress: bool = True,
    **settings: Any,
) -> Trained:
    """Train a pipeline on pairs (y, x). The same call goes on where a run stopped.

    Args:
        pipe: What to train, in place; also an `Autoencoding`, for a codec of latents, or a
            `Vocoding`. If it has no vocabularies and statistics yet, they are taken from the first
            pairs.
        pairs: What to learn: `Pairs`, `StreamedPairs`, a sequence of (y, x), or for a pipeline also
            whatever `read_pairs` reads, such as a folder.
        output: Folder of checkpoints, log and overviews of samples.
        validation: Pairs to measure the loss on and never to learn from. The result is then of the
            step at which it was least, and `patience` can end the run early. Pipelines only.
        preview: Conditions to draw samples for at intervals, if it is a pipeline.
        progress: Show a progress bar.
        settings: Fields of `TrainSettings`.

    Returns:
        The pipeline, with the averaged weights. It is also written to the folder "pipeline" in
        `output`, and `Pipeline.from_pretrained(output)` loads it, unless it was put together by
        hand.

    Raises:
        LoadError: If the output folder holds a run with other settings, is in use by one, or is
            no folder.
        ValueError: If there are no pairs, or patience without held-out ones.
        FloatingPointError: If the loss is not a finite number. The last checkpoint stays.
    """
    settings = TrainSettings(**settings)
    if settings.patience and validation is None:
        raise ValueError(
            f"patience={settings.patience} waits for a better loss on held-out pairs, and there "
            "are none. Give validation, or leave patience out."
        )
    pairs, validation = training_pairs(pipe, pairs, validation)
    if isinstance(pipe, Pipeline) and pipe.origin:
        pipe.forget_ranking()
    output = Path(output)
    require_free(output)
    with locked(output):
        with only_training(pipe.parts, settings.only), adapted(pipe, settings) as adapters:
            with recomputing(pipe.parts, settings.gradient_checkpointing):
                own = {"output": output, "preview": preview, "validation": validation}
                run = Run(pipe, pairs, settings, **own)
                run.run(progress)
            factors = None if adapters is None else adapters.factors()
        if isinstance(pipe, Pipeline):
            run.save(factors)
            # No process says that it is done before the one that writes is.
            run.accelerator.wait_for_everyone()
    return pipe


def training_pairs(
    pipe: Trainable, pairs: Source, validation: Source | None
) -> tuple[Pairs | StreamedPairs, Pairs | None]:
    """The pairs to train on and those to measure on, read if they have to be.

    Raises:
        ValueError: If there are none.
        TypeError: If something else than a pipeline should be validated, or by a stream.
    """
    if not isinstance(pairs, (Pairs, StreamedPairs)):
        pairs = read_pairs(pairs, pipe) if isinstance(pipe, Pipeline) else ListedPairs(pairs)
    if validation is not None:
        if not isinstance(pipe, Pipeline):
            raise TypeError(f"Validation is for a pipeline, got {type(pipe).__name__}.")
        validation = read_pairs(validation, pipe)
        if isinstance(validation, StreamedPairs):
            raise TypeError(
                "Held-out pairs are measured again and again, so a stream is none. Take as many as "
                "are needed: StreamedPairs(...).first(256)."
            )
    for each, what in ((pairs, "to train on"), (validation, "to validate on")):
        if isinstance(each, Pairs) and len(each) == 0:
            raise ValueError(f"Expected at least one pair {what}, got none.")
    return pairs, validation
