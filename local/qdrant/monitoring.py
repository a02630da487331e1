"""What an operator may watch: telemetry, metrics, a collection's info and shards."""

from __future__ import annotations

import uuid
from typing import Any

from local.qdrant.node import VERSION, Node
from local.qdrant.payload_indexes import shown
from local.qdrant.registry import Collection

GAUGES = (
    (
        "snapshot_creation_running",
        "amount of snapshot creations that are currently running",
        "gauge",
        "running_snapshots",
    ),
    (
        "snapshot_recovery_running",
        "amount of snapshot recovery operations currently running",
        "gauge",
        "running_snapshot_recovery",
    ),
    (
        "snapshot_created_total",
        "total amount of snapshots created",
        "counter",
        "total_snapshot_creations",
    ),
)


def info(collection: Collection) -> dict[str, Any]:
    """``GET /collections/{c}``."""
    with collection.lock:
        facts = collection.ask("Get Info", lambda shard: shard.info())
        schema = {
            field: shown(
                kept, sum(one.payload_schema[field].points for one in facts if field in one.payload_schema)
            )
            for field, kept in collection.schema.items()
        }
        return {
            "status": "yellow" if collection.busy else "green",
            "optimizer_status": "ok",
            "indexed_vectors_count": sum(one.indexed_vectors_count for one in facts),
            "points_count": sum(one.points_count for one in facts),
            "segments_count": sum(one.segments_count for one in facts),
            "config": {key: value for key, value in collection.config.items() if key != "uuid"},
            "payload_schema": schema,
            "update_queue": {"length": 0},
        }


def optimizations(collection: Collection) -> dict[str, Any]:
    """``GET /collections/{c}/optimizations``: nothing ever waits here."""
    segments = info(collection)["segments_count"]
    idle = {"queued_optimizations": 0, "queued_segments": 0, "queued_points": 0, "idle_segments": segments}
    return {"summary": idle, "running": []}


def placement(node: Node, collection: Collection) -> dict[str, Any]:
    """``GET /collections/{c}/cluster``: every shard is here; lost data counts 0 and still reads Active."""
    with collection.lock:
        counts = [0 for _ in collection.shard_ids]
        if not collection.broken:
            counts = collection.ask("Get Info", lambda shard: shard.info().points_count)
    return {
        "peer_id": node.registry.peer_id,
        "shard_count": len(counts),
        "local_shards": [
            {"shard_id": shard_id, "points_count": points, "state": "Active"}
            for shard_id, points in enumerate(counts)
        ],
        "remote_shards": [],
        "shard_transfers": [],
    }


def _snapshots(node: Node) -> list[dict[str, Any]]:
    """Also of a collection that is not there yet, while it is being recovered (measured on 1.19.0)."""
    activity = node.activity
    names = {*node.registry.names(), *(name for name, count in activity.recoveries.items() if count)}
    return [
        {
            "id": name,
            "running_snapshots": activity.snapshots[name],
            "running_snapshot_recovery": activity.recoveries[name],
            "total_snapshot_creations": activity.begun[name],
        }
        for name in sorted(names)
    ]


def telemetry(node: Node, level: int) -> dict[str, Any]:
    """``GET /telemetry``: an excerpt of the real one, with the counters of snapshots from level 3 on."""
    collections: dict[str, Any] = {
        "number_of_collections": len(node.registry.names()),
        "collections": [],
        "snapshots": [],
    }
    if level >= 3:
        collections["collections"] = [
            {"id": one.name, "config": one.config, "shards": _shards(node, one)}
            for one in node.registry.all()
        ]
        collections["snapshots"] = _snapshots(node)
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, str(node.registry.peer_id))),
        "app": {
            "name": "qdrant",
            "version": VERSION,
            "startup": node.started.strftime("%Y-%m-%dT%H:%M:%S.")
            + f"{node.started.microsecond // 1000:03d}Z",
        },
        "collections": collections,
        "cluster": {"enabled": False, "resharding_enabled": False},
    }


def _shards(node: Node, collection: Collection) -> list[dict[str, Any]]:
    status = "yellow" if collection.busy else "green"
    return [
        {
            "id": shard["shard_id"],
            "key": None,
            "local": {"variant_name": "local shard", "status": status, "num_points": shard["points_count"]},
            "remote": [],
            "replicate_states": {str(node.registry.peer_id): shard["state"]},
        }
        for shard in placement(node, collection)["local_shards"]
    ]


def metrics(node: Node) -> str:
    """``GET /metrics``: the lines about the server, its collections and their snapshots."""
    lines = [
        "# HELP app_info information about qdrant server",
        "# TYPE app_info gauge",
        f'app_info{{name="qdrant",version="{VERSION}"}} 1',
        "# HELP collections_total number of collections",
        "# TYPE collections_total gauge",
        f"collections_total {len(node.registry.names())}",
    ]
    counters = _snapshots(node)
    for name, meaning, kind, key in GAUGES:
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
        lines += [f'{name}{{id="{one["id"]}"}} {one[key]}' for one in counters]
    return "\n".join(lines) + "\n"
