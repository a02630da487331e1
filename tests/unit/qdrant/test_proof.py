"""What a restored collection has to show: counts, shards, and points that can be read and make sense."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from shared.errors import ProofFailedError
from shared.model.backups import CollectionFacts, Count, Quality
from shared.stores.qdrant.peers import Peers
from shared.stores.qdrant.proof import SAMPLE, prove
from tests.unit.qdrant.scripted import Answer, Seen, result, scripted

Change = Callable[[dict[str, Any]], None]


class Collection:
    """A collection behind a socket, scrolled by id as the real server does: numbers first, then UUIDs."""

    def __init__(self, ids: list[int | str], *, vectors: dict[str, Any] | None = None) -> None:
        self.ids = sorted(ids, key=self._order)
        self.params: dict[str, Any] = {"vectors": vectors or {"size": 2, "distance": "Cosine"}}
        self.count = len(ids)
        self.vector: Any = [0.6, 0.8]
        self.states = ["Active"]
        self.scroll_status = 200

    @staticmethod
    def _order(one: int | str) -> tuple[bool, int]:
        return (False, one) if isinstance(one, int) else (True, uuid.UUID(one).int)

    def answer(self, seen: Seen) -> Answer:
        if seen.path.endswith("/count"):
            return result({"count": self.count})
        if seen.path.endswith("/cluster"):
            local = [{"shard_id": i, "points_count": 1, "state": s} for i, s in enumerate(self.states)]
            return result({"peer_id": 1, "local_shards": local, "remote_shards": [], "shard_transfers": []})
        if seen.path.endswith("/scroll"):
            return self._scroll(json.loads(seen.start))
        return result({"status": "green", "config": {"params": self.params}})

    def _scroll(self, body: dict[str, Any]) -> Answer:
        if self.scroll_status != 200:
            return Answer(self.scroll_status, b'{"status":{"error":"Service internal error: panic"}}')
        start = self._order(body["offset"]) if "offset" in body else (False, 0)
        found = [one for one in self.ids if self._order(one) >= start]
        page, rest = found[: body["limit"]], found[body["limit"] :]
        points = [
            {"id": one, "payload": {}} | ({"vector": self.vector} if body["with_vector"] else {})
            for one in page
        ]
        return result({"points": points, "next_page_offset": rest[0] if rest else None})


def proven(
    collection: Collection, expected: Count | None = None, shard_ids: tuple[int, ...] = (0,)
) -> dict[str, Any]:
    facts = CollectionFacts(
        name="c",
        config={},
        shard_ids=shard_ids,
        points=expected or Count(value=collection.count, quality=Quality.EXACT),
    )
    with scripted(collection.answer) as server:
        peers = Peers([server.url], None)
        try:
            return prove(peers, "c", facts)
        finally:
            peers.close()


def refused(collection: Collection, *args: Any) -> str:
    with pytest.raises(ProofFailedError) as failed:
        proven(collection, *args)
    assert failed.value.hint
    return failed.value.specific_code


def uuids(count: int) -> list[int | str]:
    seeded = random.Random(3)
    return [str(uuid.UUID(int=seeded.getrandbits(128))) for _ in range(count)]


def test_a_small_collection_is_read_whole() -> None:
    assert proven(Collection(uuids(350)))["read_back"] == {
        "points": 350, "of": 350, "vectors": 350, "sampled": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    "ids",
    [
        uuids(5_000),
        list(range(5_000)),
        [1_000_000 + 7 * index for index in range(5_000)],
        [str(uuid.UUID(int=(0x0190 << 112) + (index << 90))) for index in range(5_000)],
        [*range(3_000), *uuids(3_000)],
    ],
    ids=["random", "numbers", "numbers far off", "time-ordered", "both kinds"],
)
def test_a_large_collection_is_sampled_from_end_to_end(ids: list[int | str]) -> None:
    seen: set[int | str] = set()

    class Watched(Collection):
        def _scroll(self, body: dict[str, Any]) -> Answer:
            given = super()._scroll(body)
            assert isinstance(given.body, bytes)
            if body["with_vector"]:
                seen.update(one["id"] for one in json.loads(given.body)["result"]["points"])
            return given

    collection = Watched(ids)
    read = proven(collection)["read_back"]
    assert read["sampled"]
    assert 0.9 * SAMPLE <= read["points"] <= SAMPLE
    tenths = {collection.ids.index(one) * 10 // len(ids) for one in seen}
    assert len(tenths) == 10


@pytest.mark.parametrize("count", [9, 11])
def test_an_exact_count_must_be_met_exactly(count: int) -> None:
    assert refused(Collection(uuids(10)), Count(value=count, quality=Quality.EXACT)) == "count_differs"


@pytest.mark.parametrize(
    ("low", "high", "good"), [(8, 12, True), (10, 10, True), (11, 20, False), (1, 9, False)]
)
def test_an_approximate_count_must_be_within_its_interval(low: int, high: int, good: bool) -> None:
    expected = Count(value=low, quality=Quality.APPROXIMATE, low=low, high=high)
    if good:
        assert proven(Collection(uuids(10)), expected)["points"]["expected"]["high"] == high
    else:
        assert refused(Collection(uuids(10)), expected) == "count_differs"


def test_points_that_are_counted_but_cannot_be_read_are_no_points() -> None:
    collection = Collection(uuids(10))
    collection.count = 12
    assert refused(collection) == "points_unreadable"


def test_a_server_that_fails_while_points_are_read_is_reported() -> None:
    collection = Collection(uuids(10))
    collection.scroll_status = 500
    assert refused(collection) == "points_unreadable"


@pytest.mark.parametrize(
    "vector",
    [[16.1, 0.8], [0.1, 0.1], [None, 1.0], None, {}, [float("nan"), 1.0]],
    ids=["too long", "too short", "no number", "none", "empty", "not a number"],
)
def test_a_vector_that_makes_no_sense_is_found(vector: Any) -> None:
    collection = Collection(uuids(10))
    collection.vector = vector
    assert refused(collection) == "point_unsound"


@pytest.mark.parametrize(
    ("vectors", "vector"),
    [
        ({"size": 2, "distance": "Dot"}, [16.1, 514.0]),
        ({"size": 2, "distance": "Cosine", "datatype": "uint8"}, [200, 3]),
        ({"size": 2, "distance": "Cosine"}, [0.0, 0.0]),
        (
            {"text": {"size": 2, "distance": "Cosine"}},
            {"text": [0.6, 0.8], "bm25": {"indices": [1], "values": [7.5]}},
        ),
        ({"text": {"size": 2, "distance": "Cosine"}}, {}),
        ({"size": 2, "distance": "Cosine", "multivector_config": {}}, [[0.6, 0.8], [1.0, 0.0]]),
    ],
    ids=["dot", "bytes", "zero", "named and sparse", "not given", "several rows"],
)
def test_a_vector_of_any_allowed_kind_is_accepted(vectors: dict[str, Any], vector: Any) -> None:
    collection = Collection(uuids(10), vectors=vectors)
    collection.vector = vector
    assert proven(collection)["read_back"]["points"] == 10


def test_a_shard_without_an_active_replica_is_missing() -> None:
    collection = Collection(uuids(3))
    collection.states = ["Active", "Dead"]
    assert refused(collection, None, (0, 1)) == "shards_missing"
