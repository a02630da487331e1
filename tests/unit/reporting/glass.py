"""Recovery points as the scripts beside them see them, for tests."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.model.backups import Count, Kind, Quality, SqlDataFile
from shared.model.points import RecoveryPoint, SqlSide, VectorSide
from shared.reporting.break_glass import (
    Glass,
    GlassBackup,
    GlassCollection,
    GlassDatabase,
    GlassFile,
    GlassSnapshot,
)

MADE = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
POINT_ID = "01KJJ0000000000000000000PM"
MARK = "rp_01KJJ0000000000000000000MK"
ACCOUNT = "https://octopus.blob.core.windows.net"


def exact(value: int) -> Count:
    return Count(value=value, quality=Quality.EXACT)


def around(low: int, high: int) -> Count:
    return Count(value=high, quality=Quality.APPROXIMATE, low=low, high=high)


def side(database: str = "OctopusDB", *, mark: str | None = MARK, **changes: Any) -> SqlSide:
    return SqlSide(
        server="SQL1",
        database=database,
        mark_name=mark,
        mark_lsn=355 if mark else None,
        at=MADE,
        log_backup_id="01KJJ000000000000000000LOG",
        tables={"dbo.Octopus_Agents": exact(2), "dbo.Octopus_Episodes": around(3, 5)},
    ).model_copy(update=changes)


def backup(kind: Kind, number: int, stripes: int = 1) -> GlassBackup:
    ending = "trn" if kind is Kind.LOG else "bak"
    return GlassBackup(
        backup_id=f"01KJJ00000000000000000000{number}",
        kind=kind,
        finished_at=MADE - timedelta(hours=9 - number),
        files=tuple(
            GlassFile(
                f"data/sqlserver/SQL1/OctopusDB/{kind}/{number}/a1/{kind}-{stripe:02}.{ending}", 1000, None
            )
            for stripe in range(1, stripes + 1)
        ),
    )


def database(name: str = "OctopusDB", **changes: Any) -> GlassDatabase:
    made = GlassDatabase(
        side=side(name),
        server_version="16.0.4135.4",
        medium="url",
        backups=(
            backup(Kind.FULL, 1, 2),
            backup(Kind.DIFFERENTIAL, 2),
            backup(Kind.LOG, 3),
            backup(Kind.LOG, 4),
        ),
        data_files=(
            SqlDataFile(logical_name="Octopus", physical_name="D:\\o.mdf", type="data", size=5),
            SqlDataFile(logical_name="Octopus_log", physical_name="D:\\o.ldf", type="log", size=5),
        ),
    )
    return replace(made, **changes)


def content(name: str, peer: int) -> bytes:
    """The bytes of a snapshot."""
    return f"snapshot of {name} on {peer}".encode() * 100


def snapshot(name: str, peer: int, *, whole: bool = True) -> GlassSnapshot:
    data = content(name, peer)
    checksum = hashlib.sha256(data).hexdigest()
    path = f"data/qdrant/qdrant/snapshot_set/{hashlib.sha256(name.encode()).hexdigest()[:8]}-{peer}.snapshot"
    return GlassSnapshot(peer, GlassFile(path, len(data), checksum), checksum, whole)


def collection(
    name: str, points: Count | None = None, *, peers: tuple[int, ...] = (11,), aliases: tuple[str, ...] = ()
) -> GlassCollection:
    whole = len(peers) == 1
    snapshots = tuple(snapshot(name, peer, whole=whole) for peer in peers)
    return GlassCollection(name, points or exact(20), snapshots, aliases)


def glass(**changes: Any) -> Glass:
    about: dict[str, Any] = {
        key: changes.pop(key) for key in ("complete", "reasons", "name") if key in changes
    }
    point = RecoveryPoint(
        id=POINT_ID,
        name="before v7",
        run_id="run",
        made_at=MADE,
        complete=True,
        vectors=VectorSide(snapshot_set_id="set", started_at=MADE, finished_at=MADE, collections={}),
        sql=(side(),),
        skew_seconds=1,
    ).model_copy(update=about)
    made = Glass(
        point=point,
        account_url=ACCOUNT,
        backup_dir=None,
        databases=(database(),),
        collections=(collection("agent_1"),),
        left_out={},
        versions=("1.19.0",),
    )
    return replace(made, **changes)
