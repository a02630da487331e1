"""A cluster of which one peer is down, or one collection broken: what is known is told all the same."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from shared.errors import QdrantError, UnreachableError
from shared.model.backups import CollectionFacts, Count, Quality
from shared.stores.qdrant import client, together
from shared.stores.qdrant import preflight as looking_ahead
from shared.stores.qdrant.client import Peer
from shared.stores.qdrant.inspect import QdrantState, inspect, inspect_one, presence
from shared.stores.qdrant.peers import Peers
from shared.stores.qdrant.preflight import preflight
from shared.stores.qdrant.together import together as all_of
from tests.unit.qdrant.conftest import Connect
from tests.unit.qdrant.scripted import Answer, Seen, result, scripted
from tests.unit.qdrant.test_cluster import COLLECTION, RecordedPeer, cluster, config

NOWHERE = "http://127.0.0.1:9"


@contextlib.contextmanager
def with_dead_peer(*nodes: str) -> Iterator[tuple[list[RecordedPeer], Peers]]:
    """Some living peers of the recorded cluster, and an address where nobody is."""
    with cluster("1.19.0", *nodes) as (recorded, living):
        peers = Peers([*(peer.url for peer in living), NOWHERE], None)
        try:
            yield recorded, peers
        finally:
            peers.close()


def codes(state: QdrantState) -> list[str]:
    return [finding.code for finding in state.findings]


def test_the_peer_that_is_down_is_a_finding_and_the_others_are_told() -> None:
    with with_dead_peer("n1", "n2") as (recorded, peers):
        state = inspect(peers, ["^agent_"])
    assert state.silent == (NOWHERE,)
    assert {peer.id for peer in state.peers} == {peer.peer_id for peer in recorded}
    assert codes(state).count("peer_unreachable") == 1
    assert "peer_without_address" not in codes(state), "the third member is the one that is down"
    (down,) = (one for one in state.findings if one.code == "peer_unreachable")
    assert NOWHERE in down.message


def test_shards_that_only_the_dead_peer_holds_must_still_be_asked_for() -> None:
    with with_dead_peer("n1", "n2") as (recorded, peers):
        (collection,) = inspect(peers, ["^agent_"]).collections
        third = RecordedPeer("1.19.0", "n3").peer_id
    assert collection.unheard == (third,)
    assert set(collection.holders) == {*(peer.peer_id for peer in recorded), third}
    assert collection.shard_ids == (0, 1, 2)


def test_a_dead_peer_whose_shards_others_hold_too_is_not_missed() -> None:
    with with_dead_peer("n1", "n2") as (recorded, peers):
        (lost,) = (one for one in recorded[0].placement["remote_shards"] if one["peer_id"] == THIRD)
        recorded[0].placement["local_shards"].append(
            {"shard_id": lost["shard_id"], "points_count": 1, "state": "Active"}
        )
        state = inspect(peers, ["^agent_"])
    assert state.collections[0].unheard == ()
    assert "shard_out_of_reach" not in codes(state)


THIRD = RecordedPeer("1.19.0", "n3").peer_id


def test_where_no_peer_answers_there_is_nothing_to_tell() -> None:
    peers = Peers([NOWHERE, "http://127.0.0.1:10"], None)
    with pytest.raises(UnreachableError):
        inspect(peers, ["."])
    peers.close()


def test_a_collection_that_cannot_be_read_hides_no_other_one() -> None:
    with cluster("1.19.0", "n1", "n2", "n3") as (recorded, peers):
        for peer in recorded:
            peer.broken = True
        state = inspect(peers, ["^agent_"])
    (collection,) = state.collections
    assert "Dirty shard" in collection.problem
    assert "collection_unreadable" in codes(state)
    assert set(collection.holders) == {peer.peer_id for peer in recorded}


def test_copies_that_were_made_here_are_neither_protected_nor_reported_as_unprotected() -> None:
    copies = ["rp_20260131t040000_agent_x", "drill_20260131t040000_kb", "quarantine_20260131t040000_a"]
    with cluster("1.19.0", "n1", "n2", "n3") as (recorded, peers):
        for peer in recorded:
            peer.more = copies
        state = inspect(peers, ["."])
    assert {one.name for one in state.collections} == {COLLECTION}
    assert set(state.scratch) == set(copies)
    assert set(copies) <= set(state.names)


def test_a_plan_is_told_which_peer_is_down_and_what_would_not_fit() -> None:
    count = Count(value=1, quality=Quality.EXACT)
    fits = CollectionFacts(name=COLLECTION, config=config(), shard_ids=(0, 1, 2), points=count)
    other = fits.model_copy(update={"config": {"params": {"vectors": {"size": 9, "distance": "Dot"}}}})
    with with_dead_peer("n1", "n2") as (_, peers):
        assert len(presence(peers).versions) == 2
        assert [one.code for one in preflight(peers, {COLLECTION: fits, "gone": other})] == [
            "peer_unreachable"
        ]
        found = preflight(peers, {COLLECTION: other})
    assert [one.code for one in found] == ["peer_unreachable", "incompatible_collection"]
    assert all(one.severity == "error" for one in found)


def test_where_there_is_no_time_to_compare_the_plan_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking_ahead, "SECONDS", 0.05)
    count = Count(value=1, quality=Quality.EXACT)
    wanted = CollectionFacts(name=COLLECTION, config=config(), shard_ids=(0,), points=count)
    with cluster("1.19.0", "n1", "n2", "n3") as (recorded, peers):
        for peer in recorded:
            peer.slow = 0.3
        (late,) = preflight(peers, {COLLECTION: wanted})
        time.sleep(0.4)
    assert (late.code, late.severity) == ("shapes_not_compared", "info")


def test_one_collection_is_looked_at_whole_or_not_at_all() -> None:
    with cluster("1.19.0", "n1", "n2", "n3") as (recorded, peers):
        versions, state = inspect_one(peers, COLLECTION)
        assert set(versions) == {str(peer.peer_id) for peer in recorded}
        assert set(state.holders) == {peer.peer_id for peer in recorded}
    with with_dead_peer("n1", "n2") as (_, peers), pytest.raises(UnreachableError):
        inspect_one(peers, COLLECTION)


def test_a_thousand_collections_are_asked_for_many_at_a_time() -> None:
    with cluster("1.19.0", "n1") as (recorded, peers):
        recorded[0].more = [f"agent_{number:032x}" for number in range(1, 60)]
        recorded[0].slow = 0.05
        began = time.monotonic()
        state = inspect(peers, ["^agent_"])
        took = time.monotonic() - began
    assert len(state.collections) == 60
    assert took < 60 * 2 * 0.05 / 3, "one after the other it would be 6 seconds"


def test_what_is_not_answered_in_time_is_an_error_that_says_how_far_it_came() -> None:
    with pytest.raises(UnreachableError, match="3 of 5") as slow:
        all_of([0, 0, 0, 1, 1], time.sleep, seconds=0.3, doing="testing", at_once=5)
    assert slow.value.specific_code == "too_slow"
    assert slow.value.retryable


def test_the_first_failure_ends_it_and_nothing_new_is_asked() -> None:
    asked: list[int] = []

    def ask(number: int) -> None:
        asked.append(number)
        time.sleep(0.02)
        raise QdrantError("no", 500)

    with pytest.raises(QdrantError):
        all_of(range(1000), ask, seconds=5, doing="testing", at_once=2)
    assert len(asked) < 100
    assert together.AT_ONCE < 16  # a peer's connection pool


def test_a_peer_that_answered_no_attempt_is_asked_once_only_for_a_while(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer: Peer = connect(NOWHERE)
    tries: list[str] = []
    exchange = Peer._exchange

    def counted(self: Peer, *request: Any) -> Any:
        tries.append("one")
        return exchange(self, *request)

    monkeypatch.setattr(Peer, "_exchange", counted)
    for _ in range(3):
        with pytest.raises(UnreachableError):
            peer.read("collections")
    assert len(tries) == 3 + 1 + 1
    peer._silent_until -= client.SILENT_SECONDS
    with pytest.raises(UnreachableError):
        peer.read("collections")
    assert len(tries) == 5 + 3, "after a minute it gets its chances again"


def test_a_peer_that_is_back_gets_all_its_chances_again(connect: Connect) -> None:
    answers = iter([Answer(503, b"{}"), Answer(503, b"{}"), result("well")])

    def answer(_: Seen) -> Answer:
        return next(answers)

    with scripted(answer) as server:
        peer = connect(server.url)
        peer._silent_until = time.monotonic() + 60
        with pytest.raises(QdrantError):
            peer.read("x")  # asked once
        peer._silent_until = 0.0
        assert peer.read("x") == "well"
