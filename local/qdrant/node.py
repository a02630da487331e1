"""One stand-in server: its collections, settings and counters."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from local.qdrant.answers import QdrantError
from local.qdrant.faults import Faults
from local.qdrant.registry import Registry

VERSION = "1.19.0"
COMMIT = "74f3e85b9473c62560006c043e13737ce6b48412"


@dataclass(frozen=True)
class Keys:
    """The API keys in force; None where none is asked for."""

    manage: str | None = None
    read_only: str | None = None


class Activity:
    """How many snapshots and recoveries of each collection run, and how many snapshots were begun."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.snapshots: Counter[str] = Counter()
        self.recoveries: Counter[str] = Counter()
        self.begun: Counter[str] = Counter()

    @contextlib.contextmanager
    def snapshot(self, name: str) -> Iterator[None]:
        """Count a snapshot while the block runs."""
        with self._lock:
            self.begun[name] += 1
        with self._running(self.snapshots, name):
            yield

    @contextlib.contextmanager
    def recovery(self, name: str) -> Iterator[None]:
        """Count a recovery while the block runs."""
        with self._running(self.recoveries, name):
            yield

    @contextlib.contextmanager
    def _running(self, counter: Counter[str], name: str) -> Iterator[None]:
        with self._lock:
            counter[name] += 1
        try:
            yield
        finally:
            with self._lock:
                counter[name] -= 1


class Background:
    """Work that a client did not wait for. What goes wrong in it is lost: no reply, no log line, no trace."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def start(self, work: Callable[[], object]) -> None:
        """Begin the work in a thread of its own."""

        def quietly() -> None:
            with contextlib.suppress(QdrantError, OSError):
                work()

        thread = threading.Thread(target=quietly, name="not-waited-for", daemon=True)
        with self._lock:
            self._threads = [one for one in self._threads if one.is_alive()]
            self._threads.append(thread)
            thread.start()

    def wait(self) -> None:
        """Return when all of it has ended."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()


@dataclass(frozen=True)
class Node:
    """Everything a request can reach."""

    registry: Registry
    keys: Keys = field(default_factory=Keys)
    url_recovery: bool = True
    faults: Faults = field(default_factory=Faults)
    activity: Activity = field(default_factory=Activity)
    background: Background = field(default_factory=Background)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
