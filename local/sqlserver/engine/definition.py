# ruff: noqa: S608 -- every name in SQL text is quoted by ``storage.quoted``, every value is bound
"""CREATE, ALTER and DROP of tables, indexes and schemas as a session runs them."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

import apsw

from local.sqlserver.engine import catalog as catalogs
from local.sqlserver.engine.catalog import ColumnInfo, ForeignKey, Key, TableInfo
from local.sqlserver.engine.database import Database
from local.sqlserver.engine.errors import SqlError, unsupported
from local.sqlserver.engine.locks import EXCLUSIVE
from local.sqlserver.engine.resolver import Resolver
from local.sqlserver.engine.rows import TableWriter
from local.sqlserver.engine.storage import quoted, scalar
from local.sqlserver.syntax import tree
from local.sqlserver.syntax.expressions import ExpressionParser
from local.sqlserver.syntax.tree import NameParts
from local.sqlserver.translate.queries import QueryTranslator
from local.sqlserver.translate.scope import Scope, Source

if TYPE_CHECKING:
    from local.sqlserver.engine.session import Session

_BUILT_IN_SCHEMAS = ("dbo", "guest", "sys", "INFORMATION_SCHEMA")


class Definition:
    """Runs one statement that defines or removes an object."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._resolver = Resolver(session, {})

    def run(self, node: tree.Node) -> None:
        """Run the statement inside a transaction, its own if there is none."""
        session = self._session
        try:
            with session.atomic():
                match node:
                    case tree.CreateTable():
                        self._create_table(node)
                    case tree.AlterTable():
                        self._alter_table(node)
                    case tree.CreateIndex():
                        self._create_index(node)
                    case tree.DropIndex():
                        self._drop_index(node)
                    case tree.DropTable():
                        self._drop_tables(node)
                    case tree.CreateSchema():
                        self._create_schema(node)
                    case tree.DropSchema():
                        self._drop_schema(node)
                    case _:
                        raise unsupported(type(node).__name__)
        finally:
            self._resolver.close()

    def _open(self, parts: NameParts) -> tuple[Database, str, str]:
        """Where an object is or will be; the session becomes the database's writer."""
        *front, name = parts
        if len(front) > 2:
            raise SqlError(40517, ".".join(parts))
        database = self._session.open(front[0] if len(front) == 2 else None)
        self._session.current_transaction().write_to(database)
        return database, (front[-1] if front else "") or "dbo", name

    def _existing(self, parts: NameParts, missing: SqlError) -> tuple[Database, TableInfo]:
        database, schema, name = self._open(parts)
        table = self._session.catalog(database).find(schema, name)
        may = self._session.instance.permissions
        if table is None or not may.table(self._session, database, table, "ALTER"):
            raise missing
        self._session.lock(("table", database.id, table.object_id), EXCLUSIVE)
        return database, table

    def _define(self, database: Database, statements: list[str]) -> None:
        """Run SQLite definitions here and put them into the log."""
        attached = quoted(database.attached_name)
        local = [_prefixed(statement, attached) for statement in statements]
        self._session.current_transaction().write_to(database).define(statements, local)

    # --- tables

    def _create_table(self, node: tree.CreateTable) -> None:
        database, schema, name = self._open(node.table)
        self._session.instance.permissions.demand_database(self._session, database, "CREATE TABLE")
        catalog = self._session.catalog(database)
        schemas = {s.casefold(): s for _, s in catalog.schemas()}
        if schema.casefold() not in schemas:
            raise SqlError(2760, schema)
        if name.startswith("#"):
            raise SqlError(40510, "CREATE TABLE #")
        if catalog.find(schema, name):
            raise SqlError(2714, name)
        if sum(column.identity is not None for column in node.columns) > 1:
            raise SqlError(2743, name)
        table = TableInfo(catalog.new_object_id(), schemas[schema.casefold()], name, self._now(), ())
        for definition in node.columns:
            table = self._with_column(table, definition, node.constraints)
        for constraint in node.constraints:
            table = self._with_constraint(database, table, constraint)
        catalog.put(table)
        self._define(database, catalogs.create_statements(table))

    def _now(self) -> str:
        return self._session.instance.local_now().replace(tzinfo=None).isoformat(sep=" ")

    def _with_column(
        self, table: TableInfo, definition: tree.ColumnDefinition, constraints: tuple[tree.Node, ...]
    ) -> TableInfo:
        if table.column(definition.name):
            raise SqlError(2705, definition.name, table.name)
        in_key = any(
            isinstance(c, tree.KeyDefinition)
            and c.kind == "PRIMARY KEY"
            and definition.name.casefold() in [name.casefold() for name in c.columns]
            for c in constraints
        )
        nullable = not in_key and definition.identity is None and definition.nullable is not False
        default_name = definition.default_name
        if definition.default is not None:
            default_name = default_name or _generated("DF", table.name, definition.name)
            QueryTranslator(Resolver(self._session, {})).value(definition.default, Scope())
        column = ColumnInfo(
            definition.name,
            definition.type,
            nullable,
            definition.default_text or None,
            default_name,
            definition.identity,
        )
        return dataclasses.replace(table, columns=(*table.columns, column))

    def _with_constraint(self, database: Database, table: TableInfo, node: tree.Node) -> TableInfo:
        if isinstance(node, tree.KeyDefinition):
            if node.kind == "PRIMARY KEY" and table.primary_key:
                raise SqlError(1779, table.name)
            name = node.name or _generated(
                "PK" if node.kind == "PRIMARY KEY" else "UQ", table.name, *node.columns
            )
            key = Key(name, node.kind, self._columns(table, node.columns))
            return dataclasses.replace(table, keys=(*table.keys, key))
        if not isinstance(node, tree.ForeignKeyDefinition):
            raise unsupported(type(node).__name__)
        return dataclasses.replace(
            table, foreign_keys=(*table.foreign_keys, self._foreign_key(database, table, node))
        )

    def _foreign_key(
        self, database: Database, table: TableInfo, node: tree.ForeignKeyDefinition
    ) -> ForeignKey:
        if node.on_update != "NO ACTION":
            raise SqlError(40517, f"ON UPDATE {node.on_update}")
        schema = node.target[-2] if len(node.target) > 1 else "dbo"
        name = node.name or _generated("FK", table.name, *node.columns)
        own = (schema.casefold(), node.target[-1].casefold()) == (
            table.schema.casefold(),
            table.name.casefold(),
        )
        target = table if own else self._session.catalog(database).find(schema, node.target[-1])
        if target is None:
            raise SqlError(1767, name, ".".join(node.target)).followed_by(1750)
        if not node.target_columns and target.primary_key is None:
            raise SqlError(1773, name, target.name).followed_by(1750)
        columns = node.target_columns or (target.primary_key.columns if target.primary_key else ())
        chosen = self._columns(target, columns)
        if not any(key.unique and set(key.columns) == set(chosen) for key in target.keys):
            raise SqlError(1776, target.name, name).followed_by(1750)
        return ForeignKey(
            name, self._columns(table, node.columns), (target.schema, target.name), chosen, node.on_delete
        )

    def _columns(self, table: TableInfo, names: tuple[str, ...]) -> tuple[str, ...]:
        """The columns' own spelling."""
        out = []
        for name in names:
            column = table.column(name)
            if column is None:
                raise SqlError(1911, name)
            out.append(column.name)
        return tuple(out)

    def _alter_table(self, node: tree.AlterTable) -> None:
        missing = SqlError(4902, ".".join(node.table))
        database, table = self._existing(node.table, missing)
        for definition in node.columns:
            table = self._add_column(database, table, definition)
        for constraint in node.constraints:
            table = self._add_constraint(database, table, constraint)
        for name in node.drop_columns:
            table = self._drop_column(database, table, name)
        for name in node.drop_constraints:
            table = self._drop_constraint(database, table, name)

    def _add_column(
        self, database: Database, table: TableInfo, definition: tree.ColumnDefinition
    ) -> TableInfo:
        if definition.identity:
            raise SqlError(40517, "IDENTITY")
        changed = self._with_column(table, definition, ())
        column = changed.columns[-1]
        name = f"{quoted(database.attached_name)}.{quoted(table.storage_name)}"
        rowids = [r[0] for r in self._session.connection.execute(f"SELECT _rowid_ FROM {name}")]
        if rowids and not column.nullable and column.default is None:
            raise SqlError(4901, column.name, table.name)
        self._session.catalog(database).put(changed)
        self._define(database, [catalogs.add_column_statement(table, column)])
        if not column.nullable and column.default is not None:
            self._fill(database, changed, column, rowids)
        return changed

    def _fill(self, database: Database, table: TableInfo, column: ColumnInfo, rowids: list[int]) -> None:
        """Give existing rows the default of a new column."""
        writer = TableWriter(self._session, database, table)
        default = ExpressionParser(column.default or "NULL").expression()
        for rowid in rowids:
            resolver = Resolver(self._session, {})
            bound = QueryTranslator(resolver).value(default, Scope())
            stored = scalar(self._session.connection, f"SELECT {bound.sql}", resolver.bindings)
            writer.update(rowid, {column.name: writer.fit(column.name, stored, bound.type, "UPDATE")})

    def _add_constraint(self, database: Database, table: TableInfo, node: tree.Node) -> TableInfo:
        changed = self._with_constraint(database, table, node)
        if isinstance(node, tree.KeyDefinition):
            self._make_index(database, changed, changed.keys[-1])
        else:
            self._check_existing_rows(database, changed, changed.foreign_keys[-1])
        self._session.catalog(database).put(changed)
        return changed

    def _check_existing_rows(self, database: Database, table: TableInfo, key: ForeignKey) -> None:
        attached = quoted(database.attached_name)
        present = " AND ".join(f"c.{quoted(name)} IS NOT NULL" for name in key.columns)
        same = " AND ".join(
            f"p.{quoted(b)} = c.{quoted(a)}" for a, b in zip(key.columns, key.target_columns, strict=True)
        )
        parent = f"{attached}.{quoted('.'.join(key.target))}"
        sql = (
            f"SELECT 1 FROM {attached}.{quoted(table.storage_name)} AS c WHERE {present}"
            f" AND NOT EXISTS (SELECT 1 FROM {parent} AS p WHERE {same})"
        )
        if self._session.connection.execute(sql).fetchone():
            target = ".".join(key.target)
            raise SqlError(
                547, "ALTER TABLE", "FOREIGN KEY", key.name, database.name, target, key.target_columns[0]
            )

    def _drop_column(self, database: Database, table: TableInfo, name: str) -> TableInfo:
        column = table.column(name)
        if column is None:
            raise SqlError(4924, "DROP COLUMN", name, table.name)
        used = [k.name for k in table.keys if column.name in k.columns]
        used += [f.name for f in table.foreign_keys if column.name in f.columns]
        used += [column.default_name] if column.default_name else []
        if used:
            raise SqlError(5074, "object", used[0], "column", name).followed_by(4922, "DROP COLUMN", name)
        changed = dataclasses.replace(table, columns=tuple(c for c in table.columns if c is not column))
        self._session.catalog(database).put(changed)
        statement = f"ALTER TABLE {quoted(table.storage_name)} DROP COLUMN {quoted(column.name)}"
        self._define(database, [statement])
        return changed

    def _drop_constraint(self, database: Database, table: TableInfo, name: str) -> TableInfo:
        wanted = name.casefold()
        key = next((k for k in table.keys if k.name.casefold() == wanted and k.kind == "UNIQUE"), None)
        changed = dataclasses.replace(
            table,
            keys=tuple(k for k in table.keys if k is not key),
            foreign_keys=tuple(f for f in table.foreign_keys if f.name.casefold() != wanted),
            columns=tuple(
                dataclasses.replace(c, default=None, default_name=None)
                if (c.default_name or "").casefold() == wanted
                else c
                for c in table.columns
            ),
        )
        if changed == table:
            raise SqlError(40517, "DROP CONSTRAINT") if table.primary_key else SqlError(3728, name)
        self._session.catalog(database).put(changed)
        if key is not None:
            self._define(database, [f"DROP INDEX {quoted(catalogs.index_name(table, key))}"])
        return changed

    def _drop_tables(self, node: tree.DropTable) -> None:
        for parts in node.tables:
            try:
                database, table = self._existing(parts, SqlError(3701, "drop", "table", ".".join(parts)))
            except SqlError as error:
                if error.number == 3701 and node.if_exists:
                    continue
                raise
            catalog = self._session.catalog(database)
            for other in catalog.tables():
                if other != table and any(f.target == (table.schema, table.name) for f in other.foreign_keys):
                    raise SqlError(3726, ".".join(parts))
            catalog.remove(table)
            self._define(database, [f"DROP TABLE {quoted(table.storage_name)}"])

    # --- indexes

    def _create_index(self, node: tree.CreateIndex) -> None:
        database, table = self._existing(node.table, SqlError(1088, ".".join(node.table)))
        if any(key.name.casefold() == node.name.casefold() for key in table.keys):
            raise SqlError(1913, node.name, f"{table.schema}.{table.name}")
        columns = self._columns(table, tuple(name for name, _ in node.columns))
        where = None
        if node.where is not None:
            where = self._filter(table, node.where)
        key = Key(node.name, "UNIQUE INDEX" if node.unique else "INDEX", columns, where)
        changed = dataclasses.replace(table, keys=(*table.keys, key))
        self._make_index(database, changed, key)
        self._session.catalog(database).put(changed)

    def _filter(self, table: TableInfo, node: tree.Node) -> str:
        """A filtered index's condition in SQLite's words."""
        source = Source("", [(c.name, c.type) for c in table.columns], "")
        sql = QueryTranslator(self._resolver).condition(node, Scope([source]))
        return sql.replace('"".', "")

    def _make_index(self, database: Database, table: TableInfo, key: Key) -> None:
        try:
            self._define(database, [catalogs.index_statement(table, key)])
        except apsw.ConstraintError:
            raise SqlError(1505, f"{table.schema}.{table.name}", key.name, "(…)") from None

    def _drop_index(self, node: tree.DropIndex) -> None:
        database, table = self._existing(node.table, SqlError(1088, ".".join(node.table)))
        wanted = node.name.casefold()
        key = next((k for k in table.keys if k.name.casefold() == wanted and k.kind.endswith("INDEX")), None)
        if key is None:
            if node.if_exists:
                return
            raise SqlError(3701, "drop", "index", f"{table.name}.{node.name}")
        changed = dataclasses.replace(table, keys=tuple(k for k in table.keys if k is not key))
        self._session.catalog(database).put(changed)
        self._define(database, [f"DROP INDEX {quoted(catalogs.index_name(table, key))}"])

    # --- schemas

    def _create_schema(self, node: tree.CreateSchema) -> None:
        database, _, name = self._open((node.name,))
        self._session.instance.permissions.demand_database(self._session, database, "CREATE SCHEMA")
        catalog = self._session.catalog(database)
        if name.casefold() in {s.casefold() for _, s in catalog.schemas()}:
            raise SqlError(2714, name).followed_by(2759)
        if node.owner is not None and node.owner.casefold() != "dbo":
            raise SqlError(15151, "find", "user", node.owner)
        catalog.add_schema(name)

    def _drop_schema(self, node: tree.DropSchema) -> None:
        database, _, name = self._open((node.name,))
        self._session.instance.permissions.demand_database(self._session, database, "ALTER")
        catalog = self._session.catalog(database)
        if name.casefold() not in {s.casefold() for _, s in catalog.schemas()}:
            if node.if_exists:
                return
            raise SqlError(15151, "drop", "schema", name)
        inside = [t.name for t in catalog.tables() if t.schema.casefold() == name.casefold()]
        if inside or name.casefold() in [s.casefold() for s in _BUILT_IN_SCHEMAS]:
            raise SqlError(3729, name, inside[0] if inside else "")
        catalog.remove_schema(name)


def _generated(prefix: str, *parts: str) -> str:
    """A name for a constraint that was given none."""
    digest = hashlib.sha256("/".join(parts).encode()).hexdigest()[:16].upper()
    return f"{prefix}__{parts[0][:9]}__{digest}"


def _prefixed(statement: str, attached: str) -> str:
    """A definition for an attached database: its object's name is qualified.

    In CREATE INDEX the qualifier stands before the index; the table follows from it.
    """
    for verb in (
        "CREATE TABLE ",
        "CREATE INDEX ",
        "CREATE UNIQUE INDEX ",
        "ALTER TABLE ",
        "DROP TABLE ",
        "DROP INDEX ",
    ):
        if statement.startswith(verb):
            return f"{verb}{attached}.{statement.removeprefix(verb)}"
    raise AssertionError(statement)
