"""Which collections of a snapshot set are restored, from which snapshots, and which are left out and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass

from shared.model.backups import CollectionFacts, QdrantFacts, SnapshotPart
from shared.octopus.collections import agent_of


@dataclass(frozen=True)
class Selection:
    """Collections to restore with their snapshots, by peer; those left out with a reason in words.

    ``without_agent`` are the collections whose agent SQL Server will not know; ``unheld_agents`` the agents
    that were asked for and have no collection in the set.
    """

    parts: Mapping[str, tuple[SnapshotPart, ...]]
    left_out: Mapping[str, str]
    without_agent: frozenset[str]
    unheld_agents: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a person wants of a snapshot set.

    ``named`` are collections that the request names, ``agents`` the ids (lower case, with dashes) of those
    whose collections alone are wanted, all if empty.
    """

    named: Collection[str] = ()
    agents: Collection[str] = ()


@dataclass(frozen=True, kw_only=True)
class Agents:
    """Who SQL Server will know after the restore.

    ``known`` are their ids, None if nobody can say; ``without`` the collections that the recovery point tells
    to have lost theirs; ``why`` says in words why an agent is not known.
    """

    known: Collection[str] | None
    without: Collection[str] = ()
    why: str = "was deleted between the snapshot and the SQL point"


def select(facts: QdrantFacts, agents: Agents, wish: Wish, gone: Container[str] = ()) -> Selection:
    """Choose the collections to restore.

    Left out is a collection whose agent SQL Server will not know, and one of which a shard is in no snapshot;
    both are restored all the same when a person names them. One with custom sharding is always left out:
    Qdrant recovers it without its points (qdrant issue 10135).

    Args:
        facts: the snapshot set.
        agents: those that SQL Server will know.
        wish: what is wanted.
        gone: the blobs that are not there any more, as ``container/name``.
    """
    known = None if agents.known is None else {agent.lower() for agent in agents.known}
    wanted = set(wish.agents)
    parts: dict[str, tuple[SnapshotPart, ...]] = {}
    left_out: dict[str, str] = {}
    without_agent: set[str] = set()
    held: set[str] = set()
    by_name: dict[str, list[SnapshotPart]] = defaultdict(list)
    for part in facts.parts:
        if _holds_data(part, gone):
            by_name[part.collection].append(part)
    for collection in sorted(facts.collections, key=lambda collection: collection.name):
        name = collection.name
        agent = agent_of(name)
        if wanted and agent not in wanted:
            continue
        held.add(agent or "")
        holding = by_name[name]
        reason = _incomplete(collection, holding)
        unknown = known is not None and agent is not None and agent not in known
        if unknown or name in agents.without:
            without_agent.add(name)
            reason = reason or f"its agent {agent} {agents.why}"
        if _custom_sharding(collection):
            left_out[name] = "it has custom sharding, and Qdrant loses the points of such a collection"
        elif holding and (reason is None or name in wish.named):
            parts[name] = tuple(sorted(holding, key=lambda part: part.peer_id))
        else:
            left_out[name] = reason or "no snapshot of it holds data"
    return Selection(parts, left_out, frozenset(without_agent), tuple(sorted(wanted - held)))


def _holds_data(part: SnapshotPart, gone: Container[str]) -> bool:
    if f"{part.blob.container}/{part.blob.name}" in gone:
        return False
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
