"""Restore plans: what is asked for, what would be done, and the digest that ties the two together."""

from __future__ import annotations

import hashlib
import json
import re
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from shared.model.backups import BlobRef, Kind, SqlDataFile, Store
from shared.model.base import Document, Lsn, Request, UtcTime
from shared.model.findings import Finding

PersonName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$"),
]
"""The name of a person who vouches for something."""


_GUID = re.compile("-?".join(f"([0-9a-f]{{{length}}})" for length in (8, 4, 4, 4, 12)))


def _agent_id(value: str) -> str:
    found = _GUID.fullmatch(value.strip().lower())
    if found is None:
        raise ValueError("is not the id of an agent: a GUID, such as 3f2504e0-4f89-41d3-9a0c-0305e82c3301")
    return "-".join(found.groups())


AgentId = Annotated[str, BeforeValidator(str), AfterValidator(_agent_id)]
"""The id of an agent: a lower-case GUID with dashes, however it was written."""

UserId = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=450)]
"""The id of a user, as text: a key of ASP.NET Core Identity holds 450 characters at most."""


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


class RestoreTarget(Request):
    """A side-by-side restore that succeeded and was checked: it is to be put in service."""

    restore: str = Field(description="id of the restore's run")


class Migrations(StrEnum):
    """What the checklist's second step does."""

    CHECK = "check"
    SCRIPT = "script"
    COMMAND = "command"


MOST_ERASED = 100_000
"""User ids in one list of erasures."""


class PlanRequest(Request):
    """What a person asks for."""

    target: Literal["latest"] | PointTarget | TimeTarget | RestoreTarget
    policy: Policy | None = None
    stores: tuple[Store, ...] = Field((), description="only these stores; all if empty")
    agents: tuple[AgentId, ...] = Field(
        (),
        description="only the collections of these agents; SQL Server is then left alone unless it is named",
    )
    migrations: Migrations = Field(Migrations.CHECK, description="`command` from the command line only")
    migration_script: str | None = Field(
        None, description="text of the idempotent script; that of OCTOPUS_MIGRATION_SCRIPT if left out"
    )
    checkdb: bool = Field(False, description="whether DBCC CHECKDB is run on what was restored")
    erase_users: tuple[UserId, ...] = Field(
        (), max_length=MOST_ERASED, description="user ids whose rows are deleted again after the restore"
    )
    in_place: bool = False
    names: dict[str, str] = Field(default_factory=dict, description="database or collection → its new name")
    confirm_space: bool = Field(
        False, description="the person vouches for free space that cannot be asked for"
    )


class StartRequest(Request):
    """What starts a restore: the plan that was read, and the digest of what will be executed."""

    plan_id: str
    digest: str
    fenced_by: PersonName | None = Field(
        None, description="who says that the Octopus API was stopped, where no hook stops it"
    )


class CancelRequest(Request):
    """What stops a restore that is under way."""

    by: PersonName


class Stop(Document):
    """Where a roll-forward ends: at a mark, at an instant, or (neither) at the end of the last file."""

    mark: str | None = None
    at: UtcTime | None = None


class FenceStep(Document):
    """The Octopus API is stopped by its hook, or a person says that it was, and is then seen to be down."""

    kind: Literal["fence"] = "fence"
    id: str
    title: str
    checklist: None = None
    hook: bool = Field(description="whether OCTOPUS_STOP_HOOK is called")


class RehydrateStep(Document):
    """Archived blobs are brought back online, which takes hours; their content is not changed."""

    kind: Literal["rehydrate"] = "rehydrate"
    id: str
    title: str
    checklist: None = None
    files: tuple[BlobRef, ...]


class GapStep(Document):
    """The documents indexed after the vectors that are restored, read before they are overwritten."""

    kind: Literal["gap"] = "gap"
    id: str
    title: str
    checklist: None = None
    collections: tuple[str, ...] = Field(description="live collections that are about to be overwritten")
    since: UtcTime = Field(description="when the snapshot that takes their place was finished")


class SafetyStep(Document):
    """A snapshot of every live collection that is about to be overwritten, kept in Blob Storage."""

    kind: Literal["safety"] = "safety"
    id: str
    title: str
    checklist: None = None
    collections: tuple[str, ...]


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
    stop_lsn: Lsn | None = Field(None, description="where the record of the mark that ends it begins")
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
    checkdb: bool = False


