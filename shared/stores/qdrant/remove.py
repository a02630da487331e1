"""A collection deleted, once a copy of it is proven."""

from __future__ import annotations

from typing import Any

from shared.errors import ProofFailedError, RefusedError
from shared.stores.qdrant.peers import Peers, aliases, exact_count, names


def remove(peers: Peers, collection: str, copy: str, points: int) -> dict[str, Any]:
    """Delete a collection, if every peer counts as many points in it as in its copy.

    Safe to repeat: one that is gone already is as good as deleted.

    Args:
        peers: with the key that may restore.
        collection: what is deleted; a name that is no alias, because deleting goes by names only.
        copy: the collection that holds the same points.
        points: how many both must have.

    Returns:
        Evidence: ``deleted``, whether it was there, and the points of the copy by peer.

    Raises:
        RefusedError: an alias stands for it or has its name, or the counts differ; nothing was changed.
        ProofFailedError: it is still there afterwards.
    """
    copied = {peer.url: exact_count(peer, copy) for peer in peers}
    _demand(copy, copied, points)
    if collection not in names(peers.first):
        return {"deleted": collection, "was_there": False, "copy": copy, "points": copied}
    standing = sorted(alias for alias, behind in aliases(peers.first).items() if behind == collection)
    if standing:
        raise RefusedError(
            f"The alias {standing[0]!r} stands for {collection!r}, and would be deleted with it.",
            "Somebody works with it by that name. Point the alias elsewhere first.",
            code="alias_in_use",
        )
    _demand(collection, {peer.url: exact_count(peer, collection) for peer in peers}, points)
    peers.first.repeat("DELETE", "collections", collection)
    for peer in peers:
        if collection in names(peer):
            raise ProofFailedError(
                f"{collection!r} is still there on {peer.url} after it was deleted.",
                "Does something make it again? Stop the Octopus API, then repeat.",
                code="not_deleted",
            )
    return {"deleted": collection, "was_there": True, "copy": copy, "points": copied}


def _demand(collection: str, counted: dict[str, int], points: int) -> None:
    wrong = {url: number for url, number in counted.items() if number != points}
    if wrong:
        raise RefusedError(
            f"{collection!r} has {wrong} points by the count of these peers; {points} were copied.",
            "Something writes to it. Stop that, then quarantine it again from the beginning.",
            code="changed_since_copy",
        )
