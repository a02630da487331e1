"""What is there: the server, and one database on it. Reads only."""

from __future__ import annotations

from pydantic import Field

from shared.errors import InvalidSettingsError
from shared.model.backups import SqlDataFile
from shared.model.base import Document, UtcTime
from shared.stores.sqlserver.connection import Session
from shared.stores.sqlserver.server_time import to_utc

ABSENT = "absent"
ONLINE = "ONLINE"
RESTORING = "RESTORING"

_PAGE = 8192  # size in sys.master_files counts pages of 8 KiB
_BOXED = frozenset({2, 3, 4})  # EngineEdition: Standard, Enterprise and Developer, Express

_SERVER = """\
SELECT CAST(SERVERPROPERTY('ServerName') AS nvarchar(256)),
       CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)),
       CAST(SERVERPROPERTY('EngineEdition') AS int),
       CAST(SERVERPROPERTY('InstanceDefaultDataPath') AS nvarchar(512)),
       CAST(SERVERPROPERTY('InstanceDefaultLogPath') AS nvarchar(512)),
       DATEDIFF(minute, GETUTCDATE(), GETDATE());"""
_DATABASE = """\
SELECT state_desc, recovery_model_desc, user_access_desc, snapshot_isolation_state, create_date
FROM sys.databases WHERE name = ?;"""
_FILES = """\
SELECT name, physical_name, type, CAST(size AS bigint)
FROM sys.master_files WHERE database_id = DB_ID(?) ORDER BY file_id;"""
_FAMILY = """\
SELECT TOP (1) family_guid FROM msdb.dbo.backupset
WHERE database_name = ? ORDER BY backup_set_id DESC;"""


class ServerInfo(Document):
    """One instance of SQL Server."""

    name: str = Field(description="as the server calls itself; what manifests are filed under")
    version: str = Field(description="ProductVersion, as 16.0.4135.4")
    utc_offset_minutes: int = Field(description="its local time minus UTC, now")
    data_path: str = Field(description="where new data files go, with a separator at its end")
    log_path: str = Field(description="where new log files go, with a separator at its end")

    @property
    def major(self) -> int:
        """16 for SQL Server 2022, 17 for 2025."""
        return int(self.version.split(".")[0])


class DatabaseState(Document):
    """A database as a backup or a restore finds it."""

    server: str
    server_version: str
    database: str
    state_desc: str = Field(description="ONLINE, RESTORING …, or absent")
    recovery_model: str | None = None
    user_access: str | None = Field(None, description="MULTI_USER, SINGLE_USER …")
    allows_snapshot: bool = Field(False, description="ALLOW_SNAPSHOT_ISOLATION is on")
    utc_offset_minutes: int
    created_at: UtcTime | None = None
    files: tuple[SqlDataFile, ...] = ()
    family_guid: str | None = Field(None, description="of its newest backup on this server, if any")

    @property
    def exists(self) -> bool:
        """Whether there is a database of that name, in whatever state."""
        return self.state_desc != ABSENT


def server_info(session: Session) -> ServerInfo:
    """The instance.

    Raises:
        InvalidSettingsError: it is a service that does not let us back up (Azure SQL Database, Managed
            Instance), which Microsoft backs up itself.
    """
    row = session.rows(_SERVER)[0]
    if int(row[2]) not in _BOXED:
        raise InvalidSettingsError(
            f"{row[0]} is Azure SQL Database or a Managed Instance (EngineEdition {row[2]}), "
            "where a backup chain of our own is impossible.",
            "Use the service's own point-in-time restore there; this software backs up SQL Server itself.",
            code="unsupported_edition",
        )
    return ServerInfo(
        name=row[0],
        version=row[1],
        utc_offset_minutes=_quarter_hour(int(row[5])),
        data_path=row[3],
        log_path=row[4],
    )


def databases(session: Session) -> dict[str, str]:
    """Every database of the instance with its ``state_desc``."""
    return {row[0]: row[1] for row in session.rows("SELECT name, state_desc FROM sys.databases;")}


def database_state(session: Session, database: str) -> DatabaseState:
    """The database of that name, which need not exist."""
    server = server_info(session)
    rows = session.rows(_DATABASE, database)
    if not rows:
        return DatabaseState(
            server=server.name,
            server_version=server.version,
            database=database,
            state_desc=ABSENT,
            utc_offset_minutes=server.utc_offset_minutes,
        )
    family = session.rows(_FAMILY, database)
    return DatabaseState(
        server=server.name,
        server_version=server.version,
        database=database,
        state_desc=rows[0][0],
        recovery_model=rows[0][1],
        user_access=rows[0][2],
        allows_snapshot=rows[0][3] == 1,
        utc_offset_minutes=server.utc_offset_minutes,
        created_at=to_utc(rows[0][4], server.utc_offset_minutes),
        files=data_files(session, database),
        family_guid=str(family[0][0]).lower() if family and family[0][0] else None,
    )


def data_files(session: Session, database: str) -> tuple[SqlDataFile, ...]:
    """The files of a database, whatever its state, in the order of their ids."""
    return tuple(
        SqlDataFile(
            logical_name=row[0],
            physical_name=row[1],
            type="log" if row[2] == 1 else "data",
            size=int(row[3]) * _PAGE,
        )
        for row in session.rows(_FILES, database)
    )


def _quarter_hour(minutes: int) -> int:
    """Offsets are whole quarters of an hour; GETDATE and GETUTCDATE can fall into two different minutes."""
    return 15 * round(minutes / 15)
