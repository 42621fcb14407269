"""Scenes of one to three coloured shapes: a program for P(image | caption), and its judge.

A scene is drawn at random, rendered to an anti-aliased image and described by a caption from a
small grammar. The caption carries its claims, so that the judge can read a scene out of any image
and say which claims hold. Images are made by the program alone: no data, no licence, no download.
"""

from mmgen.simulators.scenes.drawing import render
from mmgen.simulators.scenes.grammar import Caption, Claim, describe, vocabulary
from mmgen.simulators.scenes.judging import Verdict, check, judge, read, whole
from mmgen.simulators.scenes.world import (
    BACKGROUNDS,
    COLOURS,
    PAIRS_UNSEEN,
    SHAPES,
    SIZES,
    Scene,
    Thing,
    sample_scene,
)

__all__ = [
    "BACKGROUNDS",
    "COLOURS",
    "PAIRS_UNSEEN",
    "SHAPES",
    "SIZES",
    "Caption",
    "Claim",
    "Scene",
    "Thing",
    "Verdict",
    "check",
    "describe",
    "judge",
    "read",
    "render",
    "sample_scene",
    "vocabulary",
    "whole",
]
