"""Options: their defaults, types and ranges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmgen.core.errors import OptionError
from mmgen.core.options import Option, resolve_options

OPTIONS = (
    Option("steps", 25, "Steps.", minimum=1, maximum=100),
    Option("scale", 2.5, "Scale.", minimum=0.0),
    Option("sampler", "euler", "Sampler.", choices=("euler", "heun")),
    Option("hint", None, "Hint.", optional=True, kind=str),
)


def test_defaults_and_given_values() -> None:
    found = resolve_options(OPTIONS, {"steps": 3, "scale": 1, "hint": None})
    assert found == {"steps": 3, "scale": 1.0, "sampler": "euler", "hint": None}


def test_an_unknown_name_lists_what_there_is() -> None:
    message = "'step'. Did you mean 'steps'.*hint, sampler, scale, steps"
    with pytest.raises(OptionError, match=message):
        resolve_options(OPTIONS, {"step": 3})


@given(st.one_of(st.integers(), st.floats(), st.text(), st.none(), st.booleans()))
def test_any_value_is_taken_in_range_or_refused_by_name(value: object) -> None:
    for option in OPTIONS:
        try:
            found = option.check(value)
        except (TypeError, ValueError) as error:
            assert option.name in str(error)
        else:
            assert found is None or option.minimum is None or found >= option.minimum


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [(3, "7", 7), (0.5, "2", 2.0), (True, "no", False), ("a", "b", "b"), ((), "[1, 2]", [1, 2])],
)
def test_a_text_is_read_in_the_type_of_the_option(
    default: object, text: str, value: object
) -> None:
    assert Option("name", default, "help").parse(text) == value


def test_a_text_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="steps is an integer, got 'many'"):
        Option("steps", 3, "help").parse("many")
    assert Option("steps", None, "help", optional=True, kind=int).parse("none") is None
