"""Backing up from a server that behaves as none should: scripted, with real storage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from shared.blob.storage import Storage
from shared.clock import new_ulid
from shared.errors import BackupSystemError, IntegrityError, QdrantError, RefusedError
from shared.model.backups import SnapshotPart
from shared.settings import QdrantSettings
from shared.stores.qdrant import QdrantStore, SnapshotRequest
from tests.unit.qdrant.conftest import ManualClock
from tests.unit.qdrant.scripted import Answer, Seen, result, scripted
from tests.unit.qdrant.test_tar_walk import made

PEER = 7
GOOD = {"0/segments/a.tar": 900, "0/wal/open-1": 5, "config.json": 2}


class Odd:
    """A server with one collection ``c`` of one shard, whose oddities a test sets."""

    def __init__(self) -> None:
        self.tar = made(GOOD)
        self.local: list[dict[str, Any]] = [{"shard_id": 0, "points_count": 1, "state": "Active"}]
        self.described: dict[str, Any] = {}
        self.names: Iterator[str] = (f"snapshot-{index}" for index in range(9))
        self.listed: list[str] = []
        self.deleted: list[str] = []
        self.created = 0

    def answer(self, seen: Seen) -> Answer:
        path = seen.path.split("?")[0]
        if path == "/collections/c/cluster":
            return result({"peer_id": PEER, "local_shards": self.local, "remote_shards": []})
        if path == "/collections/c/points/count":
            return result({"count": 1})
        if path == "/collections/c/exists":
            return result({"exists": True})
        if path == "/collections/c/snapshots":
            return self._create() if seen.method == "POST" else result([self._one(n) for n in self.listed])
        name = path.removeprefix("/collections/c/snapshots/")
        if seen.method == "DELETE":
            self.deleted.append(name)
            return result(True)
        return Answer(200, self.tar, {"etag": '"1"'})

    def _create(self) -> Answer:
        self.created += 1
        name = next(self.names)
        if name not in self.listed:
            self.listed.append(name)
        return result(self._one(name) | {"checksum": "1" * 64})  # wrong, as two at once make it

    def _one(self, name: str) -> dict[str, Any]:
        right = {"name": name, "size": len(self.tar), "checksum": hashlib.sha256(self.tar).hexdigest()}
        return right | self.described


@pytest.fixture
def odd() -> Odd:
    return Odd()


@pytest.fixture
def store(odd: Odd, storage: Storage) -> Iterator[QdrantStore]:
    with scripted(odd.answer) as server:
        settings = QdrantSettings.model_validate({"QDRANT_URLS": server.url})
        with QdrantStore(settings, storage, ManualClock()) as opened:
            yield opened


@pytest.fixture
def request_c() -> SnapshotRequest:
    attempt = new_ulid()
    return SnapshotRequest(peer_id=PEER, collection="c", attempt=attempt, prefix=f"odd/{attempt}/")


def refused(store: QdrantStore, request: SnapshotRequest, kind: type[BackupSystemError]) -> str:
    with pytest.raises(kind) as raised:
        store.back_up(request)
    return raised.value.specific_code


def blobs(storage: Storage, request: SnapshotRequest) -> list[str]:
    return [blob.name for blob in storage.container("data").list_blobs(name_starts_with=request.prefix)]


def test_the_checksum_of_the_list_counts_and_not_that_of_the_answer(
    odd: Odd, store: QdrantStore, request_c: SnapshotRequest
) -> None:
    part: SnapshotPart = store.back_up(request_c)
    assert part.checksum == hashlib.sha256(odd.tar).hexdigest()
    assert odd.deleted == ["snapshot-0"]


@pytest.mark.parametrize("left_out", ["0/segments/a.tar", "0/wal/open-1"])
def test_a_snapshot_without_the_data_of_a_shard_is_not_committed(
    odd: Odd, store: QdrantStore, storage: Storage, request_c: SnapshotRequest, left_out: str
) -> None:
    odd.tar = made({name: size for name, size in GOOD.items() if name != left_out})
    assert refused(store, request_c, IntegrityError) == "shard_missing_in_snapshot"
    assert blobs(storage, request_c) == []
    assert odd.deleted == ["snapshot-0"]


def test_a_snapshot_that_is_no_tar_is_not_committed(
    odd: Odd, store: QdrantStore, storage: Storage, request_c: SnapshotRequest
) -> None:
    odd.tar = b"not a tar" * 1_000
    assert refused(store, request_c, IntegrityError) == "integrity"
    assert blobs(storage, request_c) == []
    assert odd.deleted == ["snapshot-0"]


def test_a_peer_without_shards_is_never_asked_for_a_snapshot(
    odd: Odd, store: QdrantStore, request_c: SnapshotRequest
) -> None:
    odd.local = []
    assert refused(store, request_c, RefusedError) == "no_shard_here"
    assert odd.created == 0


@pytest.mark.parametrize("state", ["Dead", "Partial", "ManualRecovery", "Initializing"])
def test_a_replica_that_may_lack_points_is_never_backed_up(
    odd: Odd, store: QdrantStore, request_c: SnapshotRequest, state: str
) -> None:
    odd.local[0]["state"] = state
    assert refused(store, request_c, RefusedError) == "shard_not_active"
    assert odd.created == 0


@pytest.mark.parametrize("checksum", [None, ""])
def test_a_snapshot_without_a_checksum_is_not_believed_and_deleted(
    odd: Odd, store: QdrantStore, request_c: SnapshotRequest, checksum: str | None
) -> None:
    odd.described = {"checksum": checksum}
    assert refused(store, request_c, QdrantError) == "no_checksum"
    assert odd.deleted == ["snapshot-0"]


def test_a_name_that_was_listed_before_is_not_taken_for_ours_and_not_deleted(
    odd: Odd, store: QdrantStore, request_c: SnapshotRequest
) -> None:
    odd.listed = ["snapshot-0"]
    part = store.back_up(request_c)
    assert part.snapshot_name == "snapshot-1"
    assert odd.deleted == ["snapshot-1"]


def test_names_that_collide_again_and_again_end_in_an_error(
    odd: Odd, store: QdrantStore, request_c: SnapshotRequest
) -> None:
    odd.listed = ["snapshot-0"]
    odd.names = iter(["snapshot-0"] * 9)
    assert refused(store, request_c, RefusedError) == "snapshots_collide"
    assert odd.created == 3
    assert odd.deleted == []


def test_a_hostile_snapshot_name_stays_below_the_prefix(
    odd: Odd, store: QdrantStore, request_c: SnapshotRequest
) -> None:
    odd.names = iter(["../../x y"])
    part = store.back_up(request_c)
    assert part.blob.name == f"{request_c.prefix}..%2F..%2Fx%20y"
    assert odd.deleted == ["..%2F..%2Fx%20y"]
