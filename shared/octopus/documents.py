"""Documents, put together from the chunks that they were cut into: on disk, so that memory stays as it is."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from shared.octopus.payload import AGENT, DOCUMENT, INDEXED_AT, SOURCE, time_of

LONGEST = 500
"""Characters of one value that are kept."""

_TABLE = (
    "CREATE TABLE documents (collection TEXT, agent TEXT, source TEXT, document TEXT, chunks INTEGER, "
    "first TEXT, last TEXT, PRIMARY KEY (collection, agent, source, document)) WITHOUT ROWID"
)
_ADD = (
    "INSERT INTO documents VALUES (?, ?, ?, ?, 1, ?, ?) ON CONFLICT DO UPDATE SET "
    "chunks = chunks + 1, first = min(first, excluded.first), last = max(last, excluded.last)"
)
_SHOWN = "SELECT collection, agent, source, document, chunks, first, last FROM documents ORDER BY "


class DocumentTally:
    """Counts the chunks of each document, in a file that is gone when the tally is closed.

    The chunks of a document come in any order and from anywhere in a collection, because points are ordered
    by their ids.
    """

    def __init__(self) -> None:
        self._files = contextlib.ExitStack()
        folder = self._files.enter_context(tempfile.TemporaryDirectory(prefix="octopus-documents-"))
        self._rows = sqlite3.connect(Path(folder) / "documents", isolation_level=None)
        self._files.callback(self._rows.close)
        # Nothing of it is needed after a crash: no journal on disk, no waiting for the disk.
        for statement in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", _TABLE):
            self._rows.execute(statement)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def add(self, collection: str, payloads: Sequence[Mapping[str, Any]]) -> None:
        """Count some chunks of a collection.

        Args:
            collection: its name.
            payloads: of the points; a field that is missing counts as empty.
        """
        self._rows.executemany(_ADD, [(collection, *_row(payload)) for payload in payloads])

    def forget(self, collection: str) -> None:
        """Leave a collection out after all, because it could not be read to its end."""
        self._rows.execute("DELETE FROM documents WHERE collection = ?", (collection,))

    def totals(self) -> dict[str, tuple[int, int]]:
        """Documents and chunks of each collection that has any."""
        rows = self._rows.execute(
            "SELECT collection, COUNT(*), SUM(chunks) FROM documents GROUP BY collection ORDER BY collection"
        )
        return {name: (documents, chunks) for name, documents, chunks in rows}

    def first(self, limit: int) -> list[dict[str, Any]]:
        """The documents that were indexed first."""
        return [_shown(row) for row in self._rows.execute(_SHOWN + "first, collection LIMIT ?", (limit,))]

    def lines(self) -> Iterator[bytes]:
        """Every document as a line of JSON, by collection, agent and source."""
        for row in self._rows.execute(_SHOWN + "collection, agent, source, document"):
            yield json.dumps(_shown(row), ensure_ascii=False).encode() + b"\n"


def _row(payload: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    read = time_of(payload.get(INDEXED_AT))
    at = read.isoformat(timespec="microseconds").replace("+00:00", "Z") if read else ""
    agent, source, document = (_text(payload.get(field)) for field in (AGENT, SOURCE, DOCUMENT))
    return agent, source, document, at, at


def _text(value: Any) -> str:
    return "" if value is None else str(value)[:LONGEST]


def _shown(row: Sequence[Any]) -> dict[str, Any]:
    names = (
        "collection",
        "agent_id",
        "source",
        "document_id",
        "chunks",
        "first_indexed_at",
        "last_indexed_at",
    )
    return dict(zip(names, row, strict=True))
