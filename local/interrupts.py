"""Ctrl-C and SIGTERM: one friendly line and exit code 130, whatever a program is doing."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

INTERRUPTED = 130
"""Exit code of a program that was ended by Ctrl-C: 128 and the signal's number, as shells have it."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def interruptible(program: Callable[[], int], farewell: str) -> int:
    """Run a program that Ctrl-C and SIGTERM may end at any moment.

    Args:
        program: returns its exit code. What takes long to import belongs inside it.
        farewell: printed when it was interrupted.

    Returns:
        The program's exit code, or 130.
    """
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    try:
        return program()
    except KeyboardInterrupt:
        with undisturbed():
            print(f"\n{farewell}", flush=True)
            return INTERRUPTED


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore Ctrl-C and SIGTERM while the block lasts; without effect outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
