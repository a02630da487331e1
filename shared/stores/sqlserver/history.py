"""What SQL Server remembers of backups and restores: rows of msdb, and facts made of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from shared.model.backups import BlobRef, SqlDataFile, SqlFacts
from shared.stores.sqlserver.connection import PROGRAM, Session
from shared.stores.sqlserver.inspection import ServerInfo
from shared.stores.sqlserver.server_time import offset_minutes, to_utc

_SINCE_2022 = 16  # major version that brought last_valid_restore_time

_COLUMNS = (
    "backup_set_id",
    "media_set_id",
    "backup_set_uuid",
    "database_name",
    "recovery_model",
    "family_guid",
    "database_guid",
    "first_lsn",
    "last_lsn",
    "checkpoint_lsn",
    "database_backup_lsn",
    "differential_base_lsn",
    "differential_base_guid",
    "first_recovery_fork_guid",
    "last_recovery_fork_guid",
    "fork_point_lsn",
    "begins_log_chain",
    "has_bulk_logged_data",
    "is_copy_only",
    "is_damaged",
    "has_backup_checksums",
    "backup_size",
    "compressed_backup_size",
    "backup_start_date",
    "backup_finish_date",
    "time_zone",
)
_OWN_LOGS = """\
SELECT TOP (20) name FROM msdb.dbo.backupset
WHERE database_name = ? AND type = 'L' AND name LIKE ? ORDER BY backup_set_id DESC;"""
_DEVICES = """\
SELECT physical_device_name FROM msdb.dbo.backupmediafamily
WHERE media_set_id = ? ORDER BY family_sequence_number;"""
_RESTORES = """\
SELECT h.restore_type, s.backup_set_uuid, h.restore_date
FROM msdb.dbo.restorehistory AS h
JOIN msdb.dbo.backupset AS s ON s.backup_set_id = h.backup_set_id
WHERE h.destination_database_name = ? ORDER BY h.restore_history_id DESC;"""


class BackupRow(NamedTuple):
    """A row of msdb.dbo.backupset, its times in UTC."""

    values: dict[str, Any]
    started_at: datetime
    finished_at: datetime
    last_valid_restore_time: datetime | None
    utc_offset_minutes: int
    devices: tuple[str, ...]


def backup_by_name(session: Session, server: ServerInfo, database: str, name: str) -> BackupRow | None:
    """The backup that carries our NAME; the newest, should there be several."""
    return _backup(session, server, "database_name = ? AND name = ?", database, name)


def backup_by_uuid(session: Session, server: ServerInfo, backup_set_uuid: str) -> BackupRow | None:
    """The backup set of that identity, if this server knows it; restoring one makes it known."""
    return _backup(session, server, "backup_set_uuid = ?", backup_set_uuid)


class OwnBackup(NamedTuple):
    """What the name of one of our backup sets tells."""

    backup_id: str
    attempt: str


def own_logs(session: Session, database: str) -> list[OwnBackup]:
    """The newest log backups of a database that bear our name, newest first; at most twenty."""
    rows = session.rows(_OWN_LOGS, database, f"{PROGRAM}/%/%")
    return [OwnBackup(*str(row[0]).split("/")[1:3]) for row in rows]


class Restored(NamedTuple):
    """A backup set that was restored to a database."""

    backup_set_uuid: str
    at: datetime


def restored_sets(session: Session, server: ServerInfo, target: str) -> list[Restored]:
    """What was restored to ``target`` since its newest full backup, that one included, newest first.

    A database that was dropped leaves its rows behind; a full restore begins a new life, so what came before
    the newest one is not told.
    """
    found: list[Restored] = []
    for kind, uuid, at in session.rows(_RESTORES, target):
        found.append(Restored(str(uuid).lower(), to_utc(at, server.utc_offset_minutes)))
        if kind.startswith("D"):
            return found
    return []


def _backup(session: Session, server: ServerInfo, where: str, *parameters: str) -> BackupRow | None:
    columns = (*_COLUMNS, "last_valid_restore_time") if server.major >= _SINCE_2022 else _COLUMNS
    rows = session.rows(
        f"SELECT TOP (1) {', '.join(columns)} FROM msdb.dbo.backupset "  # noqa: S608 - constants only
        f"WHERE {where} ORDER BY backup_set_id DESC;",
        *parameters,
    )
    if not rows:
        return None
    values = dict(zip(columns, rows[0], strict=True))
    offset = offset_minutes(values["time_zone"], server.utc_offset_minutes)
    valid = values.get("last_valid_restore_time")
    devices = session.rows(_DEVICES, values["media_set_id"])
    return BackupRow(
        values,
        to_utc(values["backup_start_date"], offset),
        to_utc(values["backup_finish_date"], offset),
        to_utc(valid, offset) if valid else None,
        offset,
        tuple(row[0] for row in devices),
    )


def facts_of(
    row: BackupRow,
    *,
    server: ServerInfo,
    medium: Literal["disk", "url"],
    files: Sequence[BlobRef],
    data_files: Sequence[SqlDataFile],
) -> SqlFacts:
    """The facts of a manifest, all of them out of SQL Server's own row; nothing is guessed."""
    values = row.values
    return SqlFacts(
        server=server.name,
        database=values["database_name"],
        medium=medium,
        server_version=server.version,
        recovery_model=values["recovery_model"],
        backup_set_uuid=_guid(values["backup_set_uuid"]),
        family_guid=_guid(values["family_guid"]),
        database_guid=_guid(values["database_guid"]),
        first_lsn=int(values["first_lsn"]),
        last_lsn=int(values["last_lsn"]),
        checkpoint_lsn=int(values["checkpoint_lsn"]),
        database_backup_lsn=int(values["database_backup_lsn"] or 0),
        differential_base_lsn=_lsn(values["differential_base_lsn"]),
        differential_base_guid=_guid(values["differential_base_guid"]) or None,
        first_recovery_fork_guid=_guid(values["first_recovery_fork_guid"]),
        last_recovery_fork_guid=_guid(values["last_recovery_fork_guid"]),
        fork_point_lsn=_lsn(values["fork_point_lsn"]),
        begins_log_chain=bool(values["begins_log_chain"]),
        has_bulk_logged_data=bool(values["has_bulk_logged_data"]),
        is_copy_only=bool(values["is_copy_only"]),
        is_damaged=bool(values["is_damaged"]),
        has_backup_checksums=bool(values["has_backup_checksums"]),
        backup_size=int(values["backup_size"]),
        compressed_backup_size=int(values["compressed_backup_size"]),
        last_valid_restore_time=row.last_valid_restore_time,
        utc_offset_minutes=row.utc_offset_minutes,
        files=tuple(files),
        data_files=tuple(data_files),
    )


def _guid(value: object) -> str:
    return str(value).lower() if value else ""


def _lsn(value: object) -> int | None:
    return None if value is None else int(str(value))
