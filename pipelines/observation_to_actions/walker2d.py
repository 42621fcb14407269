"""What a two-legged walker sees to what it does, as an expert does it: MuJoCo's Walker2d.

Data: the set `actions` below the folder that MMGEN_DATA names, with mujoco_Walker2d-v4_expert.npz.
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
    summary="MuJoCo's Walker2d: the next 4 actions from the last observation, by diffusion.",
    data=(
        "Two episodes of 1,000 steps of an expert in Walker2d-v4 "
        "(github.com/berkeleydeeprlcourse/homework_fall2023 at f401a13)."
    ),
    licence="MIT",
    parameters=535_494,
    trained=(
        "By this recipe on one CPU core that other work shared: 1,350 steps of 64 pairs in about "
        "2 minutes, by OMP_NUM_THREADS=1 ACCELERATE_USE_CPU=true mmgen train "
        "observation-to-actions:walker2d."
    ),
    scores={
        "locomotion: return as a share of the expert's": ("75.6 % (67.9 to 83.0, n = 50)"),
        "locomotion: episodes that last to the end": ("48.0 % (34.8 to 61.5, n = 50)"),
    },
    limits=(
        "Falls in half of the episodes, after 200 to 1,000 steps: two episodes do not show how to "
        "catch oneself. In a trial fewer steps of sampling made it fall more often."
    ),
)

ROLLOUT = {"environment": "Walker2d-v4", "num_action_steps": 1}
EXPERT = "actions/mujoco_Walker2d-v4_expert.npz"

TRAINING = SETTINGS | {"steps": 1350}
DEBUG = {"dim": 32, "depth": 1}

_IMITATION = Imitation(expert=EXPERT, num_states=17, num_actions=6, history=1, horizon=4)

# About how the robot stands at the start.
PREVIEW = _IMITATION.standing(1.25)


def pairs(split: str = "train") -> Pairs:
    """Pairs (the last observation, the next actions), one for each step of the expert's."""
    return _IMITATION.pairs()


def build(*, dim: int = 96, depth: int = 3) -> Pipeline:
    """The pipeline with fresh weights."""
    return _IMITATION.diffusion(
        normalisation="mean-std", dim=dim, depth=depth, num_inference_steps=4
    )


def debug() -> Pipeline:
    """A tiny one with random weights."""
    return _IMITATION.fitted(build(**DEBUG))
