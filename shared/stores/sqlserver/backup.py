"""BACKUP: one attempt, started once, proven, and brought into Blob Storage.

The attempt's own name, ``octopus-backup/{backup id}/{attempt}``, is the NAME of the backup set in msdb and
the ``program_name`` of the session that runs it. So whoever repeats the same attempt finds what became of it:
a backup set that is there is adopted, a session that still runs is waited for.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import Field

from shared.clock import Clock
from shared.errors import (
    BackupSystemError,
    InvalidRequestError,
    OutcomeUnknownError,
    SqlServerError,
    StoreError,
)
from shared.model.backups import Kind, SqlDataFile, SqlFacts
from shared.model.base import Document, UtcTime
from shared.stores.sqlserver import history, inspection, messages, statements
from shared.stores.sqlserver.connection import PROGRAM, Server, Session
from shared.stores.sqlserver.execute import Progress, run_long, scaled
from shared.stores.sqlserver.history import BackupRow
from shared.stores.sqlserver.inspection import ServerInfo
from shared.stores.sqlserver.media import Medium
from shared.stores.sqlserver.statements import Devices

_WAIT_SECONDS = 480.0
"""How long a running session of the same attempt is waited for: less than the ten minutes after which the
caller's own run would count as dead."""
_POLL_SECONDS = 1.0
_RUNNING = "SELECT session_id FROM sys.dm_exec_sessions WHERE program_name = ?;"
_log = logging.getLogger(__name__)


class SqlBackupRequest(Document):
    """What to back up, and under which identity."""

    backup_id: str = Field(description="ULID")
    attempt: str = Field(description="ULID; a new one for every attempt that starts anew")
    database: str
    kind: Kind
    prefix: str = Field(description="folder of the blobs in container data, unique to the attempt")

    @property
    def name(self) -> str:
        """NAME of the backup set, and program_name of its session: 68 of 128 characters."""
        return f"{PROGRAM}/{self.backup_id}/{self.attempt}"


class SqlBackup(NamedTuple):
    """A backup that is in Blob Storage but not yet committed.

    Attributes:
        facts: for the manifest.
        started_at: when SQL Server began, by its own clock, in UTC.
        finished_at: when SQL Server ended.
    """

    facts: SqlFacts
    started_at: UtcTime
    finished_at: UtcTime


@dataclass(frozen=True)
class _Job:
    """What the steps of a backup share."""

    server: Server
    info: ServerInfo
    medium: Medium
    clock: Clock
    request: SqlBackupRequest

    @property
    def description(self) -> str:
        return f"{self.request.kind} backup of {self.request.database}"[:255]


def back_up(
    server: Server, medium: Medium, clock: Clock, request: SqlBackupRequest, progress: Progress
) -> SqlBackup:
    """Take a full, differential or log backup of a database in use.

    Repeating the same attempt is safe: what was done is found, not done twice.

    Raises:
        OutcomeUnknownError: the connection was lost; the same attempt finds out what became of it.
        BackupSystemError: SQL Server or Blob Storage refused; nothing counts as backed up.
    """
    return _run(server, medium, clock, request, progress, tail=False)


def take_tail(
    server: Server, medium: Medium, clock: Clock, request: SqlBackupRequest, progress: Progress
) -> SqlBackup:
    """Back up the tail of the log and leave the database RESTORING, ready to be overwritten.

    Everybody is thrown out first. If the backup fails, the database is opened to everybody again. Until the
    first overwrite, ``RESTORE DATABASE … WITH RECOVERY`` is the way back.

    Raises:
        OutcomeUnknownError, BackupSystemError: as for ``back_up``.
    """
    if request.kind is not Kind.LOG:
        raise InvalidRequestError("A tail is a log backup.")
    try:
        return _run(server, medium, clock, request, progress, tail=True)
    except BackupSystemError:
        _reopen(server, request.database)
        raise


def _run(
    server: Server,
    medium: Medium,
    clock: Clock,
    request: SqlBackupRequest,
    progress: Progress,
    *,
    tail: bool,
) -> SqlBackup:
    statements.quote_name(request.database)  # refused before anything is sent
    with server.session() as session:
        job = _Job(server, inspection.server_info(session), medium, clock, request)
        row = _row(job, session) or _await_other(job, session, progress)
        files = inspection.data_files(session, request.database)
    if row is None:
        devices = medium.devices(request.prefix, request.kind, _size(files, request.kind))
        row = _execute(job, devices, scaled(progress, 0, 60), tail=tail)
    else:
        devices = medium.again(row.devices)
    blobs = medium.collect(devices, request.prefix, request.kind, request.attempt, scaled(progress, 60, 100))
    facts = history.facts_of(row, server=job.info, medium=medium.name, files=blobs, data_files=files)
    return SqlBackup(facts, row.started_at, row.finished_at)


def _execute(job: _Job, devices: Devices, progress: Progress, *, tail: bool) -> BackupRow:
    request = job.request
    try:
        run_long(
            job.server,
            _statement(request, devices, job.description, tail=tail),
            proof=messages.BACKUP_DONE,
            progress=progress,
            program=request.name,
        )
    except StoreError:  # the server itself said no, so nobody writes there any more
        job.medium.discard(devices)
        raise
    with job.server.session() as session:
        row = _row(job, session)
    if row is None:
        raise OutcomeUnknownError(
            f"SQL Server reported the backup of {request.database} as done, but msdb knows no backup set "
            f"named {request.name}.",
            "Look whether something deletes msdb's history; the backup is taken again.",
        )
    return row


def _statement(request: SqlBackupRequest, devices: Devices, description: str, *, tail: bool) -> str:
    if tail:
        return statements.backup_tail(request.database, devices, name=request.name, description=description)
    if request.kind is Kind.LOG:
        return statements.backup_log(request.database, devices, name=request.name, description=description)
    return statements.backup_database(
        request.database,
        devices,
        differential=request.kind is Kind.DIFFERENTIAL,
        name=request.name,
        description=description,
    )


def _row(job: _Job, session: Session) -> BackupRow | None:
    return history.backup_by_name(session, job.info, job.request.database, job.request.name)


def _await_other(job: _Job, session: Session, progress: Progress) -> BackupRow | None:
    """Wait for a session that already runs this attempt; its backup set if it succeeded, else None.

    Raises:
        SqlServerError: it still runs after the longest wait.
    """
    name = job.request.name
    deadline = job.clock.monotonic() + _WAIT_SECONDS
    waited = False
    while session.rows(_RUNNING, name):
        waited = True
        if job.clock.monotonic() > deadline:
            raise SqlServerError(
                f"The backup {name} still runs in an older session of SQL Server.",
                number=3023,
                hint="It is looked for again; its result will be adopted.",
                code="backup_running",
                retryable=True,
            )
        progress(0)
        job.clock.sleep(_POLL_SECONDS)
    return _row(job, session) if waited else None


def _size(files: tuple[SqlDataFile, ...], kind: Kind) -> int:
    """The most that a backup of that kind can hold: all data files, or for a log all log files."""
    wanted = "log" if kind is Kind.LOG else "data"
    return sum(file.size for file in files if file.type == wanted)


def _reopen(server: Server, database: str) -> None:
    try:
        with server.session() as session:
            state = inspection.database_state(session, database)
            if state.state_desc == inspection.ONLINE and state.user_access == "SINGLE_USER":
                session.run(statements.multi_user(database))
    except BackupSystemError as error:  # the reason why the tail failed is what the caller has to see
        _log.error("%s may still be in SINGLE_USER mode: %s", database, error.message)
