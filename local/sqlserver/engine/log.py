"""The transaction log of a database: what was committed, in order of its log sequence numbers (LSN).

A record is one committed transaction: SQLite changesets and the text of definitions, in the order in which
they happened. It is written before the data file commits, so that a crash between the two is repaired by
applying the log again (``Database.redo``).

An LSN has the usual three parts, printed as one number: the log file's sequence, a block of ten digits, a
slot of five. Records stay in the file as long as a log backup or a differential may need them; what a log
backup has saved no longer counts as log.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.sqlserver.engine.storage import open_database, scalar

FIRST_LSN = 37 * 10**15 + 80 * 10**5 + 1
_SEQUENCE, _BLOCK = 10**15, 10**5
_BLOCK_BYTES = 512
_BLOCKS_PER_FILE = 20_480  # a virtual log file of 10 MiB
CHANGES, DEFINITION = b"C", b"D"


@dataclass(frozen=True)
class Record:
    """One committed transaction.

    Attributes:
        lsn: where it begins.
        next_lsn: where the following record begins.
        time: when it was committed, UTC, ISO 8601.
        fork: the recovery fork on which it was committed.
        mark: the name of its mark, exactly as given; None without a mark.
        description: the mark's description.
        body: what it did, see ``pieces``.
    """

    lsn: int
    next_lsn: int
    time: str
    fork: str
    mark: str | None
    description: str | None
    body: bytes


def advance(lsn: int, size: int) -> int:
    """The LSN after a record of ``size`` bytes that begins at ``lsn``."""
    sequence, block = lsn // _SEQUENCE, lsn % _SEQUENCE // _BLOCK
    block += max(1, -(-size // _BLOCK_BYTES))
    if block > _BLOCKS_PER_FILE:
        sequence, block = sequence + 1, 16
    return sequence * _SEQUENCE + block * _BLOCK + 1


def pack(pieces: list[tuple[bytes, bytes]]) -> bytes:
    """The body of a record."""
    return b"".join(kind + struct.pack("<I", len(data)) + data for kind, data in pieces)


def pieces(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """What a record did: (CHANGES, changeset) and (DEFINITION, SQL text), in order."""
    at = 0
    while at < len(body):
        kind, size = body[at : at + 1], struct.unpack_from("<I", body, at + 1)[0]
        yield kind, body[at + 5 : at + 5 + size]
        at += 5 + size


class TransactionLog:
    """The log file of one database. A backup may read it while transactions write it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()  # SQLite's connection serves one thread at a time
        self._file = open_database(path)
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS records (lsn INTEGER PRIMARY KEY, next_lsn INTEGER, time TEXT,"
            " fork TEXT, mark TEXT, description TEXT, body BLOB) STRICT;"
            "CREATE TABLE IF NOT EXISTS position (id INTEGER PRIMARY KEY CHECK (id = 1), next_lsn INTEGER)"
            " STRICT;"
        )
        self._file.execute("INSERT OR IGNORE INTO position VALUES (1, ?)", (FIRST_LSN,))

    @property
    def next_lsn(self) -> int:
        """Where the next record will begin."""
        with self._lock:
            return int(scalar(self._file, "SELECT next_lsn FROM position"))

    def append(self, time: str, fork: str, mark: tuple[str, str] | None, body: bytes) -> Record:
        """Write a new record at the end."""
        name, description = mark or (None, None)
        with self._lock:
            lsn = self.next_lsn
            record = Record(lsn, advance(lsn, len(body)), time, fork, name, description, body)
            self.put([record])
        return record

    def put(self, records: list[Record]) -> None:
        """Write records that already have their LSNs; the log goes on after the last of them."""
        if not records:
            return
        with self._lock, self._file:
            self._file.executemany(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(r.lsn, r.next_lsn, r.time, r.fork, r.mark, r.description, r.body) for r in records],
            )
            self._file.execute("UPDATE position SET next_lsn = ?", (records[-1].next_lsn,))

    def move_to(self, lsn: int) -> None:
        """Let the log go on at ``lsn``; what was recorded from there on is gone."""
        with self._lock, self._file:
            self._file.execute("DELETE FROM records WHERE lsn >= ?", (lsn,))
            self._file.execute("UPDATE position SET next_lsn = ?", (lsn,))

    def read(self, start: int, end: int) -> Iterator[Record]:
        """The records with ``start <= lsn < end``; each is read when it is asked for."""
        at = start
        while True:
            row = self._row("SELECT * FROM records WHERE lsn >= ? AND lsn < ? ORDER BY lsn LIMIT 1", at, end)
            if row is None:
                return
            record = Record(*row)
            yield record
            at = record.next_lsn

    def last(self) -> Record | None:
        """The newest record."""
        row = self._row("SELECT * FROM records ORDER BY lsn DESC LIMIT 1")
        return Record(*row) if row else None

    def _row(self, sql: str, *values: int) -> tuple[Any, ...] | None:
        with self._lock:
            return self._file.execute(sql, values).fetchone()

    def bytes_since(self, lsn: int) -> int:
        """The size of the records from ``lsn`` on."""
        return int(
            scalar(self._file, "SELECT coalesce(sum(length(body)), 0) FROM records WHERE lsn >= ?", (lsn,))
        )

    def drop_before(self, lsn: int) -> None:
        """Forget the records before ``lsn``."""
        with self._lock:
            self._file.execute("DELETE FROM records WHERE lsn < ?", (lsn,))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
