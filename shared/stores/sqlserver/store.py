"""The SQL Server store: inspect, back up, verify, restore; and the marks of recovery points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.blob.storage import Storage
from shared.clock import Clock, NewId, new_ulid
from shared.model.backups import Count, Manifest
from shared.model.plans import SqlRestoreStep
from shared.settings import SqlServerSettings
from shared.stores.sqlserver import backup, contents, history, inspection, marks, restore, verify
from shared.stores.sqlserver.backup import SqlBackup, SqlBackupRequest
from shared.stores.sqlserver.connection import Server
from shared.stores.sqlserver.contents import MarkerRow, Migrations
from shared.stores.sqlserver.execute import Progress
from shared.stores.sqlserver.history import OwnBackup
from shared.stores.sqlserver.inspection import DatabaseState, ServerInfo
from shared.stores.sqlserver.marks import MarkFacts, MarkRequest
from shared.stores.sqlserver.media import Medium, medium_of


def _silent(percent: int) -> None:
    """For callers who do not want to know how far it is."""
    del percent


class SqlServerStore:
    """One SQL Server. Holds no connection: every call logs in, so one store serves many threads.

    Args:
        settings: where the server is, and how its backups travel.
        storage: where backups are kept.
        clock: for waiting.
        new_id: makes names of files and blobs that were never used before.

    Raises:
        InvalidSettingsError: there is no usable connection string.
    """

    def __init__(
        self,
        settings: SqlServerSettings,
        storage: Storage,
        clock: Clock,
        new_id: NewId = new_ulid,
    ) -> None:
        self._settings = settings
        self._server = Server(settings.connection)
        self._storage = storage
        self._clock = clock
        self._new_id = new_id

    def server(self) -> ServerInfo:
        """The instance: name, version, offset of its local time, default folders."""
        with self._server.session() as session:
            return inspection.server_info(session)

    def inspect(self, database: str) -> DatabaseState:
        """A database as it is now; ``state_desc`` is ``absent`` when there is none."""
        with self._server.session() as session:
            return inspection.database_state(session, database)

    def databases(self) -> dict[str, str]:
        """Every database with its ``state_desc``."""
        with self._server.session() as session:
            return inspection.databases(session)

    def own_logs(self, database: str) -> list[OwnBackup]:
        """The newest log backups that msdb knows under our names; see ``history.own_logs``."""
        with self._server.session() as session:
            return history.own_logs(session, database)

    def back_up(self, request: SqlBackupRequest, progress: Progress = _silent) -> SqlBackup:
        """Take a full, differential or log backup; see ``backup.back_up``."""
        return backup.back_up(self._server, self._medium(), self._clock, request, progress)

    def take_tail(self, request: SqlBackupRequest, progress: Progress = _silent) -> SqlBackup:
        """Take the tail of the log before an in-place restore; see ``backup.take_tail``."""
        return backup.take_tail(self._server, self._medium(), self._clock, request, progress)

    def set_mark(
        self,
        databases: Sequence[str],
        mark_name: str,
        point_id: str,
        description: str,
        vector_side: str,
    ) -> list[MarkFacts]:
        """Mark all databases in one transaction; see ``marks.set_mark``."""
        request = MarkRequest(databases, mark_name, point_id, description, vector_side)
        return marks.set_mark(self._server, self._clock, request)

    def verify(self, manifest: Manifest, progress: Progress = _silent) -> dict[str, Any]:
        """Look whether a committed backup is whole; see ``verify.verify``."""
        return verify.verify(self._server, self._medium(), self._storage, manifest, progress)

    def restore(
        self,
        step: SqlRestoreStep,
        *,
        run_id: str,
        in_place: bool = False,
        progress: Progress = _silent,
    ) -> dict[str, Any]:
        """Restore one backup to the step's target; see ``restore.restore``."""
        return restore.restore(
            self._server, self._medium(), step, run_id=run_id, in_place=in_place, progress=progress
        )

    def recover(self, target: str) -> dict[str, Any]:
        """End the roll-forward of a target; see ``restore.recover``."""
        return restore.recover(self._server, target)

    def marker(self, target: str) -> MarkerRow | None:
        """The newest marker row of a database, if there is one."""
        with self._server.session() as session:
            return contents.marker(session, target)

    def counts(self, target: str) -> dict[str, Count]:
        """Rows of every Octopus table now; see ``contents.counts``."""
        with self._server.session(seconds=3600) as session:
            return contents.counts(session, target)

    def migrations(self, target: str) -> Migrations:
        """The newest migration and the tables that are there."""
        with self._server.session() as session:
            return contents.migrations(session, target)

    def agents(self, target: str) -> list[str]:
        """The ids of all agents as lower-case GUIDs, sorted."""
        with self._server.session() as session:
            return contents.agents(session, target)

    def _medium(self) -> Medium:
        return medium_of(self._settings, self._storage, self._new_id, self.server().major)
