"""Collections whose strict mode refuses filters without an index: what then, in the server's own words."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.errors import QdrantError, RefusedError
from shared.stores.qdrant import Expected, pages
from shared.stores.qdrant.client import Peer
from shared.stores.qdrant.gap import indexed_after, undated
from shared.stores.qdrant.strays import strays
from tests.unit.qdrant.conftest import Connect
from tests.unit.qdrant.recordings import exchange
from tests.unit.qdrant.scripted import Answer, Seen, result, scripted

SINCE = datetime(2026, 1, 31, tzinfo=UTC)
ALICE = "7f3a8b2c-4d5e-6f7a-8b9c-0d1e2f3a4b5c"
REFUSAL = exchange("1.19.0", "921-strict-count-unindexed-filter")["response"]


def strict(points: list[dict[str, Any]]) -> Callable[[Seen], Answer]:
    """A server with these payloads; it answers what it answered when this was recorded."""

    def answer(seen: Seen) -> Answer:
        body = json.loads(seen.start)
        if "filter" in body:
            return Answer(REFUSAL["status"], json.dumps(REFUSAL["json"]).encode())
        first = body.get("offset", 0)
        page = points[first : first + body["limit"]]
        following = first + body["limit"]
        made = [{"id": first + n, "payload": one} for n, one in enumerate(page)]
        return result({"points": made, "next_page_offset": following if following < len(points) else None})

    return answer


def test_what_is_newer_is_then_chosen_here(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE", 4)
    days = ["2026-01-30", "2026-01-31", "2026-02-01", "soon", None] * 3
    points = [{"indexedAt": day and f"{day}T00:00:00Z", "source": str(n)} for n, day in enumerate(days)]
    with scripted(strict(points)) as server:
        peer: Peer = connect(server.url)
        found = [one["source"] for page in indexed_after(peer, "c", SINCE) for one in page]
        assert undated(peer, "c") is None
    assert found == ["2", "7", "12"]


def test_strangers_are_then_told_apart_here(connect: Connect) -> None:
    points: list[dict[str, Any]] = [
        {"agentId": ALICE.upper(), "tenantId": 42},
        {"agentId": [ALICE], "tenantId": "42"},
        {"agentId": "bob", "tenantId": "42"},
        {"agentId": ALICE, "tenantId": "43"},
        {"agentId": [], "tenantId": "42"},
        {},
    ]
    with scripted(strict(points)) as server:
        found = strays(connect(server.url), "c", Expected(agents=(ALICE,), tenants=("42",)))
    assert (found.other_agent, found.without_agent) == (1, 2)
    assert (found.other_tenant, found.without_tenant) == (1, 1)
    assert [one["id"] for one in found.examples] == ["2", "3", "4", "5"]
    assert found.not_judged == ""


def test_a_collection_too_large_to_be_read_through_us_is_not_judged(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_READ", 5)
    with scripted(strict([{"agentId": ALICE}] * 9)) as server:
        peer = connect(server.url)
        with pytest.raises(RefusedError) as refused:
            list(indexed_after(peer, "c", SINCE))
        found = strays(peer, "c", Expected(agents=(ALICE,)))
    assert refused.value.specific_code == "too_many_points"
    assert "more than 5 points" in found.not_judged
    assert not found.disagreeing


def test_a_collection_that_cannot_be_read_at_all_is_not_judged_and_no_error(connect: Connect) -> None:
    broken = Answer(500, b'{"status": {"error": "Service internal error: Dirty shard"}}')
    with scripted(lambda _: broken) as server:
        found = strays(connect(server.url), "c", Expected(agents=(ALICE,)))
        with pytest.raises(QdrantError):
            undated(connect(server.url), "c")
    assert "Dirty shard" in found.not_judged
