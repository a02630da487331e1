"""Locks between sessions.

Readers never wait for writers: statements read what was last committed, as a database with
READ_COMMITTED_SNAPSHOT does. Writers of one database take turns (SQLite has one writer), from their first
change to the end of their transaction. Tables have locks of their own, so that ``WITH (TABLOCK, HOLDLOCK)``
really holds writers off: intent (a writer's), shared, exclusive (definitions, TABLOCKX).
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from local.sqlserver.engine.errors import SqlError

if TYPE_CHECKING:
    from local.sqlserver.engine.session import Session

type Resource = tuple[str, int, int]

INTENT, SHARED, EXCLUSIVE = "IX", "S", "X"
_COMPATIBLE = {(INTENT, INTENT), (SHARED, SHARED)}
_POLL_SECONDS = 0.05  # how soon a waiting session notices that it was cancelled


class LockManager:
    """All locks of the server."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: dict[Resource, dict[Session, set[str]]] = {}
        self._waiting: dict[Session, tuple[Resource, str]] = {}

    def acquire(self, session: Session, resource: Resource, mode: str, timeout: float) -> bool:
        """Wait for a lock.

        Args:
            session: who asks.
            resource: what for.
            mode: INTENT, SHARED or EXCLUSIVE.
            timeout: seconds to wait; negative waits for ever.

        Returns:
            Whether the session did not hold it before.

        Raises:
            SqlError: 1222 after ``timeout``, 1205 if waiting would never end.
            Cancelled: the client gave up.
        """
        deadline = None if timeout < 0 else time.monotonic() + timeout
        with self._changed:
            if mode in self._held.get(resource, {}).get(session, ()):
                return False
            try:
                while self._blockers(session, resource, mode):
                    self._waiting[session] = (resource, mode)
                    if self._would_deadlock(session):
                        raise SqlError(1205, session.spid)
                    if deadline is not None and time.monotonic() >= deadline:
                        raise SqlError(1222)
                    self._changed.wait(_POLL_SECONDS)
                    session.check_cancelled()
            finally:
                self._waiting.pop(session, None)
            self._held.setdefault(resource, {}).setdefault(session, set()).add(mode)
            return True

    def _blockers(self, session: Session, resource: Resource, mode: str) -> set[Session]:
        return {
            other
            for other, modes in self._held.get(resource, {}).items()
            if other is not session and any((mode, held) not in _COMPATIBLE for held in modes)
        }

    def _would_deadlock(self, session: Session) -> bool:
        """Whether following who waits for whom leads back to ``session``."""
        seen: set[Session] = set()
        frontier = [session]
        while frontier:
            current = frontier.pop()
            if current in self._waiting:
                for blocker in self._blockers(current, *self._waiting[current]):
                    if blocker is session:
                        return True
                    if blocker not in seen:
                        seen.add(blocker)
                        frontier.append(blocker)
        return False

    def release(self, session: Session, resource: Resource, mode: str) -> None:
        """Give up one lock."""
        with self._changed:
            self._held.get(resource, {}).get(session, set()).discard(mode)
            self._changed.notify_all()

    def release_all(self, session: Session) -> None:
        """Give up everything that a session holds: its transaction ended."""
        with self._changed:
            for holders in self._held.values():
                holders.pop(session, None)
            self._changed.notify_all()

    def blocker_of(self, session: Session) -> int:
        """The session id that ``session`` waits for, or 0."""
        with self._changed:
            if session not in self._waiting:
                return 0
            return next((s.spid for s in self._blockers(session, *self._waiting[session])), 0)
