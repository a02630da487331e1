"""Copies that a drill restored: searched as their users search them, and removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.clock import Clock
from shared.errors import ProofFailedError, RefusedError
from shared.planning.drilling import is_copy
from shared.stores.qdrant.client import Peer
from shared.stores.qdrant.peers import Peers, aliases, exact_count, names
from shared.stores.qdrant.recover import wait_idle
from shared.stores.qdrant.waiting import until

FOUND = 3
"""Points that a sample's search asks for."""

GONE_SECONDS = 60.0
"""How long the peers of a cluster may take to agree that a collection is gone."""


def search(peer: Peer, collection: str) -> dict[str, Any]:
    """Search a collection for the neighbours of one of its own points.

    Returns:
        ``points`` (how many there are) and ``found`` (how many the search gave; None where no point has a
        vector that could be searched for). What they hold is not kept.

    Raises:
        ProofFailedError: there are points, but none is given back.
    """
    count = exact_count(peer, collection)
    if not count:
        return {"points": 0, "found": 0}
    body = {"limit": 1, "with_payload": False, "with_vector": True}
    page = peer.read("collections", collection, "points", "scroll", body=body)["points"]
    if not page:
        raise _nothing(collection, count)
    known = _known_vector(page[0].get("vector"))
    if known is None:
        return {"points": count, "found": None}
    using, vector = known
    wanted = {"query": vector, "limit": FOUND, "with_payload": True} | ({"using": using} if using else {})
    hits = peer.read("collections", collection, "points", "query", body=wanted)["points"]
    if not hits:
        raise _nothing(collection, count)
    return {"points": count, "found": len(hits)}


def _known_vector(vector: Any) -> tuple[str, Any] | None:
    """Some vector of a point, with its name; the name of an only vector is empty."""
    if isinstance(vector, Mapping):
        return next(((name, value) for name, value in sorted(vector.items()) if value), None)
    return ("", vector) if vector else None


def _nothing(collection: str, count: int) -> ProofFailedError:
    return ProofFailedError(
        f"{collection!r} counts {count} points, and a search finds none.",
        "Restore from another backup.",
        code="search_finds_nothing",
    )


def drop_copy(peers: Peers, clock: Clock, collection: str, *, settled: bool) -> str:
    """Remove a collection that a drill restored, when no recovery of it runs any more.

    A recovery goes on when its client is gone, and makes the collection anew (measured); so it is waited for.

    Args:
        peers: with the key that may restore.
        clock: for waiting.
        collection: the copy.
        settled: whether its recovery is known to have ended. Asking costs more the more collections there
            are, so a thousand copies are not asked about one by one.

    Returns:
        ``dropped`` or ``absent``.

    Raises:
        RefusedError: the name is not that of a copy, or is an alias.
        LockedError: a recovery of it runs and does not end.
        QdrantError, UnreachableError: it could not be removed; repeat it.
    """
    if not is_copy(collection) or collection in aliases(peers.first):
        raise RefusedError(
            f"{collection[:128]!r} is not the name of a drill's copy, so it is not removed.",
            "Report this; nothing that is not a copy may come here.",
            code="not_a_copy",
        )
    if not settled:
        wait_idle(peers, collection, clock)
    if collection not in names(peers.first):
        return "absent"
    peers.first.repeat("DELETE", "collections", collection)
    gone = until(clock, GONE_SECONDS, lambda: all(collection not in names(peer) for peer in peers) or None)
    if not gone:
        raise ProofFailedError(
            f"{collection!r} was removed, but is still listed.",
            "Look at the cluster's consensus; then clean up again.",
            code="copy_still_there",
            meaning="A copy of a drill is left behind; it is neither backed up nor used.",
        )
    return "dropped"
