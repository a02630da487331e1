"""What a restored collection must show before it is believed.

A green status and an exact count prove little: a server reports both with vectors missing or bytes flipped
(measured on Qdrant 1.16.3 and 1.19.0). So every peer is asked, and points are read with vector and payload.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from shared.clock import Clock
from shared.errors import ProofFailedError, QdrantError, UnreachableError
from shared.model.backups import CollectionFacts, Count, Quality
from shared.stores.qdrant.client import Peer
from shared.stores.qdrant.peers import Peers, exact_count, information
from shared.stores.qdrant.waiting import until

SETTLE_SECONDS = 3600.0
"""How long replicas may take to become active; Qdrant copies them out itself."""
GREEN_SECONDS = 600.0
"""How long the optimizer is waited for. A yellow collection is whole, only slower; it is reported, not
refused."""

SAMPLE = 2_000
"""Points read back at most; a smaller collection is read whole."""
PAGE = 100  # points of 1,536 numbers are about 2 MB of JSON
_WINDOWS = SAMPLE // PAGE
_HALVINGS = 64  # enough to find the end of ids that all begin alike, as time-ordered UUIDs do
_NORM_TOLERANCE = 0.01  # float16 vectors are off by 0.001; a flipped byte is off by far more, or not finite


def settle(peers: Peers, collection: str, clock: Clock) -> None:
    """Wait until every peer says that all replicas are active and none is being moved.

    Raises:
        ProofFailedError: they are not, after an hour.
    """

    def settled() -> bool | None:
        try:
            return all(placement.settled for _, placement in peers.placements(collection)) or None
        except (UnreachableError, QdrantError):
            return None  # reads fail for some milliseconds while a shard is swapped (measured)

    if not until(clock, SETTLE_SECONDS, settled):
        states = [
            f"shard {shard.id} on peer {placement.peer_id} is {shard.state}"
            for _, placement in peers.placements(collection)
            for shard in placement.local
        ]
        raise ProofFailedError(
            f"After {SETTLE_SECONDS:.0f} s not every replica of {collection!r} is active: "
            f"{'; '.join(states)}.",
            "Look at the collection's cluster page and the servers' logs; repeat the step when all is well.",
            code="replicas_not_active",
        )


def wait_green(peer: Peer, collection: str, clock: Clock) -> str:
    """Wait for the optimizer; wake it once where it sleeps (grey). Gives the last status seen.

    Raises:
        ProofFailedError: the collection is red.
    """
    woken = False

    def status() -> str | None:
        nonlocal woken
        seen = str(information(peer, collection)["status"])
        if seen == "grey" and not woken:
            woken = True
            peer.repeat("PATCH", "collections", collection, body={"optimizers_config": {}})
        return seen if seen in ("green", "red") else None

    last = until(clock, GREEN_SECONDS, status) or str(information(peer, collection)["status"])
    if last == "red":
        raise ProofFailedError(
            f"The status of {collection!r} on {peer.url} is red.",
            "Look into the server's log; a full disk is a common reason.",
            code="collection_red",
        )
    return last


def prove(peers: Peers, collection: str, facts: CollectionFacts) -> dict[str, Any]:
    """Compare the restored collection with what was backed up.

    Args:
        peers: all of them are asked.
        collection: the restored collection's name.
        facts: what the manifest says of it.

    Returns:
        Evidence: ``points`` (expected and counted per peer), ``shards``, ``read_back``.

    Raises:
        ProofFailedError: a count, a shard or a point is not as it should be.
    """
    counts = {peer.url: exact_count(peer, collection) for peer in peers}
    for url, count in counts.items():
        _demand_count(collection, url, count, facts.points)
    if len(set(counts.values())) > 1:
        raise ProofFailedError(
            f"The peers count {collection!r} differently: {counts}.",
            "Its replicas differ. Repeat the step, one peer after the other.",
            code="peers_disagree",
        )
    shards = _shards(peers, collection, facts)
    total = next(iter(counts.values()))
    read = _read_back(peers.first, collection, total)
    return {
        "points": {"expected": facts.points.as_json(), "counted": counts},
        "shards": shards,
        "read_back": read,
    }


def _demand_count(collection: str, url: str, count: int, expected: Count) -> None:
    exact = expected.quality in (Quality.EXACT, Quality.REFERENCE)
    low = expected.value if exact or expected.low is None else expected.low
    high = expected.value if exact or expected.high is None else expected.high
    if not low <= count <= high:
        wanted = str(low) if low == high else f"{low} to {high}"
        raise ProofFailedError(
            f"{collection!r} has {count} points by the count of {url}; the backup has {wanted}.",
            "Was something written to it meanwhile? If not, verify the backup and restore from another one.",
            code="count_differs",
        )


def _shards(peers: Peers, collection: str, facts: CollectionFacts) -> list[dict[str, Any]]:
    replicas = [
        {"peer_id": placement.peer_id, "shard_id": shard.id, "state": shard.state, "points": shard.points}
        for _, placement in peers.placements(collection)
        for shard in placement.local
    ]
    active = {one["shard_id"] for one in replicas if one["state"] == "Active"}
    if missing := sorted(set(facts.shard_ids) - active):
        raise ProofFailedError(
            f"No peer holds an active replica of shard(s) {missing} of {collection!r}.",
            "Repeat the step; if it stays so, restore under a new name.",
            code="shards_missing",
        )
    return replicas


def _read_back(peer: Peer, collection: str, total: int) -> dict[str, Any]:
    kinds = _vector_kinds(information(peer, collection)["config"]["params"])
    seen: set[str] = set()
    vectors = 0
    for point in _whole(peer, collection) if total <= SAMPLE else _spread(peer, collection):
        seen.add(str(point["id"]))
        vectors += _judge(collection, point, kinds)
    if not seen and total:
        raise ProofFailedError(
            f"{collection!r} counts {total} points but gives none of them back.",
            "Restore from another backup.",
            code="points_unreadable",
        )
    if total <= SAMPLE and len(seen) != total:
        raise ProofFailedError(
            f"{collection!r} counts {total} points but gives {len(seen)} of them back.",
            "Was something written to it meanwhile? If not, restore from another backup.",
            code="points_unreadable",
        )
    return {"points": len(seen), "of": total, "vectors": vectors, "sampled": total > SAMPLE}


def _vector_kinds(params: Mapping[str, Any]) -> dict[str, bool]:
    """Vector name → whether its length must be one; the name of an only vector is empty."""
    vectors = params.get("vectors") or {}
    named = {"": vectors} if "size" in vectors else vectors
    return {
        name: one.get("distance") == "Cosine" and one.get("datatype") in (None, "float32", "float16")
        for name, one in named.items()
    }


def _judge(collection: str, point: Mapping[str, Any], kinds: Mapping[str, bool]) -> int:
    """Look at one point; gives the number of its vectors."""
    vector = point.get("vector")
    named: Mapping[str, Any] = vector if isinstance(vector, dict) else {"": vector} if vector else {}
    if "" in kinds and not named:
        raise _unsound(collection, point, "has no vector")
    for name, value in named.items():
        rows = value["values"] if isinstance(value, dict) else value
        for row in rows if rows and isinstance(rows[0], list) else [rows]:
            if not all(isinstance(number, int | float) and math.isfinite(number) for number in row):
                raise _unsound(collection, point, "has a vector with a number that is none")
            norm = math.hypot(*row)
            if kinds.get(name) and norm and abs(norm - 1) > _NORM_TOLERANCE:
                raise _unsound(
                    collection, point, f"has a vector of length {norm:.3g}; under Cosine it must be 1"
                )
    return len(named)


def _unsound(collection: str, point: Mapping[str, Any], what: str) -> ProofFailedError:
    return ProofFailedError(
        f"The point {point.get('id')!r} of {collection!r} {what}.",
        "The snapshot was damaged before its checksum was taken. Restore from another backup.",
        code="point_unsound",
    )


def _whole(peer: Peer, collection: str) -> Iterator[dict[str, Any]]:
    offset: Any = None
    for _ in range(_WINDOWS + 1):
        points, offset = _scroll(peer, collection, offset, PAGE)
        yield from points
        if offset is None:
            return


def _spread(peer: Peer, collection: str) -> Iterator[dict[str, Any]]:
    """Windows of points at even distances. The server orders numbers before UUIDs, each by value."""
    kinds = [ids for ids in (_Numbers(peer, collection), _Uuids(peer, collection)) if ids.first() is not None]
    for ids in kinds:
        for start in ids.starts(_WINDOWS // len(kinds)):
            points, _ = _scroll(peer, collection, start, PAGE)
            yield from points


class _Numbers:
    """The ids of a collection that are numbers, by value."""

    top = 2**64 - 1

    def __init__(self, peer: Peer, collection: str) -> None:
        self._peer, self._collection = peer, collection

    def first(self, at_least: int = 0) -> int | None:
        """The smallest id from this value on."""
        points, _ = _scroll(self._peer, self._collection, self.as_id(at_least), 1, bare=True)
        return self.value_of(points[0]["id"]) if points else None

    def starts(self, windows: int) -> list[int | str]:
        """Ids, not necessarily used, that divide what is used evenly."""
        low = self.first() or 0
        last, high = low, self.top
        for _ in range(_HALVINGS):
            middle = (last + high + 1) // 2
            found = self.first(middle)
            last, high = (found, high) if found is not None else (last, max(last, middle - 1))
        return [self.as_id(low + step * (last - low) // windows) for step in range(windows)]

    def as_id(self, value: int) -> int | str:
        """The id of that value."""
        return value

    def value_of(self, point_id: Any) -> int | None:
        """The value of an id, or None if it is of the other kind."""
        return point_id if isinstance(point_id, int) else None


class _Uuids(_Numbers):
    """The ids of a collection that are UUIDs, by value."""

    top = 2**128 - 1

    def as_id(self, value: int) -> int | str:
        return str(uuid.UUID(int=value))

    def value_of(self, point_id: Any) -> int | None:
        return uuid.UUID(point_id).int if isinstance(point_id, str) else None


def _scroll(
    peer: Peer, collection: str, offset: Any, limit: int, *, bare: bool = False
) -> tuple[list[dict[str, Any]], Any]:
    body: dict[str, Any] = {"limit": limit, "with_payload": not bare, "with_vector": not bare}
    if offset is not None:
        body["offset"] = offset
    try:
        page = peer.read("collections", collection, "points", "scroll", body=body)
    except QdrantError as error:
        if error.status != 500:
            raise
        raise ProofFailedError(
            f"Points of {collection!r} cannot be read back: {error.message}",
            "The snapshot was damaged before its checksum was taken. Restore from another backup.",
            code="points_unreadable",
        ) from None
    return page["points"], page.get("next_page_offset")
