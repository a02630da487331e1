"""Documents as the rest of the system makes them, for tests to put into the catalogue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from ulid import ULID

from shared.catalogue import paths
from shared.model.backups import (
    BlobRef,
    CollectionFacts,
    Count,
    Kind,
    Manifest,
    QdrantFacts,
    Quality,
    SqlFacts,
    Store,
    Verification,
)
from shared.model.plans import Execution, Plan, Policy, ResolvedTarget, Stop, TargetState
from shared.model.points import RecoveryPoint, VectorSide
from shared.model.runs import Claim, Run, RunKind, State

START = datetime(2026, 10, 6, 1, 0, tzinfo=UTC)
GUID = "5F0C1E6B-7C37-4B42-A7C8-0123456789AB"


def ulid_at(moment: datetime, low: int = 0) -> str:
    """A ULID of that millisecond whose random part is ``low``."""
    return str(ULID.from_bytes(ULID.from_datetime(moment).bytes[:6] + low.to_bytes(10)))


def blob(name: str = "x", size: int = 10) -> BlobRef:
    return BlobRef(container="data", name=name, size=size, etag='"0x1"', sha256="00" * 32)


def sql_backup(
    server: str = "sql-1",
    database: str = "OctopusDB",
    *,
    kind: Kind = Kind.LOG,
    at: datetime = START,
    low: int = 0,
    **changes: Any,
) -> Manifest:
    """A SQL Server backup that began at ``at``."""
    facts = SqlFacts(
        server=server,
        database=database,
        medium="url",
        server_version="16.0.4165.4",
        recovery_model="FULL",
        backup_set_uuid=GUID,
        family_guid=GUID,
        database_guid=GUID,
        first_lsn=10**24 + low,
        last_lsn=10**24 + low + 1,
        checkpoint_lsn=10**24,
        database_backup_lsn=10**24,
        first_recovery_fork_guid=GUID,
        last_recovery_fork_guid=GUID,
        has_backup_checksums=True,
        backup_size=10,
        compressed_backup_size=10,
        utc_offset_minutes=120,
        files=(blob(),),
    )
    return Manifest(
        id=ulid_at(at, low),
        store=Store.SQLSERVER,
        scope=paths.sql_scope(server, database),
        kind=kind,
        run_id="run-1",
        attempt="a1",
        started_at=at,
        finished_at=at + timedelta(seconds=9, microseconds=123_456),
        made_by="octopus-backup 0",
        facts=facts,
    ).model_copy(update=changes)


def snapshot_set(*, at: datetime = START, low: int = 0) -> Manifest:
    """An empty but complete snapshot set."""
    count = Count(value=0, quality=Quality.EXACT)
    collection = CollectionFacts(name="c", config={}, shard_ids=(0,), points=count)
    return Manifest(
        id=ulid_at(at, low),
        store=Store.QDRANT,
        scope=paths.QDRANT_SCOPE,
        kind=Kind.SNAPSHOT_SET,
        run_id="run-1",
        attempt="a1",
        started_at=at,
        finished_at=at + timedelta(minutes=1),
        made_by="octopus-backup 0",
        facts=QdrantFacts(versions={"1": "1.19.0"}, collections=(collection,), parts=()),
    )


def point(name: str | None = None, *, at: datetime = START, run_id: str = "run-1") -> RecoveryPoint:
    """A recovery point made at ``at``."""
    vectors = VectorSide(snapshot_set_id=ulid_at(at), started_at=at, finished_at=at, collections={})
    return RecoveryPoint(
        id=ulid_at(at),
        name=name,
        run_id=run_id,
        made_at=at,
        complete=True,
        vectors=vectors,
        sql=(),
        skew_seconds=1.5,
    )


def plan(plan_id: str = "plan-1", settings: str = "f" * 16) -> Plan:
    """A plan that does nothing."""
    execution = Execution(
        target=ResolvedTarget(recovery_point_id=None, sql_stop=Stop()),
        policy=Policy.PAIRED,
        in_place=False,
        steps=(),
        target_state=TargetState(databases={}, collections={}),
        settings=settings,
    )
    return Plan(
        id=plan_id,
        made_at=START,
        expires_at=START + timedelta(hours=1),
        request={"target": "latest"},
        summary="Nothing.",
        consistency="Nothing with nothing.",
        chosen=(),
        rejected=(),
        losses=(),
        findings=(),
        space={},
        size=0,
        execution=execution,
        digest=execution.digest(),
    )


def run(run_id: str = "run-1", *, at: datetime = START, attempt: int = 1, **changes: Any) -> Run:
    """A backup run under way."""
    return Run(
        id=run_id,
        kind=RunKind.BACKUP,
        title="Log backup",
        state=State.RUNNING,
        attempt=attempt,
        started_at=at,
        heartbeat_at=at,
    ).model_copy(update=changes)


def claim(run_id: str = "run-1", *, slot: datetime = START, attempt: int = 1) -> Claim:
    """A claim of a slot of ``sql_log``."""
    return Claim(
        timer="sql_log",
        slot=slot,
        run_kind=RunKind.BACKUP,
        run_id=run_id,
        attempt=attempt,
        claimed_at=slot,
    )


def verification(
    backup_id: str, run_id: str = "run-1", *, passed: bool = True, at: datetime = START
) -> Verification:
    """A look at a backup."""
    return Verification(
        backup_id=backup_id, run_id=run_id, verified_at=at, passed=passed, evidence={"size": 10}
    )
