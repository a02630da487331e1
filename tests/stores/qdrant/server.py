"""A Qdrant server as the tests prepare and look at it: plain requests, nothing of the store under test."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import httpx

PREFIX = "octopus_test_"


class Server:
    """The server under test.

    Args:
        urls: of its peers.
        key: may be empty.
        stand_in: whether it takes orders for faults.
    """

    def __init__(self, urls: tuple[str, ...], key: str, *, stand_in: bool) -> None:
        self.urls = urls
        self.key = key
        self.stand_in = stand_in
        self._http = httpx.Client(
            base_url=urls[0], headers={"api-key": key} if key else {}, timeout=60, trust_env=False
        )

    def close(self) -> None:
        self._http.close()

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        response = self._http.request(method, path, json=body, params=query)
        response.raise_for_status()
        return response.json().get("result")

    def order(self, **fault: Any) -> None:
        """Let the stand-in fail."""
        self._http.post("/_standin/faults", json=fault).raise_for_status()

    def forget_faults(self) -> None:
        self._http.delete("/_standin/faults").raise_for_status()

    def create(self, name: str, points: int = 0, *, dimension: int = 8, shards: int = 1, fat: int = 0) -> str:
        """A collection under ``name`` with the points 0 to ``points``."""
        self.ask(
            "PUT",
            self.path(name),
            {"vectors": {"size": dimension, "distance": "Cosine"}, "shard_number": shards},
        )
        self.write(name, range(points), dimension=dimension, fat=fat)
        return name

    def write(self, name: str, which: Iterable[int], *, dimension: int = 8, fat: int = 0) -> None:
        """Points of fixed ids and vectors; ``fat`` characters of payload that do not compress."""
        points = [point(index, dimension, fat) for index in which]
        for start in range(0, len(points), 200):
            self.ask("PUT", self.path(name, "points"), {"points": points[start : start + 200]}, wait="true")

    def drop(self, name: str) -> None:
        self._http.delete(self.path(name))

    def exists(self, name: str) -> bool:
        return bool(self.ask("GET", self.path(name, "exists"))["exists"])

    def count(self, name: str) -> int:
        return int(self.ask("POST", self.path(name, "points", "count"), {"exact": True})["count"])

    def snapshots(self, name: str) -> list[str]:
        return sorted(one["name"] for one in self.ask("GET", self.path(name, "snapshots")))

    def points(self, name: str) -> dict[str, Any]:
        """Every point's payload and vector by id."""
        found: dict[str, Any] = {}
        offset = None
        while True:
            page = self.ask(
                "POST",
                self.path(name, "points", "scroll"),
                {"limit": 500, "with_payload": True, "with_vector": True}
                | ({"offset": offset} if offset else {}),
            )
            found |= {str(one["id"]): (one["payload"], one["vector"]) for one in page["points"]}
            offset = page["next_page_offset"]
            if offset is None:
                return found

    def peer_id(self, name: str) -> int:
        return int(self.ask("GET", self.path(name, "cluster"))["peer_id"])

    def alias(self, alias: str, collection: str | None) -> None:
        """Let ``alias`` stand for the collection, or for nothing."""
        action: dict[str, Any] = (
            {"create_alias": {"alias_name": alias, "collection_name": collection}}
            if collection
            else {"delete_alias": {"alias_name": alias}}
        )
        self.ask("POST", "/collections/aliases", {"actions": [action]})

    @staticmethod
    def path(name: str, *more: str) -> str:
        return "/".join(("/collections", quote(name, safe=""), *more))


def point(index: int, dimension: int = 8, fat: int = 0) -> dict[str, Any]:
    """Always the same point for the same index."""
    seeded = random.Random(index)
    return {
        "id": str(uuid.UUID(int=seeded.getrandbits(128), version=4)),
        "vector": [seeded.uniform(-1, 1) for _ in range(dimension)],
        "payload": {"chunkIndex": index, "content": seeded.randbytes(fat // 2).hex()},
    }
