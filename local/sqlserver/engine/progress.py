"""The messages of a long BACKUP or RESTORE, and its place in sys.dm_exec_requests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from local.sqlserver.engine.database import PAGE_BYTES
from local.sqlserver.engine.errors import message
from local.sqlserver.engine.events import Message
from local.sqlserver.engine.faults import SLOW
from local.sqlserver.engine.session import Progress

if TYPE_CHECKING:
    from local.sqlserver.engine.session import Session

DEFAULT_STEP = 10


class Meter:
    """Counts what was done of what there is to do."""

    def __init__(self, session: Session, command: str, database_id: int, total: int, step: int) -> None:
        self._session = session
        self._command = command
        self._total = max(1, total)
        self._step = max(1, step)
        self._done = 0
        self._shown = 0
        self._started = time.monotonic()
        self._progress = Progress(command, session.instance.clock(), database_id)
        session.progress = self._progress

    def add(self, size: int) -> Iterator[Message]:
        """So many bytes more; a message for each step that they complete, slowed down if so configured."""
        self._session.check_cancelled()
        self._done += size
        percent = min(100, self._done * 100 // self._total)
        yield from self._show_up_to(percent)

    def _show_up_to(self, percent: int) -> Iterator[Message]:
        slow = slowness(self._session, self._progress.database_id)
        while self._shown + self._step <= percent:
            if slow:
                self._session.sleep(slow * self._step / 10)
            self._shown += self._step
            self._progress.percent = float(self._shown)
            yield message(3211, self._shown, step=True)

    def finish(self, lines: list[tuple[int, str, str]]) -> Iterator[Message]:
        """The last messages: pages per file (pages, database, file), pages and rate in all."""
        yield from self._show_up_to(100)
        self._progress.percent = 100.0
        elapsed = max(0.001, time.monotonic() - self._started)
        for pages, database, file in lines:
            yield message(4035, pages, database, file, 1, step=True)
        pages = sum(count for count, _, _ in lines)
        rate = int(pages * PAGE_BYTES / 2**20 / elapsed * 1000)
        whole, thousandths = divmod(int(elapsed * 1000), 1000)
        yield message(3014, self._command, pages, whole, thousandths, rate // 1000, rate % 1000, step=True)

    def close(self) -> None:
        """The statement has ended."""
        self._session.progress = None


def slowness(session: Session, database_id: int) -> float:
    """Seconds that every 10 percent of a long statement takes at least."""
    database = session.instance.by_id(database_id)
    return session.instance.faults.amount(SLOW, database.name if database else "")


def pages_of(size: int) -> int:
    """Pages of 8 KiB."""
    return -(-size // PAGE_BYTES)