class MigrationsStep(Document):
    """The head of the migration history and the tables, compared with the recovery point."""

    kind: Literal["migrations"] = "migrations"
    id: str
    title: str
    checklist: Literal[2] = 2
    database: str
    target: str
    how: Migrations = Migrations.CHECK
    script: BlobRef | None = Field(None, description="the idempotent script, where one is executed")
    script_sha256: str | None = None


class ErasuresStep(Document):
    """Rows of users who were erased are deleted again; the ids are kept apart and are never shown."""

    kind: Literal["erasures"] = "erasures"
    id: str
    title: str
    checklist: None = None
    database: str
    target: str
    users: int
    list_sha256: str = Field(description="of the list that is kept with the plan")


class SwapStep(Document):
    """A restored database gets the live name, and the one that had it another; undone by the reverse."""

    kind: Literal["swap"] = "swap"
    id: str
    title: str
    checklist: Literal[1] = 1
    restored: str = Field(description="the name that the restored database has now")
    live: str
    aside: str | None = Field(description="the name that the live database gets; None if there is none")


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
    hook: bool = Field(False, description="whether OCTOPUS_START_HOOK is called first")


class ConversationStep(Document):
    """A conversation from end to end, with recall and a semantic search."""

    kind: Literal["conversation"] = "conversation"
    id: str
    title: str
    checklist: Literal[5] = 5
    database: str
    target: str
    collections: dict[str, str] = Field(description="collection → its restored name")


class SampleStep(Document):
    """What a drill restored is read as its users do: rows of every table, a search in every collection."""

    kind: Literal["sample"] = "sample"
    id: str
    title: str
    checklist: None = None
    databases: tuple[str, ...]
    collections: tuple[str, ...]
    left_out: tuple[str, ...] = Field(
        (), description="collections of the recovery point that cannot be restored from it: the drill fails"
    )


class CleanUpStep(Document):
    """The scratch copies of a drill are removed."""

    kind: Literal["clean_up"] = "clean_up"
    id: str
    title: str
    checklist: None = None
    databases: tuple[str, ...]
    collections: tuple[str, ...]


class AftermathStep(Document):
    """A full backup at once, where a live database was replaced: a new recovery fork has begun."""

    kind: Literal["aftermath"] = "aftermath"
    id: str
    title: str
    checklist: None = None
    database: str = Field(description="the name that was restored to")


Step = Annotated[
    FenceStep
    | RehydrateStep
    | GapStep
    | SafetyStep
    | SqlTailStep
    | SqlRestoreStep
    | SqlRecoverStep
    | SqlProofStep
    | MigrationsStep
    | ErasuresStep
    | SwapStep
    | CollectionStep
    | AliasesStep
    | OrphansStep
    | HealthStep
    | ConversationStep
    | AftermathStep
    | SampleStep
    | CleanUpStep,
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
    serves: str | None = Field(None, description="the restore that is put in service, by its run's id")
    stores: tuple[Store, ...] = Field((), description="as asked for; all if empty")
    agents: tuple[str, ...] = Field((), description="as asked for, sorted; all if empty")
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


class StepDetail(Document):
    """What a person wants to know of a step before it is done."""

    step_id: str
    statement: str = Field(description="the statement or request, without secrets")
    size: int = Field(description="bytes that it reads")
    expected_seconds: float | None = Field(
        description="from the measured median of like steps; None: no history"
    )
    basis: str = Field(
        description="what the expected duration rests on, in words; 'no history' if on nothing"
    )
    interrupted: str = Field(description="what an interruption costs: resumed, or starts over")
    needs: tuple[str, ...] = ()
    overwrites: tuple[str, ...] = ()


class Alternative(Document):
    """Another way to much the same, and what it would cost or spare."""

    target: str = Field(description="what to plan instead, as the command line takes it")
    sentence: str


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
    details: tuple[StepDetail, ...] = ()
    expected_seconds: float | None = Field(None, description="of all steps; None where one has no history")
    sql_at: UtcTime | None = Field(None, description="the moment SQL Server is restored to; None: it stays")
    vectors_at: UtcTime | None = Field(None, description="when their snapshots ended; None: they stay")
    windows: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="database → its restorable windows, in words, with why each ends"
    )
    alternatives: tuple[Alternative, ...] = ()
    execution: Execution
    digest: str
