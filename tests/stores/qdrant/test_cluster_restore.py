"""Restoring onto a cluster: the order of what is asked, shown on three scripted peers and real storage."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from shared.blob.storage import Storage
from shared.blob.upload import upload
from shared.clock import new_ulid
from shared.errors import IntegrityError, OutcomeUnknownError, RefusedError
from shared.model.backups import CollectionFacts, Count, QdrantFacts, Quality, SnapshotPart
from shared.settings import QdrantSettings
from shared.stores.qdrant import QdrantStore
from shared.stores.qdrant.tar_walk import TarWalk
from tests.stores.qdrant.conftest import step_for
from tests.unit.qdrant.conftest import ManualClock
from tests.unit.qdrant.scripted import Answer, Seen, result, scripted
from tests.unit.qdrant.test_tar_walk import made

TARGET = "octopus_test_target"
IDS = (11, 22, 33)


class Cluster:
    """Three peers with one shard each; every recovery lets a transfer run for two looks."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.transferring = 0
        self.exists = False
        self.consensus = "working"
        self.lost = 0

    def answer(self, peer: int, seen: Seen) -> Answer:
        path = seen.path.split("?")[0]
        if path == "/":
            return Answer(body=b'{"version": "1.19.0"}')
        if path.endswith("/snapshots/recover"):
            self.events.append(f"recover {peer}" + (" too early" if self.transferring else ""))
            self.bodies.append(json.loads(seen.start.decode()))
            if self.lost:  # the answer, and the work with it
                self.lost -= 1
                return Answer(200, b"{", announced=99)
            self.transferring, self.exists = 2, True
            return result(True)
        if path.endswith("/cluster") and path != "/cluster":
            return self._placement(peer)
        if not self.exists and path == f"/collections/{TARGET}":
            return Answer(404, b"")
        answers: dict[str, Any] = {
            "/telemetry": {"collections": {"snapshots": []}},
            "/cluster": {
                "status": "enabled",
                "peer_id": peer,
                "peers": {str(one): {} for one in IDS},
                "consensus_thread_status": {"consensus_thread_status": self.consensus},
            },
            "/aliases": {"aliases": []},
            "/collections": {"collections": [{"name": TARGET}] if self.exists else []},
            f"/collections/{TARGET}": {"status": "green", "config": {"params": {"vectors": {"size": 2}}}},
            f"/collections/{TARGET}/points/count": {"count": 0},
            f"/collections/{TARGET}/points/scroll": {"points": [], "next_page_offset": None},
        }
        return result(answers[path])

    def _placement(self, peer: int) -> Answer:
        moving = self.transferring > 0
        if moving and peer == IDS[0]:
            self.transferring -= 1
            self.events.append("wait")
        shard = IDS.index(peer)
        local = [{"shard_id": shard, "points_count": 0, "state": "Active"}]
        return result(
            {
                "peer_id": peer,
                "local_shards": local,
                "remote_shards": [],
                "shard_transfers": [{}] if moving else [],
            }
        )


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def store(cluster: Cluster, storage: Storage) -> Iterator[QdrantStore]:
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(scripted(partial(cluster.answer, peer))).url for peer in IDS]
        settings = QdrantSettings.model_validate({"QDRANT_URLS": ",".join(urls)})
        yield stack.enter_context(QdrantStore(settings, storage, ManualClock()))


def spread_set(storage: Storage) -> QdrantFacts:
    """A snapshot set of three parts, each with the data of one of three shards."""
    parts = []
    for shard, peer in enumerate(IDS):
        data = made(
            {f"{one}/shard_config.json": 2 for one in range(3)}
            | {f"{shard}/segments/s{shard}.tar": 9, f"{shard}/wal/open-1": 1}
        )
        walk, attempt, moment = TarWalk(), new_ulid(), ManualClock().now()
        walk.feed(data)
        blob = upload(storage, "data", f"spread/{attempt}", [data], attempt=attempt)
        parts.append(
            SnapshotPart(
                peer_id=peer,
                collection="c",
                snapshot_name="s",
                checksum=str(blob.sha256),
                started_at=moment,
                finished_at=moment,
                blob=blob,
                points=nothing(),
                shards=walk.shards(),
            )
        )
    collection = CollectionFacts(name="c", config={}, shard_ids=(0, 1, 2), points=nothing())
    return QdrantFacts(
        versions={str(peer): "1.19.0" for peer in IDS}, collections=(collection,), parts=tuple(parts)
    )


def nothing() -> Count:
    return Count(value=0, quality=Quality.EXACT)


def test_peers_are_restored_one_after_the_other_each_when_the_cluster_is_calm(
    cluster: Cluster, store: QdrantStore, storage: Storage
) -> None:
    facts = spread_set(storage)
    evidence = store.restore(step_for(*facts.parts, target=TARGET), facts)
    waits = ["wait", "wait"]
    assert cluster.events == ["recover 11", *waits, "recover 22", *waits, "recover 33", *waits]
    assert [one["snapshot_of_peer"] for one in evidence["recovered"]] == [11, 22, 33]
    assert {one["shard_id"] for one in evidence["shards"]} == {0, 1, 2}


def test_a_recovery_is_asked_for_with_checksum_and_priority_and_without_any_key(
    cluster: Cluster, store: QdrantStore, storage: Storage
) -> None:
    facts = spread_set(storage)
    store.restore(step_for(*facts.parts, target=TARGET), facts)
    for body, part in zip(cluster.bodies, facts.parts, strict=True):
        assert set(body) == {"location", "priority", "checksum"}
        assert body["priority"] == "snapshot"
        assert body["checksum"] == part.checksum


def test_one_damaged_part_stops_the_restore_before_the_first_peer_is_touched(
    cluster: Cluster, store: QdrantStore, storage: Storage
) -> None:
    facts = spread_set(storage)
    last = facts.parts[-1].blob
    storage.client(last.container, last.name).delete_blob()
    with pytest.raises(IntegrityError):
        store.restore(step_for(*facts.parts, target=TARGET), facts)
    assert cluster.events == []


def test_a_cluster_whose_consensus_stopped_is_left_alone(
    cluster: Cluster, store: QdrantStore, storage: Storage
) -> None:
    cluster.consensus = "stopped_with_err"
    facts = spread_set(storage)
    with pytest.raises(RefusedError) as refused:
        store.restore(step_for(*facts.parts, target=TARGET), facts)
    assert refused.value.specific_code == "consensus_stopped"
    assert cluster.events == []


@pytest.mark.parametrize("existed", [True, False])
def test_a_recovery_that_may_not_have_happened_is_asked_for_again(
    cluster: Cluster, store: QdrantStore, storage: Storage, existed: bool
) -> None:
    cluster.lost, cluster.exists = 1, existed
    facts = spread_set(storage)
    evidence = store.restore(step_for(*facts.parts, target=TARGET), facts, begun_before=True)
    assert [event for event in cluster.events if event != "wait"] == [
        "recover 11", "recover 11", "recover 22", "recover 33",
    ]  # fmt: skip
    assert [one["answer_lost"] for one in evidence["recovered"]] == [True, False, False]


def test_a_recovery_whose_answer_is_lost_twice_is_an_error(
    cluster: Cluster, store: QdrantStore, storage: Storage
) -> None:
    cluster.lost = 2
    facts = spread_set(storage)
    with pytest.raises(OutcomeUnknownError):
        store.restore(step_for(*facts.parts, target=TARGET), facts)
    assert cluster.events == ["recover 11", "recover 11"]
