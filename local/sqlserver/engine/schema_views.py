# ruff: noqa: S608 -- every name in SQL text is quoted by ``storage.quoted``, every value is bound
"""The system views about the objects of one database: sys.tables, INFORMATION_SCHEMA and their like."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from local.sqlserver.datatypes import (
    SqlType,
    nvarchar,
)
from local.sqlserver.engine.catalog import Catalog, ColumnInfo, ForeignKey, TableInfo
from local.sqlserver.engine.columns import columns_of
from local.sqlserver.engine.database import Database
from local.sqlserver.engine.errors import SqlError
from local.sqlserver.engine.procedures import TYPE_IDS
from local.sqlserver.engine.storage import quoted, scalar

if TYPE_CHECKING:
    from local.sqlserver.engine.session import Session

type Table = tuple[list[tuple[str, SqlType]], list[list[Any]]]

_DESC = nvarchar(60)
_STATE_VIEWS = ("sys.dm_db_partition_stats", "sys.dm_db_log_stats")


def read(session: Session, database: Database, view: str) -> Table | None:
    """The columns and rows of a view; None if this server does not have it."""
    if view not in _VIEWS:
        return None
    session.open(database.name)
    if view in _STATE_VIEWS and not session.instance.permissions.database(
        session, database, "VIEW DATABASE STATE"
    ):
        raise SqlError(262, "VIEW DATABASE STATE", database.name).followed_by(297)
    return _VIEWS[view](session, database)


def _catalog(session: Session, database: Database) -> Catalog:
    return session.catalog(database)


def _tables_seen(session: Session, database: Database) -> list[TableInfo]:
    """The tables that the session may know of."""
    may = session.instance.permissions
    return [t for t in _catalog(session, database).tables() if may.can_see(session, database, t)]


def _schema_ids(session: Session, database: Database) -> dict[str, int]:
    return {name.casefold(): number for number, name in _catalog(session, database).schemas()}


def _schemas(session: Session, database: Database) -> Table:
    columns = columns_of("name sysname, schema_id int, principal_id int")
    return columns, [[name, number, 1] for number, name in _catalog(session, database).schemas()]


def _tables(session: Session, database: Database) -> Table:
    columns = columns_of(
        """name sysname, object_id int, principal_id int, schema_id int, parent_object_id int, type
        varchar(2), type_desc nvarchar(60), create_date datetime, modify_date datetime, is_ms_shipped
        bit, temporal_type tinyint, is_memory_optimized bit, is_external bit"""
    )
    schemas = _schema_ids(session, database)
    rows = [
        [
            t.name,
            t.object_id,
            None,
            schemas[t.schema.casefold()],
            0,
            "U ",
            "USER_TABLE",
            _date(t),
            _date(t),
            False,
            0,
            False,
            False,
        ]
        for t in _tables_seen(session, database)
    ]
    return columns, rows


def _date(table: TableInfo) -> dt.datetime:
    return dt.datetime.fromisoformat(table.created)


def _objects(session: Session, database: Database) -> Table:
    columns = columns_of(
        """name sysname, object_id int, schema_id int, parent_object_id int, type varchar(2), type_desc
        nvarchar(60), create_date datetime, modify_date datetime, is_ms_shipped bit"""
    )
    kinds = {"PRIMARY KEY": ("PK", "PRIMARY_KEY_CONSTRAINT"), "UNIQUE": ("UQ", "UNIQUE_CONSTRAINT")}
    schemas = _schema_ids(session, database)
    rows: list[list[Any]] = []
    for table in _tables_seen(session, database):
        schema = schemas[table.schema.casefold()]
        entries = [(table.name, 0, "U ", "USER_TABLE")]
        entries += [(k.name, table.object_id, *kinds[k.kind]) for k in table.keys if k.kind in kinds]
        entries += [(f.name, table.object_id, "F ", "FOREIGN_KEY_CONSTRAINT") for f in table.foreign_keys]
        for number, (name, parent, code, description) in enumerate(entries):
            date = _date(table)
            rows.append(
                [name, table.object_id + number, schema, parent, code, description, date, date, False]
            )
    return columns, rows


def _sys_columns(session: Session, database: Database) -> Table:
    columns = columns_of(
        """object_id int, name sysname, column_id int, system_type_id tinyint, user_type_id int, max_length
        smallint, precision tinyint, scale tinyint, is_nullable bit, is_identity bit, is_computed bit"""
    )
    rows = []
    for table, number, c in _all_columns(session, database):
        type_id = TYPE_IDS[c.type.name]
        wide = 2 if c.type.name in ("nvarchar", "nchar") else 1
        size = (
            -1
            if c.type.family in ("char", "binary") and c.type.length is None
            else (c.type.length or 8) * wide
        )
        rows.append([
            table.object_id, c.name, number, type_id, type_id, size, c.type.precision, c.type.scale,
            c.nullable,
            c.identity is not None, False,
        ])  # fmt: skip
    return columns, rows


def _all_columns(session: Session, database: Database) -> Iterator[tuple[TableInfo, int, ColumnInfo]]:
    for table in _tables_seen(session, database):
        for number, column in enumerate(table.columns, start=1):
            yield table, number, column


def _indexes(session: Session, database: Database) -> Table:
    columns = columns_of(
        """object_id int, name sysname, index_id int, type tinyint, type_desc nvarchar(60), is_unique bit,
        is_primary_key bit, is_unique_constraint bit, has_filter bit"""
    )
    rows: list[list[Any]] = []
    for table in _tables_seen(session, database):
        clustered = table.primary_key
        if clustered is None:
            rows.append([table.object_id, None, 0, 0, "HEAP", False, False, False, False])
        others = iter(range(2, 1000))
        for key in table.keys:
            number = 1 if key is clustered else next(others)
            rows.append([
                table.object_id, key.name, number, min(number, 2),
                "CLUSTERED" if number == 1 else "NONCLUSTERED",
                key.unique, key is clustered, key.kind == "UNIQUE", key.where is not None,
            ])  # fmt: skip
    return columns, rows


def _partition_stats(session: Session, database: Database) -> Table:
    columns = columns_of(
        """partition_id bigint, object_id int, index_id int, partition_number int, used_page_count bigint,
        reserved_page_count bigint, row_count bigint"""
    )
    rows: list[list[Any]] = []
    for table in _tables_seen(session, database):
        name = f"{quoted(database.attached_name)}.{quoted(table.storage_name)}"
        count = scalar(session.connection, f"SELECT count(*) FROM {name}")
        index = 1 if table.primary_key else 0
        rows.append(
            [table.object_id * 65536, table.object_id, index, 1, count // 50 + 1, count // 50 + 8, count]
        )
    return columns, rows


def _foreign_keys(session: Session, database: Database) -> Table:
    columns = columns_of(
        """name sysname, object_id int, parent_object_id int, referenced_object_id int,
        schema_id int, delete_referential_action tinyint, delete_referential_action_desc nvarchar(60),
        update_referential_action tinyint, is_disabled bit, is_not_trusted bit"""
    )
    schemas = _schema_ids(session, database)
    tables = {(t.schema, t.name): t for t in _tables_seen(session, database)}
    actions = {"NO ACTION": (0, "NO_ACTION"), "CASCADE": (1, "CASCADE"), "SET NULL": (2, "SET_NULL")}
    rows = [
        [
            f.name,
            number,
            t.object_id,
            tables[f.target].object_id,
            schemas[t.schema.casefold()],
            *actions[f.on_delete],
            0,
            False,
            False,
        ]
        for number, t, f in _foreign(list(tables.values()))
        if f.target in tables
    ]
    return columns, rows


def _foreign(tables: list[TableInfo]) -> Iterator[tuple[int, TableInfo, ForeignKey]]:
    """Every foreign key with its object id, which is the one that sys.objects shows."""
    for table in tables:
        constraints = sum(key.kind in ("PRIMARY KEY", "UNIQUE") for key in table.keys)
        for number, key in enumerate(table.foreign_keys, start=table.object_id + 1 + constraints):
            yield number, table, key


def _foreign_key_columns(session: Session, database: Database) -> Table:
    columns = columns_of(
        """constraint_object_id int, constraint_column_id int, parent_object_id int, parent_column_id int,
        referenced_object_id int, referenced_column_id int"""
    )
    tables = {(t.schema, t.name): t for t in _tables_seen(session, database)}
    rows = [
        [
            number,
            position,
            table.object_id,
            _column_id(table, own),
            tables[key.target].object_id,
            _column_id(tables[key.target], other),
        ]
        for number, table, key in _foreign(list(tables.values()))
        if key.target in tables
        for position, (own, other) in enumerate(zip(key.columns, key.target_columns, strict=True), start=1)
    ]
    return columns, rows


def _column_id(table: TableInfo, name: str) -> int:
    return [column.name for column in table.columns].index(name) + 1


def _identity_columns(session: Session, database: Database) -> Table:
    columns = columns_of("object_id int, name sysname, column_id int, seed_value int, increment_value int")
    return columns, [
        [table.object_id, column.name, number, *column.identity]
        for table, number, column in _all_columns(session, database)
        if column.identity
    ]


def _log_stats(_session: Session, database: Database) -> Table:
    columns = columns_of(
        """database_id int, recovery_model nvarchar(60), log_since_last_log_backup_mb float,
        total_log_size_mb float"""
    )
    state = database.state
    since = database.log.bytes_since(state.log_start or 0) / 2**20
    return columns, [[database.id, state.recovery_model, since, database.log_pages() / 128]]


def _database_files(_session: Session, database: Database) -> Table:
    columns = columns_of(
        """file_id int, type tinyint, type_desc nvarchar(60), name sysname, physical_name nvarchar(260),
        size int"""
    )
    state = database.state
    return columns, [
        [1, 0, "ROWS", state.data.logical, state.data.path, database.size_pages()],
        [2, 1, "LOG", state.log.logical, state.log.path, database.log_pages()],
    ]


# --- INFORMATION_SCHEMA


def _is_tables(session: Session, database: Database) -> Table:
    columns = columns_of(
        "TABLE_CATALOG sysname, TABLE_SCHEMA sysname, TABLE_NAME sysname, TABLE_TYPE varchar(10)"
    )
    return columns, [[database.name, t.schema, t.name, "BASE TABLE"] for t in _tables_seen(session, database)]


def _is_schemata(session: Session, database: Database) -> Table:
    columns = columns_of("CATALOG_NAME sysname, SCHEMA_NAME sysname, SCHEMA_OWNER sysname")
    return columns, [[database.name, name, "dbo"] for _, name in _catalog(session, database).schemas()]


def _is_columns(session: Session, database: Database) -> Table:
    columns = columns_of(
        """TABLE_CATALOG sysname, TABLE_SCHEMA sysname, TABLE_NAME sysname, COLUMN_NAME sysname,
        ORDINAL_POSITION int, COLUMN_DEFAULT nvarchar(4000), IS_NULLABLE varchar(3), DATA_TYPE sysname,
        CHARACTER_MAXIMUM_LENGTH int, CHARACTER_OCTET_LENGTH int, NUMERIC_PRECISION tinyint,
        NUMERIC_SCALE int, DATETIME_PRECISION smallint, COLLATION_NAME sysname"""
    )
    rows = []
    for table, number, c in _all_columns(session, database):
        kind = c.type
        sized = kind.family in ("char", "binary")
        length = (-1 if kind.length is None else kind.length) if sized else None
        octets = length * 2 if length and length > 0 and kind.name.startswith("n") else length
        number_like = kind.family in ("int", "decimal") and kind.name != "bit"
        rows.append([
            database.name, table.schema, table.name, c.name, number, f"({c.default})" if c.default else None,
            "YES" if c.nullable else "NO", kind.name, length, octets, kind.precision if number_like else None,
            kind.scale if number_like else None,
            kind.scale if "date" in kind.family or kind.family == "time" else None,
            "SQL_Latin1_General_CP1_CI_AS" if kind.family == "char" else None,
        ])  # fmt: skip
    return columns, rows


_CONSTRAINT = columns_of(
    """CONSTRAINT_CATALOG sysname, CONSTRAINT_SCHEMA sysname, CONSTRAINT_NAME sysname, TABLE_CATALOG
    sysname, TABLE_SCHEMA sysname, TABLE_NAME sysname"""
)


def _constraints(
    session: Session, database: Database
) -> Iterator[tuple[TableInfo, str, str, tuple[str, ...]]]:
    for table in _tables_seen(session, database):
        for key in table.keys:
            if key.kind in ("PRIMARY KEY", "UNIQUE"):
                yield table, key.name, key.kind, key.columns
        for foreign in table.foreign_keys:
            yield table, foreign.name, "FOREIGN KEY", foreign.columns


def _is_table_constraints(session: Session, database: Database) -> Table:
    columns = [*_CONSTRAINT, *columns_of("CONSTRAINT_TYPE varchar(11), IS_DEFERRABLE varchar(2)")]
    rows = [
        [database.name, t.schema, name, database.name, t.schema, t.name, kind, "NO"]
        for t, name, kind, _ in _constraints(session, database)
    ]
    return columns, rows


def _is_key_columns(session: Session, database: Database) -> Table:
    columns = [*_CONSTRAINT, *columns_of("COLUMN_NAME sysname, ORDINAL_POSITION int")]
    rows = [
        [database.name, t.schema, name, database.name, t.schema, t.name, column, number]
        for t, name, _, members in _constraints(session, database)
        for number, column in enumerate(members, start=1)
    ]
    return columns, rows


_VIEWS: dict[str, Callable[[Session, Database], Table]] = {
    "sys.schemas": _schemas,
    "sys.tables": _tables,
    "sys.objects": _objects,
    "sys.columns": _sys_columns,
    "sys.indexes": _indexes,
    "sys.foreign_keys": _foreign_keys,
    "sys.foreign_key_columns": _foreign_key_columns,
    "sys.identity_columns": _identity_columns,
    "sys.database_files": _database_files,
    "sys.dm_db_partition_stats": _partition_stats,
    "sys.dm_db_log_stats": _log_stats,
    "information_schema.tables": _is_tables,
    "information_schema.schemata": _is_schemata,
    "information_schema.columns": _is_columns,
    "information_schema.table_constraints": _is_table_constraints,
    "information_schema.key_column_usage": _is_key_columns,
}
