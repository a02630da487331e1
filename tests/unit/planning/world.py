"""A small world to plan in: one database with its chain, two agents with their collections, one point."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.model.backups import (
    BlobRef,
    CollectionFacts,
    Count,
    Kind,
    Manifest,
    QdrantFacts,
    Quality,
    ShardPart,
    SnapshotPart,
    SqlDataFile,
    SqlFacts,
    Store,
)
from shared.model.hints import SetHint, SqlHint, hint_of
from shared.model.plans import Plan, PlanRequest, Policy
from shared.model.points import RecoveryPoint, SqlSide, VectorSide
from shared.planning.resolving import Known, Resolution, resolve
from shared.planning.restore import PlanInputs, plan_restore

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
ALICE, BOB, GONE = (f"{letter * 8}-1111-4111-8111-{letter * 12}" for letter in "abc")
PLAN_ID = "01KJJ0000000000000000000PM"
MARK_LSN = 355
GUID = "00000000-0000-4000-8000-00000000000"


def at(hours: float) -> datetime:
    return MIDNIGHT + timedelta(hours=hours)


def agent_collection(agent: str) -> str:
    return f"agent_{agent.replace('-', '')}"


def blob(name: str, size: int = 1000) -> BlobRef:
    return BlobRef(container="data", name=name, size=size, etag=f"etag-{name}")


def sql_manifest(
    kind: Kind, number: int, first: int, last: int, when: datetime, *, stripes: int = 1, **facts: Any
) -> Manifest:
    base = f"{GUID}1" if kind is Kind.DIFFERENTIAL else None
    values: dict[str, Any] = {
        "server": "sql",
        "database": "OctopusDB",
        "medium": "disk",
        "server_version": "16.0",
        "recovery_model": "FULL",
        "backup_set_uuid": f"{GUID}{number}",
        "family_guid": "family",
        "database_guid": "binding",
        "first_lsn": first,
        "last_lsn": last,
        "checkpoint_lsn": first,
        "database_backup_lsn": 0,
        "differential_base_guid": base,
        "first_recovery_fork_guid": "fork",
        "last_recovery_fork_guid": "fork",
        "has_backup_checksums": True,
        "backup_size": 2000,
        "compressed_backup_size": 1000,
        "utc_offset_minutes": 60,
        "files": tuple(blob(f"sql/{number}-{stripe}.bak") for stripe in range(stripes)),
        "data_files": (
            SqlDataFile(logical_name="data", physical_name="D:\\o.mdf", type="data", size=5000),
            SqlDataFile(logical_name="log", physical_name="D:\\o.ldf", type="log", size=500),
        ),
    }
    return Manifest(
        id=f"SQL{number}",
        store=Store.SQLSERVER,
        scope="sql/OctopusDB",
        kind=kind,
        run_id="run",
        attempt="attempt",
        started_at=when,
        finished_at=when + timedelta(seconds=5),
        made_by="test",
        facts=SqlFacts(**values | facts),
    )


BACKUPS = [
    sql_manifest(Kind.FULL, 1, 90, 100, at(1), stripes=2),
    sql_manifest(Kind.LOG, 2, 80, 200, at(2)),
    sql_manifest(Kind.DIFFERENTIAL, 3, 250, 300, at(4)),
    sql_manifest(Kind.LOG, 4, 200, 320, at(4.25)),
    sql_manifest(Kind.LOG, 5, 320, 400, at(5)),
    sql_manifest(Kind.LOG, 6, 400, 500, at(6)),
]


def part(collection: str, peer: int, shard: int, when: datetime, size: int = 1000) -> SnapshotPart:
    return SnapshotPart(
        peer_id=peer,
        collection=collection,
        snapshot_name=f"{collection}-{peer}.snapshot",
        checksum="00" * 32,
        started_at=when,
        finished_at=when,
        blob=blob(f"qdrant/{collection}-{peer}", size),
        points=Count(value=10, quality=Quality.EXACT),
        shards=(
            ShardPart(shard_id=shard, segments=("segment",), has_wal=True),
            ShardPart(shard_id=1 - shard, segments=(), has_wal=False),
        ),
    )


def snapshot_set(*agents: str, **changed: Any) -> Manifest:
    collections = [agent_collection(agent) for agent in agents]
    facts = QdrantFacts(
        versions={"1": "1.19.0", "2": "1.19.0"},
        collections=tuple(
            CollectionFacts(
                name=name,
                config={},
                shard_ids=(0, 1),
                aliases=(f"alias_{name}",),
                points=Count(value=20, quality=Quality.EXACT),
            )
            for name in collections
        ),
        parts=tuple(part(name, peer, peer - 1, at(4.5)) for name in collections for peer in (1, 2)),
    )
    return Manifest(
        id="SET1",
        store=Store.QDRANT,
        scope="qdrant",
        kind=Kind.SNAPSHOT_SET,
        run_id="run",
        attempt="attempt",
        started_at=at(4.5),
        finished_at=at(4.5) + timedelta(seconds=20),
        made_by="test",
        facts=facts.model_copy(update=changed),
    )


def point(
    identifier: str = "POINT1", mark: float = 4.6, ended: float = 4.55, **changed: Any
) -> RecoveryPoint:
    side = SqlSide(
        server="sql",
        database="OctopusDB",
        mark_name="rp_1",
        mark_lsn=MARK_LSN,
        at=at(mark),
        log_backup_id="SQL5",
        tables={"dbo.Octopus_Episodes": Count(value=3, quality=Quality.EXACT)},
        agents=(ALICE, BOB),
        migration="M1",
    )
    values: dict[str, Any] = {
        "id": identifier,
        "name": None,
        "run_id": "run",
        "made_at": at(mark),
        "complete": True,
        "vectors": VectorSide(
            snapshot_set_id="SET1", started_at=at(4.5), finished_at=at(ended), collections={}
        ),
        "sql": (side,),
        "skew_seconds": 360.0,
    }
    return RecoveryPoint(**values | changed)


def unmarked(original: RecoveryPoint) -> RecoveryPoint:
    side = original.sql[0].model_copy(update={"mark_name": None, "mark_lsn": None, "at": at(5)})
    return original.model_copy(update={"sql": (side,)})


def hints() -> list[SqlHint]:
    return [hint for hint in map(hint_of, BACKUPS) if isinstance(hint, SqlHint)]


def set_hint(identifier: str = "SET1", ended: float = 4.55, *, complete: bool = True) -> SetHint:
    return SetHint(
        id=identifier, complete=complete, started_at=at(4.5), finished_at=at(ended), collections=2, size=4000
    )


def known(**changed: Any) -> Known:
    values: dict[str, Any] = {
        "points": [point()],
        "sets": [set_hint()],
        "backups": {"OctopusDB": hints()},
    }
    return Known(**values | changed)


def request(**values: Any) -> PlanRequest:
    return PlanRequest.model_validate({"target": "latest", "confirm_space": True} | values)


def resolution(asked: PlanRequest, policy: Policy = Policy.PAIRED, **changed: Any) -> Resolution:
    resolved = resolve(asked, known(**changed), at(7))
    return next(found for found in resolved.resolutions if found.policy is policy)


def inputs(asked: PlanRequest | None = None, policy: Policy = Policy.PAIRED, **changed: Any) -> PlanInputs:
    asked = asked or request()
    values: dict[str, Any] = {
        "plan_id": PLAN_ID,
        "now": at(7),
        "request": asked,
        "resolution": changed.pop("resolution", None) or resolution(asked, policy),
        "manifests": {manifest.id: manifest for manifest in BACKUPS},
        "snapshot_set": snapshot_set(ALICE, BOB),
        "databases": {},
        "collections": {},
        "qdrant_versions": {"1": "1.19.0", "2": "1.19.0"},
        "settings": "settings-1",
        "octopus_api": True,
        "free_bytes": None,
    }
    return PlanInputs(**values | changed)


def plan(asked: PlanRequest | None = None, policy: Policy = Policy.PAIRED, **changed: Any) -> Plan:
    return plan_restore(inputs(asked, policy, **changed))
