"""The rows of msdb that a restore leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local.sqlserver.datatypes import BIT, DATETIME, INT, NVARCHAR_MAX, SqlType
from local.sqlserver.engine.backup_history import remember
from local.sqlserver.engine.values import convert, from_storage, to_datetime

if TYPE_CHECKING:
    from local.sqlserver.engine.instance import Instance


def remember_restore(
    instance: Instance,
    user: str,
    destination: str,
    facts: dict[str, Any],
    addresses: list[tuple[str, str]],
    options: dict[str, Any],
) -> None:
    """Write a row of restorehistory; a backup set from another server enters backupset, too."""
    backup_set = instance.history.backup_set_id(facts["guid"]) or remember(
        instance, facts, addresses, facts["user"]
    )
    stop_at = options["stop_at"]
    moment = from_storage(DATETIME, convert(str(stop_at), NVARCHAR_MAX, DATETIME)) if stop_at else None
    row: dict[str, tuple[SqlType, Any]] = {
        "restore_date": (DATETIME, to_datetime(instance.local_now().replace(tzinfo=None))),
        "destination_database_name": (NVARCHAR_MAX, destination),
        "user_name": (NVARCHAR_MAX, user),
        "backup_set_id": (INT, backup_set),
        "restore_type": (NVARCHAR_MAX, facts["type"]),
        "replace": (BIT, options["replace"]),
        "recovery": (BIT, options["recovery"]),
        "restart": (BIT, False),
        "stop_at": (DATETIME, moment),
        "device_count": (INT, len(addresses)),
        "stop_at_mark_name": (NVARCHAR_MAX, options["stop_at_mark_name"]),
        "stop_before": (BIT, options["stop_before"]),
    }
    instance.history.insert("restorehistory", row)
