"""The mark of a recovery point: one marked transaction over all databases, and the counts that belong to it.

A mark lands in the log of every database that its transaction updates; for that, each has the small table
octopus_backup.RecoveryPoint, which infra/sqlserver-setup.sql makes. Where a DBA has refused the table or the
right to write to it, the other databases can be marked all the same; what is missing is told.

What ``STOPATMARK`` brings back is everything that was committed up to the mark's COMMIT. A count is ``exact``
when it is a count of just that; where a database allows snapshot isolation, it is taken like this:

1. session M begins the marked transaction and reads from every table under a shared table lock that it holds:
   writers drain, then wait;
2. session C begins a SNAPSHOT transaction and reads: from now on it sees this instant;
3. M writes the marker rows and commits, and the writers go on after some milliseconds;
4. C counts at leisure. No writer was in flight, so what C sees is what the mark will bring back.

Elsewhere, or where nobody wants writers to wait, the tables are counted before and after, and the count is
``approximate`` with that interval. Equal counts do not make it exact: a row may have come and another gone in
between.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from pydantic import Field

from shared.clock import Clock
from shared.errors import InvalidRequestError, NotPermittedError, OutcomeUnknownError, SqlServerError
from shared.model.backups import Count
from shared.model.base import Document, Lsn, UtcTime
from shared.stores.sqlserver import contents, holdings, inspection, statements
from shared.stores.sqlserver.connection import Server, Session
from shared.stores.sqlserver.contents import Table
from shared.stores.sqlserver.holdings import Held
from shared.stores.sqlserver.inspection import ServerInfo
from shared.stores.sqlserver.server_time import to_utc

_DRAIN_MILLISECONDS = 5000
"""How long the marked transaction waits for locks; new writers wait behind it for as long, so it is short."""

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
    clock_offset_seconds: float = Field(description="the server's clock minus ours")
    clock_uncertainty_seconds: float


class Refusal(Document):
    """Why a database could not be marked."""

    database: str
    code: str = Field(description="marker_schema_missing, permission …")
    message: str
    hint: str


class Marking(Document):
    """What became of a mark that was to be set wherever it is allowed."""

    marked: tuple[MarkFacts, ...]
    refused: tuple[Refusal, ...]


class MarkRequest(NamedTuple):
    """What to mark, and what the marker row says; whether writers may be held up for exact counts."""

    databases: Sequence[str]
    mark_name: str
    point_id: str
    description: str
    vector_side: str
    exact: bool = True


class _RefusedError(Exception):
    """The mark was refused, and nothing was marked.

    Args:
        database: the one that refused it; None when it was the server, for all.
        error: what the caller is to see.
    """

    def __init__(self, database: str | None, error: SqlServerError | NotPermittedError) -> None:
        super().__init__(error.message)
        self.database = database
        self.error = error


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
    try:
        return _mark(server, clock, request)
    except _RefusedError as refused:
        raise refused.error from None


def mark_where_allowed(server: Server, clock: Clock, request: MarkRequest) -> Marking:
    """Set the mark in all databases that allow it, at once.

    Allowed it is not where the marker table is missing or not as it should be, or where a right is lacking.
    Anything else is an error, as for ``set_mark``: a database that is missing or restoring needs a person.

    Returns:
        The marked databases in the order of the request, and of each other one why it was refused.

    Raises:
        SqlServerError, OutcomeUnknownError: as for ``set_mark``.
    """
    left, refused = list(request.databases), list[Refusal]()
    while left:
        try:
            marked = _mark(server, clock, request._replace(databases=left))
        except _RefusedError as no:
            names = [no.database] if no.database else left
            why = {"code": no.error.specific_code, "message": no.error.message, "hint": no.error.hint}
            refused += [Refusal(database=name, **why) for name in names]
            left = [name for name in left if name not in names]
        else:
            return Marking(marked=tuple(marked), refused=tuple(refused))
    return Marking(marked=(), refused=tuple(refused))


def _mark(server: Server, clock: Clock, request: MarkRequest) -> list[MarkFacts]:
    statements.mark_name(request.mark_name)
    if not request.databases:
        raise InvalidRequestError("A mark needs at least one database.")
    with (
        server.session() as marking,
        server.session(seconds=holdings.COUNT_SECONDS) as counting,
    ):
        counting.run(f"SET LOCK_TIMEOUT {holdings.COUNT_WAIT_MILLISECONDS};")
        info = inspection.server_info(counting)
        allowing = [name for name in request.databases if _allows_snapshot(counting, name)]
        with _refusable():
            marks = _history(counting, request.mark_name)
        if marks.keys() >= set(request.databases):
            found = {name: holdings.counted(counting, name) for name in request.databases}
            return _facts(counting, clock, info, request, found)
        tables = {name: contents.tables(counting, name) for name in request.databases}
        exactly = request.exact and len(allowing) == len(request.databases)
        held = _marked_exactly(marking, counting, request, tables) if exactly else None
        if held is None:
            held = _marked_between_counts(marking, counting, request, tables)
        return _facts(counting, clock, info, request, held)


def _marked_exactly(
    marking: Session, counting: Session, request: MarkRequest, tables: dict[str, list[Table]]
) -> dict[str, Held] | None:
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
        with _refusable(database):
            marker = contents.marker_table(database)
            counting.run(f"SELECT COUNT_BIG(*) FROM {marker};")  # noqa: S608 - quoted
    _commit(marking, request)
    held = {
        name: holdings.held(counting, name, holdings.exact(contents.row_counts(counting, name, own)))
        for name, own in tables.items()
    }
    counting.run("COMMIT TRANSACTION;")
    counting.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED;")
    return held


def _marked_between_counts(
    marking: Session, counting: Session, request: MarkRequest, tables: dict[str, list[Table]]
) -> dict[str, Held]:
    before = {name: contents.row_counts(counting, name, own) for name, own in tables.items()}
    _begin(marking, request)
    _commit(marking, request)
    held = {}
    for name, own in tables.items():
        after = contents.row_counts(counting, name, own)
        held[name] = holdings.held(counting, name, holdings.between(before[name], after))
    return held


def _begin(marking: Session, request: MarkRequest) -> None:
    marking.run(f"SET LOCK_TIMEOUT {_DRAIN_MILLISECONDS};")
    with _refusable():
        marking.run(statements.begin_marked(request.mark_name, request.description))


def _commit(marking: Session, request: MarkRequest) -> None:
    for database in request.databases:
        with _refusable(database):
            marking.run(
                f"INSERT INTO {contents.marker_table(database)} "  # noqa: S608 - quoted
                "(MarkName, PointId, MarkedAt, VectorSide) VALUES (?, ?, SYSUTCDATETIME(), ?);",
                request.mark_name,
                request.point_id,
                request.vector_side,
            )
    marking.run("COMMIT TRANSACTION;")


@contextlib.contextmanager
def _refusable(database: str | None = None) -> Iterator[None]:
    """Tell a statement that is needed for the mark alone, and was refused, from every other failure.

    Args:
        database: the one that the statement works on; None for one that all need, of which any answer but
            yes is a refusal, unless it may be another one later.
    """
    try:
        yield
    except NotPermittedError as error:
        raise _RefusedError(database, error) from error
    except SqlServerError as error:
        if database is not None and error.number in (_NO_SUCH_COLUMN, _NO_SUCH_OBJECT):
            raise _RefusedError(database, _schema_missing(database, error.number)) from error
        if database is None and not error.retryable:
            raise _RefusedError(None, error) from error
        raise


def _schema_missing(database: str, number: int) -> SqlServerError:
    return SqlServerError(
        f"{database} has no table {contents.MARKER_SCHEMA}.{contents.MARKER_TABLE} as it should be.",
        number,
        "Run infra/sqlserver-setup.sql on it; without the table no recovery point can be marked.",
        code="marker_schema_missing",
        meaning="No recovery point was made.",
    )


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
    session: Session, clock: Clock, info: ServerInfo, request: MarkRequest, held: dict[str, Held]
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
    offset = holdings.clock_offset(session, clock)
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
            clock_offset_seconds=offset.seconds,
            clock_uncertainty_seconds=offset.uncertainty,
        )
        for name in request.databases
    ]


def _history(session: Session, mark: str) -> dict[str, tuple[Decimal, datetime]]:
    return {row[0]: (row[1], row[2]) for row in session.rows(_HISTORY, mark)}
