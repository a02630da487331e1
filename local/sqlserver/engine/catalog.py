# ruff: noqa: S608 -- every name in SQL text is quoted by ``storage.quoted``, every value is bound
"""The definitions of a database's objects, kept in the database itself, so that backups carry them."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import apsw

from local.sqlserver.datatypes import SqlType
from local.sqlserver.engine.storage import COLLATION, quoted, scalar
from local.sqlserver.engine.values import STORAGE_CLASS

FIRST_OBJECT_ID = 901_578_250
_TABLES = """
CREATE TABLE IF NOT EXISTS _tables (object_id INTEGER PRIMARY KEY, schema_name TEXT COLLATE ci_as NOT NULL,
    name TEXT COLLATE ci_as NOT NULL, created TEXT NOT NULL, definition TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS _schemas (schema_id INTEGER PRIMARY KEY,
    name TEXT COLLATE ci_as NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS _identities (object_id INTEGER PRIMARY KEY, last INTEGER) STRICT;
CREATE TABLE IF NOT EXISTS _state (id INTEGER PRIMARY KEY CHECK (id = 1), applied INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS _users (user_id INTEGER PRIMARY KEY, name TEXT COLLATE ci_as NOT NULL UNIQUE,
    login TEXT COLLATE ci_as NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS _members (role TEXT NOT NULL, user_id INTEGER NOT NULL,
    PRIMARY KEY (role, user_id)) STRICT;
CREATE TABLE IF NOT EXISTS _rights (permission TEXT NOT NULL, securable TEXT NOT NULL,
    user_id INTEGER NOT NULL, denied INTEGER NOT NULL,
    PRIMARY KEY (permission, securable, user_id)) STRICT;
INSERT OR IGNORE INTO _schemas VALUES (1, 'dbo'), (2, 'guest'), (3, 'INFORMATION_SCHEMA'), (4, 'sys');
"""


@dataclass(frozen=True)
class ColumnInfo:
    """A column of a table."""

    name: str
    type: SqlType
    nullable: bool = True
    default: str | None = None
    default_name: str | None = None
    identity: tuple[int, int] | None = None


@dataclass(frozen=True)
class Key:
    """A primary key, a unique constraint or an index; ``where`` filters an index."""

    name: str
    kind: str
    columns: tuple[str, ...]
    where: str | None = None

    @property
    def unique(self) -> bool:
        """Whether two rows may not have the same values."""
        return self.kind != "INDEX"


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key; ``target`` is schema and table."""

    name: str
    columns: tuple[str, ...]
    target: tuple[str, str]
    target_columns: tuple[str, ...]
    on_delete: str


@dataclass(frozen=True)
class TableInfo:
    """A table."""

    object_id: int
    schema: str
    name: str
    created: str
    columns: tuple[ColumnInfo, ...]
    keys: tuple[Key, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = field(default=())

    @property
    def storage_name(self) -> str:
        """What the table is called in SQLite."""
        return f"{self.schema}.{self.name}"

    @property
    def primary_key(self) -> Key | None:
        """The primary key, if there is one."""
        return next((key for key in self.keys if key.kind == "PRIMARY KEY"), None)

    def column(self, name: str) -> ColumnInfo | None:
        """A column by its name, whatever its case."""
        return next((c for c in self.columns if c.name.casefold() == name.casefold()), None)


def create_catalog(connection: apsw.Connection) -> None:
    """Make the catalogue's tables in an empty database."""
    connection.execute(_TABLES)


def create_statements(table: TableInfo) -> list[str]:
    """The SQLite statements that make a table and its indexes."""
    columns = [_column_sql(column) for column in table.columns]
    if table.primary_key:
        columns.append(f"PRIMARY KEY ({', '.join(quoted(c) for c in table.primary_key.columns)})")
    statements = [f"CREATE TABLE {quoted(table.storage_name)} ({', '.join(columns)}) STRICT"]
    return statements + [index_statement(table, key) for key in table.keys if key.kind != "PRIMARY KEY"]


def _column_sql(column: ColumnInfo) -> str:
    collation = f" COLLATE {COLLATION}" if column.type.family == "char" else ""
    return f"{quoted(column.name)} {STORAGE_CLASS[column.type.family]}{collation}"


def add_column_statement(table: TableInfo, column: ColumnInfo) -> str:
    """The SQLite statement that adds a column; it holds NULL until it is filled."""
    return f"ALTER TABLE {quoted(table.storage_name)} ADD COLUMN {_column_sql(column)}"


def index_name(table: TableInfo, key: Key) -> str:
    """What an index is called in SQLite: names are unique per table in SQL Server, per file there."""
    return f"{table.storage_name}/{key.name}"


def index_statement(table: TableInfo, key: Key) -> str:
    """The SQLite statement that makes an index.

    SQL Server takes two NULLs for equal in a unique index, SQLite does not: a nullable column is
    replaced by an expression that is never NULL.
    """
    parts = []
    for name in key.columns:
        column = table.column(name)
        text = quoted(name)
        if key.unique and column is not None and column.nullable and key.where is None:
            collation = f" COLLATE {COLLATION}" if column.type.family == "char" else ""
            text = f"ifnull({text}, x'00'){collation}"
        parts.append(text)
    unique = "UNIQUE " if key.unique else ""
    where = f" WHERE {key.where}" if key.where else ""
    name = quoted(index_name(table, key))
    return f"CREATE {unique}INDEX {name} ON {quoted(table.storage_name)} ({', '.join(parts)}){where}"


def to_json(table: TableInfo) -> str:
    """The stored form of a definition."""
    return json.dumps(dataclasses.asdict(table))


def _column_from(raw: dict[str, Any]) -> ColumnInfo:
    identity = tuple(raw["identity"]) if raw["identity"] else None
    return ColumnInfo(**{**raw, "type": SqlType(**raw["type"]), "identity": identity})


@lru_cache(maxsize=1024)
def from_json(text: str) -> TableInfo:
    """A definition from its stored form."""
    raw: dict[str, Any] = json.loads(text)
    columns = tuple(
        ColumnInfo(
            **{**c, "type": SqlType(**c["type"]), "identity": tuple(c["identity"]) if c["identity"] else None}
        )
        for c in raw["columns"]
    )
    keys = tuple(Key(**{**k, "columns": tuple(k["columns"])}) for k in raw["keys"])
    foreign_keys = tuple(
        ForeignKey(
            f["name"],
            tuple(f["columns"]),
            (f["target"][0], f["target"][1]),
            tuple(f["target_columns"]),
            f["on_delete"],
        )
        for f in raw["foreign_keys"]
    )
    return TableInfo(**{**raw, "columns": columns, "keys": keys, "foreign_keys": foreign_keys})


class Catalog:
    """Reads and writes the definitions of one attached database through one connection."""

    def __init__(self, connection: apsw.Connection, attached: str = "main") -> None:
        self._connection = connection
        self._prefix = quoted(attached)

    def find(self, schema: str, name: str) -> TableInfo | None:
        """A table by schema and name."""
        row = self._connection.execute(
            f"SELECT definition FROM {self._prefix}._tables WHERE schema_name = ? AND name = ?",
            (schema, name),
        ).fetchone()
        return from_json(row[0]) if row else None

    def tables(self) -> list[TableInfo]:
        """All tables."""
        rows = self._connection.execute(f"SELECT definition FROM {self._prefix}._tables ORDER BY object_id")
        return [from_json(row[0]) for row in rows]

    def schemas(self) -> list[tuple[int, str]]:
        """All schemas: id and name."""
        return list(
            self._connection.execute(f"SELECT schema_id, name FROM {self._prefix}._schemas ORDER BY 1")
        )

    def new_object_id(self) -> int:
        """An id for a new table."""
        newest = scalar(self._connection, f"SELECT max(object_id) FROM {self._prefix}._tables")
        return int(newest or FIRST_OBJECT_ID) + 16

    def put(self, table: TableInfo) -> None:
        """Write a definition."""
        self._connection.execute(
            f"INSERT OR REPLACE INTO {self._prefix}._tables VALUES (?, ?, ?, ?, ?)",
            (table.object_id, table.schema, table.name, table.created, to_json(table)),
        )

    def remove(self, table: TableInfo) -> None:
        """Remove a definition."""
        for name in ("_tables", "_identities"):
            self._connection.execute(
                f"DELETE FROM {self._prefix}.{name} WHERE object_id = ?", (table.object_id,)
            )
        self._connection.execute(
            f"DELETE FROM {self._prefix}._rights WHERE securable = ?", (f"object:{table.object_id}",)
        )

    def add_schema(self, name: str) -> None:
        """Add a schema."""
        self._connection.execute(
            f"INSERT INTO {self._prefix}._schemas SELECT max(schema_id) + 1, ? FROM {self._prefix}._schemas",
            (name,),
        )

    def remove_schema(self, name: str) -> None:
        """Remove a schema."""
        self._connection.execute(f"DELETE FROM {self._prefix}._schemas WHERE name = ?", (name,))

    def next_identity(self, table: TableInfo, seed: int, step: int) -> int:
        """The next value of a table's identity column."""
        row = self._connection.execute(
            f"SELECT last FROM {self._prefix}._identities WHERE object_id = ?",
            (table.object_id,),
        ).fetchone()
        value = seed if row is None else row[0] + step
        self._connection.execute(
            f"INSERT OR REPLACE INTO {self._prefix}._identities VALUES (?, ?)",
            (table.object_id, value),
        )
        return int(value)

    def raise_identity(self, table: TableInfo, value: int) -> None:
        """A value was given for the identity column: the next one is beyond it."""
        self._connection.execute(
            f"INSERT INTO {self._prefix}._identities VALUES (?, ?)"
            " ON CONFLICT (object_id) DO UPDATE SET last = max(last, excluded.last)",
            (table.object_id, value),
        )
