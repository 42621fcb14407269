"""Whether the Hub can be reached at all, told in seconds.

Its own library tries again for 24 s where nothing is in the cache, file by file.
"""

from __future__ import annotations

import time
from functools import lru_cache

__all__ = ["out_of_reach"]

_SECONDS = 5.0
_REMEMBERED = 10
# What the errors of an HTTP client are called when no connection comes about.
_UNREACHED = {"ConnectError", "ConnectTimeout"}


class _InReachError(Exception):
    """Raised, and so not remembered."""


def out_of_reach() -> bool:
    """Whether no connection to the Hub comes about, twice within seconds.

    Whatever is answered, and however slowly, it is in reach; what it means is for the library to
    say. That it is not is remembered for seconds, since it is asked several times for one name.
    """
    from huggingface_hub import constants

    try:
        _unreached(constants.ENDPOINT, int(time.monotonic() // _REMEMBERED))
    except _InReachError:
        return False
    return True


@lru_cache(maxsize=1)
def _unreached(endpoint: str, when: int) -> None:
    """Try to reach an address; `when` is what it is remembered by.

    Raises:
        _InReachError: If it is reached.
    """
    from huggingface_hub import get_session

    for wait in (0.0, 1.0):
        time.sleep(wait)
        try:
            get_session().head(endpoint, timeout=_SECONDS)
        except Exception as error:
            if not _UNREACHED & {kind.__name__ for kind in type(error).__mro__}:
                raise _InReachError from None
        else:
            raise _InReachError
