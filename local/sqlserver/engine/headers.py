"""RESTORE VERIFYONLY, HEADERONLY, FILELISTONLY and LABELONLY."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from local.sqlserver.datatypes import (
    BIGINT,
    BIT,
    DATETIME,
    GUID,
    INT,
    LSN,
    SMALLINT,
    SYSNAME,
    TINYINT,
    SqlType,
    nvarchar,
)
from local.sqlserver.engine.backup_history import server_time
from local.sqlserver.engine.columns import columns_of
from local.sqlserver.engine.errors import SqlError, message
from local.sqlserver.engine.events import Done, Event, Rows
from local.sqlserver.engine.media_sets import open_families, open_set
from local.sqlserver.media.devices import DISK_TYPE, URL_TYPE
from local.sqlserver.media.format import FamilyReader
from local.sqlserver.syntax import commands, tree

if TYPE_CHECKING:
    from local.sqlserver.engine.session import Session

_BACKUP_TYPES = {"D": 1, "L": 2, "I": 5}
_SIZE = SqlType("decimal", None, 20, 0)

type Evaluate = Callable[[tree.Node], Any]


class HeaderReader:
    """One of the statements that read a backup without restoring it."""

    def __init__(self, session: Session, node: commands.Restore, evaluate: Evaluate) -> None:
        self._session = session
        self._instance = session.instance
        self._what = node.what
        self._options = {k: None if v is None else evaluate(v) for k, v in node.options.items()}
        self._addresses = [(device.kind, str(evaluate(device.address))) for device in node.devices]

    def run(self) -> Iterator[Event]:
        """Run it; every failure ends with 3013."""
        try:
            self._instance.permissions.demand_new_database(self._session)
            if self._what == "VERIFYONLY":
                yield from self._verify()
            else:
                families = open_families(self._instance, self._addresses)
                reader = {"HEADERONLY": self._header, "FILELISTONLY": self._files, "LABELONLY": self._label}
                yield reader[self._what](families[0])
                return
        except SqlError as error:
            command = "VERIFY DATABASE" if self._what == "VERIFYONLY" else f"RESTORE {self._what}"
            raise error.followed_by(3013, command) from None
        yield Done()

    def _verify(self) -> Iterator[Event]:
        """Read everything: all devices are there, no block is damaged."""
        media = open_set(self._instance, self._addresses)
        if self._options.get("FILE", 1) != 1:
            raise SqlError(4038, self._options["FILE"], self._addresses[0][1])
        if "CHECKSUM" in self._options and not media.facts["checksums"]:
            raise SqlError(3187)
        for _ in media.content():
            self._session.check_cancelled()
        yield message(3262, 1, step=True)

    def _time(self, moment: str | None) -> dt.datetime | None:
        return server_time(self._instance, moment)

    def _header(self, family: FamilyReader) -> Rows:
        f = family.facts
        major, minor, build, _ = f["release"]
        kind = {"url": URL_TYPE, "disk": DISK_TYPE}[self._addresses[0][0].lower()]
        table: list[tuple[str, SqlType, Any]] = [
            ("BackupName", SYSNAME, f["name"]),
            ("BackupDescription", nvarchar(255), f["description"]),
            ("BackupType", SMALLINT, _BACKUP_TYPES[f["type"]]),
            ("ExpirationDate", DATETIME, None),
            ("Compressed", TINYINT, int(f["compressed"])),
            ("Position", SMALLINT, 1),
            ("DeviceType", TINYINT, kind),
            ("UserName", SYSNAME, f["user"]),
            ("ServerName", SYSNAME, f["server"]),
            ("DatabaseName", SYSNAME, f["database_name"]),
            ("DatabaseVersion", INT, 957),
            ("DatabaseCreationDate", DATETIME, self._time(f["created"])),
            ("BackupSize", _SIZE, _number(f["size"])),
            ("FirstLSN", LSN, _number(f["first_lsn"])),
            ("LastLSN", LSN, _number(f["last_lsn"])),
            ("CheckpointLSN", LSN, _number(f["checkpoint_lsn"])),
            ("DatabaseBackupLSN", LSN, _number(f["database_backup_lsn"])),
            ("BackupStartDate", DATETIME, self._time(f["started"])),
            ("BackupFinishDate", DATETIME, self._time(f["finished"])),
            ("SortOrder", SMALLINT, 52),
            ("CodePage", SMALLINT, 0),
            ("UnicodeLocaleId", INT, 1033),
            ("UnicodeComparisonStyle", INT, 196609),
            ("CompatibilityLevel", TINYINT, 160),
            ("SoftwareVendorId", INT, 4608),
            ("SoftwareVersionMajor", INT, major),
            ("SoftwareVersionMinor", INT, minor),
            ("SoftwareVersionBuild", INT, build),
            ("MachineName", SYSNAME, f["server"]),
            ("Flags", INT, 0),
            ("BindingID", GUID, _guid(f["database_guid"])),
            ("RecoveryForkID", GUID, _guid(f["last_fork"])),
            ("Collation", SYSNAME, "SQL_Latin1_General_CP1_CI_AS"),
            ("FamilyGUID", GUID, _guid(f["family_guid"])),
            ("HasBulkLoggedData", BIT, False),
            ("IsSnapshot", BIT, False),
            ("IsReadOnly", BIT, f["read_only"]),
            ("IsSingleUser", BIT, f["single_user"]),
            ("HasBackupChecksums", BIT, f["checksums"]),
            ("IsDamaged", BIT, f["damaged"]),
            ("BeginsLogChain", BIT, f["begins_log_chain"]),
            ("HasIncompleteMetaData", BIT, False),
            ("IsForceOffline", BIT, False),
            ("IsCopyOnly", BIT, f["copy_only"]),
            ("FirstRecoveryForkID", GUID, _guid(f["first_fork"])),
            ("ForkPointLSN", LSN, _number(f["fork_point_lsn"])),
            ("RecoveryModel", nvarchar(60), f["recovery_model"]),
            ("DifferentialBaseLSN", LSN, _number(f["differential_base_lsn"])),
            ("DifferentialBaseGUID", GUID, _guid(f["differential_base_guid"])),
            (
                "BackupTypeDescription",
                nvarchar(60),
                {"D": "Database", "L": "Transaction Log", "I": "Database Differential"}[f["type"]],
            ),
            ("BackupSetGUID", GUID, _guid(f["guid"])),
            ("CompressedBackupSize", BIGINT, f["size"]),
            ("Containment", TINYINT, 0),
            ("KeyAlgorithm", nvarchar(32), None),
            ("EncryptorThumbprint", SqlType("varbinary", 20), None),
            ("EncryptorType", nvarchar(32), None),
            ("LastValidRestoreTime", DATETIME, _utc(f["last_time"])),
            ("TimeZone", SMALLINT, f["offset_minutes"] // 15),
            ("CompressionAlgorithm", nvarchar(32), "MS_XPRESS" if f["compressed"] else None),
        ]
        return Rows([(name, kind) for name, kind, _ in table], [[value for _, _, value in table]])

    def _files(self, family: FamilyReader) -> Rows:
        columns = columns_of(
            """LogicalName sysname, PhysicalName nvarchar(260), Type nvarchar(1), FileGroupName sysname,
            Size numeric(20,0), MaxSize numeric(20,0), FileId bigint, CreateLSN numeric(25,0), DropLSN
            numeric(25,0), UniqueId uniqueidentifier, ReadOnlyLSN numeric(25,0), ReadWriteLSN
            numeric(25,0), BackupSizeInBytes bigint, SourceBlockSize int, FileGroupId int, LogGroupGUID
            uniqueidentifier, DifferentialBaseLSN numeric(25,0), DifferentialBaseGUID uniqueidentifier,
            IsReadOnly bit, IsPresent bit, TDEThumbprint varbinary(32), SnapshotUrl nvarchar(360)"""
        )
        rows: list[list[Any]] = []
        zero = decimal.Decimal(0)
        for number, file in enumerate(family.facts["files"], start=1):
            data = file["kind"] == "D"
            rows.append([
                file["logical"], file["path"], file["kind"], "PRIMARY" if data else None,
                decimal.Decimal(file["size"]),
                decimal.Decimal(35184372080640), number, zero, zero, uuid.uuid5(uuid.NAMESPACE_URL,
                file["path"]), zero,
                zero, file["size"] if data else 0, 4096, int(data), None, zero, None, False, True, None, None,
            ])  # fmt: skip
        return Rows(columns, rows)

    def _label(self, family: FamilyReader) -> Rows:
        f = family.facts
        family_guid = uuid.uuid5(uuid.UUID(f["media_guid"]), str(f["family"]))
        table: list[tuple[str, SqlType, Any]] = [
            ("MediaName", SYSNAME, None),
            ("MediaSetId", GUID, uuid.UUID(f["media_guid"])),
            ("FamilyCount", INT, f["families"]),
            ("FamilySequenceNumber", INT, f["family"]),
            ("MediaFamilyId", GUID, family_guid),
            ("MediaSequenceNumber", INT, 1),
            ("MediaLabelPresent", TINYINT, 0),
            ("MediaDescription", nvarchar(255), None),
            ("SoftwareName", SYSNAME, "Microsoft SQL Server"),
            ("SoftwareVendorId", INT, 4608),
            ("MediaDate", DATETIME, self._time(f["started"])),
            ("Mirror_Count", INT, 1),
            ("IsCompressed", BIT, f["compressed"]),
        ]
        return Rows([(name, kind) for name, kind, _ in table], [[value for _, _, value in table]])


def _guid(text: str | None) -> uuid.UUID | None:
    return uuid.UUID(text) if text else None


def _number(value: int | None) -> decimal.Decimal | None:
    return None if value is None else decimal.Decimal(value)


def _utc(moment: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(moment).replace(tzinfo=None) if moment else None
