"""Whether the Hub can be reached at all, told in seconds.

Its own library tries again for 24 s where nothing is in the cache, file by file.
"""

from __future__ import annotations

import time

__all__ = ["out_of_reach"]

_SECONDS = 5.0
# What the errors of an HTTP client are called when no connection comes about.
_UNREACHED = {"ConnectError", "ConnectTimeout"}


def out_of_reach() -> bool:
    """Whether no connection to the Hub comes about, twice within seconds.

    Whatever is answered, and however slowly, it is in reach; what it means is for the library to
    say.
    """
    from huggingface_hub import constants, get_session

    for wait in (0.0, 1.0):
        time.sleep(wait)
        try:
            get_session().head(constants.ENDPOINT, timeout=_SECONDS)
        except Exception as error:
            if not _UNREACHED & {kind.__name__ for kind in type(error).__mro__}:
                return False
        else:
            return False
    return True
