"""What a collection's payloads tell: what was indexed after an instant, and who is named in them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.errors import QdrantError
from shared.stores.qdrant import Expected, QdrantStore, pages
from tests.stores.qdrant.conftest import Naming
from tests.stores.qdrant.server import Server

pytestmark = pytest.mark.real

SINCE = datetime(2026, 1, 31, 4, tzinfo=UTC)
ALICE = "7f3a8b2c-4d5e-6f7a-8b9c-0d1e2f3a4b5c"
BOB = "00000000-0000-4000-8000-000000000001"
TENANT = "5d0f1a20-1111-4222-8333-444455556666"


def fill(server: Server, name: str, payloads: list[dict[str, Any]]) -> str:
    server.create(name)
    points = [{"id": n, "vector": [1.0] * 8, "payload": one} for n, one in enumerate(payloads, 1)]
    server.ask("PUT", server.path(name, "points"), {"points": points}, wait="true")
    return name


def at(time: Any, **more: Any) -> dict[str, Any]:
    return {"source": "a.pdf", "agentId": ALICE, "indexedAt": time, **more}


def test_only_what_was_indexed_later_is_given_whatever_the_spelling_of_its_time(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = fill(
        server,
        named(),
        [
            at("2026-01-31T04:00:00Z"),
            at("2026-01-31T04:00:00.000001Z"),
            at("2026-01-31T06:30:00+02:00"),
            at("2026-01-31T05:30:00+02:00"),
            at("2026-01-31T05:00:00"),
        ],
    )
    found = [payload["indexedAt"] for page in store.indexed_after(name, SINCE) for payload in page]
    assert sorted(found) == [
        "2026-01-31T04:00:00.000001Z", "2026-01-31T05:00:00", "2026-01-31T06:30:00+02:00",
    ]  # fmt: skip
    assert store.undated(name) == 0


def test_points_that_do_not_say_when_they_were_indexed_are_counted(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    payloads = [at("2026-01-31T05:00:00Z"), at(None), at("yesterday"), at(1769832000), {}]
    name = fill(server, named(), payloads)
    assert store.undated(name) == 4


def test_many_points_come_in_pages(
    server: Server, store: QdrantStore, named: Naming, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE", 7)
    name = fill(server, named(), [at("2026-02-01T00:00:00Z") for _ in range(30)])
    found = [len(page) for page in store.indexed_after(name, SINCE)]
    assert sum(found) == 30
    assert max(found) <= 7


def test_a_collection_that_is_gone_says_so(store: QdrantStore, named: Naming) -> None:
    with pytest.raises(QdrantError) as gone:
        list(store.indexed_after(named(), SINCE))
    assert gone.value.status == 404


def test_a_collection_that_names_only_its_own_agent_is_in_order(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    spelled = [ALICE, ALICE.upper(), ALICE.replace("-", "")]
    name = fill(server, named(), [{"agentId": one, "tenantId": TENANT} for one in spelled])
    found = store.strays(name, Expected(agents=(ALICE,), tenants=(TENANT.upper(),)))
    assert not found.disagreeing
    assert (found.without_agent, found.without_tenant, found.examples) == (0, 0, ())


def test_points_of_another_agent_or_tenant_are_counted_exactly_and_shown(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    payloads = [
        *({"agentId": ALICE, "tenantId": TENANT} for _ in range(8)),
        *({"agentId": BOB, "tenantId": TENANT, "source": "bob.pdf"} for _ in range(7)),
        *({"agentId": ALICE, "tenantId": "another"} for _ in range(3)),
        *({"tenantId": TENANT} for _ in range(2)),
        {"agentId": ALICE},
    ]
    found = store.strays(fill(server, named(), payloads), Expected(agents=(ALICE,), tenants=(TENANT,)))
    assert (found.other_agent, found.without_agent) == (7, 2)
    assert (found.other_tenant, found.without_tenant) == (3, 1)
    assert len(found.examples) == 5
    assert {one["agentId"] for one in found.examples} <= {ALICE, BOB, None}
    assert found.examples[0] == {"id": "9", "agentId": BOB, "tenantId": TENANT, "source": "bob.pdf"}


def test_in_a_shared_collection_every_known_agent_may_be_named_and_none_must_be(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    stranger = "11111111-1111-4111-8111-111111111111"
    payloads = [{"agentId": ALICE}, {"agentId": BOB}, {"agentId": stranger}, {"content": "for everybody"}]
    name = fill(server, named(), payloads)
    found = store.strays(name, Expected(agents=(ALICE, BOB), agentless=True))
    assert (found.other_agent, found.without_agent, found.other_tenant) == (1, 1, 0)
    assert [one["agentId"] for one in found.examples] == [stranger]


def test_without_a_single_known_agent_every_named_one_is_a_stranger(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = fill(server, named(), [{"agentId": ALICE}, {}])
    found = store.strays(name, Expected(agents=(), agentless=True))
    assert (found.other_agent, found.without_agent) == (1, 1)


def test_a_tenant_that_is_a_number_may_be_written_as_one(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = fill(server, named(), [{"agentId": ALICE, "tenantId": one} for one in (42, "42", 43)])
    found = store.strays(name, Expected(agents=(ALICE,), tenants=("42",)))
    assert found.other_tenant == 1


def test_a_survey_tells_what_every_peer_counts_and_misses(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name, absent = server.create(named(), 12), named()
    there, missing = store.survey([name, absent])
    assert set(there.counts.values()) == {12}
    assert there.green
    assert set(there.optimizers.values()) == {"ok"}
    assert missing.missing == tuple(server.urls)
    assert missing.counts == {}
