"""The copies of drills: searched, and removed."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator

import pytest

from shared.errors import QdrantError, RefusedError
from shared.stores.qdrant import QdrantStore
from tests.stores.qdrant.conftest import Naming, request_for, set_of, step_for
from tests.stores.qdrant.server import Server

pytestmark = pytest.mark.real


@pytest.fixture
def copy(server: Server) -> Iterator[str]:
    """A name of a drill's copy; what has it is removed afterwards."""
    name = f"drill_20260301t043000_{uuid.uuid4().hex[:12]}"
    yield name
    server.drop(name)


def test_a_copy_is_searched_and_removed(server: Server, store: QdrantStore, copy: str) -> None:
    server.create(copy, 20)
    assert store.search(copy) == {"points": 20, "found": 3}
    assert store.drop_copy(copy) == "dropped"
    assert not server.exists(copy)
    assert store.drop_copy(copy) == "absent"


def test_an_empty_collection_and_one_with_named_vectors_are_searched(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    assert store.search(server.create(named())) == {"points": 0, "found": 0}
    name = named()
    server.ask("PUT", server.path(name), {"vectors": {"text": {"size": 4, "distance": "Dot"}}})
    points = [{"id": number, "vector": {"text": [number, 1, 0, 0]}, "payload": {}} for number in range(5)]
    server.ask("PUT", server.path(name, "points"), {"points": points}, wait="true")
    assert store.search(name) == {"points": 5, "found": 3}


def test_a_collection_that_is_not_there_cannot_be_searched(store: QdrantStore, copy: str) -> None:
    with pytest.raises(QdrantError) as missing:
        store.search(copy)
    assert missing.value.status == 404


def test_nothing_but_a_drills_copy_is_removed(
    server: Server, store: QdrantStore, named: Naming, copy: str
) -> None:
    live = server.create(named(), 3)
    server.alias(copy, live)
    try:
        for name in (live, copy, f"rp_20260301t043000_{live}", "drill_"):
            with pytest.raises(RefusedError) as refused:
                store.drop_copy(name)
            assert refused.value.specific_code == "not_a_copy"
        assert server.count(live) == 3
    finally:
        server.alias(copy, None)


def test_a_recovery_that_still_runs_is_waited_for(
    store: QdrantStore, server: Server, named: Naming, copy: str
) -> None:
    """It goes on when its client is gone, and would make the collection anew."""
    if not server.stand_in:
        pytest.skip("a real server cannot be told to be slow")
    source = server.create(named(), 10)
    part = store.back_up(request_for(server, source))
    facts = set_of(store, part)
    server.order(recover_delay=1.0)
    begun = threading.Thread(target=lambda: store.restore(step_for(part, target=copy), facts), daemon=True)
    begun.start()
    try:
        while not any(one["running_snapshot_recovery"] for one in running(server)):
            pass
        store.drop_copy(copy)
        begun.join(30)
        assert not any(one["running_snapshot_recovery"] for one in running(server))
    finally:
        server.forget_faults()


def running(server: Server) -> list[dict[str, int]]:
    found: list[dict[str, int]] = server.ask("GET", "/telemetry", details_level="3")["collections"][
        "snapshots"
    ]
    return found
