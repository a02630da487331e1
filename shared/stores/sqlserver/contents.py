"""What Octopus keeps in a database: tables and their rows, agents, migrations, and our own marker row."""

from __future__ import annotations

import uuid

from pydantic import Field

from shared.errors import SqlServerError, StoreError
from shared.model.backups import Count, Quality
from shared.model.base import Document, UtcTime
from shared.stores.sqlserver.connection import Session
from shared.stores.sqlserver.server_time import to_utc
from shared.stores.sqlserver.statements import quote_name

AGENTS = "Octopus_Agents"
TENANT = "TenantId"
MIGRATIONS = "__EFMigrationsHistory"
MARKER_SCHEMA = "octopus_backup"
MARKER_TABLE = "RecoveryPoint"

_NO_SUCH_OBJECT = 208


class MarkerRow(Document):
    """The row that a recovery point leaves in every database."""

    mark_name: str
    point_id: str
    marked_at: UtcTime
    vector_side: str


class Migrations(Document):
    """Where Octopus' schema stands."""

    head: str | None = Field(description="newest MigrationId; None without a history table")
    tables: tuple[str, ...] = Field(description="Octopus_* tables as schema.table, sorted")


class Table(Document):
    """A table of Octopus."""

    schema_name: str
    name: str

    @property
    def key(self) -> str:
        """``schema.table``."""
        return f"{self.schema_name}.{self.name}"

    def quoted(self, database: str) -> str:
        """The three-part name for a statement."""
        return ".".join(quote_name(part) for part in (database, self.schema_name, self.name))


def tables(session: Session, database: str) -> list[Table]:
    """Every table whose name begins with ``Octopus_``, in any schema, sorted: found, not listed by hand."""
    own = quote_name(database)
    rows = session.rows(
        f"SELECT s.name, t.name FROM {own}.sys.tables AS t "  # noqa: S608 - the name is quoted
        f"JOIN {own}.sys.schemas AS s ON s.schema_id = t.schema_id "
        "WHERE t.name LIKE N'Octopus[_]%' ORDER BY s.name, t.name;"
    )
    return [Table(schema_name=row[0], name=row[1]) for row in rows]


def row_counts(session: Session, database: str, counted: list[Table]) -> dict[str, int]:
    """COUNT_BIG(*) of each table: raw rows, whatever filters Octopus' own queries apply."""
    return {
        table.key: int(
            session.rows(f"SELECT COUNT_BIG(*) FROM {table.quoted(database)};")[0][0]  # noqa: S608 - quoted
        )
        for table in counted
    }


def counts(session: Session, database: str) -> dict[str, Count]:
    """Rows of every Octopus table now: exact, where nobody else writes, as in a database just restored."""
    found = row_counts(session, database, tables(session, database))
    return {key: Count(value=value, quality=Quality.EXACT) for key, value in found.items()}


def agents(session: Session, database: str) -> list[str]:
    """The ids of all agents as lower-case GUIDs, sorted; empty without an agents' table.

    Raises:
        StoreError: the table has no primary key of one column, or its values are no GUIDs.
    """
    found = [table for table in tables(session, database) if table.name == AGENTS]
    if not found:
        return []
    key = _primary_key(session, database, found[0])
    rows = session.rows(f"SELECT {quote_name(key)} FROM {found[0].quoted(database)};")  # noqa: S608 - quoted
    try:
        return sorted(str(uuid.UUID(str(row[0]))) for row in rows)
    except ValueError:
        raise StoreError(
            f"{found[0].key}.{key} of {database} holds a value that is no GUID.",
            "The agents of a recovery point are matched with collections by their GUIDs; report the schema.",
            code="agents_unknown",
        ) from None


def agents_with_tenants(session: Session, database: str) -> dict[str, str | None]:
    """Every agent's id, as a lower-case GUID, with its tenant as text; empty without an agents' table.

    The tenant's type differs between versions of Octopus (GUID, text, number), and the column may be missing:
    then it is None.

    Raises:
        StoreError: the table has no primary key of one column, or its values are no GUIDs.
    """
    found = [table for table in tables(session, database) if table.name == AGENTS]
    if not found:
        return {}
    ids = agents(session, database)
    own = quote_name(database)
    columns = session.rows(
        f"SELECT COLUMN_NAME FROM {own}.INFORMATION_SCHEMA.COLUMNS "  # noqa: S608 - the name is quoted
        "WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND COLUMN_NAME = ?;",
        found[0].schema_name,
        AGENTS,
        TENANT,
    )
    if not columns:
        return dict.fromkeys(ids)
    key = _primary_key(session, database, found[0])
    rows = session.rows(
        f"SELECT {quote_name(key)}, {quote_name(TENANT)} "  # noqa: S608 - quoted
        f"FROM {found[0].quoted(database)};"
    )
    tenants = {str(uuid.UUID(str(row[0]))): None if row[1] is None else str(row[1]) for row in rows}
    return {agent: tenants.get(agent) for agent in ids}


def migrations(session: Session, database: str) -> Migrations:
    """The newest migration and the tables that are there."""
    own = quote_name(database)
    present = session.rows(
        f"SELECT s.name FROM {own}.sys.tables AS t "  # noqa: S608 - the name is quoted
        f"JOIN {own}.sys.schemas AS s ON s.schema_id = t.schema_id WHERE t.name = ?;",
        MIGRATIONS,
    )
    head = None
    if present:
        history = Table(schema_name=present[0][0], name=MIGRATIONS).quoted(database)
        rows = session.rows(f"SELECT MAX(MigrationId) FROM {history};")  # noqa: S608 - quoted
        head = rows[0][0]
    return Migrations(head=head, tables=tuple(table.key for table in tables(session, database)))


def marker(session: Session, database: str) -> MarkerRow | None:
    """The newest marker row; None where the table is missing or empty."""
    table = marker_table(database)
    try:
        rows = session.rows(
            f"SELECT TOP (1) MarkName, PointId, MarkedAt, VectorSide FROM {table} "  # noqa: S608 - quoted
            "ORDER BY MarkedAt DESC, MarkName DESC;"
        )
    except SqlServerError as error:
        if error.number != _NO_SUCH_OBJECT:
            raise
        return None
    if not rows:
        return None
    name, point, at, side = rows[0]
    return MarkerRow(mark_name=name, point_id=point, marked_at=to_utc(at, 0), vector_side=side)


def marker_table(database: str) -> str:
    """The three-part name of the marker table."""
    return Table(schema_name=MARKER_SCHEMA, name=MARKER_TABLE).quoted(database)


def _primary_key(session: Session, database: str, table: Table) -> str:
    own = quote_name(database)
    rows = session.rows(
        f"SELECT k.COLUMN_NAME FROM {own}.INFORMATION_SCHEMA.TABLE_CONSTRAINTS AS c "  # noqa: S608 - quoted
        f"JOIN {own}.INFORMATION_SCHEMA.KEY_COLUMN_USAGE AS k "
        "ON k.CONSTRAINT_NAME = c.CONSTRAINT_NAME AND k.TABLE_SCHEMA = c.TABLE_SCHEMA "
        "AND k.TABLE_NAME = c.TABLE_NAME "
        "WHERE c.CONSTRAINT_TYPE = N'PRIMARY KEY' AND c.TABLE_SCHEMA = ? AND c.TABLE_NAME = ?;",
        table.schema_name,
        table.name,
    )
    if len(rows) != 1:
        raise StoreError(
            f"{table.key} of {database} has {len(rows)} primary key columns; one is expected.",
            "The agents of a recovery point are read by that key; report the schema.",
            code="agents_unknown",
        )
    return str(rows[0][0])
