"""The SQL Server store: inspect, back up, verify, restore; and the marks of recovery points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shared.blob.storage import Storage
from shared.clock import Clock, NewId, new_ulid
from shared.model.backups import Count, Manifest
from shared.model.plans import SqlRestoreStep
from shared.octopus.migrations import Batch
from shared.settings import SqlServerSettings
from shared.stores.sqlserver import (
    backup,
    checkdb,
    contents,
    episodes,
    erasures,
    history,
    holdings,
    inspection,
    marks,
    migration_script,
    restore,
    scratch,
    swap,
    verify,
)
from shared.stores.sqlserver.backup import SqlBackup, SqlBackupRequest
from shared.stores.sqlserver.checkdb import DatabaseCheck
from shared.stores.sqlserver.connection import Server
from shared.stores.sqlserver.contents import MarkerRow, Migrations
from shared.stores.sqlserver.episodes import KnownEpisode
from shared.stores.sqlserver.execute import Progress
from shared.stores.sqlserver.history import OwnBackup
from shared.stores.sqlserver.holdings import Holdings
from shared.stores.sqlserver.inspection import DatabaseState, ServerInfo
from shared.stores.sqlserver.marks import MarkFacts, Marking, MarkRequest
from shared.stores.sqlserver.media import Medium, medium_of
from shared.stores.sqlserver.migration_script import ScriptDone


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

    def mark_where_allowed(
        self, databases: Sequence[str], mark_name: str, point_id: str, description: str, vector_side: str
    ) -> Marking:
        """Mark all databases that allow it in one transaction; see ``marks.mark_where_allowed``.

        Whether writers are held up for exact counts, the settings say.
        """
        exact = self._settings.exact_counts
        request = MarkRequest(databases, mark_name, point_id, description, vector_side, exact)
        return marks.mark_where_allowed(self._server, self._clock, request)

    def look(self, databases: Sequence[str]) -> list[Holdings]:
        """What databases in use hold now; see ``holdings.look``."""
        return holdings.look(self._server, self._clock, databases)

    def verify(self, manifest: Manifest, progress: Progress = _silent) -> dict[str, Any]:
        """Look whether a committed backup is whole; see ``verify.verify``."""
        return verify.verify(self._server, self._medium(), self._storage, manifest, progress)

    def restore(
        self,
        step: SqlRestoreStep,
        *,
        run_id: str,
        in_place: bool = False,
        chain: Sequence[str] = (),
        progress: Progress = _silent,
    ) -> dict[str, Any]:
        """Restore one backup to the step's target; see ``restore.restore``."""
        return restore.restore(
            self._server,
            self._medium(),
            step,
            run_id=run_id,
            in_place=in_place,
            chain=chain,
            progress=progress,
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

    def rows(self, database: str, table: str, *, seconds: int) -> int | None:
        """Rows of one Octopus table now; None where there is no such table.

        Args:
            database: the database.
            table: its key, ``schema.table``.
            seconds: after this long the server is not waited for any more.
        """
        with self._server.session(seconds=seconds) as session:
            counted = [one for one in contents.tables(session, database) if one.key == table]
            return contents.row_counts(session, database, counted).get(table)

    def migrations(self, target: str) -> Migrations:
        """The newest migration and the tables that are there."""
        with self._server.session() as session:
            return contents.migrations(session, target)

    def agents(self, target: str) -> list[str]:
        """The ids of all agents as lower-case GUIDs, sorted."""
        with self._server.session() as session:
            return contents.agents(session, target)

    def agents_with_tenants(self, target: str) -> dict[str, str | None]:
        """Every agent's id with its tenant, as text; None where none is known."""
        with self._server.session() as session:
            return contents.agents_with_tenants(session, target)

    def check(self, database: str, progress: Progress = _silent) -> DatabaseCheck:
        """Whether the pages and structures of a database are sound (DBCC CHECKDB); see ``checkdb.check``."""
        return checkdb.check(self._server, database, progress)

    def run_script(self, database: str, batches: Sequence[Batch], progress: Progress = _silent) -> ScriptDone:
        """Execute a migration script in a database; see ``migration_script.run_script``."""
        return migration_script.run_script(self._server, database, batches, progress)

    def known_episodes(self, database: str, agent: str | None = None) -> list[KnownEpisode]:
        """The newest episodes of an agent, or of any; see ``episodes.known_episodes``."""
        with self._server.session() as session:
            return episodes.known_episodes(session, database, agent)

    def erase(
        self, database: str, users: Sequence[str], on_rows: Callable[[Mapping[str, int], int], None]
    ) -> dict[str, int]:
        """Delete the rows of users, with what hangs on them; see ``erasures.erase``."""
        return erasures.erase(self._server, database, users, on_rows)

    def rows_of(self, database: str, users: Sequence[str]) -> int:
        """How many rows of users there are in tables with a ``UserId``."""
        return erasures.remaining(self._server, database, users)

    def read_tables(self, target: str) -> dict[str, int]:
        """Read the first rows of every Octopus table; see ``scratch.read_tables``."""
        return scratch.read_tables(self._server, target)

    def drop_copy(self, target: str, run_id: str) -> str:
        """Remove a copy that a run restored side by side; see ``scratch.drop_copy``."""
        return scratch.drop_copy(self._server, target, run_id)

    def rename(self, old: str, new: str) -> dict[str, Any]:
        """Give a database another name; see ``swap.rename``."""
        return swap.rename(self._server, self._clock, old, new)

    def let_in(self, database: str) -> None:
        """Let everybody into a database, if it is there and closed; see ``swap.open_to_all``."""
        with self._server.session() as session:
            swap.open_to_all(session, database)

    def _medium(self) -> Medium:
        return medium_of(self._settings, self._storage, self._new_id, self.server().major)
