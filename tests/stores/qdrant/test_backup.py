"""Taking a snapshot into Blob Storage, on any server."""

from __future__ import annotations

import threading

import pytest

from shared.clock import new_ulid
from shared.errors import (
    BackupSystemError,
    InvalidRequestError,
    NotFoundError,
    QdrantError,
)
from shared.model.backups import Count, Quality
from shared.stores.qdrant import QdrantStore, SnapshotRequest, agreed
from tests.stores.qdrant.conftest import Naming, request_for, set_of, step_for
from tests.stores.qdrant.server import Server

pytestmark = pytest.mark.real


def test_a_quiet_collection_is_backed_up_with_an_exact_count_and_nothing_stays_on_the_server(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = server.create(named(), 30)
    seen: list[int] = []
    part = store.back_up(request_for(server, name), seen.append)
    assert part.points == Count(value=30, quality=Quality.EXACT)
    assert part.blob.sha256 == part.checksum
    assert seen[-1] == part.blob.size > 0
    assert [(one.shard_id, bool(one.segments), one.has_wal) for one in part.shards] == [(0, True, True)]
    assert server.snapshots(name) == []


def test_a_collection_that_is_written_to_is_counted_as_an_interval(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = server.create(named(), 50)
    ended = threading.Event()
    begun = threading.Event()

    def write() -> None:
        index = 50
        while not ended.is_set() and index < 5_000:
            server.write(name, [index])
            begun.set()
            index += 1

    writer = threading.Thread(target=write)
    writer.start()
    begun.wait(10)
    try:
        part = store.back_up(request_for(server, name))
    finally:
        ended.set()
        writer.join()
    assert part.points.quality is Quality.APPROXIMATE
    assert part.points.low is not None
    assert part.points.high is not None
    evidence = store.restore(step_for(part, target=named()), set_of(store, part))
    (counted,) = set(evidence["points"]["counted"].values())
    assert part.points.low <= counted <= part.points.high


def test_two_snapshots_of_a_collection_right_after_one_another_are_two(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = server.create(named(), 5)
    first = store.back_up(request_for(server, name))
    server.write(name, [5])
    second = store.back_up(request_for(server, name))
    assert first.blob.name != second.blob.name
    assert (first.points.value, second.points.value) == (5, 6)


def test_a_snapshot_that_somebody_else_made_is_left_alone(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = server.create(named(), 5)
    theirs = server.ask("POST", server.path(name, "snapshots"), wait="true")["name"]
    part = store.back_up(request_for(server, name))
    assert server.snapshots(name) == [theirs]
    assert part.snapshot_name != theirs


@pytest.mark.parametrize("suffix", [" space", "%41", "quote'", "ünï_日本", "a;b&c=d", "..", "#x", "+"])
def test_a_hostile_name_stays_a_name(server: Server, store: QdrantStore, named: Naming, suffix: str) -> None:
    name = server.create(named(suffix), 3)
    part = store.back_up(request_for(server, name))
    assert part.collection == name
    evidence = store.restore(step_for(part, target=(target := named(suffix))), set_of(store, part))
    assert evidence["target"] == target
    assert server.count(target) == 3


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_is_a_path_is_refused_before_anything_is_sent(store: QdrantStore, name: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        store.back_up(SnapshotRequest(peer_id=1, collection=name, attempt=new_ulid(), prefix="x/"))
    assert refused.value.specific_code == "invalid_name"


def test_a_name_with_a_slash_is_no_path(store: QdrantStore) -> None:
    with pytest.raises(BackupSystemError) as refused:
        store.count("octopus_test_x/snapshots/../../y")
    assert refused.value.specific_code in ("refused_by_server", "missing_on_server")


def test_a_name_too_long_to_be_snapshotted_is_refused_before_any_work(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = server.create(named("x" * 180), 3)
    with pytest.raises(InvalidRequestError) as refused:
        store.back_up(request_for(server, name))
    assert refused.value.specific_code == "name_too_long"
    assert "name_too_long" in {finding.code for finding in store.inspect().findings}


def test_a_collection_that_is_not_there_is_reported_as_gone(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = server.create(named(), 3)
    request = request_for(server, name)
    server.drop(name)
    with pytest.raises(QdrantError) as gone:
        store.back_up(request)
    assert gone.value.specific_code == "collection_gone"


def test_a_peer_that_nobody_knows_is_reported(server: Server, store: QdrantStore, named: Naming) -> None:
    name = server.create(named(), 3)
    request = request_for(server, name).model_copy(update={"peer_id": 12345})
    with pytest.raises(NotFoundError) as unknown:
        store.back_up(request)
    assert unknown.value.specific_code == "peer_unknown"


def test_what_several_peers_counted_of_one_collection_is_not_added_up() -> None:
    exact = [Count(value=600, quality=Quality.EXACT)] * 3
    assert agreed(exact) == exact[0]
    busy = Count(value=604, quality=Quality.APPROXIMATE, low=601, high=605)
    assert agreed([*exact, busy]) == Count(value=604, quality=Quality.APPROXIMATE, low=600, high=605)
    differing = [exact[0], Count(value=599, quality=Quality.EXACT)]
    assert agreed(differing) == Count(value=599, quality=Quality.APPROXIMATE, low=599, high=600)
    assert agreed([]).quality is Quality.APPROXIMATE
