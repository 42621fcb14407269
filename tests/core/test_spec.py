"""Types of latents and conditions, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from mmgen.core.errors import SpecError
from mmgen.core.spec import ConditionSpec, Spec

IMAGE = Spec("image", "continuous", (3, 8, 8))
SOUND = Spec("audio", "continuous", ("T", 80), max_length=100)


def test_fixed_and_varying_sizes() -> None:
    IMAGE.check(torch.zeros(2, 3, 8, 8))
    IMAGE.check(torch.zeros(4, 2, 3, 8, 8))
    SOUND.check(torch.zeros(2, 17, 80))


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 3, 8, 9), (2, 4, 8, 8), (8, 8)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(SpecError, match=r"Expected latents of shape \(\.\.\., 3, 8, 8\)"):
        IMAGE.check(torch.zeros(shape))


def test_a_codec_that_does_not_fit_the_model_is_refused() -> None:
    message = r"The model expects latents \(3, 8, 8\); it gives \(T, 80\)"
    with pytest.raises(SpecError, match=message):
        IMAGE.require(SOUND, by="The model", giver="it")
    tokens = Spec("text", "tokens", ("L",), vocabulary=9, max_length=5)
    with pytest.raises(SpecError, match="works on continuous values; it gives tokens"):
        IMAGE.require(tokens, by="The model", giver="it")
    with pytest.raises(SpecError, match="expects 8 tokens; it has 9"):
        Spec("text", "tokens", ("L",), vocabulary=8, max_length=5).require(
            tokens, by="The model", giver="it"
        )


def test_a_vocabulary_belongs_to_tokens() -> None:
    with pytest.raises(SpecError, match="vocabulary"):
        Spec("text", "tokens", ("L",))
    with pytest.raises(SpecError, match="kind is"):
        Spec("text", "words", ("L",))


def test_a_greatest_length_belongs_to_what_varies() -> None:
    with pytest.raises(SpecError, match="greatest length"):
        Spec("audio", "continuous", ("T", 80))
    with pytest.raises(SpecError, match="greatest length"):
        Spec("image", "continuous", (3, 8, 8), max_length=8)
    assert SOUND.varies and not IMAGE.varies


def test_conditions_of_another_width_are_refused() -> None:
    with pytest.raises(SpecError, match="token_dim 8; it gives a condition with token_dim 16|16"):
        ConditionSpec(token_dim=8).require(ConditionSpec(token_dim=16), by="The model", giver="it")
