"""What commands say: errors, JSON, and how far they are."""

from __future__ import annotations

import errno
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any

import typer

from mmgen.core.errors import MMGenError

__all__ = [
    "Stopped",
    "answer",
    "progress_bar",
    "report",
    "spinner",
    "write_error",
    "write_json",
    "write_table",
]

USAGE, FAILED, INTERRUPTED = 2, 1, 130

# typer before 0.29 raises click's own usage errors, later ones their copies: the class under
# BadParameter is either.
UsageError = typer.BadParameter.__bases__

_EXPECTED = (MMGenError, ValueError, TypeError, OSError, ImportError, ArithmeticError)
_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


class Stopped(Exception):
    """Ctrl-C, with what is left and how to go on."""


def answer(
    run: Callable[[], Mapping[str, Any]],
    show: Callable[[Mapping[str, Any]], None],
    *,
    as_json: bool,
) -> None:
    """Run what finds a result, then show it, or write it as JSON and nothing else on stdout."""
    # What libraries print must not come between the lines of JSON.
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        result = run()
    if as_json:
        write_json(result)
    else:
        show(result)


def report(error: BaseException, *, as_json: bool, debug: bool) -> int:
    """Say what went wrong: on stderr, or as JSON on stdout.

    Args:
        error: What was raised.
        as_json: Whether stdout is read by a program.
        debug: Show where, too.

    Returns:
        The exit code.
    """
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    usage = isinstance(error, UsageError)
    message = _describe(error)
    if as_json:
        write_json({"error": {"type": _kind(error), "message": message}})
    else:
        write_error(message)
        if usage and error.ctx is not None:
            write_error(f"{error.ctx.command_path} --help", label="see")
    if usage:
        return USAGE
    return INTERRUPTED if isinstance(error, (Stopped, KeyboardInterrupt)) else FAILED


def write_error(message: str, *, label: str = "error") -> None:
    """One message on stderr."""
    from rich.console import Console
    from rich.text import Text

    text = Text.assemble((f"{label}: ", "bold red" if label == "error" else "bold"), message)
    # A path that is broken into lines cannot be copied.
    Console(stderr=True).print(text, soft_wrap=True)


def write_json(value: Any) -> None:
    """One JSON value on stdout."""
    typer.echo(json.dumps(value, indent=1))


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout. The first two columns may wrap, the others are short."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=place > 1)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


@contextmanager
def spinner(text: str) -> Iterator[None]:
    """Show that something is under way, if stderr is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(text):
        yield


@contextmanager
def progress_bar(text: str, *, after: float = 1.0) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, if that is a terminal.

    Args:
        text: What is under way.
        after: Seconds before it shows.

    Yields:
        What to call with (steps done, steps in all).
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(text, total=None)
    started = time.monotonic()

    def step(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if not bar.live.is_started and time.monotonic() - started >= after:
            bar.start()

    try:
        yield step
    finally:
        if bar.live.is_started:
            bar.stop()


def _kind(error: BaseException) -> str:
    if isinstance(error, UsageError):
        return "UsageError"
    return "KeyboardInterrupt" if isinstance(error, Stopped) else type(error).__name__


def _describe(error: BaseException) -> str:
    if isinstance(error, UsageError):
        return error.format_message()
    if isinstance(error, Stopped):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "Stopped."
    if _is_memory(error):
        return f"Not enough memory: {error} Ask for less at a time: fewer samples, a smaller batch."
    if isinstance(error, OSError) and error.strerror:
        return _describe_os(error)
    if isinstance(error, _EXPECTED):
        return str(error) or type(error).__name__
    return (
        f"{type(error).__name__}: {error}\nThis is a fault of mmgen, not of the command. `mmgen "
        "--debug ...` shows where it is; please report it with that."
    )


def _describe_os(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in _FULL:
        todo = "Free some space and try again; nothing that was there before is lost."
    elif error.errno in _DENIED:
        todo = "Name a place that you may write to."
    else:
        return f"{error.strerror}{where}."
    return f"{error.strerror}{where}. {todo}"


def _is_memory(error: BaseException) -> bool:
    # torch's own class is not named, so that it need not be imported to say that it is missing.
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and (type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error))
    )
