"""The list of programs that `huggingface_hub` asks the Hub for, besides what it is asked to do."""

from __future__ import annotations

import pytest
from huggingface_hub.utils import _detect_agent

__all__ = ["knows_programs"]


def knows_programs(patch: pytest.MonkeyPatch) -> None:
    """Let `huggingface_hub` have its list of programs that may have started it.

    A process that is not offline asks the Hub for it when it makes its first request, without a
    token, unless the user's cache has one of today; and keeps there what a server of ours says.
    """
    patch.setattr(_detect_agent, "_registry", {})
