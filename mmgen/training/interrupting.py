"""Ctrl-C, put off until what was done can be saved, by all processes of a run at the same step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from torch import distributed

__all__ = ["Interruption", "ignore_interrupts", "put_off"]


class Interruption:
    """Whether somebody asked to stop.

    Args:
        group: Of the processes that stop together, on their CPUs; None for this one alone.
    """

    def __init__(self, group: distributed.ProcessGroup | None = None) -> None:
        self.asked, self._group = False, group

    def of_any(self) -> bool:
        """Whether one of the processes was asked; all of them call this, and are told the same."""
        if self._group is None:
            return self.asked
        asked = torch.tensor([float(self.asked)])
        distributed.all_reduce(asked, group=self._group)
        return bool(asked > 0)

    def _take(self, number: int, frame: FrameType | None) -> None:
        # Asked twice, nobody waits for the end of a step.
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def _processes() -> distributed.ProcessGroup | None:
    """Those of this run as a group that talks on their CPUs, so that no GPU is waited for."""
    if not distributed.is_available() or not distributed.is_initialized():
        return None
    if distributed.get_world_size() == 1:
        return None
    return distributed.new_group(backend="gloo")


@contextmanager
def put_off() -> Iterator[Interruption]:
    """Within the block Ctrl-C only sets `asked`; a second one interrupts at once.

    Outside of the main thread, which alone is told of signals, and where the caller handles them
    in its own way, nothing is changed. All processes of a run enter the block together.
    """
    # The group stays until the processes end: one that left it early would break what others read.
    found = Interruption(_processes())
    with _heard(found):
        yield found


@contextmanager
def _heard(found: Interruption) -> Iterator[None]:
    """With this told of Ctrl-C, if it can be."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    before = signal.signal(signal.SIGINT, found._take)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def ignore_interrupts(worker: int) -> None:
    """For processes that prepare batches: the one that trains decides when they end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
