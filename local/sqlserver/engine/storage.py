"""SQLite as the storage of a database: connections with SQL Server's collation and functions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from local.sqlserver.datatypes import SqlType
from local.sqlserver.engine.errors import SqlError

COLLATION = "ci_as"  # case-insensitive, trailing blanks do not count, as SQL_Latin1_General_CP1_CI_AS
GUID_ORDER = "guid_order"
_types: dict[str, SqlType] = {}
_types_lock = threading.Lock()


def quoted(name: str) -> str:
    """A name as SQLite quotes it."""
    return '"' + name.replace('"', '""') + '"'


def type_key(kind: SqlType) -> str:
    """A text by which ``type_of_key`` finds the type again; used as an argument of SQLite functions."""
    key = kind.declaration
    with _types_lock:
        _types[key] = kind
    return key


def type_of_key(key: str) -> SqlType:
    """The type that ``type_key`` named."""
    return _types[key]


def _fold(text: str) -> str:
    return text.rstrip(" ").casefold()


def _compare_text(left: str, right: str) -> int:
    a, b = _fold(left), _fold(right)
    return (a > b) - (a < b)


def _compare_guid(left: str, right: str) -> int:
    """SQL Server orders a uniqueidentifier by its last group first."""
    a, b = (tuple(reversed(text.split("-"))) for text in (left, right))
    return (a > b) - (a < b)


def open_database(path: Path | str) -> apsw.Connection:
    """Open a SQLite database with SQL Server's collations. Foreign keys are the engine's own concern.

    The files outlive a crash of this process without ``fsync``; a crash of the machine is not this server's
    concern.
    """
    connection = apsw.Connection(str(path))
    connection.create_collation(COLLATION, _compare_text)
    connection.create_collation(GUID_ORDER, _compare_guid)
    connection.set_busy_timeout(60_000)
    for pragma in ("journal_mode=WAL", "synchronous=OFF", "foreign_keys=OFF"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def define(
    connection: apsw.Connection, name: str, function: Callable[..., Any], *, pure: bool = True
) -> None:
    """Make a Python function callable from SQL on this connection."""
    connection.create_scalar_function(name, function, -1, deterministic=pure)


def scalar(connection: apsw.Connection, sql: str, bindings: Any = None) -> Any:
    """The first column of the first row; None without a row."""
    row = connection.execute(sql, bindings).fetchone()
    return None if row is None else row[0]


class Single:
    """An aggregate that lets one row pass: a subquery used as a value must not return more (512)."""

    def __init__(self) -> None:
        self._rows = 0
        self._value: Any = None

    def step(self, *values: Any) -> None:
        """Take a row."""
        self._rows += 1
        if self._rows > 1:
            raise SqlError(512)
        self._value = values[0]

    def final(self) -> Any:
        """The one value, or None."""
        return self._value
