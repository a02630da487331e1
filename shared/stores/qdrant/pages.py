"""Points of a collection, page by page, with a few payload fields and no vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.errors import QdrantError, RefusedError
from shared.stores.qdrant.client import Peer

PAGE = 500
"""Points of one page: of a few payload fields each, about 150 KB of JSON."""

SLOW_SECONDS = 600.0
"""How long an answer may take that makes the server read every payload of a collection. Octopus' collections
have no payload index, so a filter costs that; a page of it may hold the rest of the collection."""

MOST_READ = 1_000_000
"""Points that are read through us where the server refuses a filter: about ten minutes."""

NOT_INDEXED = 400
"""A filter over a field without an index, where the collection's strict mode asks for one (measured)."""


def pages(
    peer: Peer, collection: str, fields: Sequence[str], where: Mapping[str, Any] | None = None
) -> Iterator[list[dict[str, Any]]]:
    """Every point that a filter matches, in pages in the order of the ids; memory holds one page.

    Args:
        peer: any peer; it asks the others.
        collection: the collection.
        fields: payload fields to be shown.
        where: a filter; every point if None.

    Raises:
        QdrantError: the server refuses, for instance a filter (status 400).
    """
    offset: Any = None
    while True:
        body: dict[str, Any] = {"limit": PAGE, "with_payload": list(fields), "with_vector": False}
        if where is not None:
            body["filter"] = where
        if offset is not None:
            body["offset"] = offset
        page = peer.read("collections", collection, "points", "scroll", body=body, seconds=SLOW_SECONDS)
        yield page["points"]
        offset = page.get("next_page_offset")
        if offset is None:
            return


def every(peer: Peer, collection: str, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Every point, at most ``MOST_READ`` of them: for who has to choose among them without the server.

    Raises:
        RefusedError: the collection has more.
        QdrantError: the server refuses.
    """
    read = 0
    for page in pages(peer, collection, fields):
        read += len(page)
        if read > MOST_READ:
            raise RefusedError(
                f"{collection!r} has more than {MOST_READ:,} points, and its strict mode refuses filters "
                "over fields without an index.",
                "Allow unindexed_filtering_retrieve for a while, or index the field.",
                code="too_many_points",
            )
        yield from page


def count(peer: Peer, collection: str, where: Mapping[str, Any]) -> int:
    """How many points a filter matches, exactly, in the whole collection.

    Raises:
        QdrantError: the server refuses, for instance the filter (status 400).
    """
    body = {"filter": where, "exact": True}
    return int(
        peer.read("collections", collection, "points", "count", body=body, seconds=SLOW_SECONDS)["count"]
    )


def refused_filter(error: QdrantError) -> bool:
    """Whether the server refused the question itself, so that the answer has to be found without it."""
    return error.status == NOT_INDEXED
