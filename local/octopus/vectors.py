"""The product's points in Qdrant: one collection an agent, made on first use."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from local.octopus.embedding import SIZE

BATCH = 100
"""Points in one request: about 1 MB of JSON, and a retry repeats little."""

PAGE = 256
"""Points in one page of a scroll."""

SECONDS = 30.0
NOT_FOUND = 404
CONFLICT = 409


@dataclass(frozen=True)
class Point:
    """One point: its id, its vector and its payload."""

    id: uuid.UUID
    vector: Sequence[float]
    payload: dict[str, Any]


@dataclass(frozen=True)
class Hit:
    """A point that was found: how near it is (cosine) and its payload."""

    score: float
    payload: dict[str, Any]


def collection_of(agent_id: uuid.UUID) -> str:
    """The name of an agent's collection: ``agent_`` and 32 hexadecimal digits without dashes."""
    return f"agent_{agent_id.hex}"


class Vectors:
    """One Qdrant server.

    Args:
        url: its REST address.

    Every method raises ``httpx.HTTPError`` when the server does not answer or answers with an error.
    """

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=SECONDS, trust_env=False)

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def collections(self) -> list[str]:
        """The names of all collections, sorted."""
        return sorted(one["name"] for one in self._ask("GET", "/collections")["collections"])

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Write points, in batches, each waited for; the collection is made when it is not there."""
        self._ensure(collection)
        for start in range(0, len(points), BATCH):
            batch = [
                {"id": str(point.id), "vector": list(point.vector), "payload": point.payload}
                for point in points[start : start + BATCH]
            ]
            self._ask("PUT", f"{_path(collection)}/points?wait=true", {"points": batch})

    def search(self, collection: str, vector: Sequence[float], limit: int) -> list[Hit]:
        """The nearest points, nearest first; none when there is no such collection."""
        body = {"query": list(vector), "limit": limit, "with_payload": True}
        try:
            found = self._ask("POST", f"{_path(collection)}/points/query", body)
        except httpx.HTTPStatusError as error:
            if error.response.status_code == NOT_FOUND:
                return []
            raise
        return [Hit(one["score"], one["payload"]) for one in found["points"]]

    def scroll(self, collection: str) -> Iterator[dict[str, Any]]:
        """Every point with id, payload and vector, in the order of the ids."""
        offset = None
        while True:
            body = {"limit": PAGE, "with_payload": True, "with_vector": True, "offset": offset}
            page = self._ask("POST", f"{_path(collection)}/points/scroll", body)
            yield from page["points"]
            offset = page["next_page_offset"]
            if offset is None:
                return

    def _ensure(self, collection: str) -> None:
        if self._ask("GET", f"{_path(collection)}/exists")["exists"]:
            return
        try:
            self._ask("PUT", _path(collection), {"vectors": {"size": SIZE, "distance": "Cosine"}})
        except httpx.HTTPStatusError as error:
            if error.response.status_code != CONFLICT:  # somebody else was faster
                raise

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        response = self._http.request(method, path, json=body)
        response.raise_for_status()
        return response.json()["result"]


def _path(collection: str) -> str:
    return f"/collections/{quote(collection, safe='')}"
