# ruff: noqa: S608 -- every name in SQL text is quoted by ``storage.quoted``, every value is bound
"""Changing the rows of one table, with SQL Server's constraints and texts.

Rows are changed one by one, so that a violation can name the constraint and show the value. Foreign keys are
checked here, not by SQLite.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import apsw

from local.sqlserver.datatypes import SqlType
from local.sqlserver.engine.catalog import Catalog, ForeignKey, Key, TableInfo
from local.sqlserver.engine.database import Database
from local.sqlserver.engine.errors import SqlError
from local.sqlserver.engine.locks import INTENT
from local.sqlserver.engine.storage import quoted
from local.sqlserver.engine.values import convert, from_storage

if TYPE_CHECKING:
    from local.sqlserver.engine.session import Session

type Row = dict[str, Any]

_TRUNCATED_SHOWN = 100  # characters of a too long value that 2628 shows


class TableWriter:
    """Inserts, updates and deletes rows of a table inside a transaction."""

    def __init__(self, session: Session, database: Database, table: TableInfo) -> None:
        self._session = session
        self._connection = session.connection
        self._database = database
        self.table = table
        self._sql_name = f"{quoted(database.attached_name)}.{quoted(table.storage_name)}"
        session.lock(("table", database.id, table.object_id), INTENT)

    @property
    def _full_name(self) -> str:
        return f"{self._database.name}.{self.table.schema}.{self.table.name}"

    @property
    def _short_name(self) -> str:
        return f"{self.table.schema}.{self.table.name}"

    def fit(self, name: str, stored: Any, source: SqlType | None, statement: str) -> Any:
        """A value as the column takes it.

        Raises:
            SqlError: 515 for a NULL that is not allowed, 2628 for a text that is too long, conversion errors.
        """
        column = self.table.column(name)
        if column is None:
            raise SqlError(207, name)
        if stored is None:
            if not column.nullable:
                raise SqlError(515, column.name, self._full_name, statement)
            return None
        target = column.type
        if target.family in ("char", "binary") and target.length is not None:
            value = convert(stored, source, SqlType(target.name))
            kept = value.rstrip(" ") if target.family == "char" else value
            if len(kept) > target.length:
                shown = kept[: min(target.length, _TRUNCATED_SHOWN)] if target.family == "char" else ""
                raise SqlError(2628, self._full_name, column.name, shown)
            return value[: target.length]
        return convert(stored, source, target)

    # --- insert

    def insert(self, row: Row) -> None:
        """Insert a row that has a fitting value for every column."""
        self._check_parents(row, self.table.foreign_keys, "INSERT")
        names = ", ".join(quoted(name) for name in row)
        marks = ", ".join("?" * len(row))
        sql = f"INSERT INTO {self._sql_name} ({names}) VALUES ({marks})"
        self._change(sql, list(row.values()), row, None)

    def next_identity(self) -> tuple[str, int] | None:
        """The identity column and its next value."""
        for column in self.table.columns:
            if column.identity:
                catalog = Catalog(self._connection, self._database.attached_name)
                return column.name, catalog.next_identity(self.table, *column.identity)
        return None

    def identity_given(self, row: Row) -> None:
        """Take note of a value that the statement gave for the identity column."""
        for column in self.table.columns:
            if column.identity:
                catalog = Catalog(self._connection, self._database.attached_name)
                catalog.raise_identity(self.table, row[column.name])

    # --- update

    def update(self, rowid: int, values: Mapping[str, Any]) -> None:
        """Give a row new values in some columns."""
        old = self.read(rowid)
        if old is None:
            return
        new = {**old, **values}
        changed = {name for name in values if old[name] != new[name]}
        touched = [fk for fk in self.table.foreign_keys if changed & set(fk.columns)]
        self._check_parents(new, touched, "UPDATE")
        self._check_children(old, "UPDATE", changed)
        sets = ", ".join(f"{quoted(name)} = ?" for name in values)
        sql = f"UPDATE {self._sql_name} SET {sets} WHERE _rowid_ = ?"
        self._change(sql, [*values.values(), rowid], new, rowid)

    def read(self, rowid: int) -> Row | None:
        """A row as it is now."""
        names = [column.name for column in self.table.columns]
        found = self._connection.execute(
            f"SELECT {', '.join(map(quoted, names))} FROM {self._sql_name} WHERE _rowid_ = ?",
            (rowid,),
        ).fetchone()
        return dict(zip(names, found, strict=True)) if found else None

    # --- delete

    def delete(self, rowid: int) -> None:
        """Delete a row and what depends on it."""
        row = self.read(rowid)
        if row is None:
            return
        self._connection.execute(f"DELETE FROM {self._sql_name} WHERE _rowid_ = ?", (rowid,))
        self._check_children(row, "DELETE", set(row))

    # --- constraints

    def _change(self, sql: str, values: list[Any], row: Row, rowid: int | None) -> None:
        try:
            self._connection.execute(sql, values)
        except apsw.ConstraintError as error:
            for key in self.table.keys:
                if key.unique and self._taken(key, row, rowid):
                    raise self._duplicate(key, row) from error
            raise

    def _taken(self, key: Key, row: Row, rowid: int | None) -> bool:
        tests = " AND ".join(f"{quoted(name)} IS ?" for name in key.columns)
        where = f" AND ({key.where})" if key.where else ""
        sql = f"SELECT 1 FROM {self._sql_name} WHERE {tests} AND _rowid_ IS NOT ?{where}"
        return self._connection.execute(sql, [*(row[n] for n in key.columns), rowid]).fetchone() is not None

    def _duplicate(self, key: Key, row: Row) -> SqlError:
        shown = f"({', '.join(self._shown(name, row[name]) for name in key.columns)})"
        if key.kind == "UNIQUE INDEX":
            return SqlError(2601, self._short_name, key.name, shown)
        kind = "PRIMARY KEY" if key.kind == "PRIMARY KEY" else "UNIQUE KEY"
        return SqlError(2627, kind, key.name, self._short_name, shown)

    def _shown(self, name: str, stored: Any) -> str:
        column = self.table.column(name)
        if stored is None or column is None:
            return "<NULL>"
        value = from_storage(column.type, stored)
        return str(stored).lower() if column.type.family == "guid" else str(value)

    def _check_parents(
        self, row: Row, keys: tuple[ForeignKey, ...] | list[ForeignKey], statement: str
    ) -> None:
        for key in keys:
            values = [row[name] for name in key.columns]
            if None in values:
                continue
            parent = f"{quoted(self._database.attached_name)}.{quoted('.'.join(key.target))}"
            tests = " AND ".join(f"{quoted(name)} = ?" for name in key.target_columns)
            sql = f"SELECT 1 FROM {parent} WHERE {tests}"
            if self._connection.execute(sql, values).fetchone() is None and not self._is_own_parent(key, row):
                column = key.target_columns[0]
                raise SqlError(
                    547, statement, "FOREIGN KEY", key.name, self._database.name, ".".join(key.target), column
                )

    def _is_own_parent(self, key: ForeignKey, row: Row) -> bool:
        """A row may refer to itself."""
        return key.target == (self.table.schema, self.table.name) and all(
            row[a] == row[b] for a, b in zip(key.columns, key.target_columns, strict=True)
        )

    def _check_children(self, row: Row, statement: str, changed: set[str]) -> None:
        """Follow the foreign keys that point at a row which goes away or changes its key."""
        catalog = Catalog(self._connection, self._database.attached_name)
        for child in catalog.tables():
            for key in child.foreign_keys:
                if key.target != (self.table.schema, self.table.name) or not changed & set(
                    key.target_columns
                ):
                    continue
                self._follow(child, key, row, statement)

    def _follow(self, child: TableInfo, key: ForeignKey, row: Row, statement: str) -> None:
        child_name = f"{quoted(self._database.attached_name)}.{quoted(child.storage_name)}"
        tests = " AND ".join(f"{quoted(name)} = ?" for name in key.columns)
        sql = f"SELECT _rowid_ FROM {child_name} WHERE {tests}"
        found = [r[0] for r in self._connection.execute(sql, [row[name] for name in key.target_columns])]
        if not found:
            return
        if statement == "UPDATE" or key.on_delete == "NO ACTION":
            table = f"{child.schema}.{child.name}"
            raise SqlError(547, statement, "REFERENCE", key.name, self._database.name, table, key.columns[0])
        writer = TableWriter(self._session, self._database, child)
        for rowid in found:
            if key.on_delete == "CASCADE":
                writer.delete(rowid)
            else:
                writer.update(rowid, dict.fromkeys(key.columns))
