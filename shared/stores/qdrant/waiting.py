"""Asking again until something is so, with growing pauses and a deadline."""

from __future__ import annotations

from collections.abc import Callable

from shared.clock import Clock

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


def until[T](clock: Clock, seconds: float, ask: Callable[[], T | None]) -> T | None:
    """Call ``ask`` until it answers, at most for ``seconds``.

    Args:
        clock: for the pauses and the deadline.
        seconds: after this long nothing is asked any more; asked once in any case.
        ask: gives None while it is not so.

    Returns:
        What ``ask`` answered, or None at the deadline.
    """
    deadline = clock.monotonic() + seconds
    pause = FIRST_PAUSE
    while (answer := ask()) is None and clock.monotonic() < deadline:
        clock.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)
    return answer
