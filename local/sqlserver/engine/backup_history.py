"""The rows of msdb that a backup leaves."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import TYPE_CHECKING, Any

from local.sqlserver.datatypes import BIT, DATETIME, GUID, INT, NVARCHAR_MAX, SqlType
from local.sqlserver.engine.database import new_guid
from local.sqlserver.media.devices import DISK_TYPE, URL_TYPE

if TYPE_CHECKING:
    from local.sqlserver.engine.instance import Instance

_NUMBER = SqlType("decimal", None, 25, 0)


def server_time(instance: Instance, moment: str | None) -> dt.datetime | None:
    """A UTC time as msdb keeps it: the server's local time in whole seconds."""
    if moment is None:
        return None
    local = dt.datetime.fromisoformat(moment).astimezone(instance.zone)
    return local.replace(tzinfo=None, microsecond=0)


def remember(instance: Instance, facts: dict[str, Any], devices: list[tuple[str, str]], user: str) -> int:
    """Write the rows of a backup set; its id."""
    media_set = instance.history.insert(
        "backupmediaset",
        {
            "media_uuid": (GUID, uuid.UUID(facts["media_guid"])),
            "media_family_count": (INT, len(devices)),
            "software_name": (NVARCHAR_MAX, "Microsoft SQL Server"),
            "mirror_count": (INT, 1),
            "is_compressed": (BIT, facts.get("compressed", False)),
            "is_encrypted": (BIT, False),
        },
    )
    for number, (kind, address) in enumerate(devices, start=1):
        instance.history.insert(
            "backupmediafamily",
            {
                "media_set_id": (INT, media_set),
                "family_sequence_number": (INT, number),
                "media_family_id": (GUID, uuid.UUID(new_guid())),
                "media_count": (INT, 1),
                "physical_device_name": (NVARCHAR_MAX, address),
                "device_type": (INT, URL_TYPE if kind == "URL" else DISK_TYPE),
                "physical_block_size": (INT, 65536),
                "mirror": (INT, 0),
            },
        )
    return instance.history.insert("backupset", _backup_set(instance, facts, media_set, user))


def _backup_set(
    instance: Instance, facts: dict[str, Any], media_set: int, user: str
) -> dict[str, tuple[SqlType, Any]]:
    major, minor, build, _ = facts["release"]
    texts = {
        "name": facts["name"],
        "description": facts["description"],
        "user_name": user,
        "type": facts["type"],
        "database_name": facts["database_name"],
        "server_name": facts["server"],
        "machine_name": facts["server"],
        "collation_name": "SQL_Latin1_General_CP1_CI_AS",
        "recovery_model": facts["recovery_model"].replace("_", "-"),
        "compression_algorithm": "MS_XPRESS" if facts.get("compressed") else None,
    }
    numbers = {
        "media_set_id": media_set,
        "position": 1,
        "first_family_number": 1,
        "last_family_number": 1,
        "software_vendor_id": 4608,
        "software_major_version": major,
        "software_minor_version": minor,
        "software_build_version": build,
        "time_zone": facts["offset_minutes"] // 15,
        "compatibility_level": 160,
        "database_version": 957,
        "flags": 0,
    }
    large = {
        key: facts[key]
        for key in (
            "first_lsn",
            "last_lsn",
            "checkpoint_lsn",
            "database_backup_lsn",
            "fork_point_lsn",
            "differential_base_lsn",
        )
    }
    large |= {
        "backup_size": facts["size"],
        "compressed_backup_size": facts.get("compressed_size", facts["size"]),
    }
    guids = {
        "backup_set_uuid": facts["guid"],
        "first_recovery_fork_guid": facts["first_fork"],
        "last_recovery_fork_guid": facts["last_fork"],
        "database_guid": facts["database_guid"],
        "family_guid": facts["family_guid"],
        "differential_base_guid": facts["differential_base_guid"],
    }
    flags = {
        "is_copy_only": facts["copy_only"],
        "has_backup_checksums": facts["checksums"],
        "begins_log_chain": facts["begins_log_chain"],
        "is_damaged": facts["damaged"],
        "is_single_user": facts["single_user"],
        "is_readonly": facts["read_only"],
        "has_bulk_logged_data": False,
        "is_snapshot": False,
        "has_incomplete_metadata": False,
        "is_force_offline": False,
        "is_password_protected": False,
    }
    last_time = facts["last_time"]
    dates = {
        "backup_start_date": server_time(instance, facts["started"]),
        "backup_finish_date": server_time(instance, facts["finished"]),
        "database_creation_date": server_time(instance, facts["created"]),
        # the one date that is kept in UTC (Microsoft: "backupset")
        "last_valid_restore_time": dt.datetime.fromisoformat(last_time).replace(tzinfo=None)
        if last_time
        else None,
    }
    row: dict[str, tuple[SqlType, Any]] = {key: (NVARCHAR_MAX, value) for key, value in texts.items()}
    row |= {key: (INT, value) for key, value in numbers.items()}
    row |= {key: (_NUMBER, None if value is None else decimal.Decimal(value)) for key, value in large.items()}
    row |= {key: (GUID, uuid.UUID(value) if value else None) for key, value in guids.items()}
    row |= {key: (BIT, value) for key, value in flags.items()}
    return row | {key: (DATETIME, value) for key, value in dates.items()}
