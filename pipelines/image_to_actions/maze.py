"""A maze seen from above to a path through it, from the green cell to the red one.

Data: made by the program `mmgen.simulators.mazes` alone.
"""

from __future__ import annotations

import numpy as np

from mmgen.core.card import Card
from mmgen.families.diffusion import Diffusion
from mmgen.families.diffusion.times import LogitNormalTimes
from mmgen.guidance.classifier_free import ClassifierFreeGuidance
from mmgen.modalities.actions import ActionChunks
from mmgen.modalities.image import ImageEncoder
from mmgen.nn.grid import GridTransformer
from mmgen.pipeline import Pipeline
from mmgen.simulators.mazes import (
    paced_path,
    render,
    sample_ends,
    sample_maze,
    shortest_way,
)
from mmgen.training.pairs import DrawnPairs, Pairs

__all__ = [
    "CARD",
    "CELLS",
    "DEBUG",
    "LOOPS",
    "POINTS",
    "PREVIEW",
    "TRAINING",
    "build",
    "debug",
    "pairs",
]

CARD = Card(
    x="actions",
    y="image",
    family="diffusion",
    summary="A path of 25 points through a maze of 5 x 5 cells, from a picture of it.",
    data="Mazes and shortest ways drawn by mmgen.simulators.mazes, a program.",
    licence="Apache-2.0",
    parameters=187_527,
    trained=(
        "By this recipe on one CPU core: 3,000 steps of 32 mazes in about 4 minutes, by "
        "OMP_NUM_THREADS=1 ACCELERATE_USE_CPU=true mmgen train image-to-actions:maze."
    ),
    scores={
        "mazes: plans from start to goal through no wall": "79.2 % (75.4 to 82.5, n = 500)",
        "mazes: the first such of eight": "93.4 % (90.9 to 95.3, n = 500)",
        "mazes: the same, ends known but not shown": "14.4 % (11.6 to 17.8, n = 500)",
        "mazes: known ends that come back to the last bit": "100.0 % (99.2 to 100.0, n = 500)",
    },
    limits=(
        "Mazes of 5 x 5 cells of 8 x 8 pixels in the simulator's colours. It looks ahead from the "
        "cell that is marked as the start: with ends known but not shown 14.4 % of plans lead "
        "through. Draw several and keep one that crosses no wall: a map tells which."
    ),
)

CELLS, LOOPS, POINTS = 5, 3, 25
"""Cells on a side, walls opened beyond a tree, and points of a path."""

TRAINING = {
    "steps": 3000,
    "batch_size": 32,
    "optimizer": "adamw",
    "learning_rate": 2e-3,
    "warmup": 100,
    "sample_every": 0,
    "checkpoint_every": 500,
    "statistics_from": 1024,
    "precision": "no",
}

DEBUG = {"dim": 32, "depths": (1, 1)}

_PIXELS = 8
_PROB_UNMARKED = 0.1
_EPOCH = 2**20


def _drawn(rng: np.random.Generator, *, marked: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A picture of a maze and a path through it."""
    maze = sample_maze(rng, size=CELLS, num_loops=LOOPS)
    start, goal = sample_ends(rng, maze)
    path = paced_path(shortest_way(maze, start, goal), POINTS)
    shown = {"start": start, "goal": goal} if marked else {}
    return render(maze, **shown, scale=_PIXELS), path


PREVIEW = [_drawn(np.random.default_rng(i))[0] for i in range(4)]


def pairs(split: str = "train") -> Pairs:
    """Pairs (maze, path), drawn anew each time; one in ten does not show where it starts and ends.

    So that P(path | maze) is learnt as well, of which the ends may then be known.
    """

    def draw(index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return _drawn(rng, marked=rng.random() >= _PROB_UNMARKED)

    return DrawnPairs(draw, length=_EPOCH)


def build(*, dim: int = 64, depths: tuple[int, int] = (0, 2), look_ahead: int = POINTS) -> Pipeline:
    """The pipeline with fresh weights.

    Args:
        dim: Width.
        depths: Blocks of the encoder and of the denoiser.
        look_ahead: Steps that are looked ahead over the cells; a patch of the picture is a cell.
    """
    num_heads = dim // 32
    encoder = ImageEncoder(
        CELLS * _PIXELS,
        patch_size=_PIXELS,
        dim=dim,
        depth=depths[0],
        num_heads=num_heads,
        look_ahead=look_ahead,
    )
    codec = ActionChunks(POINTS, 2, low=0.0, high=float(CELLS), units="cell", clip=True)
    network = GridTransformer(
        codec.spec.shape, dim=dim, depth=depths[1], num_heads=num_heads, condition=encoder.spec
    )
    # Neighbouring points tell the same, so a path is decided at high noise.
    model = Diffusion(
        network,
        spec=codec.spec,
        target="data",
        times=LogitNormalTimes(mean=1.5),
        shift=4.0,
        num_inference_steps=10,
    )
    return Pipeline(
        encoder=encoder,
        model=ClassifierFreeGuidance(model, guidance_scale=1.0),
        codec=codec,
        condition_dropout=0.02,
    )


def debug() -> Pipeline:
    """A tiny one with random weights."""
    pipe = build(**DEBUG)
    rng = np.random.default_rng(0)
    pipe.fit_statistics([_drawn(rng) for _ in range(8)])
    return pipe
