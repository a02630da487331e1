"""What the scripts say that restore a recovery point with none of our software, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from shared.model.backups import Count, Kind, SqlDataFile
from shared.model.points import RecoveryPoint, SqlSide

LONGEST_URL: Final = 259
"""Characters of an address that SQL Server restores from (Microsoft: "SQL Server backup to URL")."""


@dataclass(frozen=True)
class GlassFile:
    """A blob: its path below the account's address, as a URL has it; its bytes, their SHA-256 if known."""

    path: str
    size: int
    sha256: str | None


@dataclass(frozen=True)
class GlassBackup:
    """One backup of a chain, its stripes in the order of the statement."""

    backup_id: str
    kind: Kind
    finished_at: datetime
    files: tuple[GlassFile, ...]


@dataclass(frozen=True)
class GlassDatabase:
    """One database: what it is at the point, and the backups that lead there, in order."""

    side: SqlSide
    server_version: str
    medium: Literal["disk", "url"]
    backups: tuple[GlassBackup, ...]
    data_files: tuple[SqlDataFile, ...]

    @property
    def size(self) -> int:
        """Bytes in Blob Storage."""
        return sum(file.size for backup in self.backups for file in backup.files)


@dataclass(frozen=True)
class GlassSnapshot:
    """One snapshot of a collection; ``whole`` if it holds every shard: what a single server needs."""

    peer_id: int
    file: GlassFile
    checksum: str
    whole: bool


@dataclass(frozen=True)
class GlassCollection:
    """One collection with the snapshots that restore it."""

    name: str
    points: Count
    snapshots: tuple[GlassSnapshot, ...]
    aliases: tuple[str, ...]


@dataclass(frozen=True)
class Glass:
    """All that the scripts are made of.

    ``account_url`` is the address of the blob service, without a final slash. ``backup_dir`` is the folder of
    backups as SQL Server names it, where the settings know one. ``left_out`` says of collections in the set
    why they are not restored; ``versions`` are those of Qdrant's peers when the snapshots were taken.
    """

    point: RecoveryPoint
    account_url: str
    backup_dir: str | None
    databases: tuple[GlassDatabase, ...]
    collections: tuple[GlassCollection, ...]
    left_out: Mapping[str, str]
    versions: tuple[str, ...]

    @property
    def containers(self) -> tuple[str, ...]:
        """The containers that are read, sorted."""
        files = [file for database in self.databases for backup in database.backups for file in backup.files]
        files += [snapshot.file for one in self.collections for snapshot in one.snapshots]
        return tuple(sorted({file.path.split("/", 1)[0] for file in files})) or ("data",)


def fetched_name(glass: Glass, database: int, backup: int, stripe: int) -> str:
    """What a backup's file is called in the folder that restore.sql reads from; all numbers from 1."""
    kind = glass.databases[database - 1].backups[backup - 1].kind
    return f"{glass.point.id}-{database}-{backup:03}-{kind}-{stripe:02}.bak"


def plain(text: str) -> str:
    """``text`` on one line that ends no comment, in T-SQL or in a shell, and means nothing to sqlcmd."""
    line = "".join(char if char.isprintable() else "?" for char in text)
    return line.replace("*/", "* /").replace("/*", "/ *").replace("$(", "$ (")
