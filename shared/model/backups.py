"""Backups: the manifest that commits one, and the facts that each store adds to it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from shared.model.base import Document, Lsn, UtcTime
from shared.model.findings import ErrorInfo, Finding


class Store(StrEnum):
    """One system that holds memory."""

    SQLSERVER = "sqlserver"
    QDRANT = "qdrant"


class Kind(StrEnum):
    """What a backup holds."""

    FULL = "full"
    DIFFERENTIAL = "differential"
    LOG = "log"
    SNAPSHOT_SET = "snapshot_set"


class Quality(StrEnum):
    """What a count is worth. Only ``exact`` and ``reference`` may be demanded equal after a restore."""

    EXACT = "exact"
    REFERENCE = "reference"
    APPROXIMATE = "approximate"


class Count(Document):
    """A number of rows or points; ``low`` and ``high`` are the interval of an approximate one."""

    value: int
    quality: Quality
    low: int | None = None
    high: int | None = None


class BlobRef(Document):
    """A blob as it was committed: to be found again, and to be recognised as unchanged."""

    container: str
    name: str
    size: int = Field(ge=0, description="bytes")
    etag: str
    sha256: str | None = Field(None, description="of the whole, where the bytes passed through us")


class SqlFacts(Document):
    """One row of msdb.dbo.backupset, in its own words, with its times converted to UTC."""

    store: Literal[Store.SQLSERVER] = Store.SQLSERVER
    server: str
    database: str
    medium: Literal["disk", "url"]
    server_version: str
    recovery_model: str
    backup_set_uuid: str
    family_guid: str
    database_guid: str
    first_lsn: Lsn
    last_lsn: Lsn
    checkpoint_lsn: Lsn
    database_backup_lsn: Lsn
    differential_base_lsn: Lsn | None = None
    differential_base_guid: str | None = None
    first_recovery_fork_guid: str
    last_recovery_fork_guid: str
    fork_point_lsn: Lsn | None = None
    begins_log_chain: bool = False
    has_bulk_logged_data: bool = False
    is_copy_only: bool = False
    is_damaged: bool = False
    has_backup_checksums: bool
    backup_size: int
    compressed_backup_size: int
    last_valid_restore_time: UtcTime | None = Field(None, description="2022 and later")
    utc_offset_minutes: int = Field(description="the server's local time minus UTC when the backup was made")
    files: tuple[BlobRef, ...] = Field(description="stripes, in the order of the statement")
    data_files: tuple[SqlDataFile, ...] = ()


class SqlDataFile(Document):
    """A file of the database, for MOVE and for the space that a restore needs."""

    logical_name: str
    physical_name: str
    type: Literal["data", "log"]
    size: int = Field(description="bytes")


class ShardPart(Document):
    """What a snapshot holds of one shard, as its tar lists it."""

    shard_id: int
    segments: tuple[str, ...]
    has_wal: bool


class SnapshotPart(Document):
    """One snapshot of one collection on one peer, committed as a blob."""

    peer_id: int
    collection: str
    snapshot_name: str
    checksum: str = Field(description="SHA-256 as the server announced it; equal to the blob's own")
    started_at: UtcTime
    finished_at: UtcTime
    blob: BlobRef
    points: Count
    shards: tuple[ShardPart, ...]


class CollectionFacts(Document):
    """A collection as it was when its snapshots were taken."""

    name: str
    config: dict[str, Any]
    payload_schema: dict[str, Any] = Field(default_factory=dict)
    shard_ids: tuple[int, ...]
    aliases: tuple[str, ...] = ()
    points: Count = Field(description="all shards together")


class PartFailure(Document):
    """A snapshot that could not be made, and why."""

    peer_id: int | None
    collection: str
    error: ErrorInfo


class QdrantFacts(Document):
    """A snapshot set: all snapshots of one pass over all peers and collections."""

    store: Literal[Store.QDRANT] = Store.QDRANT
    versions: dict[str, str] = Field(description="peer id → server version")
    collections: tuple[CollectionFacts, ...]
    parts: tuple[SnapshotPart, ...]
    failures: tuple[PartFailure, ...] = ()
    unprotected: tuple[str, ...] = Field((), description="collections that no pattern of ours matches")

    @property
    def complete(self) -> bool:
        """Whether every snapshot that was wanted is there."""
        return not self.failures


Facts = Annotated[SqlFacts | QdrantFacts, Field(discriminator="store")]


class Manifest(Document):
    """The document that commits a backup. Never edited."""

    schema_: Literal[1] = Field(1, alias="schema")
    id: str = Field(description="ULID")
    store: Store
    scope: str = Field(description="{server}/{database}, each percent-encoded, or qdrant")
    kind: Kind
    run_id: str
    attempt: str = Field(description="ULID of the attempt; tells a lost reply from a conflict")
    slot: UtcTime | None = None
    started_at: UtcTime
    finished_at: UtcTime
    made_by: str = Field(description="this software and its version")
    facts: Facts
    findings: tuple[Finding, ...] = ()

    @property
    def blobs(self) -> tuple[BlobRef, ...]:
        """Every blob that the backup consists of."""
        if isinstance(self.facts, SqlFacts):
            return self.facts.files
        return tuple(part.blob for part in self.facts.parts)

    @property
    def size(self) -> int:
        """Bytes in Blob Storage."""
        return sum(blob.size for blob in self.blobs)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing in it. A SQL Server backup is whole or does not exist."""
        return isinstance(self.facts, SqlFacts) or self.facts.complete


class Verification(Document):
    """What a look at a committed backup found: a document of its own."""

    schema_: Literal[1] = Field(1, alias="schema")
    backup_id: str
    run_id: str
    verified_at: UtcTime
    passed: bool
    evidence: dict[str, Any]
    findings: tuple[Finding, ...] = ()
