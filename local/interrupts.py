"""How a program at a terminal ends early: by Ctrl-C or SIGTERM at any moment, or by a failure it explains."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

INTERRUPTED = 130
"""Exit code of a program that was ended by Ctrl-C: 128 and the signal's number, as shells have it."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class ExplainedError(RuntimeError):
    """A failure whose text is all that the person at the terminal needs."""


def interruptible(program: Callable[[], int], farewell: str) -> int:
    """Run a program that Ctrl-C and SIGTERM may end at any moment.

    An interrupt that arrives in a foreign library can come out of it as that library's error (a system call
    that was cut short). So what counts is that there was one, not what was raised.

    Args:
        program: returns its exit code. What takes long to import belongs inside it.
        farewell: printed when it was interrupted.

    Returns:
        The program's exit code; 1 after an ``ExplainedError``, which is printed; 130 when it was interrupted.
    """
    interrupted = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    for number in _SIGNALS:
        signal.signal(number, interrupt)
    try:
        return program()
    except KeyboardInterrupt:
        pass
    except ExplainedError as error:
        if not interrupted.is_set():
            print(f"\n{error}", file=sys.stderr, flush=True)
            return 1
    for number in _SIGNALS:  # until the process has ended: a second Ctrl-C changes nothing any more
        signal.signal(number, signal.SIG_IGN)
    print(f"\n{farewell}", flush=True)
    return INTERRUPTED


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
