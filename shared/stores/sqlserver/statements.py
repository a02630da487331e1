"""Statements as text: pure functions from typed values to T-SQL, with every name and literal quoted.

Each function offers only what SQL Server accepts together, so that no combination of arguments can make a
statement that the server's parser would take and its engine refuse (a differential log backup, RECOVERY
beside NORECOVERY, STOPAT on SIMPLE …).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.errors import InvalidRequestError

SYSTEM_DATABASES = frozenset({"master", "model", "msdb", "tempdb", "resource"})
_LONGEST_NAME = 128  # sysname is nvarchar(128), counted in UTF-16 code units
_LONGEST_URL = 259  # "SQL Server backup to URL": the limit of a backup device's name
_LONGEST_MARK = 32  # BEGIN TRANSACTION: longer names are refused as a literal and cut in a variable
_MARK = re.compile(r"rp_[0-9A-HJKMNP-TV-Z]{26}")
_TRANSFER = "MAXTRANSFERSIZE = 4194304"  # 4 MiB: the largest that every version takes to a URL
_BLOCK = "BLOCKSIZE = 65536"  # with the former: 50,000 blocks of 4 MiB in a blob


@dataclass(frozen=True)
class Disk:
    """A file, as the server names it."""

    path: str

    def __str__(self) -> str:
        return self.path

    @property
    def file_name(self) -> str:
        """The last part of the path, whatever the server's separator is."""
        return re.split(r"[\\/]", self.path)[-1]

    def clause(self) -> str:
        """``DISK = N'…'``."""
        return f"DISK = {literal(self.path)}"


@dataclass(frozen=True)
class Url:
    """A blob, by its https address without a query."""

    address: str

    def __str__(self) -> str:
        return self.address

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return self.address.rsplit("/", 1)[-1]

    def clause(self) -> str:
        """``URL = N'…'``.

        Raises:
            InvalidRequestError: SQL Server cannot take the address.
        """
        if len(self.address) > _LONGEST_URL:
            raise InvalidRequestError(
                f"The backup's address has {len(self.address)} characters; SQL Server takes {_LONGEST_URL}.",
                "The names of server and database make it too long; use SQLSERVER_BACKUP_MEDIUM=disk for it.",
                code="address_too_long",
            )
        if not self.address.startswith("https://") or "?" in self.address:
            raise InvalidRequestError(
                "SQL Server writes only to https addresses without a query.", "Correct BACKUP_STORAGE_URL."
            )
        return f"URL = {literal(self.address)}"


Device = Disk | Url
Devices = Sequence[Device]
"""Where one backup is, stripe by stripe: all of one kind."""


@dataclass(frozen=True)
class StopAtMark:
    """Roll forward up to and including the marked transaction of that name."""

    name: str

    def clause(self) -> str:
        """``STOPATMARK = N'…'``."""
        return f"STOPATMARK = {literal(mark_name(self.name))}"


@dataclass(frozen=True)
class StopAt:
    """Roll forward to that instant, in the server's local time (naive, as SQL Server means it)."""

    local: datetime

    def clause(self) -> str:
        """``STOPAT = N'yyyy-mm-ddThh:mm:ss.fff'``: the one form that no language setting can misread."""
        return f"STOPAT = {literal(self.local.isoformat(timespec='milliseconds'))}"


Stop = StopAtMark | StopAt | None


def quote_name(name: str) -> str:
    """``name`` as an identifier in brackets, as QUOTENAME makes it.

    Raises:
        InvalidRequestError: SQL Server cannot have an object of that name.
    """
    try:
        length = len(name.encode("utf-16-le")) // 2
    except UnicodeEncodeError:
        length = 0
    if not 1 <= length <= _LONGEST_NAME or "\0" in name:
        raise InvalidRequestError(
            f"{name[:40]!r} cannot be a name: SQL Server takes 1 to {_LONGEST_NAME} characters, no NUL.",
            "Correct the name.",
            code="invalid_name",
        )
    return f"[{name.replace(']', ']]')}]"


def target_name(name: str) -> str:
    """``name`` quoted, unless it is a system database, which is never a target of ours.

    Raises:
        InvalidRequestError: it cannot be a name, or is a system database.
    """
    if name.casefold() in SYSTEM_DATABASES:
        raise InvalidRequestError(
            f"{name} is a system database; this software never overwrites one.", code="system_database"
        )
    return quote_name(name)


def literal(text: str) -> str:
    """``text`` as a Unicode literal.

    Raises:
        InvalidRequestError: it holds a NUL, which no literal can.
    """
    if "\0" in text:
        raise InvalidRequestError("A text for SQL Server holds a NUL character.", code="invalid_name")
    return "N'" + text.replace("'", "''") + "'"


