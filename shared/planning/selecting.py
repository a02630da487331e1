"""Which collections of a snapshot set are restored, from which snapshots, and which are left out and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from shared.model.backups import CollectionFacts, QdrantFacts, SnapshotPart
from shared.octopus.collections import agent_of


@dataclass(frozen=True)
class Selection:
    """Collections to restore with their snapshots, by peer; those left out with a reason in words."""

    parts: Mapping[str, tuple[SnapshotPart, ...]]
    left_out: Mapping[str, str]
    without_agent: frozenset[str]


def select(facts: QdrantFacts, agents: Collection[str] | None, named: Collection[str]) -> Selection:
    """Choose the collections to restore.

    Left out is a collection whose agent was deleted before the SQL point, and one of which a shard is in no
    snapshot; both are restored all the same when a person names them. One with custom sharding is always left
    out: Qdrant recovers it without its points (qdrant issue 10135).

    Args:
        facts: the snapshot set.
        agents: ids of the agents that SQL Server will know after the restore; None if nobody can say.
        named: collections that the request names.
    """
    known = None if agents is None else {agent.lower() for agent in agents}
    parts: dict[str, tuple[SnapshotPart, ...]] = {}
    left_out: dict[str, str] = {}
    without_agent: set[str] = set()
    for collection in sorted(facts.collections, key=lambda collection: collection.name):
        name = collection.name
        holding = tuple(part for part in facts.parts if part.collection == name and _holds_data(part))
        agent = agent_of(name)
        reason = _incomplete(collection, holding)
        if known is not None and agent is not None and agent not in known:
            without_agent.add(name)
            reason = reason or f"its agent {agent} was deleted between the snapshot and the SQL point"
        if _custom_sharding(collection):
            left_out[name] = "it has custom sharding, and Qdrant loses the points of such a collection"
        elif holding and (reason is None or name in named):
            parts[name] = tuple(sorted(holding, key=lambda part: part.peer_id))
        else:
            left_out[name] = reason or "no snapshot of it holds data"
    return Selection(parts, left_out, frozenset(without_agent))


def _holds_data(part: SnapshotPart) -> bool:
    # A peer without shards of a collection makes a snapshot that restores nothing and answers 200 (measured
    # on Qdrant 1.16.3 and 1.19.0).
    return any(shard.segments and shard.has_wal for shard in part.shards)


def _custom_sharding(collection: CollectionFacts) -> bool:
    params = collection.config.get("params") or {}
    return bool(params.get("sharding_method") == "custom")


def _incomplete(collection: CollectionFacts, parts: Collection[SnapshotPart]) -> str | None:
    held = {shard.shard_id for part in parts for shard in part.shards if shard.segments and shard.has_wal}
    missing = sorted(set(collection.shard_ids) - held)
    if missing or not parts:
        shards = ", ".join(str(shard) for shard in missing) or "all"
        return f"no snapshot in the set holds its shards {shards}"
    return None
