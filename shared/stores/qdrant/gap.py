"""Points that were indexed after an instant, by what their payloads say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from shared.errors import QdrantError
from shared.octopus.payload import AGENT, DOCUMENT, INDEXED_AT, SOURCE, time_of
from shared.stores.qdrant.client import Peer
from shared.stores.qdrant.pages import PAGE, count, every, pages, refused_filter

_FIELDS = (SOURCE, DOCUMENT, AGENT, INDEXED_AT)
_EVER = "1970-01-01T00:00:00Z"


def indexed_after(peer: Peer, collection: str, since: datetime) -> Iterator[list[dict[str, Any]]]:
    """The payloads of every point whose ``indexedAt`` is later than an instant, in pages.

    Works without a payload index, by reading every payload in the server; where strict mode forbids that,
    every point is read through us, up to ``pages.MOST_READ``.

    Args:
        peer: any peer.
        collection: the collection.
        since: UTC.

    Raises:
        QdrantError: the server refuses; status 404 when there is no such collection.
        RefusedError: code ``too_many_points``.
    """
    stamp = since.astimezone(UTC).isoformat().replace("+00:00", "Z")
    later = {"must": [{"key": INDEXED_AT, "range": {"gt": stamp}}]}
    try:
        for page in pages(peer, collection, _FIELDS, later):
            yield [dict(point["payload"] or {}) for point in page]
    except QdrantError as error:
        if not refused_filter(error):
            raise
    else:
        return
    chosen: list[dict[str, Any]] = []
    for point in every(peer, collection, _FIELDS):
        payload = dict(point["payload"] or {})
        at = time_of(payload.get(INDEXED_AT))
        if at is not None and at > since:
            chosen.append(payload)
        if len(chosen) == PAGE:
            yield chosen
            chosen = []
    yield chosen


def undated(peer: Peer, collection: str) -> int | None:
    """How many points have no ``indexedAt`` that is a time: whether they are newer cannot be told.

    Returns:
        None where strict mode forbids the question.

    Raises:
        QdrantError: the server refuses for another reason.
    """
    dated = {"key": INDEXED_AT, "range": {"gte": _EVER}}
    try:
        return count(peer, collection, {"must_not": [dated]})
    except QdrantError as error:
        if refused_filter(error):
            return None
        raise
