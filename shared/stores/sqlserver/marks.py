"""The mark of a recovery point: one marked transaction over all databases, and the counts that belong to it.

A mark lands in the log of every database that its transaction updates; for that, each has the small table
octopus_backup.RecoveryPoint, which infra/sqlserver-setup.sql makes.

What ``STOPATMARK`` brings back is everything that was committed up to the mark's COMMIT. A count is ``exact``
when it is a count of just that; where a database allows snapshot isolation, it is taken like this:

1. session M begins the marked transaction and reads from every table under a shared table lock that it holds:
   writers drain, then wait;
2. session C begins a SNAPSHOT transaction and reads: from now on it sees this instant;
3. M writes the marker rows and commits, and the writers go on after some milliseconds;
4. C counts at leisure. No writer was in flight, so what C sees is what the mark will bring back.

Elsewhere the tables are counted before and after, and the count is ``approximate`` with that interval. Equal
counts do not make it exact: a row may have come and another gone in between.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from pydantic import Field

from shared.clock import Clock
from shared.errors import InvalidRequestError, OutcomeUnknownError, SqlServerError
from shared.model.backups import Count, Quality
from shared.model.base import Document, Lsn, UtcTime
from shared.stores.sqlserver import contents, inspection, statements
from shared.stores.sqlserver.connection import Server, Session
from shared.stores.sqlserver.contents import Table
from shared.stores.sqlserver.inspection import ServerInfo
from shared.stores.sqlserver.server_time import to_utc

_DRAIN_MILLISECONDS = 5000
"""How long the marked transaction waits for locks; new writers wait behind it for as long, so it is short."""

_COUNT_SECONDS = 3600
_COUNT_WAIT_MILLISECONDS = 30_000
"""How long counting waits for a row that somebody has changed and not yet committed."""

_HISTORY_TRIES = 5
_HISTORY = "SELECT database_name, lsn, mark_time FROM msdb.dbo.logmarkhistory WHERE mark_name = ?;"
_NO_SUCH_COLUMN, _NO_SUCH_OBJECT, _LOCK_TIMEOUT = 207, 208, 1222
_log = logging.getLogger(__name__)


class MarkFacts(Document):
    """The mark in one database, and what the database held at that instant."""

    server: str
    database: str
    mark_name: str
    mark_lsn: Lsn
    at: UtcTime = Field(description="when the mark was set, by the server's clock")
    tables: dict[str, Count] = Field(description="rows of every Octopus_* table, key schema.table")
    agents: tuple[str, ...] = Field(description="ids of all agents, lower-case GUIDs, sorted")
    migration: str | None = Field(description="head of __EFMigrationsHistory")


class MarkRequest(NamedTuple):
    """What to mark, and what the marker row says."""

    databases: Sequence[str]
    mark_name: str
    point_id: str
    description: str
    vector_side: str


class _Held(NamedTuple):
    """What one database held."""

    tables: dict[str, Count]
    agents: list[str]
    migration: str | None


def set_mark(server: Server, clock: Clock, request: MarkRequest) -> list[MarkFacts]:
    """Set the mark in all databases at once, or in none.

    Repeating it with a name that is already in the logs sets no second mark (the first of a name is where a
    restore stops); its counts are then only approximate.

    Returns:
        One entry per database, in the order of the request.

    Raises:
        SqlServerError: ``marker_schema_missing``, ``recovery_model_simple``, ``database_missing``,
            ``lock_timeout`` …
        NotPermittedError: our login may not write the marker row.
        OutcomeUnknownError: the connection was lost while committing; set another mark with a new name.
    """
    statements.mark_name(request.mark_name)
    if not request.databases:
        raise InvalidRequestError("A mark needs at least one database.")
    with (
        server.session() as marking,
        server.session(seconds=_COUNT_SECONDS) as counting,
    ):
        counting.run(f"SET LOCK_TIMEOUT {_COUNT_WAIT_MILLISECONDS};")
        info = inspection.server_info(counting)
        if _history(counting, request.mark_name).keys() >= set(request.databases):
            return _facts(counting, clock, info, request, _counted_now(counting, request.databases))
        allowing = [name for name in request.databases if _allows_snapshot(counting, name)]
        tables = {name: contents.tables(counting, name) for name in request.databases}
        exactly = len(allowing) == len(request.databases)
        held = _marked_exactly(marking, counting, request, tables) if exactly else None
        if held is None:
            held = _marked_between_counts(marking, counting, request, tables)
        return _facts(counting, clock, info, request, held)


def _marked_exactly(
    marking: Session, counting: Session, request: MarkRequest, tables: dict[str, list[Table]]
) -> dict[str, _Held] | None:
    """The lock method; None when the locks could not be had, and nothing was marked."""
    _begin(marking, request)
    try:
        for database, own in tables.items():
            for table in own:
                marking.run(
                    f"SELECT TOP (1) 1 FROM {table.quoted(database)} "  # noqa: S608 - quoted
                    "WITH (TABLOCK, HOLDLOCK);"
                )
    except SqlServerError as error:
        if error.number != _LOCK_TIMEOUT:
            raise
        _log.warning("Writers did not pause for the mark; its counts will be approximate.")
        marking.run("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION;")
        return None
    counting.run("SET TRANSACTION ISOLATION LEVEL SNAPSHOT;")
    counting.run("BEGIN TRANSACTION;")
    for database in request.databases:
        counting.run(f"SELECT COUNT_BIG(*) FROM {contents.marker_table(database)};")  # noqa: S608 - quoted
    _commit(marking, request)
    held = {
        name: _held(counting, name, _exact(contents.row_counts(counting, name, own)))
        for name, own in tables.items()
    }
    counting.run("COMMIT TRANSACTION;")
    counting.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED;")
    return held


def _marked_between_counts(
    marking: Session, counting: Session, request: MarkRequest, tables: dict[str, list[Table]]
) -> dict[str, _Held]:
    before = {name: contents.row_counts(counting, name, own) for name, own in tables.items()}
    _begin(marking, request)
    _commit(marking, request)
    held = {}
    for name, own in tables.items():
        after = contents.row_counts(counting, name, own)
        held[name] = _held(counting, name, {key: _between(before[name][key], after[key]) for key in after})
    return held


def _counted_now(counting: Session, databases: Sequence[str]) -> dict[str, _Held]:
    held = {}
    for name in databases:
        rows = contents.row_counts(counting, name, contents.tables(counting, name))
        unsure = {key: Count(value=value, quality=Quality.APPROXIMATE) for key, value in rows.items()}
        held[name] = _held(counting, name, unsure)
    return held


def _begin(marking: Session, request: MarkRequest) -> None:
    marking.run(f"SET LOCK_TIMEOUT {_DRAIN_MILLISECONDS};")
    marking.run(statements.begin_marked(request.mark_name, request.description))


def _commit(marking: Session, request: MarkRequest) -> None:
    for database in request.databases:
        table = contents.marker_table(database)
        try:
            marking.run(
                f"INSERT INTO {table} (MarkName, PointId, MarkedAt, VectorSide) "  # noqa: S608 - quoted
                "VALUES (?, ?, SYSUTCDATETIME(), ?);",
                request.mark_name,
                request.point_id,
                request.vector_side,
            )
        except SqlServerError as error:
            if error.number not in (_NO_SUCH_COLUMN, _NO_SUCH_OBJECT):
                raise
            raise SqlServerError(
                f"{database} has no table {contents.MARKER_SCHEMA}.{contents.MARKER_TABLE} as it should be.",
                error.number,
                "Run infra/sqlserver-setup.sql on it; without the table no recovery point can be marked.",
                code="marker_schema_missing",
                meaning="No recovery point was made.",
            ) from None
    marking.run("COMMIT TRANSACTION;")


def _allows_snapshot(session: Session, database: str) -> bool:
    """Whether the database can be marked, and allows the exact count.

    Raises:
        SqlServerError: it cannot be marked: it is missing, not online, or keeps no log.
    """
    state = inspection.database_state(session, database)
    if state.state_desc != inspection.ONLINE:
        raise SqlServerError(
            f"{database} is {state.state_desc}, so it cannot be marked.",
            number=927 if state.exists else 911,
            hint="Correct SQLSERVER_DATABASES, or restore the database.",
            code="restoring" if state.exists else "database_missing",
            meaning="No recovery point was made.",
        )
    if state.recovery_model == "SIMPLE":
        raise SqlServerError(
            f"{database} is in the SIMPLE recovery model, which keeps no log that a mark could be in.",
            number=4208,
            hint="If that was not meant: ALTER DATABASE … SET RECOVERY FULL, then take a full backup.",
            code="recovery_model_simple",
            meaning="No recovery point was made.",
        )
    return state.allows_snapshot


def _facts(
    session: Session, clock: Clock, info: ServerInfo, request: MarkRequest, held: dict[str, _Held]
) -> list[MarkFacts]:
    """The mark's LSN and time are copied from msdb at once: msdb is in no backup of ours."""
    marks = _history(session, request.mark_name)
    for _ in range(_HISTORY_TRIES):
        if marks.keys() >= set(request.databases):
            break
        clock.sleep(1.0)
        marks = _history(session, request.mark_name)
    else:
        raise OutcomeUnknownError(
            f"The mark {request.mark_name} was committed, but msdb.dbo.logmarkhistory does not show it.",
            "Set another mark with a new name; look whether something deletes msdb's history.",
        )
    return [
        MarkFacts(
            server=info.name,
            database=name,
            mark_name=request.mark_name,
            mark_lsn=int(marks[name][0]),
            at=to_utc(marks[name][1], info.utc_offset_minutes),
            tables=held[name].tables,
            agents=tuple(held[name].agents),
            migration=held[name].migration,
        )
        for name in request.databases
    ]


def _history(session: Session, mark: str) -> dict[str, tuple[Decimal, datetime]]:
    return {row[0]: (row[1], row[2]) for row in session.rows(_HISTORY, mark)}


def _held(session: Session, database: str, tables: dict[str, Count]) -> _Held:
    return _Held(tables, contents.agents(session, database), contents.migrations(session, database).head)


def _exact(rows: dict[str, int]) -> dict[str, Count]:
    return {key: Count(value=value, quality=Quality.EXACT) for key, value in rows.items()}


def _between(before: int, after: int) -> Count:
    return Count(value=after, quality=Quality.APPROXIMATE, low=min(before, after), high=max(before, after))
