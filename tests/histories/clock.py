"""A clock that a history can set forward, so that minutes cost nothing."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

_SHORT = 1.0  # seconds: a shorter pause only spares the servers questions, and is made shorter still
_PAUSE = 0.02


class MovableClock:
    """The machine's clock, and how far it was set forward."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        """The current instant, aware, in UTC."""
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; pauses between two questions to a server are cut short."""
        time.sleep(seconds if seconds >= _SHORT else min(seconds, _PAUSE))
