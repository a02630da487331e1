"""The numbers of SQL Server's messages that we know, and what each means for a backup or a restore.

Numbers and their texts: Microsoft's documentation, "Database engine events and errors".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from shared.errors import (
    BackupSystemError,
    IntegrityError,
    NotPermittedError,
    SqlServerError,
    TargetInTheWayError,
    UnreachableError,
)


@dataclass(frozen=True)
class Meaning:
    """What a number means: the error's class and code, and its words for the person who reads them.

    Attributes:
        code: stable identifier for machines.
        sentence: what happened.
        hint: what to do.
        error: the class of ours.
        meaning: what it means for the backup; the class's own sentence if None.
        retryable: whether the same statement can succeed later; only a SqlServerError can tell by number.
    """

    code: str
    sentence: str
    hint: str
    error: type[BackupSystemError] = SqlServerError
    meaning: str | None = None
    retryable: bool = False


_NO_FULL = Meaning(
    "no_full_backup",
    "The database has no full backup that this one could build on.",
    "Take a full backup; differential and log backups work again after it.",
)
_PERMISSION = Meaning(
    "permission",
    "Our login lacks a right on SQL Server.",
    "Run infra/sqlserver-setup.sql as an administrator; it grants what is needed and says why.",
    NotPermittedError,
)
_STORAGE = Meaning(
    "storage_failed",
    "SQL Server could not write to or read from the backup's place.",
    "Read the operating system's error in the message: a folder or container is missing, or the network "
    "failed. It is tried again.",
    retryable=True,
)
_STORAGE_DENIED = Meaning(
    "storage_credential",
    "SQL Server was not let in where the backup is kept.",
    "Blob Storage: compare the server's credential for the container (name = the container's https address, "
    "SECRET without a leading '?', not expired) and the storage account's firewall. "
    "Folder: check that SQL Server's service account may read and write in it.",
)
_CORRUPT = Meaning(
    "corrupt_backup",
    "SQL Server found the backup damaged or incomplete.",
    "Do not delete it yet; plan the restore again without this backup, and take a full backup now.",
    IntegrityError,
)
_CHAIN_GAP = Meaning(
    "chain_gap",
    "A log backup is missing between what is restored and this one.",
    "Plan the restore again; if the gap stays, the target lies behind a backup that somebody else took.",
    meaning="The restore stopped; what was restored so far is left in the RESTORING state.",
)
_IN_USE = Meaning(
    "in_use",
    "The database is in use, so it cannot be overwritten.",
    "Stop the Octopus API and other clients of the database, then repeat the step.",
    meaning="Nothing was overwritten.",
    retryable=True,
)
_TARGET_EXISTS = Meaning(
    "target_exists",
    "A database or a file of that name is in the way.",
    "Restore under another name, or in place if it may be overwritten.",
    TargetInTheWayError,
)
_BULK = Meaning(
    "bulk_logged",
    "The log backup holds bulk-logged changes, so it cannot be stopped in its middle.",
    "Choose the end of that log backup or a point before its beginning.",
    meaning="The restore stopped; what was restored so far is left in the RESTORING state.",
)
_STOP = Meaning(
    "stop_invalid",
    "The target does not lie in the log that was given for it.",
    "Plan the restore again; the plan was made from other backups than those that are there.",
    meaning="The restore stopped; what was restored so far is left in the RESTORING state.",
)
_TRANSIENT = Meaning(
    "unreachable", "SQL Server is not available at the moment.", "It is tried again.", UnreachableError
)
_BLOCK_LIMIT = Meaning(
    "block_limit",
    "A stripe of the backup reached the limit of a block blob.",
    "The database has outgrown its stripes: report it; SQLSERVER_BACKUP_MEDIUM=disk has no such limit.",
)
_SPACE = Meaning(
    "space",
    "There is not enough free space on the volume that the message names.",
    "Free some space there, then repeat the step.",
)
_NO_SUCH_OBJECT = Meaning(
    "object_missing",
    "A table or view that is needed is not there.",
    "Compare the database with infra/sqlserver-setup.sql and with Octopus' migrations.",
)

_MEANINGS: Final[dict[int, Meaning]] = {
    **dict.fromkeys((3035, 4214, 4219), _NO_FULL),
    **dict.fromkeys((229, 230, 262, 297, 300, 916, 3110, 15247), _PERMISSION),
    **dict.fromkeys((3201, 3202, 3203, 3271, 3287, 3288, 3289, 3290, 3291, 3292, 3293, 3298, 3634), _STORAGE),
    **dict.fromkeys((3183, 3187, 3189, 3241, 3242, 3243, 3256), _CORRUPT),
    **dict.fromkeys((4305, 4312, 4318), _CHAIN_GAP),
    **dict.fromkeys((3101, 3102), _IN_USE),
    **dict.fromkeys((1801, 1834, 3141, 3154, 3156, 3159), _TARGET_EXISTS),
    **dict.fromkeys((4327, 4341), _BULK),
    **dict.fromkeys((3117, 3145, 3173, 4333, 4334, 4335, 4338), _STOP),
    **dict.fromkeys((10928, 10929, 40197, 40501, 40613, 49918, 49919, 49920), _TRANSIENT),
    **dict.fromkeys((3063, 3065), _BLOCK_LIMIT),
    208: _NO_SUCH_OBJECT,
    911: Meaning(
        "database_missing",
        "There is no such database on this SQL Server.",
        "Correct SQLSERVER_DATABASES, or restore the database.",
    ),
    4060: Meaning(
        "database_missing",
        "There is no such database on this SQL Server, or our login may not open it.",
        "Correct SQLSERVER_DATABASES, or run infra/sqlserver-setup.sql.",
    ),
    18456: Meaning(
        "login_failed",
        "SQL Server refused the login.",
        "Correct user and password (or identity) in SQLSERVER_CONNECTION.",
        NotPermittedError,
    ),
    4208: Meaning(
        "recovery_model_simple",
        "The database is in the SIMPLE recovery model, which keeps no log to back up.",
        "If that was not meant: ALTER DATABASE … SET RECOVERY FULL, then take a full backup.",
        meaning="Between full and differential backups nothing protects this database.",
    ),
    3023: Meaning(
        "backup_running",
        "Another backup or file operation of this database is running.",
        "It is tried again; if that repeats, look for a second backup tool.",
        retryable=True,
    ),
    3296: Meaning(
        "storage_name_taken",
        "A blob of that name is already there, and SQL Server does not overwrite it.",
        "The next attempt uses a new name.",
        retryable=True,
    ),
    4326: Meaning(
        "log_not_needed",
        "This log backup ends before what is already restored, so it adds nothing.",
        "Plan the restore again; the chain has to leave this log out.",
        meaning="The restore stopped; what was restored so far is left in the RESTORING state.",
    ),
    4330: Meaning(
        "fork",
        "This backup belongs to another recovery fork: the database was once restored to an earlier point.",
        "Plan the restore again; backups from before and after that restore cannot be mixed.",
        meaning="The restore stopped; what was restored so far is left in the RESTORING state.",
    ),
    3136: Meaning(
        "wrong_base",
        "This differential backup builds on another full backup than the one that was restored.",
        "Plan the restore again; look for a full backup that somebody else took.",
        meaning="The restore stopped; what was restored so far is left in the RESTORING state.",
    ),
    3132: Meaning(
        "stripe_missing",
        "A stripe of the backup is missing.",
        "All stripes are needed; plan the restore again without this backup.",
        IntegrityError,
    ),
    4319: Meaning(
        "restore_interrupted",
        "An earlier restore of this database was interrupted.",
        "Repeat the restore from its full backup.",
        meaning="The target is left in the RESTORING state and holds nothing usable.",
    ),
    33111: Meaning(
        "certificate",
        "The certificate that the backup is encrypted with is not on this server.",
        "Restore the certificate with its private key into master of this server, then repeat the step.",
        meaning="Without the certificate and its private key nothing can be restored.",
    ),
    3169: Meaning(
        "version",
        "The backup was made by a newer SQL Server than this one.",
        "Restore onto a server of the same or a newer version.",
        meaning="Nothing was restored.",
    ),
    3257: _SPACE,
    3104: Meaning(
        "availability_group",
        "The database belongs to an availability group or a mirror, which cannot be restored over.",
        "Take it out of the group first, or restore under another name.",
        meaning="Nothing was overwritten.",
    ),
    927: Meaning(
        "restoring",
        "The database is in the middle of a restore.",
        "Finish that restore, or bring the database back with RESTORE DATABASE … WITH RECOVERY.",
    ),
    1222: Meaning(
        "lock_timeout",
        "Other transactions held the tables for too long.",
        "It is tried again; if that repeats, look for long transactions.",
        meaning="Nothing was changed.",
        retryable=True,
    ),
    3021: Meaning(
        "in_transaction",
        "The statement was sent inside a transaction, which SQL Server does not allow.",
        "This is a defect of this software; please report it.",
    ),
}

_BY_SYSTEM_ERROR: Final = {
    # Windows: access denied, not supported (no credential for the address), wrong password; HTTP.
    **dict.fromkeys((5, 50, 86, 401, 403), _STORAGE_DENIED),
    112: _SPACE,  # Windows: the disk is full
}
"""What the number of an operating system's error, or an HTTP status, adds to a message about storage."""

_SYSTEM_ERROR = re.compile(r"(?:error|failed:) (\d+)\(|error: \((\d{3})\)")


def meaning_of(number: int, text: str) -> Meaning | None:
    """What a message means to us, or None if we do not know its number."""
    found = _MEANINGS.get(number)
    if found is _STORAGE and (inner := _SYSTEM_ERROR.search(text)):
        return _BY_SYSTEM_ERROR.get(int(inner[1] or inner[2]), found)
    return found
