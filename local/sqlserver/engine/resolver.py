# ruff: noqa: S608 -- every name in SQL text is quoted by ``storage.quoted``, every value is bound
"""What names in a statement mean to a session: variables, tables, system views."""

from __future__ import annotations

import decimal
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from local.sqlserver.datatypes import BIGINT, INT, SqlType, nvarchar
from local.sqlserver.engine.catalog import Catalog, TableInfo
from local.sqlserver.engine.database import Database
from local.sqlserver.engine.errors import SqlError
from local.sqlserver.engine.locks import EXCLUSIVE, INTENT, SHARED, Resource
from local.sqlserver.engine.storage import quoted, scalar
from local.sqlserver.engine.values import STORAGE_CLASS, to_storage
from local.sqlserver.syntax import tree
from local.sqlserver.syntax.tree import NameParts
from local.sqlserver.translate.queries import QueryTranslator
from local.sqlserver.translate.scope import Bound, Scope, Source

if TYPE_CHECKING:
    from local.sqlserver.engine.session import Session, Variable

_LOG_STATS = "sys.dm_db_log_stats"  # the one table function among the views
_VIEW_SCHEMAS = ("sys", "information_schema")


class Resolver:
    """Resolves the names of one statement; ``close`` releases what it needed."""

    def __init__(self, session: Session, variables: Mapping[str, Variable]) -> None:
        self._session = session
        self._variables = variables
        self._views: list[str] = []
        self._momentary: list[tuple[Resource, str]] = []
        self.bindings: dict[str, Any] = {}

    def bind(self, value: Any) -> str:
        """SQL for a storage form, handed over as a binding."""
        name = f"p{len(self.bindings)}"
        self.bindings[name] = value
        return f":{name}"

    def variable(self, name: str) -> Bound:
        """A variable or a global one."""
        if name.startswith("@@"):
            kind, value = self._global(name)
        elif name in self._variables:
            variable = self._variables[name]
            kind, value = variable.type, variable.value
        else:
            raise SqlError(137, name)
        return Bound(self.bind(to_storage(kind, value)), kind)

    def _global(self, name: str) -> tuple[SqlType, Any]:
        session = self._session
        values: dict[str, tuple[SqlType, Any]] = {
            "@@rowcount": (INT, session.row_count),
            "@@trancount": (INT, session.transaction_count),
            "@@error": (INT, session.last_error),
            "@@spid": (INT, session.spid),
            "@@version": (nvarchar(300), session.instance.version_text),
            "@@servername": (nvarchar(128), session.instance.name),
            "@@servicename": (nvarchar(128), "MSSQLSERVER"),
            "@@language": (nvarchar(128), "us_english"),
            "@@lock_timeout": (INT, session.settings.lock_timeout),
            "@@identity": (SqlType("decimal", None, 38, 0), session.last_identity),
            "@@max_precision": (INT, 38),
            "@@options": (INT, 5496),
            "@@datefirst": (INT, 7),
            "@@dbts": (BIGINT, 2000),
        }
        if name not in values:
            raise SqlError(137, name)
        kind, value = values[name]
        return kind, decimal.Decimal(value) if kind.family == "decimal" and value is not None else value

    # --- tables

    def locate(self, parts: NameParts) -> tuple[Database, str, str]:
        """The database, schema and name that a dotted name means.

        Raises:
            SqlError: 911, 927 … for the database, 40517 for a linked server.
        """
        if len(parts) > 3:
            raise SqlError(40517, ".".join(parts))
        *front, name = parts
        schema = (front[-1] if front else "") or "dbo"
        database = front[0] if len(front) == 2 else None
        return self._session.open(database or None), schema, name

    def find(self, parts: NameParts) -> tuple[Database, TableInfo]:
        """A user table.

        Raises:
            SqlError: 208, there is none.
        """
        database, schema, name = self.locate(parts)
        info = Catalog(self._session.connection, database.attached_name).find(schema, name)
        if info is None:
            raise SqlError(208, ".".join(part for part in parts if part))
        return database, info

    def table(self, table: tree.Table) -> Source:
        """A table or view as a source of a query."""
        if len(table.parts) > 1 and table.parts[-2].lower() in _VIEW_SCHEMAS:
            return self._view(table)
        if table.arguments is not None:
            raise SqlError(208, ".".join(table.parts))
        database, info = self.find(table.parts)
        self._session.instance.permissions.demand_table(self._session, database, info, "SELECT")
        self._hint_locks(database, info, table.hints)
        alias = table.alias or info.name
        sql = f"{quoted(database.attached_name)}.{quoted(info.storage_name)} AS {quoted(alias)}"
        qualifiers = () if table.alias else (database.name, info.schema, info.name)
        return Source(alias, [(c.name, c.type) for c in info.columns], sql, qualifiers)

    def _hint_locks(self, database: Database, info: TableInfo, hints: frozenset[str]) -> None:
        """Take the locks that hints ask for.

        TABLOCK and HOLDLOCK take a shared lock on the table (HOLDLOCK's range is widened to the table), held
        to the end of the transaction with HOLDLOCK, else to the end of the statement. UPDLOCK makes the
        reader the database's writer. NOLOCK, ROWLOCK and READCOMMITTED change nothing that could be seen.
        """
        resource = ("table", database.id, info.object_id)
        if "TABLOCKX" in hints:
            self._take(resource, EXCLUSIVE, keep=True)
        elif hints & {"UPDLOCK"}:
            self._take(resource, INTENT, keep=True)
            self._take(("writer", database.id, 0), EXCLUSIVE, keep=True)
        elif hints & {"TABLOCK", "HOLDLOCK"}:
            self._take(resource, SHARED, keep="HOLDLOCK" in hints)

    def _take(self, resource: Resource, mode: str, *, keep: bool) -> None:
        new = self._session.lock(resource, mode)
        if new and not (keep and self._session.transaction is not None):
            self._momentary.append((resource, mode))

    def _view(self, table: tree.Table) -> Source:
        """A system view: its rows are computed now and kept in a temporary table."""
        session = self._session
        database = session.instance.database(table.parts[0] if len(table.parts) == 3 else session.database)
        view = f"{table.parts[-2]}.{table.parts[-1]}".lower()
        if (view == _LOG_STATS) != (table.arguments is not None):
            raise SqlError(208, ".".join(table.parts))
        if table.arguments is not None:
            database = self._argument(table.arguments)
        found = session.instance.views.read(session, database, view)
        if found is None:
            raise SqlError(208, ".".join(part for part in table.parts if part))
        columns, rows = found
        name = f"view {next(session.temporary_names)}"
        definitions = ", ".join(
            f"{quoted(c)} {STORAGE_CLASS[k.family]}{' COLLATE ci_as' if k.family == 'char' else ''}"
            for c, k in columns
        )
        session.connection.execute(f"CREATE TEMP TABLE {quoted(name)} ({definitions})")
        self._views.append(name)
        marks = ", ".join("?" * len(columns))
        session.connection.executemany(
            f"INSERT INTO temp.{quoted(name)} VALUES ({marks})",
            [
                [to_storage(kind, value) for (_, kind), value in zip(columns, row, strict=True)]
                for row in rows
            ],
        )
        alias = table.alias or table.parts[-1]
        return Source(
            alias, columns, f"temp.{quoted(name)} AS {quoted(alias)}", table.parts if not table.alias else ()
        )

    def _argument(self, arguments: tuple[tree.Node, ...]) -> Database:
        """The database whose number is a table function's one argument: a constant, or DB_ID(…)."""
        if len(arguments) != 1:
            raise SqlError(174, _LOG_STATS, 1)
        bound = QueryTranslator(self).value(arguments[0], Scope())
        found = self._session.instance.by_id(
            scalar(self._session.connection, f"SELECT {bound.sql}", self.bindings)
        )
        return found or self._session.instance.database(self._session.database)

    def close(self) -> None:
        """Drop temporary tables, release the locks of the statement."""
        for name in self._views:
            self._session.connection.execute(f"DROP TABLE IF EXISTS temp.{quoted(name)}")
        self._views.clear()
        for resource, mode in self._momentary:
            self._session.instance.locks.release(self._session, resource, mode)
        self._momentary.clear()
