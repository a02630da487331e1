"""One collection brought back: everything that can refuse comes first, the proof comes last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shared.blob.storage import Storage
from shared.clock import Clock
from shared.errors import InvalidRequestError, QdrantError, RefusedError, TargetInTheWayError
from shared.model.backups import CollectionFacts, QdrantFacts, SnapshotPart
from shared.model.plans import CollectionStep
from shared.stores.qdrant.client import Peer, address
from shared.stores.qdrant.inspect import is_custom
from shared.stores.qdrant.peers import Node, Peers, aliases, information, names
from shared.stores.qdrant.proof import prove, settle, wait_green
from shared.stores.qdrant.recover import recover, wait_idle
from shared.stores.qdrant.snapshots import create, demand_name_fits, described
from shared.stores.qdrant.verify import verify_part
from shared.stores.qdrant.versions import demand_not_older

BROKEN = 500
"""What every read of a collection answers that lost its data in a failed recovery (measured)."""


def restore(
    peers: Peers,
    storage: Storage,
    clock: Clock,
    step: CollectionStep,
    facts: QdrantFacts,
    *,
    begun_before: bool,
    copied: bool,
    progress: Callable[[int], None],
) -> dict[str, Any]:
    """Recover one collection from every peer's snapshot of it, and prove it.

    Nothing is changed before names, versions, shards, the shape of what is there and every byte of the
    snapshots have been looked at, and before every recovery that an earlier attempt left running has ended.
    The peers are restored one after the other, because each recovery demotes the other replicas.

    Args:
        peers: with the key that may restore.
        storage: where the snapshots are.
        clock: for waiting.
        step: what the plan says.
        facts: of the snapshot set that the step's parts belong to: versions, shards, counts.
        begun_before: whether an earlier attempt of this very step may have left the target behind.
        copied: whether a copy of what is overwritten exists already, so that the server need not keep one.
        progress: told how many bytes have been read and checked so far.

    Returns:
        Evidence: versions, safety snapshots, how each part was recovered, how long an earlier recovery was
        waited for, status, and what ``prove`` gives.

    Raises:
        RefusedError, LockedError, TargetInTheWayError, InvalidRequestError: before anything was changed.
        IntegrityError: a snapshot is not what was backed up; nothing was changed.
        ProofFailedError: the restored collection does not match the backup.
        QdrantError, UnreachableError: the server failed; the step can be repeated.
    """
    try:
        return _restored(peers, storage, clock, step, facts, begun_before, copied, progress)
    except QdrantError as error:
        error.specific_meaning = "The restore of this collection has not ended; the step can be repeated."
        raise


def _restored(
    peers: Peers,
    storage: Storage,
    clock: Clock,
    step: CollectionStep,
    facts: QdrantFacts,
    begun_before: bool,
    copied: bool,
    progress: Callable[[int], None],
) -> dict[str, Any]:
    collection, parts = _belonging(step, facts)
    nodes = peers.nodes()
    _demand_restorable(step, collection, parts, facts, nodes)
    # Asked for only where it can be: with a thousand collections telemetry is a long answer.
    waited = wait_idle(peers, step.target, clock) if begun_before else 0.0
    existed = _demand_free(peers.first, step, begun_before)
    if existed:
        demand_same_shape(peers.first, step.target, collection)
    pairs = assigned(parts, collection.shard_ids, nodes, list(peers))
    checked = 0
    for _, part in pairs:
        verify_part(storage, part, _after(checked, progress))
        checked += part.blob.size
    safety = _safety_snapshots(peers, step, clock) if existed and step.overwrites and not copied else []
    recovered = []
    for peer, part in pairs:
        recovered.append(recover(peer, storage, clock, step.target, part, fresh=not existed))
        settle(peers, step.target, clock)
        existed = True
    if begun_before or any(one["answer_lost"] for one in recovered):
        wait_idle(peers, step.target, clock)
    return {
        "collection": step.collection,
        "target": step.target,
        "versions": {"backup": facts.versions, "servers": {node.url: node.version for node in nodes}},
        "safety_snapshots": safety,
        "recovered": recovered,
        "waited_for_earlier_recovery": waited,
        "status": {peer.url: wait_green(peer, step.target, clock) for peer in peers},
        **prove(peers, step.target, collection),
    }


def assigned(
    parts: Sequence[SnapshotPart], shard_ids: Sequence[int], nodes: Sequence[Node], peers: Sequence[Peer]
) -> list[tuple[Peer, SnapshotPart]]:
    """Which peer recovers which part.

    Each peer gets its own snapshot where it still exists; on other peers (a new cluster) the parts go round.
    A server without cluster mode takes one snapshot only, which must hold every shard.

    Raises:
        RefusedError: it would need a cluster.
    """
    if not nodes[0].clustered:
        for part in parts:
            if set(shard_ids) <= _with_data(part):
                return [(peers[0], part)]
        raise RefusedError(
            "The shards of this collection are spread over several snapshots, and the server "
            "runs without cluster "
            "mode, which can only recover a snapshot that holds all of them.",
            "Restore onto a server in cluster mode; one peer is enough.",
            code="needs_cluster",
        )
    own = {node.id: peer for node, peer in zip(nodes, peers, strict=True)}
    if all(part.peer_id in own for part in parts):
        return [(own[part.peer_id], part) for part in parts]
    return [(peers[index % len(peers)], part) for index, part in enumerate(parts)]


def _belonging(step: CollectionStep, facts: QdrantFacts) -> tuple[CollectionFacts, list[SnapshotPart]]:
    collection = next((one for one in facts.collections if one.name == step.collection), None)
    known = {
        (part.peer_id, part.checksum): part for part in facts.parts if part.collection == step.collection
    }
    parts = [known.get((part.peer_id, part.checksum)) for part in step.parts]
    found = [part for part in parts if part is not None]
    if collection is None or not found or len(found) < len(parts):
        raise InvalidRequestError(
            f"The snapshot set does not hold what the plan wants to restore of {step.collection!r}.",
            "Make a new plan.",
            code="part_not_in_set",
        )
    return collection, found


def _demand_restorable(
    step: CollectionStep,
    collection: CollectionFacts,
    parts: Sequence[SnapshotPart],
    facts: QdrantFacts,
    nodes: Sequence[Node],
) -> None:
    address(step.target)
    if any(node.consensus != "working" for node in nodes):
        raise RefusedError(
            "The consensus of the Qdrant cluster does not work.",
            "The cluster cannot change collections now; look into its log first.",
            code="consensus_stopped",
        )
    for node in nodes:
        demand_name_fits(step.target, node.id)
        demand_not_older(node.version, facts.versions.values())
    if is_custom(collection.config):
        raise RefusedError(
            f"{step.collection!r} uses custom sharding, which Qdrant does not restore from snapshots.",
            "Its points would be missing without any error (qdrant/qdrant issue 10135). "
            "Index them again instead.",
            code="custom_sharding",
        )
    held = {shard_id for part in parts for shard_id in _with_data(part)}
    if missing := sorted(set(collection.shard_ids) - held):
        raise RefusedError(
            f"No snapshot in this set holds shard(s) {missing} of {step.collection!r}.",
            "Choose a complete recovery point.",
            code="shards_not_in_set",
        )


def _demand_free(peer: Peer, step: CollectionStep, begun_before: bool) -> bool:
    """Whether the target exists; an alias of that name is never touched, for it would be looked through."""
    behind = aliases(peer).get(step.target)
    if behind is not None:
        raise TargetInTheWayError(
            f"{step.target!r} is an alias of {behind!r}; restoring to it would overwrite that collection.",
            "Restore under a name that is not an alias.",
            code="target_is_alias",
        )
    exists = step.target in names(peer)
    if exists and not (step.overwrites or begun_before):
        raise TargetInTheWayError(
            f"A collection {step.target!r} is there, and the plan does not overwrite one.",
            "Make a new plan, in place or with another name.",
            code="target_exists",
        )
    return exists


def demand_same_shape(peer: Peer, name: str, wanted: CollectionFacts) -> None:
    """Demand that a collection that is there has the vectors and the number of shards of a backed-up one.

    Qdrant compares these and nothing else, and refuses (qdrant/qdrant 1.19.0, recover.rs, lines 220 to 231);
    here it is known before anything is read or written. Octopus, started too early, makes empty collections.

    Raises:
        TargetInTheWayError: it has not.
    """
    try:
        there = information(peer, name)["config"]
    except QdrantError as error:
        if error.status != BROKEN:
            raise
        return  # it lost its data, and a good recovery mends it (measured): nothing can be compared
    if not wanted.config:
        return  # it could not be read when the snapshot was taken
    now, then = _shape(there), _shape(wanted.config)
    if now != then:
        raise TargetInTheWayError(
            f"The collection {name!r} that is there has {_told(now)}; the backup of {wanted.name!r} has "
            f"{_told(then)}.",
            "Delete it (an Octopus started too early leaves empty ones), or restore under a new name.",
            code="incompatible_collection",
        )


def _shape(config: Mapping[str, Any]) -> tuple[dict[str, tuple[Any, Any]], int]:
    """Size and distance of each named vector (an only vector's name is empty), and the number of shards."""
    params = config.get("params") or {}
    vectors = params.get("vectors") or {}
    named = {"": vectors} if "size" in vectors else vectors
    return (
        {name: (one.get("size"), one.get("distance")) for name, one in named.items()},
        int(params.get("shard_number") or 1),
    )


def _told(shape: tuple[dict[str, tuple[Any, Any]], int]) -> str:
    vectors = ", ".join(
        f"{size} dimensions ({distance})" + (f" in {name!r}" if name else "")
        for name, (size, distance) in sorted(shape[0].items())
    )
    return f"{vectors or 'no dense vectors'} and {shape[1]} shard(s)"


def _safety_snapshots(peers: Peers, step: CollectionStep, clock: Clock) -> list[dict[str, Any]]:
    """A snapshot of what is about to be overwritten, on every peer that holds shards; they stay there."""
    return [
        {"peer_id": placement.peer_id, **_made(peer, step.target, clock)}
        for peer, placement in peers.placements(step.target)
        if placement.local
    ]


def _made(peer: Peer, collection: str, clock: Clock) -> dict[str, Any]:
    return described(peer, collection, create(peer, collection, clock)).as_json()


def _with_data(part: SnapshotPart) -> set[int]:
    return {shard.shard_id for shard in part.shards if shard.segments and shard.has_wal}


def _after(done: int, progress: Callable[[int], None]) -> Callable[[int], None]:
    return lambda passed: progress(done + passed)
