"""Deletes the rows of users again who were erased after the moment that was restored.

Every ``Octopus_*`` table with a column ``UserId`` is looked for; what hangs on its rows by foreign keys is
found in ``sys.foreign_keys`` and goes first, the deepest first, so that no constraint stands in the way and
no statement cascades into millions of rows. Where a key is ``ON DELETE SET NULL`` or ``SET DEFAULT`` the row
at its other end is somebody else's, and is left to the server. References from a table to itself are cleared.

The ids are only ever parameters. No message of the server is repeated, because one could hold an id.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.errors import BackupSystemError, OutcomeUnknownError, SqlServerError
from shared.stores.sqlserver import contents
from shared.stores.sqlserver.connection import Server, Session
from shared.stores.sqlserver.contents import Table
from shared.stores.sqlserver.statements import quote_name

USERS_AT_ONCE = 500
"""Ids in one statement; SQL Server takes 2,100 parameters at most."""

ROWS_AT_ONCE = 4_000
"""Rows that one statement deletes: below the 5,000 locks at which SQL Server locks the whole table instead
(Microsoft's documentation, "Transaction locking and row versioning guide")."""

_COLUMN = "UserId"
_STATEMENT_SECONDS = 600
_NO_ACTION, _CASCADE = 0, 1


@dataclass(frozen=True)
class _Key:
    """A foreign key: the rows of ``child`` refer to those of ``parent`` by pairs of columns."""

    child: Table
    parent: Table
    columns: tuple[tuple[str, str], ...]
    action: int
    nullable: bool


@dataclass(frozen=True)
class _Way:
    """How to get from a table to a user: the keys to follow, then the column with the user's id.

    ``kind`` is that column's type; ``cleared`` are keys from the table to itself.
    """

    keys: tuple[_Key, ...]
    root: Table
    kind: str
    cleared: tuple[_Key, ...] = ()

    @property
    def table(self) -> Table:
        """Where the way begins: the table whose rows go."""
        return self.keys[-1].child if self.keys else self.root

    def condition(self, database: str, count: int) -> str:
        """The WHERE clause, with one question mark for each of ``count`` ids; the table is ``t{keys}``."""
        marks = ", ".join("?" * count)
        text = f"t0.{quote_name(_COLUMN)} IN ({marks})"
        for depth, key in enumerate(self.keys):
            pairs = " AND ".join(
                f"t{depth}.{quote_name(there)} = t{depth + 1}.{quote_name(here)}"
                for here, there in key.columns
            )
            text = (
                f"EXISTS (SELECT 1 FROM {key.parent.quoted(database)} AS t{depth} "  # noqa: S608 - quoted
                f"WHERE {pairs} AND {text})"
            )
        return text


def erase(
    server: Server,
    database: str,
    users: Sequence[str],
    on_rows: Callable[[Mapping[str, int], int], None],
) -> dict[str, int]:
    """Delete the rows of users, and what hangs on them. Repeating it finds nothing more.

    Args:
        server: where.
        database: the restored database, which nobody else writes to.
        users: their ids, as text; one that cannot be a value of a column is not looked for there.
        on_rows: told, after each group of users, the rows deleted since the last time (by ``schema.table``)
            and how many users are done; an exception of it stops the work.

    Returns:
        Rows deleted in all, by ``schema.table``, of every table that was looked at.

    Raises:
        SqlServerError: code ``erasure_failed``, without the server's own words.
        OutcomeUnknownError, UnreachableError, NotPermittedError: as everywhere; it can be repeated.
    """
    total: dict[str, int] = {}
    with server.session(seconds=_STATEMENT_SECONDS) as session:
        try:
            ways = list(_ways(session, database))
            total = {way.table.key: 0 for way in ways}
            for first in range(0, len(users), USERS_AT_ONCE):
                group = users[first : first + USERS_AT_ONCE]
                deleted = dict.fromkeys(total, 0)
                for way in ways:
                    deleted[way.table.key] += _delete(session, database, way, group)
                total = {table: count + deleted[table] for table, count in total.items()}
                on_rows(deleted, min(first + USERS_AT_ONCE, len(users)))
        except SqlServerError as error:
            raise _without_words(error, database) from None
        except OutcomeUnknownError:
            raise OutcomeUnknownError(
                f"The connection to SQL Server was lost while rows of {database} were deleted.",
                "It is repeated: what is gone is not looked for again.",
            ) from None
    return total


def remaining(server: Server, database: str, users: Sequence[str]) -> int:
    """How many rows of the users are left in tables with a ``UserId``; 0 after ``erase``.

    Raises:
        BackupSystemError: as ``erase``.
    """
    left = 0
    with server.session(seconds=_STATEMENT_SECONDS) as session:
        try:
            for way in _roots(session, database):
                for first in range(0, len(users), USERS_AT_ONCE):
                    if values := _values(way.kind, users[first : first + USERS_AT_ONCE]):
                        where = way.condition(database, len(values))
                        left += int(
                            session.rows(
                                f"SELECT COUNT_BIG(*) FROM {way.table.quoted(database)} AS t0 "  # noqa: S608
                                f"WHERE {where};",
                                *values,
                            )[0][0]
                        )
        except SqlServerError as error:
            raise _without_words(error, database) from None
    return left


def _delete(session: Session, database: str, way: _Way, users: Sequence[str]) -> int:
    values = _values(way.kind, users)
    if not values:
        return 0
    own = f"t{len(way.keys)}"
    where = way.condition(database, len(values))
    for key in way.cleared:
        cleared = ", ".join(f"{quote_name(here)} = NULL" for here, _ in key.columns)
        pairs = " AND ".join(
            f"{own}.{quote_name(there)} = c.{quote_name(here)}" for here, there in key.columns
        )
        session.run(
            f"UPDATE c SET {cleared} FROM {way.table.quoted(database)} AS c "  # noqa: S608 - quoted
            f"WHERE EXISTS (SELECT 1 FROM {way.table.quoted(database)} AS {own} WHERE {pairs} AND {where});",
            *values,
        )
    statement = (
        f"SET NOCOUNT ON; DELETE TOP ({ROWS_AT_ONCE}) {own} "
        f"FROM {way.table.quoted(database)} AS {own} WHERE {where}; SELECT @@ROWCOUNT;"
    )
    deleted = 0
    while count := int(session.rows(statement, *values)[0][0]):
        deleted += count
    return deleted


def _ways(session: Session, database: str) -> Iterator[_Way]:
    """Every table that has rows to delete, children before their parents."""
    keys = _keys(session, database)
    for root in _roots(session, database):
        yield from _descended(root, keys)


def _descended(way: _Way, keys: Sequence[_Key]) -> Iterator[_Way]:
    passed = {way.root.key, *(key.child.key for key in way.keys)}
    for key in keys:
        follows = key.parent.key == way.table.key and key.action in (_NO_ACTION, _CASCADE)
        if follows and key.child.key not in passed:
            yield from _descended(_Way((*way.keys, key), way.root, way.kind), keys)
    own = (key for key in keys if key.child.key == key.parent.key == way.table.key)
    yield replace(way, cleared=tuple(key for key in own if key.action == _NO_ACTION and key.nullable))


def _roots(session: Session, database: str) -> list[_Way]:
    """The ``Octopus_*`` tables with a column ``UserId``, whose type is asked for: it differs."""
    own = quote_name(database)
    rows = session.rows(
        f"SELECT TABLE_SCHEMA, TABLE_NAME, DATA_TYPE FROM {own}.INFORMATION_SCHEMA.COLUMNS "  # noqa: S608
        "WHERE COLUMN_NAME = ?;",
        _COLUMN,
    )
    kinds = {(str(row[0]), str(row[1])): str(row[2]).lower() for row in rows}
    return [
        _Way((), table, kinds[table.schema_name, table.name])
        for table in contents.tables(session, database)
        if (table.schema_name, table.name) in kinds
    ]


def _keys(session: Session, database: str) -> list[_Key]:
    own = quote_name(database)
    rows = session.rows(
        "SELECT k.object_id, cs.name, ct.name, ps.name, pt.name, cc.name, pc.name, "  # noqa: S608 - quoted
        "k.delete_referential_action, cc.is_nullable "
        f"FROM {own}.sys.foreign_keys AS k "
        f"JOIN {own}.sys.foreign_key_columns AS m ON m.constraint_object_id = k.object_id "
        f"JOIN {own}.sys.tables AS ct ON ct.object_id = k.parent_object_id "
        f"JOIN {own}.sys.schemas AS cs ON cs.schema_id = ct.schema_id "
        f"JOIN {own}.sys.tables AS pt ON pt.object_id = k.referenced_object_id "
        f"JOIN {own}.sys.schemas AS ps ON ps.schema_id = pt.schema_id "
        f"JOIN {own}.sys.columns AS cc ON cc.object_id = m.parent_object_id "
        "AND cc.column_id = m.parent_column_id "
        f"JOIN {own}.sys.columns AS pc ON pc.object_id = m.referenced_object_id "
        "AND pc.column_id = m.referenced_column_id "
        "ORDER BY k.object_id, m.constraint_column_id;"
    )
    grouped: dict[int, list[Any]] = {}
    for row in rows:
        grouped.setdefault(int(row[0]), []).append(row)
    return [
        _Key(
            child=Table(schema_name=columns[0][1], name=columns[0][2]),
            parent=Table(schema_name=columns[0][3], name=columns[0][4]),
            columns=tuple((str(row[5]), str(row[6])) for row in columns),
            action=int(columns[0][7]),
            nullable=all(bool(row[8]) for row in columns),
        )
        for columns in grouped.values()
    ]


def _values(kind: str, users: Sequence[str]) -> list[object]:
    """The ids as values of a column of that type; those that cannot be one are left out."""
    return [value for user in users if (value := _value(kind, user)) is not None]


def _value(kind: str, user: str) -> object | None:
    try:
        if kind == "uniqueidentifier":
            return str(uuid.UUID(user))
        if kind in ("int", "bigint", "smallint", "tinyint"):
            number = int(user)
            return number if abs(number) < 2**31 or (kind == "bigint" and abs(number) < 2**63) else None
    except ValueError:
        return None
    return user


def _without_words(error: SqlServerError, database: str) -> BackupSystemError:
    return SqlServerError(
        f"Rows of erased users could not be deleted from {database}: SQL Server's message {error.number}. "
        "Its words are left out, because they could name a user.",
        error.number,
        "Look the number up in Microsoft's list of database engine errors, then resume the restore.",
        code="erasure_failed",
        meaning="The API must not be opened: rows of erased users may still be there.",
        retryable=error.retryable,
    )
