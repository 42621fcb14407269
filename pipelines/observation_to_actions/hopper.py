"""What a one-legged hopper sees to what it does, as an expert does it: MuJoCo's Hopper.

Data: the set `actions` below the folder that MMGEN_DATA names, with mujoco_Hopper-v4_expert.npz.
"""

from __future__ import annotations

from mmgen.core.card import Card
from mmgen.pipeline import Pipeline
from mmgen.training.imitation import SETTINGS, Imitation
from mmgen.training.pairs import Pairs

__all__ = ["CARD", "DEBUG", "EXPERT", "PREVIEW", "ROLLOUT", "TRAINING", "build", "debug", "pairs"]

CARD = Card(
    x="actions",
    y="observation",
    family="diffusion",
    summary="MuJoCo's Hopper: the next 8 actions from the last 2 observations, by diffusion.",
    data=(
        "Two episodes of 1,000 steps of an expert in Hopper-v4 "
        "(github.com/berkeleydeeprlcourse/homework_fall2023 at f401a13)."
    ),
    licence="MIT",
    parameters=534_435,
    trained=(
        "By this recipe on one CPU core: 3,000 steps of 64 pairs in about 3 minutes, by "
        "OMP_NUM_THREADS=1 ACCELERATE_USE_CPU=true mmgen train observation-to-actions:hopper."
    ),
    scores={
        "locomotion: return as a share of the expert's": ("100.0 % (100.0 to 100.0, n = 50)"),
        "locomotion: episodes that last to the end": ("100.0 % (92.9 to 100.0, n = 50)"),
    },
    limits=(
        "Has seen two episodes, and not how to get up or to start otherwise. Where four actions of "
        "a chunk are carried out before the next is drawn, it falls now and then."
    ),
)

ROLLOUT = {"environment": "Hopper-v4", "num_action_steps": 2}
EXPERT = "actions/mujoco_Hopper-v4_expert.npz"

TRAINING = SETTINGS | {"steps": 3000}
DEBUG = {"dim": 32, "depth": 1}

_IMITATION = Imitation(expert=EXPERT, num_states=11, num_actions=3, history=2, horizon=8)

# About how the robot stands at the start.
PREVIEW = _IMITATION.standing(1.25)


def pairs(split: str = "train") -> Pairs:
    """Pairs (the last observations, the next actions), one for each step of the expert's."""
    return _IMITATION.pairs()


def build(*, dim: int = 96, depth: int = 3) -> Pipeline:
    """The pipeline with fresh weights."""
    return _IMITATION.diffusion(dim=dim, depth=depth)


def debug() -> Pipeline:
    """A tiny one with random weights."""
    return _IMITATION.fitted(build(**DEBUG))
