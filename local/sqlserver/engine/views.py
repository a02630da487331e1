"""The system views: their columns, and their rows computed from the server's state."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from local.sqlserver.datatypes import (
    SqlType,
    nvarchar,
)
from local.sqlserver.engine import schema_views
from local.sqlserver.engine.columns import columns_of
from local.sqlserver.engine.database import MODEL_NUMBERS, RESTORING, STATE_NUMBERS, Database
from local.sqlserver.engine.errors import SqlError
from local.sqlserver.engine.values import to_datetime

if TYPE_CHECKING:
    from local.sqlserver.engine.instance import Instance
    from local.sqlserver.engine.session import Session

type Table = tuple[list[tuple[str, SqlType]], list[list[Any]]]

_DESC = nvarchar(60)
_COMPATIBILITY = 160


class Views:
    """Answers what a system view holds now."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._server: dict[str, Callable[[Session], Table]] = {
            "sys.databases": self._databases,
            "sys.master_files": self._master_files,
            "sys.database_recovery_status": self._recovery_status,
            "sys.credentials": self._credentials,
            "sys.dm_exec_requests": self._requests,
            "sys.dm_exec_sessions": self._sessions,
            "sys.dm_exec_connections": self._connections,
        }

    def read(self, session: Session, database: Database, view: str) -> Table | None:
        """The columns and rows of a view; None if this server does not have it."""
        if view in self._server:
            return self._server[view](session)
        return schema_views.read(session, database, view)

    def _local(self, moment: str | dt.datetime) -> dt.datetime:
        when = dt.datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        return to_datetime(when.astimezone(self._instance.zone).replace(tzinfo=None))

    def _databases(self, _session: Session) -> Table:
        columns = columns_of(
            """name sysname, database_id int, source_database_id int, create_date datetime,
            compatibility_level tinyint, collation_name sysname, user_access tinyint, user_access_desc
            nvarchar(60), is_read_only bit, is_auto_close_on bit, state tinyint, state_desc
            nvarchar(60), is_in_standby bit, snapshot_isolation_state tinyint,
            snapshot_isolation_state_desc nvarchar(60), is_read_committed_snapshot_on bit,
            recovery_model tinyint, recovery_model_desc nvarchar(60), page_verify_option_desc
            nvarchar(60), is_encrypted bit, replica_id uniqueidentifier, group_database_id
            uniqueidentifier, log_reuse_wait tinyint, log_reuse_wait_desc nvarchar(60)"""
        )
        rows = []
        for database in self._instance.all_databases():
            s = database.state
            waits = database.has_backed_up_log()
            rows.append([
                s.name, s.id, None, self._local(s.created), _COMPATIBILITY, "SQL_Latin1_General_CP1_CI_AS",
                1 if s.user_access == "SINGLE_USER" else 0, s.user_access, s.read_only, False,
                STATE_NUMBERS[s.state],
                s.state, False, int(s.snapshot_isolation), "ON" if s.snapshot_isolation else "OFF", True,
                MODEL_NUMBERS[s.recovery_model], s.recovery_model, "CHECKSUM", False, None, None,
                2 if waits else 0,
                "LOG_BACKUP" if waits else "NOTHING",
            ])  # fmt: skip
        return columns, rows

    def _master_files(self, session: Session) -> Table:
        columns = columns_of(
            """database_id int, file_id int, file_guid uniqueidentifier, type tinyint, type_desc
            nvarchar(60), data_space_id int, name sysname, physical_name nvarchar(260), state tinyint,
            state_desc nvarchar(60), size int, max_size int, growth int, is_read_only bit,
            redo_start_lsn numeric(25,0), redo_start_fork_guid uniqueidentifier, redo_target_lsn
            numeric(25,0), redo_target_fork_guid uniqueidentifier, backup_lsn numeric(25,0),
            differential_base_lsn numeric(25,0), differential_base_guid uniqueidentifier"""
        )
        rows = []
        may = self._instance.permissions
        for database in self._instance.all_databases():
            seen = any(may.server(session, right) for right in ("CREATE ANY DATABASE", "VIEW ANY DEFINITION"))
            if not seen and not may.owns(session, database):
                continue
            s = database.state
            redo = _lsn(s.redo_lsn) if s.state == RESTORING else None
            fork = database.fork if s.state == RESTORING and s.forks else None
            base = s.differential_base
            for number, kind, file, pages in (
                (1, "ROWS", s.data, database.size_pages()),
                (2, "LOG", s.log, database.log_pages()),
            ):
                rows.append([
                    s.id, number, None, number - 1, kind, 2 - number, file.logical, file.path,
                    STATE_NUMBERS[s.state],
                    s.state, pages, -1, 8192, False, redo, fork, redo, fork, None,
                    _lsn(base[1]) if base and number == 1 else None,
                    base[0] if base and number == 1 else None,
                ])  # fmt: skip
        return columns, rows

    def _recovery_status(self, _session: Session) -> Table:
        columns = columns_of(
            """database_id int, database_guid uniqueidentifier, family_guid uniqueidentifier,
            last_log_backup_lsn numeric(25,0), recovery_fork_guid uniqueidentifier,
            first_recovery_fork_guid uniqueidentifier, fork_point_lsn numeric(25,0)"""
        )
        rows = []
        for database in self._instance.all_databases():
            s = database.state
            last = _lsn(s.log_start) if database.has_backed_up_log() else None
            previous = s.forks[-2][0] if len(s.forks) > 1 else None
            point = _lsn(s.forks[-1][1]) if len(s.forks) > 1 else None
            fork = s.forks[-1][0] if s.forks else None
            rows.append([s.id, s.database_guid, s.family_guid, last, fork, previous, point])
        return columns, rows

    def _credentials(self, _session: Session) -> Table:
        columns = columns_of(
            """credential_id int, name sysname, credential_identity nvarchar(4000), create_date datetime,
            modify_date datetime, target_type nvarchar(100), target_id int"""
        )
        rows = [
            [
                c["id"],
                name,
                c["identity"],
                dt.datetime.fromisoformat(c["created"]),
                dt.datetime.fromisoformat(c["modified"]),
                None,
                None,
            ]
            for name, c in self._instance.credentials.items()
        ]
        return columns, rows

    def _requests(self, session: Session) -> Table:
        columns = columns_of(
            """session_id smallint, request_id int, start_time datetime, status nvarchar(30), command
            nvarchar(32), database_id smallint, blocking_session_id smallint, wait_type nvarchar(60),
            wait_time int, percent_complete float, estimated_completion_time bigint, total_elapsed_time
            int"""
        )
        rows = []
        now = self._instance.clock()
        for other in self._seen(session):
            blocker = self._instance.locks.blocker_of(other)
            progress = other.progress
            if progress is not None:
                elapsed = int((now - progress.started).total_seconds() * 1000)
                left = int(elapsed * (100 - progress.percent) / progress.percent) if progress.percent else 0
                rows.append([
                    other.spid, 0, self._local(progress.started), "running", progress.command,
                    progress.database_id,
                    blocker, None, 0, progress.percent, left, elapsed,
                ])  # fmt: skip
            elif other is session or blocker:
                found = self._instance.find(other.database)
                rows.append([
                    other.spid, 0, self._local(now), "suspended" if blocker else "running", "SELECT",
                    found.id if found else None, blocker, "LCK_M_IX" if blocker else None, 0, 0.0, 0, 0,
                ])  # fmt: skip
        return columns, rows

    def _sessions(self, session: Session) -> Table:
        columns = columns_of(
            """session_id smallint, login_time datetime, host_name sysname, program_name sysname,
            login_name sysname, original_login_name sysname, status nvarchar(30), database_id smallint,
            is_user_process bit, open_transaction_count int, cpu_time int, reads bigint"""
        )
        rows = []
        for other in self._seen(session):
            found = self._instance.find(other.database)
            rows.append([
                other.spid, self._local(other.started), other.identity.host, other.identity.application,
                other.user,
                other.user, "running" if other.progress else "sleeping", found.id if found else None, True,
                other.transaction_count, 0, 0,
            ])  # fmt: skip
        return columns, rows

    def _seen(self, session: Session) -> list[Session]:
        """The sessions that a session may see: without VIEW SERVER STATE only itself."""
        if self._instance.permissions.server(session, "VIEW SERVER STATE"):
            return self._instance.sessions()
        return [other for other in self._instance.sessions() if other is session]

    def _connections(self, session: Session) -> Table:
        if not self._instance.permissions.server(session, "VIEW SERVER STATE"):
            raise SqlError(300, "VIEW SERVER STATE").followed_by(297)
        columns = columns_of(
            """session_id int, connect_time datetime, net_transport nvarchar(40), encrypt_option
            nvarchar(40), auth_scheme nvarchar(40)"""
        )
        rows = [[s.spid, self._local(s.started), "TCP", "TRUE", "SQL"] for s in self._instance.sessions()]
        return columns, rows


def _lsn(value: int | None) -> decimal.Decimal | None:
    return None if value is None else decimal.Decimal(value)
