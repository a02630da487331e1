"""Locks: one run at a time works on a thing, however many hosts there are.

A lock is a document with a run, a heartbeat and a fencing number, changed only by If-Match. It lasts as long
as its holder beats and its run has not ended. A holder that has stopped to beat is dead, and whoever wants
the lock next takes it over with a higher number; should the holder only have slept, it finds its lock lost
and stops.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from shared.blob import documents
from shared.blob.storage import Storage
from shared.catalogue import paths
from shared.catalogue.records import read
from shared.catalogue.runs import Runs
from shared.clock import Clock
from shared.errors import AlreadyExistsError, BackupSystemError, ConflictError, LockedError, NotFoundError
from shared.model.runs import DEAD_AFTER, Lock

_log = logging.getLogger(__name__)

BEAT_SECONDS = 15.0

_DOUBTFUL_AFTER = DEAD_AFTER - timedelta(minutes=1)
"""A holder that could not beat for so long stops by itself, before another one may take its lock over; the
minute is for clocks that differ and for work that is under way."""

_TRIES = 5


class HeldLock:
    """A lock while it is held. Made by ``Locks.hold``."""

    def __init__(self, storage: Storage, clock: Clock, lock: Lock, etag: str) -> None:
        self._storage = storage
        self._clock = clock
        self._lock = lock
        self._etag = etag
        self._guard = threading.Lock()
        self._lost: ConflictError | None = None

    @property
    def fencing(self) -> int:
        """Higher than that of every earlier holder."""
        return self._lock.fencing

    def check(self) -> None:
        """Make sure that the lock is still held; asks nobody, so it costs nothing.

        Raises:
            ConflictError: another holder has taken it over, or may do so because we could not beat for too
                long. The work must stop.
        """
        if self._lost is not None:
            raise self._lost
        if self._clock.now() - self._lock.heartbeat_at > _DOUBTFUL_AFTER:
            raise _lost(self._lock, "its heartbeat could not be written for too long")

    def beat(self) -> None:
        """Show that the holder lives. Storage that does not answer is not the end: ``check`` judges that."""
        with self._guard:
            if self._lost is None:
                self._write(self._lock.model_copy(update={"heartbeat_at": self._clock.now()}))

    def release(self) -> None:
        """Let the next one in. When that fails, the lock ends by itself when it counts as dead."""
        with self._guard:
            if self._lost is None:
                self._write(self._lock.model_copy(update={"released": True}))

    def _write(self, lock: Lock) -> None:
        try:
            self._etag = documents.replace(
                self._storage, paths.STATE, paths.lock(lock.name), lock.as_json(), self._etag
            )
            self._lock = lock
        except ConflictError:
            self._lost = _lost(lock, "another holder took it over")
        except BackupSystemError as error:
            _log.warning("The lock %s of run %s could not be written: %s", lock.name, lock.run_id, error)


class Locks:
    """All locks."""

    def __init__(self, storage: Storage, clock: Clock, runs: Runs) -> None:
        self._storage = storage
        self._clock = clock
        self._runs = runs

    @contextmanager
    def hold(self, name: str, run_id: str, beat_seconds: float = BEAT_SECONDS) -> Iterator[HeldLock]:
        """Hold a lock while the block works.

        A run is never locked out by itself: when it is repeated, its later holder gets the lock and the
        earlier one loses it.

        Args:
            name: what is locked, for instance ``{server}/{database}/log``.
            run_id: the run that works on it.
            beat_seconds: how often a thread shows that the holder lives.

        Yields:
            The lock, to be checked before everything that must not be done by two.

        Raises:
            LockedError: another run holds it and lives, or was faster.
            UnreachableError, NotPermittedError, StorageError: it could not be read or written.
        """
        held = self._acquire(name, run_id)
        ended = threading.Event()

        def keep() -> None:
            while not ended.wait(beat_seconds):
                held.beat()

        beating = threading.Thread(target=keep, name=f"lock {name}", daemon=True)
        beating.start()
        try:
            yield held
        finally:
            ended.set()
            beating.join()
            held.release()

    def _acquire(self, name: str, run_id: str) -> HeldLock:
        path = paths.lock(name)
        for _ in range(_TRIES):
            now = self._clock.now()
            wanted = Lock(name=name, run_id=run_id, fencing=1, heartbeat_at=now)
            try:
                there, etag = read(self._storage, paths.STATE, path, Lock)
            except NotFoundError:
                try:
                    etag = documents.create(self._storage, paths.STATE, path, wanted.as_json())
                except AlreadyExistsError:
                    continue  # somebody else was faster: look who
                return HeldLock(self._storage, self._clock, wanted, etag)
            alive = not there.released and now - there.heartbeat_at <= DEAD_AFTER
            if there.run_id != run_id and alive and not self._runs.has_ended(there.run_id):
                raise _held_by(there, name)
            wanted = wanted.model_copy(update={"fencing": there.fencing + 1})
            try:
                etag = documents.replace(self._storage, paths.STATE, path, wanted.as_json(), etag)
            except ConflictError:
                continue
            return HeldLock(self._storage, self._clock, wanted, etag)
        raise LockedError(
            f"Too many want the lock {name} at once; it changed hands {_TRIES} times.", "Try again."
        )


def _held_by(lock: Lock, name: str) -> LockedError:
    return LockedError(
        f"Run {lock.run_id} works on {name} (last sign of life {lock.heartbeat_at:%Y-%m-%d %H:%M:%S} UTC).",
        f"Wait until it ends. If its host is gone, the lock opens {DEAD_AFTER.seconds // 60} minutes after "
        "that sign.",
        run_id=lock.run_id,
    )


def _lost(lock: Lock, why: str) -> ConflictError:
    error = ConflictError(
        f"Run {lock.run_id} lost the lock {lock.name}: {why}.",
        code="lock_lost",
        meaning="The work was stopped; whoever holds the lock now does it.",
    )
    error.retryable = False
    return error
