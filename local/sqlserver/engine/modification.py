# ruff: noqa: S608 -- every name in SQL text is quoted by ``storage.quoted``, every value is bound
"""SELECT, INSERT, UPDATE, DELETE and TRUNCATE TABLE as a session runs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from local.sqlserver.datatypes import INT, SqlType
from local.sqlserver.engine.catalog import ColumnInfo, TableInfo
from local.sqlserver.engine.database import Database
from local.sqlserver.engine.errors import SqlError
from local.sqlserver.engine.events import Done, Event, Rows
from local.sqlserver.engine.locks import EXCLUSIVE, INTENT
from local.sqlserver.engine.resolver import Resolver
from local.sqlserver.engine.rows import Row, TableWriter
from local.sqlserver.engine.storage import quoted, scalar
from local.sqlserver.engine.values import from_storage
from local.sqlserver.syntax import tree
from local.sqlserver.syntax.expressions import ExpressionParser
from local.sqlserver.translate.queries import Columns, QueryTranslator
from local.sqlserver.translate.scope import Bound, Scope

if TYPE_CHECKING:
    from local.sqlserver.engine.session import Session, Variable

type Variables = Mapping[str, Variable]


def run_query(session: Session, query: tree.Query, variables: Variables) -> tuple[Columns, list[list[Any]]]:
    """Run a query; its columns and its rows in storage form."""
    resolver = Resolver(session, variables)
    try:
        sql, columns = QueryTranslator(resolver).query(query, None)
        rows = [list(row) for row in session.connection.execute(sql, resolver.bindings)]
    finally:
        resolver.close()
    return columns, rows


def evaluate(session: Session, node: tree.Node, variables: Variables) -> tuple[SqlType | None, Any]:
    """The type and Python value of an expression that stands alone."""
    resolver = Resolver(session, variables)
    try:
        bound = QueryTranslator(resolver).value(node, Scope())
        stored = scalar(session.connection, f"SELECT {bound.sql}", resolver.bindings)
    finally:
        resolver.close()
    return bound.type, from_storage(bound.type, stored) if bound.type else None


def test(session: Session, node: tree.Node, variables: Variables) -> bool:
    """Whether a condition holds."""
    resolver = Resolver(session, variables)
    try:
        sql = QueryTranslator(resolver).condition(node, Scope())
        return bool(scalar(session.connection, f"SELECT {sql}", resolver.bindings))
    finally:
        resolver.close()


def result_set(columns: Columns, rows: list[list[Any]]) -> Rows:
    """A result set as clients receive it; the untyped NULL becomes int, as in SQL Server."""
    kinds = [kind or INT for _, kind in columns]
    values = [[from_storage(kind, value) for kind, value in zip(kinds, row, strict=True)] for row in rows]
    return Rows([(name, kind) for (name, _), kind in zip(columns, kinds, strict=True)], values)


class Modification:
    """Runs one statement that changes rows."""

    def __init__(self, session: Session, variables: Variables) -> None:
        self._session = session
        self._variables = variables

    def run(self, node: tree.Insert | tree.Update | tree.Delete | tree.Truncate) -> Iterator[Event]:
        """Run the statement; all of it happens or nothing."""
        session = self._session
        resolver = Resolver(session, self._variables)
        try:
            self._become_writer(node)
            with session.atomic():
                match node:
                    case tree.Insert():
                        count, output = self._insert(node, resolver)
                    case tree.Update():
                        count, output = self._update(node, resolver)
                    case tree.Delete():
                        count, output = self._delete(node, resolver)
                    case tree.Truncate():
                        count, output = self._truncate(node, resolver), None
        finally:
            resolver.close()
            if session.transaction is None:
                session.instance.locks.release_all(session)
        session.row_count = count
        if output is not None:
            yield output
        yield Done(None if session.settings.nocount or isinstance(node, tree.Truncate) else count)

    def _become_writer(self, node: tree.Insert | tree.Update | tree.Delete | tree.Truncate) -> None:
        """Take the table's lock, then the database's, before anything is read.

        In this order, because whoever holds a table with TABLOCK must still be able to write elsewhere; and
        before reading, because what SQLite has read in a transaction it can no longer change once others
        have.
        """
        session = self._session
        parts = node.table if isinstance(node, tree.Truncate) else node.table.parts
        source = node.source if isinstance(node, tree.Update | tree.Delete) else None
        if source is not None and len(parts) == 1 and (named := _find_table(source, parts[0])) is not None:
            parts = named.parts
        *front, name = parts
        database = session.open(front[0] if len(front) == 2 else None)
        table = database.committed_table((front[-1] if front else "") or "dbo", name)
        if table is not None:
            session.lock(("table", database.id, table.object_id), INTENT)
            session.lock(("writer", database.id, 0), EXCLUSIVE)

    def _writer(self, database: Database, table: TableInfo, permission: str) -> TableWriter:
        session = self._session
        session.check_usable(database)
        session.instance.permissions.demand_table(session, database, table, permission)
        if database.state.read_only:
            raise SqlError(3906, database.name)
        writer = TableWriter(session, database, table)
        session.current_transaction().write_to(database)
        return writer

    # --- INSERT

    def _insert(self, node: tree.Insert, resolver: Resolver) -> tuple[int, Rows | None]:
        database, table = resolver.find(node.table.parts)
        columns = self._insert_columns(node, table)
        rows = self._insert_rows(node, columns, resolver)
        writer = self._writer(database, table, "INSERT")
        done: list[tuple[Row | None, Row | None]] = []
        for values in rows:
            row: Row = {}
            identity = writer.next_identity() if not _explicit_identity(columns) else None
            for column in table.columns:
                if identity and identity[0] == column.name:
                    row[column.name] = self._session.last_identity = identity[1]
                    continue
                kind, stored = values.get(column.name, (None, None))
                if column.name not in values and column.default is not None:
                    kind, stored = self._default(column)
                row[column.name] = writer.fit(column.name, stored, kind, "INSERT")
            writer.insert(row)
            if _explicit_identity(columns):
                writer.identity_given(row)
            done.append((None, row))
        return len(done), self._output(node.output, table, done)

    def _insert_columns(self, node: tree.Insert, table: TableInfo) -> list[ColumnInfo]:
        if not node.columns:
            return [c for c in table.columns if not c.identity] if node.rows or node.query else []
        columns = []
        for name in node.columns:
            column = table.column(name)
            if column is None:
                raise SqlError(207, name)
            if column in columns:
                raise SqlError(264, name)
            columns.append(column)
        if _explicit_identity(columns) and self._session.settings.identity_insert != table.storage_name:
            raise SqlError(544, table.name)
        return columns

    def _insert_rows(
        self, node: tree.Insert, columns: list[ColumnInfo], resolver: Resolver
    ) -> list[dict[str, tuple[SqlType | None, Any]]]:
        """The values to insert: per row, column -> (type, storage form); a DEFAULT is left out."""
        translator = QueryTranslator(resolver)
        if node.query is not None:
            sql, found = translator.query(node.query, None)
            self._check_count(len(found), len(columns), bool(node.columns), values=False)
            rows = self._session.connection.execute(sql, resolver.bindings).fetchall()
            return [
                {c.name: (kind, value) for c, (_, kind), value in zip(columns, found, row, strict=True)}
                for row in rows
            ]
        out = []
        for given in node.rows:
            self._check_count(len(given), len(columns), bool(node.columns), values=True)
            pairs = [
                (c, translator.value(v, Scope()))
                for c, v in zip(columns, given, strict=True)
                if v is not None
            ]
            stored = self._values([bound for _, bound in pairs], resolver)
            out.append({c.name: (b.type, v) for (c, b), v in zip(pairs, stored, strict=True)})
        return out or [{}]

    def _check_count(self, given: int, wanted: int, named: bool, *, values: bool) -> None:
        if given != wanted:
            if not named:
                raise SqlError(213)
            fewer = given < wanted
            raise SqlError((109 if fewer else 110) if values else (120 if fewer else 121))

    def _values(self, bounds: list[Bound], resolver: Resolver) -> list[Any]:
        if not bounds:
            return []
        sql = "SELECT " + ", ".join(bound.sql for bound in bounds)
        return list(self._session.connection.execute(sql, resolver.bindings).fetchone() or ())

    def _default(self, column: ColumnInfo) -> tuple[SqlType | None, Any]:
        resolver = Resolver(self._session, {})
        bound = QueryTranslator(resolver).value(
            ExpressionParser(column.default or "NULL").expression(), Scope()
        )
        return bound.type, scalar(self._session.connection, f"SELECT {bound.sql}", resolver.bindings)

    # --- UPDATE and DELETE

    def _target(
        self, table: tree.Table, source: tree.Node | None, resolver: Resolver, translator: QueryTranslator
    ) -> tuple[Database, TableInfo, str, str, Scope]:
        """The table to change, its alias in FROM, the SQL of FROM, and its scope."""
        scope = Scope()
        if source is None:
            database, info = resolver.find(table.parts)
            plain = tree.Table(table.parts, None, table.hints)
            return database, info, info.name, translator.source(plain, scope), scope
        sql = translator.source(source, scope)
        named = _find_table(source, table.parts[-1])
        parts = named.parts if named is not None and len(table.parts) == 1 else table.parts
        database, info = resolver.find(parts)
        alias = named.alias if named is not None and named.alias else info.name
        return database, info, alias, sql, scope

    def _rowids(self, sql: str, resolver: Resolver) -> list[tuple[Any, ...]]:
        """Rows to change, each once: an UPDATE with a join takes the first match."""
        seen: set[Any] = set()
        out = []
        for row in self._session.connection.execute(sql, resolver.bindings).fetchall():
            if row[0] is not None and row[0] not in seen:
                seen.add(row[0])
                out.append(row)
        return out

    def _update(self, node: tree.Update, resolver: Resolver) -> tuple[int, Rows | None]:
        translator = QueryTranslator(resolver)
        database, table, alias, source, scope = self._target(node.table, node.source, resolver, translator)
        writer = self._writer(database, table, "UPDATE")
        columns, bounds = [], []
        for name, value in node.assignments:
            column = table.column(name)
            if column is None:
                raise SqlError(207, name)
            if column.identity:
                raise SqlError(8102, column.name)
            if column.name in columns:
                raise SqlError(264, name)
            columns.append(column.name)
            bounds.append(translator.value(value, scope))
        where = f" WHERE {translator.condition(node.where, scope)}" if node.where is not None else ""
        selected = ", ".join([f"{quoted(alias)}._rowid_", *(b.sql for b in bounds)])
        rows = self._rowids(f"SELECT {selected} FROM {source}{where}", resolver)
        done: list[tuple[Row | None, Row | None]] = []
        for rowid, *values in rows:
            old = writer.read(rowid) if node.output else None
            new = {
                name: writer.fit(name, value, bound.type, "UPDATE")
                for name, value, bound in zip(columns, values, bounds, strict=True)
            }
            writer.update(rowid, new)
            done.append((old, {**old, **new} if old else None))
        return len(rows), self._output(node.output, table, done)

    def _delete(self, node: tree.Delete, resolver: Resolver) -> tuple[int, Rows | None]:
        translator = QueryTranslator(resolver)
        database, table, alias, source, scope = self._target(node.table, node.source, resolver, translator)
        writer = self._writer(database, table, "DELETE")
        where = f" WHERE {translator.condition(node.where, scope)}" if node.where is not None else ""
        rows = self._rowids(f"SELECT {quoted(alias)}._rowid_ FROM {source}{where}", resolver)
        if node.top is not None:
            bound = translator.value(node.top, Scope())
            limit = scalar(self._session.connection, f"SELECT {bound.sql}", resolver.bindings)
            if limit is None or limit < 0:
                raise SqlError(1060)
            rows = rows[:limit]
        done: list[tuple[Row | None, Row | None]] = []
        for (rowid,) in rows:
            if node.output:
                done.append((writer.read(rowid), None))
            writer.delete(rowid)
        return len(rows), self._output(node.output, table, done)

    def _truncate(self, node: tree.Truncate, resolver: Resolver) -> int:
        try:
            database, table = resolver.find(node.table)
        except SqlError:
            raise SqlError(4701, node.table[-1]) from None
        self._writer(database, table, "ALTER")
        if any(
            fk.target == (table.schema, table.name)
            for other in self._session.catalog(database).tables()
            for fk in other.foreign_keys
        ):
            raise SqlError(4712, table.name)
        name = f"{quoted(database.attached_name)}.{quoted(table.storage_name)}"
        self._session.connection.execute(f"DELETE FROM {name}")
        return 0

    def _output(
        self, items: tuple[tree.Item, ...], table: TableInfo, rows: list[tuple[Row | None, Row | None]]
    ) -> Rows | None:
        """The result set of an OUTPUT clause: plain columns of INSERTED and DELETED."""
        if not items:
            return None
        chosen = []
        for item in items:
            if not isinstance(item.operand, tree.Name) or len(item.operand.parts) != 2:
                raise SqlError(40517, "OUTPUT")
            pseudo, name = item.operand.parts
            column = table.column(name)
            if column is None or pseudo.lower() not in ("inserted", "deleted"):
                raise SqlError(207, name)
            chosen.append((0 if pseudo.lower() == "deleted" else 1, column, item.alias or column.name))
        values = []
        for pair in rows:
            sources = [pair[which] or {} for which, _, _ in chosen]
            values.append([s.get(c.name) for s, (_, c, _) in zip(sources, chosen, strict=True)])
        return result_set([(alias, column.type) for _, column, alias in chosen], values)


def _explicit_identity(columns: list[ColumnInfo]) -> bool:
    return any(column.identity for column in columns)


def _find_table(node: tree.Node, name: str) -> tree.Table | None:
    """The table in FROM that a target name means: by alias first, else by its own name."""
    if isinstance(node, tree.Join):
        return _find_table(node.left, name) or _find_table(node.right, name)
    if isinstance(node, tree.Table) and (node.alias or node.parts[-1]).casefold() == name.casefold():
        return node
    return None
