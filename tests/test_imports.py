"""Importing mmgen is instant; libraries load when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "diffusers", "transformers", "torchaudio", "accelerate", "numpy")


def run(code: str) -> str:
    """Output of code in a new interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_is_fast_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, time; t = time.process_time(); import mmgen; "
        "t = time.process_time() - t; "
        f"print(min(t, 9), [m for m in {HEAVY} if m in sys.modules])"
    )
    seconds, loaded = min(run(code).split(" ", 1) for _ in range(3))
    assert loaded == "[]"
    assert float(seconds) < 0.1


def test_listing_pipelines_loads_nothing_heavy() -> None:
    code = (
        "import sys, mmgen; names = mmgen.list_pipelines(); "
        "from mmgen.hub import recipes; cards = [r.card for r in recipes().values()]; "
        f"print('text-to-image:scenes' in names, [m for m in {HEAVY} if m in sys.modules])"
    )
    assert run(code) == "True []"


def test_a_pipeline_of_our_own_loads_no_other_library() -> None:
    code = (
        "import sys; from mmgen import Pipeline; p = Pipeline.debug('text-to-image:scenes'); "
        "p('a green star', seed=0); "
        "print({'diffusers', 'transformers', 'torchaudio'} & set(sys.modules))"
    )
    assert run(code) == "set()"


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    import mmgen

    with pytest.raises(AttributeError, match="no attribute 'Pipelin'"):
        mmgen.Pipelin  # noqa: B018
