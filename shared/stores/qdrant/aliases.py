"""Aliases, which no snapshot holds: checked first, set in one request, read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.errors import NotFoundError, ProofFailedError, TargetInTheWayError
from shared.stores.qdrant.peers import Peers, names
from shared.stores.qdrant.peers import aliases as read_aliases


def restore_aliases(peers: Peers, wanted: Mapping[str, str]) -> dict[str, Any]:
    """Let every alias stand for its collection; one that stands for another collection is moved.

    The server applies a list of changes one by one and stops at the first that fails (measured on Qdrant
    1.16.3 and 1.19.0), so everything that can fail is looked at before anything is changed.

    Args:
        peers: the peers; aliases belong to the whole cluster.
        wanted: alias → collection.

    Returns:
        Evidence: ``aliases`` as read back, ``moved`` with what an alias stood for before.

    Raises:
        TargetInTheWayError: a collection has the name of an alias.
        NotFoundError: a collection that an alias is to stand for is not there.
        ProofFailedError: what was read back is not what was wanted.
    """
    if not wanted:
        return {"aliases": {}, "moved": {}}
    peer = peers.first
    there = set(names(peer))
    if in_the_way := sorted(set(wanted) & there):
        raise TargetInTheWayError(
            f"A collection is called like an alias that is to be restored: {in_the_way[0]!r}.",
            "Delete or rename that collection, or restore without this alias.",
            code="alias_is_collection",
        )
    if absent := sorted(set(wanted.values()) - there):
        raise NotFoundError(
            f"The collection {absent[0]!r}, which an alias is to stand for, is not there.",
            "Restore the collection first.",
            code="alias_without_collection",
        )
    before = read_aliases(peer)
    actions = [
        {"create_alias": {"alias_name": alias, "collection_name": collection}}
        for alias, collection in sorted(wanted.items())
    ]
    peer.repeat("POST", "collections", "aliases", body={"actions": actions})
    after = read_aliases(peer)
    wrong = sorted(alias for alias, collection in wanted.items() if after.get(alias) != collection)
    if wrong:
        raise ProofFailedError(
            f"{len(wrong)} alias(es) do not stand for what they should: {wrong[0]!r} stands for "
            f"{after.get(wrong[0])!r} instead of {wanted[wrong[0]]!r}.",
            "Repeat the step; somebody else may be changing aliases.",
            code="aliases_differ",
        )
    moved = {alias: before[alias] for alias in wanted if alias in before and before[alias] != wanted[alias]}
    return {"aliases": dict(wanted), "moved": moved}