def mark_name(name: str) -> str:
    """``name`` if it is one of our marks: ``rp_`` and a ULID, 29 of the 32 characters that a mark may have.

    Raises:
        InvalidRequestError: it is not.
    """
    if len(name) > _LONGEST_MARK or not _MARK.fullmatch(name):
        raise InvalidRequestError(
            f"{name[:40]!r} is no name of a mark: rp_ and a ULID in capitals.", code="invalid_name"
        )
    return name


def backup_database(
    database: str, devices: Devices, *, differential: bool, name: str, description: str
) -> str:
    """BACKUP DATABASE, full or differential."""
    options = ["DIFFERENTIAL"] if differential else []
    return _backup("DATABASE", database, devices, options, name, description)


def backup_log(database: str, devices: Devices, *, name: str, description: str) -> str:
    """BACKUP LOG of a database that stays in use."""
    return _backup("LOG", database, devices, [], name, description)


def backup_tail(database: str, devices: Devices, *, name: str, description: str) -> str:
    """The tail of the log, which leaves the database in the RESTORING state.

    Both statements go in one batch: between two batches a pooled connection would take the one slot that
    SINGLE_USER leaves.
    """
    return f"ALTER DATABASE {target_name(database)} SET SINGLE_USER WITH ROLLBACK IMMEDIATE;\n" + _backup(
        "LOG", database, devices, ["NORECOVERY"], name, description
    )


def _backup(
    what: str, database: str, devices: Devices, options: list[str], name: str, description: str
) -> str:
    options = [
        *options,
        "COMPRESSION",
        "CHECKSUM",
        _TRANSFER,
        *([_BLOCK] if isinstance(devices[0], Url) else []),
        "STATS = 5",
        f"NAME = {literal(name)}",
        f"DESCRIPTION = {literal(description)}",
    ]
    return f"BACKUP {what} {quote_name(database)} TO {_list(devices)} WITH {', '.join(options)};"


def restore_full(target: str, devices: Devices, *, moves: Mapping[str, str], replace: bool) -> str:
    """RESTORE DATABASE from a full backup; ``moves``: logical file → physical path. Left RESTORING."""
    options = [f"MOVE {literal(logical)} TO {literal(path)}" for logical, path in moves.items()]
    options += ["REPLACE"] if replace else []
    return _restore("DATABASE", target, devices, options)


def restore_differential(target: str, devices: Devices) -> str:
    """RESTORE DATABASE from a differential backup. Left RESTORING."""
    return _restore("DATABASE", target, devices, [])


def restore_log(target: str, devices: Devices, stop: Stop) -> str:
    """RESTORE LOG up to ``stop``, or to its end. Left RESTORING."""
    return _restore("LOG", target, devices, [stop.clause()] if stop else [])


def _restore(what: str, target: str, devices: Devices, options: list[str]) -> str:
    with_clause = ", ".join(["NORECOVERY", "CHECKSUM", *options, "STATS = 5"])
    return f"RESTORE {what} {target_name(target)} FROM {_list(devices)} WITH {with_clause};"


def recover(target: str) -> str:
    """The end of the roll-forward."""
    return f"RESTORE DATABASE {target_name(target)} WITH RECOVERY;"


def verify_only(devices: Devices) -> str:
    """RESTORE VERIFYONLY: the backup can be read, and its page checksums are right."""
    return f"RESTORE VERIFYONLY FROM {_list(devices)} WITH CHECKSUM;"


def multi_user(database: str) -> str:
    """Let everybody in again."""
    return f"ALTER DATABASE {target_name(database)} SET MULTI_USER;"


def drop_copy(database: str, *, online: bool) -> str:
    """The removal of a copy; whoever looks at it just now is thrown out, where its state lets anybody in."""
    name = target_name(database)
    alone = f"ALTER DATABASE {name} SET SINGLE_USER WITH ROLLBACK IMMEDIATE;\n" if online else ""
    return f"{alone}DROP DATABASE {name};"


def rename(old: str, new: str) -> str:
    """Another name for a database; whoever is in it is thrown out, and everybody is let in again.

    One batch: between two of them a pooled connection would take the one slot that SINGLE_USER leaves.
    """
    return (
        f"ALTER DATABASE {target_name(old)} SET SINGLE_USER WITH ROLLBACK IMMEDIATE;\n"
        f"ALTER DATABASE {target_name(old)} MODIFY NAME = {target_name(new)};\n"
        f"ALTER DATABASE {target_name(new)} SET MULTI_USER;"
    )


def begin_marked(mark: str, description: str) -> str:
    """BEGIN TRANSACTION … WITH MARK; any error in it rolls it back as a whole."""
    return f"SET XACT_ABORT ON; BEGIN TRANSACTION {mark_name(mark)} WITH MARK {literal(description[:128])};"


def _list(devices: Devices) -> str:
    return ", ".join(device.clause() for device in devices)
