"""Restore plans: what is asked for, what would be done, and the digest that ties the two together."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from shared.model.backups import BlobRef, Kind, SqlDataFile
from shared.model.base import Document, Lsn, Request, UtcTime
from shared.model.findings import Finding


class Policy(StrEnum):
    """How the two sides of a restore are brought together."""

    PAIRED = "paired"
    LATEST_SQL = "latest_sql"


class PointTarget(Request):
    """A recovery point, by id or by name."""

    recovery_point: str


class TimeTarget(Request):
    """An instant."""

    time: UtcTime


class PlanRequest(Request):
    """What a person asks for."""

    target: Literal["latest"] | PointTarget | TimeTarget
    policy: Policy | None = None
    in_place: bool = False
    names: dict[str, str] = Field(default_factory=dict, description="database or collection → its new name")
    confirm_space: bool = Field(
        False, description="the person vouches for free space that cannot be asked for"
    )


class StartRequest(Request):
    """What starts a restore: the plan that was read, and the digest of what will be executed."""

    plan_id: str
    digest: str


class Stop(Document):
    """Where a roll-forward ends: at a mark, at an instant, or (neither) at the end of the last file."""

    mark: str | None = None
    at: UtcTime | None = None


class SqlTailStep(Document):
    """Back up the tail of the log and leave the live database RESTORING; only in place."""

    kind: Literal["sql_tail"] = "sql_tail"
    id: str
    title: str
    checklist: Literal[1] = 1
    database: str
    backup_id: str = Field(description="the id that the tail's backup will get")


class SqlRestoreStep(Document):
    """RESTORE DATABASE or RESTORE LOG of one backup, always NORECOVERY."""

    kind: Literal["sql_restore"] = "sql_restore"
    id: str
    title: str
    checklist: Literal[1] = 1
    database: str
    target: str
    backup_id: str
    backup_kind: Kind
    backup_set_uuid: str
    utc_offset_minutes: int = Field(
        0, description="local time minus UTC of the server that made the backup, when it made it"
    )
    files: tuple[BlobRef, ...]
    data_files: tuple[SqlDataFile, ...] = Field((), description="to be moved; only with a full backup")
    stop: Stop = Stop()
    last: bool = Field(False, description="the last of the chain: here the stop point must be reached")


class SqlRecoverStep(Document):
    """RESTORE DATABASE … WITH RECOVERY: the end of the roll-forward."""

    kind: Literal["sql_recover"] = "sql_recover"
    id: str
    title: str
    checklist: Literal[1] = 1
    database: str
    target: str


class SqlProofStep(Document):
    """The marker row and the row counts, compared with the recovery point."""

    kind: Literal["sql_proof"] = "sql_proof"
    id: str
    title: str
    checklist: Literal[1] = 1
    database: str
    target: str


class MigrationsStep(Document):
    """The head of the migration history and the tables, compared with the recovery point."""

    kind: Literal["migrations"] = "migrations"
    id: str
    title: str
    checklist: Literal[2] = 2
    database: str
    target: str


class PartToRestore(Document):
    """One snapshot to recover, and the peer that it came from."""

    peer_id: int
    checksum: str
    blob: BlobRef


class CollectionStep(Document):
    """Recover one collection, from every peer's snapshot of it, and prove it."""

    kind: Literal["collection"] = "collection"
    id: str
    title: str
    checklist: Literal[3] = 3
    collection: str
    target: str
    parts: tuple[PartToRestore, ...]
    overwrites: bool = False


class AliasesStep(Document):
    """Point the aliases to the restored collections."""

    kind: Literal["aliases"] = "aliases"
    id: str
    title: str
    checklist: Literal[3] = 3
    aliases: dict[str, str] = Field(description="alias → restored collection")


class OrphansStep(Document):
    """Collections without an agent, agents without a collection: reported, nothing deleted."""

    kind: Literal["orphans"] = "orphans"
    id: str
    title: str
    checklist: Literal[3] = 3
    database: str
    target: str
    collections: tuple[str, ...] = Field(description="under their restored names")


class HealthStep(Document):
    """Wait until the Octopus API answers 200."""

    kind: Literal["health"] = "health"
    id: str
    title: str
    checklist: Literal[4] = 4


class ConversationStep(Document):
    """A conversation from end to end, with recall and a semantic search."""

    kind: Literal["conversation"] = "conversation"
    id: str
    title: str
    checklist: Literal[5] = 5
    database: str
    target: str
    collections: dict[str, str] = Field(description="collection → its restored name")


class AftermathStep(Document):
    """A full backup at once, where a live database was replaced: a new recovery fork has begun."""

    kind: Literal["aftermath"] = "aftermath"
    id: str
    title: str
    checklist: None = None
    database: str = Field(description="the name that was restored to")


Step = Annotated[
    SqlTailStep
    | SqlRestoreStep
    | SqlRecoverStep
    | SqlProofStep
    | MigrationsStep
    | CollectionStep
    | AliasesStep
    | OrphansStep
    | HealthStep
    | ConversationStep
    | AftermathStep,
    Field(discriminator="kind"),
]


class ResolvedTarget(Document):
    """What the request's target stands for: never "latest" any more."""

    recovery_point_id: str | None = Field(description="the point that pairs the two sides")
    snapshot_set_id: str | None = Field(None, description="the set that the vectors come from")
    sql_stop: Stop
    sql_lsn: Lsn | None = None


class TargetState(Document):
    """What was there when the plan was made; a plan is executed only onto the same."""

    databases: dict[str, str] = Field(description="target database → its state_desc, or 'absent'")
    collections: dict[str, bool] = Field(description="target collection → whether it exists")
    aliases: dict[str, str] = Field(
        default_factory=dict, description="alias that the plan sets → the collection behind it, '' if absent"
    )


class Execution(Document):
    """Everything that will be done. The digest is taken over this and nothing else."""

    target: ResolvedTarget
    policy: Policy
    in_place: bool
    steps: tuple[Step, ...]
    target_state: TargetState
    settings: str = Field(description="fingerprint of the settings that the execution uses")

    def digest(self) -> str:
        """SHA-256 over the canonical JSON (sorted keys, compact, ASCII) of this document, in hex."""
        text = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class Choice(Document):
    """A backup that was considered, and why it was taken or left."""

    backup_id: str
    kind: Kind
    finished_at: UtcTime
    size: int
    reason: str


class Plan(Document):
    """A restore plan, to be read by a person and executed by its digest."""

    schema_: Literal[1] = Field(1, alias="schema")
    id: str
    made_at: UtcTime
    expires_at: UtcTime
    request: dict[str, Any]
    summary: str
    consistency: str = Field(description="what is consistent with what, in words")
    chosen: tuple[Choice, ...]
    rejected: tuple[Choice, ...]
    losses: tuple[str, ...]
    findings: tuple[Finding, ...]
    space: dict[str, int] = Field(description="free bytes that each server needs")
    size: int = Field(description="bytes read from Blob Storage")
    execution: Execution
    digest: str
