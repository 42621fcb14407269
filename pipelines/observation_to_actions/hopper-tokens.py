"""MuJoCo's Hopper, as `hopper`, but with actions as tokens, one number after another.

Data: the set `actions` below the folder that MMGEN_DATA names, with mujoco_Hopper-v4_expert.npz.
"""

from __future__ import annotations

from mmgen.core.card import Card
from mmgen.families.autoregressive.warping import Warping
from mmgen.pipeline import Pipeline
from mmgen.training.imitation import SETTINGS, Imitation
from mmgen.training.pairs import Pairs

__all__ = ["CARD", "DEBUG", "EXPERT", "PREVIEW", "ROLLOUT", "TRAINING", "build", "debug", "pairs"]

CARD = Card(
    x="actions",
    y="observation",
    family="autoregressive",
    summary="MuJoCo's Hopper: the next 4 actions from the last observation, as tokens.",
    data=(
        "Two episodes of 1,000 steps of an expert in Hopper-v4 "
        "(github.com/berkeleydeeprlcourse/homework_fall2023 at f401a13)."
    ),
    licence="MIT",
    parameters=467_776,
    trained=(
        "By this recipe on one CPU core: 600 steps of 64 pairs in about two minutes, by "
        "OMP_NUM_THREADS=1 ACCELERATE_USE_CPU=true mmgen train "
        "observation-to-actions:hopper-tokens."
    ),
    scores={
        "locomotion: return as a share of the expert's": "25.2 % (18.6 to 32.8, n = 50)",
        "locomotion: episodes that last to the end": "6.0 % (2.1 to 16.2, n = 50)",
    },
    limits=(
        "Falls in nearly all of its episodes: it gives the expert's actions back where the expert "
        "was, and not beside its way. Use observation-to-actions:hopper to hop."
    ),
)

ROLLOUT = {"environment": "Hopper-v4", "num_action_steps": 1}
EXPERT = "actions/mujoco_Hopper-v4_expert.npz"

TRAINING = SETTINGS | {"steps": 600, "learning_rate": 1e-3}
DEBUG = {"dim": 32, "depth": 1}

_IMITATION = Imitation(expert=EXPERT, num_states=11, num_actions=3, history=1, horizon=4, blur=0.06)

# About how the robot stands at the start.
PREVIEW = _IMITATION.standing(1.25)


def pairs(split: str = "train") -> Pairs:
    """Pairs (the last observation, the next actions), one for each step of the expert's."""
    return _IMITATION.pairs()


def build(*, dim: int = 96, depth: int = 3) -> Pipeline:
    """The pipeline with fresh weights."""
    return _IMITATION.tokens(num_bins=64, dim=dim, depth=depth, warping=Warping(temperature=0.0))


def debug() -> Pipeline:
    """A tiny one with random weights."""
    return _IMITATION.fitted(build(**DEBUG))
