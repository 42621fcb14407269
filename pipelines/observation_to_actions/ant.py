"""What a four-legged ant sees to what it does, as an expert does it: MuJoCo's Ant.

Data: the set `actions` below the folder that MMGEN_DATA names, with mujoco_Ant-v4_expert.npz.
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
    summary="MuJoCo's Ant: the next 4 actions from the last observation, by diffusion.",
    data=(
        "Two episodes of 1,000 steps of an expert in Ant-v4 "
        "(github.com/berkeleydeeprlcourse/homework_fall2023 at f401a13)."
    ),
    licence="MIT",
    parameters=536_840,
    trained=(
        "By this recipe on one CPU core that other work shared: 500 steps of 64 pairs in about "
        "2 minutes, by OMP_NUM_THREADS=1 ACCELERATE_USE_CPU=true mmgen train "
        "observation-to-actions:ant."
    ),
    scores={
        "locomotion: return as a share of the expert's": ("91.6 % (85.9 to 96.4, n = 50)"),
        "locomotion: episodes that last to the end": ("96.0 % (86.5 to 98.9, n = 50)"),
    },
    limits=(
        "Has seen two episodes, and not how to turn over or to start otherwise. MuJoCo's newer "
        "contact margins are another ground than that of its expert: mmgen rollout restores the "
        "old ones."
    ),
)

ROLLOUT = {"environment": "Ant-v4", "num_action_steps": 1}
EXPERT = "actions/mujoco_Ant-v4_expert.npz"

TRAINING = SETTINGS | {"steps": 500}
DEBUG = {"dim": 32, "depth": 1}

_IMITATION = Imitation(expert=EXPERT, num_states=27, num_actions=8, history=1, horizon=4)

# About how the robot stands at the start.
PREVIEW = _IMITATION.standing(0.75, 1.0)


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
