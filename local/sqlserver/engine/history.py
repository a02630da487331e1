# ruff: noqa: S608 -- every name in SQL text is quoted by ``storage.quoted``, every value is bound
"""msdb: what the server remembers of backups, restores and marks. Ordinary tables of an ordinary database."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from local.sqlserver.datatypes import DATETIME, NVARCHAR_MAX, SqlType
from local.sqlserver.engine.errors import SqlError
from local.sqlserver.engine.log import Record
from local.sqlserver.engine.session import Variable
from local.sqlserver.engine.values import to_datetime

if TYPE_CHECKING:
    from local.sqlserver.engine.instance import Instance

# Microsoft's documentation of the tables of msdb; columns that are always NULL here are kept, for SELECT *.
_TABLES = {
    "backupset": """backup_set_id int IDENTITY(1,1) PRIMARY KEY, backup_set_uuid uniqueidentifier NOT NULL,
        media_set_id int NOT NULL, first_family_number tinyint, first_media_number smallint,
        last_family_number tinyint, last_media_number smallint, catalog_family_number tinyint,
        catalog_media_number smallint, position int, expiration_date datetime, software_vendor_id int,
        name nvarchar(128), description nvarchar(255), user_name nvarchar(128), software_major_version
        tinyint, software_minor_version tinyint, software_build_version smallint, time_zone smallint,
        mtf_minor_version tinyint, first_lsn numeric(25,0), last_lsn numeric(25,0), checkpoint_lsn
        numeric(25,0), database_backup_lsn numeric(25,0), database_creation_date datetime,
        backup_start_date datetime, backup_finish_date datetime, type nchar(1), sort_order smallint,
        code_page smallint, compatibility_level tinyint, database_version int, backup_size
        numeric(20,0), database_name nvarchar(128), server_name nvarchar(128), machine_name
        nvarchar(128), flags int, unicode_locale int, unicode_compare_style int, collation_name
        nvarchar(128), is_password_protected bit, recovery_model nvarchar(60), has_bulk_logged_data
        bit, is_snapshot bit, is_readonly bit, is_single_user bit, has_backup_checksums bit, is_damaged
        bit, begins_log_chain bit, has_incomplete_metadata bit, is_force_offline bit, is_copy_only bit,
        first_recovery_fork_guid uniqueidentifier, last_recovery_fork_guid uniqueidentifier,
        fork_point_lsn numeric(25,0), database_guid uniqueidentifier, family_guid uniqueidentifier,
        differential_base_lsn numeric(25,0), differential_base_guid uniqueidentifier,
        compressed_backup_size numeric(20,0), key_algorithm nvarchar(32), encryptor_thumbprint
        varbinary(20), encryptor_type nvarchar(32), last_valid_restore_time datetime,
        compression_algorithm nvarchar(32)""",
    "backupmediaset": """media_set_id int IDENTITY(1,1) PRIMARY KEY, media_uuid uniqueidentifier,
        media_family_count tinyint, name nvarchar(128), description nvarchar(255),
        software_name nvarchar(128),
        software_vendor_id int, MTF_major_version tinyint, mirror_count tinyint, is_password_protected
        bit, is_compressed bit, is_encrypted bit""",
    "backupmediafamily": """media_set_id int NOT NULL, family_sequence_number tinyint NOT NULL,
        media_family_id uniqueidentifier, media_count int, logical_device_name nvarchar(128),
        physical_device_name nvarchar(260), device_type tinyint, physical_block_size int,
        mirror tinyint NOT NULL, PRIMARY KEY (media_set_id, family_sequence_number, mirror)""",
    "restorehistory": """restore_history_id int IDENTITY(1,1) PRIMARY KEY, restore_date datetime,
        destination_database_name nvarchar(128), user_name nvarchar(128), backup_set_id int,
        restore_type char(1), replace bit, recovery bit, restart bit, stop_at datetime, device_count
        tinyint, stop_at_mark_name nvarchar(128), stop_before bit""",
    "logmarkhistory": """database_name nvarchar(128) NOT NULL, mark_name nvarchar(128) NOT NULL, description
        nvarchar(255), user_name nvarchar(128) NOT NULL, lsn numeric(25,0) NOT NULL, mark_time datetime
        NOT NULL""",
}


class History:
    """Writes msdb's tables."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._lock = threading.Lock()  # one writer: ids are handed out in order
        for name, columns in _TABLES.items():
            self._run(f"IF OBJECT_ID(N'dbo.{name}') IS NULL CREATE TABLE dbo.{name} ({columns})", {})

    def _run(self, text: str, variables: Mapping[str, Variable]) -> int | None:
        """Run a batch in msdb; the identity value that it gave out.

        Raises:
            SqlError: it failed; the history would be incomplete.
        """
        with self._lock, self._instance.internal_session() as session:
            session.database = "msdb"
            for event in session.execute(text, variables):
                if getattr(event, "is_error", False):
                    raise SqlError(50000, f"msdb: {getattr(event, 'text', '')}")
            return session.last_identity

    def insert(self, table: str, row: Mapping[str, tuple[SqlType, Any]]) -> int:
        """Add a row; the id that it was given."""
        names = list(row)
        marks = ", ".join(f"@{name.lower()}" for name in names)
        quoted_names = ", ".join(f"[{name}]" for name in names)
        variables = {f"@{name.lower()}": Variable(*row[name]) for name in names}
        return self._run(f"INSERT INTO dbo.{table} ({quoted_names}) VALUES ({marks})", variables) or 0

    def add_mark(self, database: str, record: Record, user: str, when: dt.datetime) -> None:
        """Remember a marked transaction; the time is the server's local time."""
        local = to_datetime(when.astimezone(self._instance.zone).replace(tzinfo=None))
        self.insert(
            "logmarkhistory",
            {
                "database_name": (NVARCHAR_MAX, database),
                "mark_name": (NVARCHAR_MAX, record.mark),
                "description": (NVARCHAR_MAX, record.description or None),
                "user_name": (NVARCHAR_MAX, user),
                "lsn": (SqlType("decimal", None, 25, 0), record.lsn),
                "mark_time": (DATETIME, local),
            },
        )

    def backup_set_id(self, guid: str) -> int | None:
        """The id of a backup set that this server's history knows."""
        with self._instance.internal_session() as session:
            session.database = "msdb"
            variables = {"@guid": Variable(NVARCHAR_MAX, guid)}
            sql = "SELECT backup_set_id FROM dbo.backupset WHERE backup_set_uuid = @guid"
            for event in session.execute(sql, variables):
                for row in getattr(event, "rows", None) or ():
                    return int(row[0])
        return None
