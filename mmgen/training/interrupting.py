"""Ctrl-C, put off until what was done can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interruption", "ignore_interrupts", "put_off"]


class Interruption:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    def _take(self, number: int, frame: FrameType | None) -> None:
        # Asked twice, nobody waits for the end of a step.
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def put_off() -> Iterator[Interruption]:
    """Within the block Ctrl-C only sets `asked`; a second one interrupts at once.

    Outside of the main thread, which alone is told of signals, and where the caller handles them
    in its own way, nothing is changed.
    """
    found = Interruption()
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield found
        return
    before = signal.signal(signal.SIGINT, found._take)
    try:
        yield found
    finally:
        signal.signal(signal.SIGINT, before)


def ignore_interrupts(worker: int) -> None:
    """For processes that prepare batches: the one that trains decides when they end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
