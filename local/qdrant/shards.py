"""The engine's shards: opened when needed, a bounded number of them at a time."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import qdrant_edge as edge

from local.qdrant.answers import bad_input, internal

OPEN_AT_ONCE = 24
# How the engine's texts begin when the fault is not the client's.
OWN_FAULTS = (
    "Service runtime error: ",
    "Inconsistent storage: ",
    "File IO error",
    "IO Error",
    "Timeout error",
)


@dataclass
class _Open:
    shard: edge.EdgeShard
    users: int = 0


class ShardPool:
    """Keeps the shards that were used last open, and closes the one used longest ago when there are too many.

    An open shard holds its folder: a second ``load`` of it fails (``WouldBlock``). So a folder is released
    here before it is moved, replaced or deleted.
    """

    def __init__(self, limit: int = OPEN_AT_ONCE) -> None:
        self._limit = limit
        self._open: OrderedDict[Path, _Open] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many shards are open."""
        with self._lock:
            return len(self._open)

    @contextlib.contextmanager
    def use(self, folder: Path, config: edge.EdgeConfig) -> Iterator[edge.EdgeShard]:
        """The shard in ``folder``, open for as long as the block runs.

        Raises:
            QdrantError: the engine cannot open it, or an operation in the block failed in it.
        """
        with self._lock:
            entry = self._open.get(folder) or self._load(folder, config)
            self._open.move_to_end(folder)
            entry.users += 1
        try:
            with engine_errors():
                yield entry.shard
        finally:
            with self._lock:
                entry.users -= 1
                self._close_surplus()

    def release(self, folder: Path) -> None:
        """Close the shard in ``folder``, if it is open. The caller keeps others from using it."""
        with self._lock:
            entry = self._open.pop(folder, None)
            if entry:
                entry.shard.close()

    def close(self) -> None:
        """Close every shard that nobody uses. The others lose nothing: their log has all that was written."""
        with self._lock:
            for entry in self._open.values():
                if not entry.users:
                    entry.shard.close()
            self._open.clear()

    def _load(self, folder: Path, config: edge.EdgeConfig) -> _Open:
        try:
            shard = edge.EdgeShard.load(str(folder), config)
        except Exception as error:
            raise internal(str(error)) from error
        self._open[folder] = _Open(shard)
        return self._open[folder]

    def _close_surplus(self) -> None:
        surplus = len(self._open) - self._limit
        for folder in [folder for folder, entry in self._open.items() if not entry.users][: max(0, surplus)]:
            self._open.pop(folder).shard.close()


@contextlib.contextmanager
def engine_errors() -> Iterator[None]:
    """Give the engine's complaints the server's prefix; it raises bare ``Exception`` for all of them."""
    try:
        yield
    except BaseException as error:
        text = str(error)
        if type(error).__name__ == "PanicException":  # Rust's panic, no Exception in Python's eyes
            panic = f'task 1 panicked with message "{text}"'
            raise internal(f"1 of 1 read operations failed:\n  Service internal error: {panic}") from error
        if type(error) is not Exception:
            raise
        if text.startswith(OWN_FAULTS):
            raise internal(text.removeprefix(OWN_FAULTS[0])) from error
        raise bad_input(text) from error


def create(folder: Path, config: edge.EdgeConfig) -> None:
    """Make an empty shard in ``folder``.

    Raises:
        QdrantError: the engine refuses the configuration or the folder.
    """
    folder.mkdir(parents=True)
    with engine_errors():
        edge.EdgeShard.create(str(folder), config).close()
