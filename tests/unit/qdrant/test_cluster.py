"""What a cluster of three says of itself, as recorded: who holds what, who is missing, who recovers what."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from shared.errors import BackupSystemError, ProofFailedError, RefusedError, UnreachableError
from shared.model.backups import BlobRef, Count, Quality, ShardPart, SnapshotPart
from shared.stores.qdrant import proof
from shared.stores.qdrant.inspect import inspect
from shared.stores.qdrant.peers import Node, Peers
from shared.stores.qdrant.proof import settle, wait_green
from shared.stores.qdrant.restore import assigned
from tests.unit.qdrant.conftest import Connect, ManualClock
from tests.unit.qdrant.recordings import VERSIONS, exchange
from tests.unit.qdrant.scripted import Answer, Seen, result, scripted

COLLECTION = "agent_11111111111111111111111111111111"


def config(**more: Any) -> dict[str, Any]:
    return {"params": {"vectors": {"size": 64, "distance": "Cosine"}, "shard_number": 3, **more}}


class RecordedPeer:
    """One node of the recorded cluster, answering what it answered then."""

    def __init__(self, version: str, node: str) -> None:
        self.version = version
        self.cluster = exchange(version, f"701-cluster-{node}")["response"]["json"]["result"]
        self.placement = exchange(version, f"704-collection-cluster-{node}")["response"]["json"]["result"]
        self.config = config()
        self.more: list[str] = []
        self.broken = False
        self.slow = 0.0

    @property
    def peer_id(self) -> int:
        return int(self.cluster["peer_id"])

    def answer(self, seen: Seen) -> Answer:
        path = unquote(seen.path)
        if path.startswith("/collections/"):
            time.sleep(self.slow)
            if self.broken and path == f"/collections/{COLLECTION}":
                return Answer(500, b'{"status": {"error": "Service internal error: Dirty shard"}}')
            for name in self.more:
                path = path.replace(f"/{name}", f"/{COLLECTION}")
        names = [COLLECTION, "other", *self.more]
        answers: dict[str, Any] = {
            "/collections": {"collections": [{"name": name} for name in names]},
            "/cluster": self.cluster,
            "/aliases": {"aliases": [{"alias_name": "current", "collection_name": COLLECTION}]},
            f"/collections/{COLLECTION}": {"status": "green", "config": self.config, "payload_schema": {}},
            f"/collections/{COLLECTION}/cluster": self.placement,
        }
        if path == "/":
            return Answer(body=f'{{"title": "qdrant", "version": "{self.version}"}}'.encode())
        return result(answers[path]) if path in answers else Answer(404, b"Not found: it")


@contextlib.contextmanager
def cluster(version: str, *nodes: str) -> Iterator[tuple[list[RecordedPeer], Peers]]:
    recorded = [RecordedPeer(version, node) for node in nodes]
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(scripted(peer.answer)).url for peer in recorded]
        peers = Peers(urls, None)
        stack.callback(peers.close)
        yield recorded, peers


@pytest.mark.parametrize("version", VERSIONS)
def test_every_peer_that_holds_shards_is_named(version: str) -> None:
    with cluster(version, "n1", "n2", "n3") as (recorded, peers):
        state = inspect(peers, ["^agent_"])
    (collection,) = state.collections
    assert set(collection.holders) == {peer.peer_id for peer in recorded}
    assert collection.shard_ids == (0, 1, 2)
    assert sorted(shard.id for one in collection.placements for shard in one.local) == [0, 1, 2]
    assert collection.aliases == ("current",)
    assert state.unprotected == ("other",)
    assert state.versions == {str(peer.peer_id): version for peer in recorded}
    assert {finding.code for finding in state.findings} == {"unprotected_collections"}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_peer_whose_address_is_missing_and_its_shards_are_found(version: str) -> None:
    with cluster(version, "n1", "n2") as (_, peers):
        state = inspect(peers, ["^agent_"])
    assert {"peer_without_address", "shard_out_of_reach"} <= {finding.code for finding in state.findings}


def test_a_peer_is_found_while_another_one_is_down() -> None:
    with cluster("1.19.0", "n1") as (recorded, peers):
        both = Peers(["http://127.0.0.1:9", peers.first.url], None)
        try:
            found, placement = both.holding(COLLECTION, recorded[0].peer_id)
            assert (found.url, placement.peer_id) == (peers.first.url, recorded[0].peer_id)
            with pytest.raises(UnreachableError):
                both.holding(COLLECTION, 12345)
        finally:
            both.close()


def test_two_addresses_of_the_same_peer_are_refused() -> None:
    with cluster("1.19.0", "n1", "n1") as (_, peers), pytest.raises(RefusedError) as refused:
        peers.nodes()
    assert refused.value.specific_code == "same_peer_twice"


def test_peers_of_two_clusters_are_refused() -> None:
    with cluster("1.19.0", "n1", "n2") as (recorded, peers):
        recorded[1].cluster = recorded[1].cluster | {"peer_id": 42}
        with pytest.raises(RefusedError) as refused:
            peers.nodes()
    assert refused.value.specific_code == "not_one_cluster"


def test_servers_without_cluster_mode_are_not_taken_for_a_cluster() -> None:
    with cluster("1.19.0", "n1", "n2") as (recorded, peers):
        recorded[1].cluster = {"status": "disabled"}
        with pytest.raises(RefusedError) as refused:
            peers.nodes()
    assert refused.value.specific_code == "not_one_cluster"


def test_a_version_whose_snapshots_cannot_be_recovered_is_a_finding() -> None:
    with cluster("1.19.0", "n1", "n2", "n3") as (recorded, peers):
        recorded[0].version = "1.16.1"
        found = {finding.code for finding in inspect(peers, ["."]).findings}
    assert {"known_bad_version", "versions_differ"} <= found


def test_a_stopped_consensus_is_a_finding() -> None:
    with cluster("1.19.0", "n1", "n2", "n3") as (recorded, peers):
        recorded[0].cluster["consensus_thread_status"] = {"consensus_thread_status": "stopped_with_err"}
        found = {finding.code for finding in inspect(peers, ["."]).findings}
    assert "consensus_stopped" in found


def test_custom_sharding_is_a_finding() -> None:
    with cluster("1.19.0", "n1", "n2", "n3") as (recorded, peers):
        recorded[0].config = config(sharding_method="custom")
        state = inspect(peers, ["^agent_"])
    assert state.collections[0].custom_sharding
    assert "custom_sharding" in {finding.code for finding in state.findings}


def test_a_cluster_that_moves_shards_has_not_settled_until_it_has(clock: ManualClock) -> None:
    with cluster("1.19.0", "n1", "n2", "n3") as (recorded, peers):
        recorded[2].placement["shard_transfers"] = [{"shard_id": 0}]
        seen = 0

        class Watching(ManualClock):
            def sleep(self, seconds: float) -> None:
                nonlocal seen
                super().sleep(seconds)
                seen += 1
                if seen == 3:
                    recorded[2].placement["shard_transfers"] = []

        settle(peers, COLLECTION, Watching())
    assert seen == 3


def test_replicas_that_never_become_active_end_at_a_deadline(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "SETTLE_SECONDS", 30.0)
    with cluster("1.19.0", "n1", "n2", "n3") as (recorded, peers):
        recorded[0].placement["local_shards"][0]["state"] = "Dead"
        with pytest.raises(ProofFailedError, match="is Dead") as failed:
            settle(peers, COLLECTION, clock)
    assert failed.value.specific_code == "replicas_not_active"
    assert 30 <= clock.passed < 40


@pytest.mark.parametrize(
    ("statuses", "last", "patches"),
    [
        (["yellow", "green"], "green", 0),
        (["grey", "grey", "yellow", "green"], "green", 1),
        (["yellow"], "yellow", 0),
    ],
)
def test_the_optimizer_is_waited_for_and_woken_once(
    clock: ManualClock, connect: Connect, statuses: list[str], last: str, patches: int
) -> None:
    left = iter(statuses)

    def answer(seen: Seen) -> Answer:
        return result(True if seen.method == "PATCH" else {"status": next(left, statuses[-1])})

    with scripted(answer) as server:
        assert wait_green(connect(server.url), COLLECTION, clock) == last
    assert sum(seen.method == "PATCH" for seen in server.seen) == patches


def test_a_red_collection_is_not_believed(clock: ManualClock, connect: Connect) -> None:
    with scripted(lambda _: result({"status": "red"})) as server, pytest.raises(BackupSystemError) as red:
        wait_green(connect(server.url), COLLECTION, clock)
    assert red.value.specific_code == "collection_red"


def part(peer_id: int, *shards: int, of: int = 3) -> SnapshotPart:
    blob = BlobRef(container="data", name=str(peer_id), size=1, etag="e", sha256="0" * 64)
    moment = ManualClock().now()
    return SnapshotPart(
        peer_id=peer_id, collection="c", snapshot_name="s", checksum="0" * 64, started_at=moment,
        finished_at=moment, blob=blob, points=Count(value=1, quality=Quality.EXACT),
        shards=tuple(
            ShardPart(shard_id=one, segments=("a",) if one in shards else (), has_wal=one in shards)
            for one in range(of)
        ),
    )  # fmt: skip


def nodes(*ids: int | None) -> list[Node]:
    return [Node(id=one, url=f"http://{one}", version="1.19.0", clustered=one is not None) for one in ids]


def test_each_peer_recovers_its_own_snapshot_whatever_the_order(connect: Connect) -> None:
    peers = [connect(f"http://127.0.0.1:{port}") for port in (1, 2, 3)]
    pairs = assigned([part(30, 2), part(10, 0), part(20, 1)], range(3), nodes(10, 20, 30), peers)
    assert [(peer.url[-1], one.peer_id) for peer, one in pairs] == [("3", 30), ("1", 10), ("2", 20)]


def test_in_another_cluster_the_snapshots_go_round(connect: Connect) -> None:
    peers = [connect(f"http://127.0.0.1:{port}") for port in (1, 2)]
    pairs = assigned([part(30, 2), part(10, 0), part(20, 1)], range(3), nodes(77, 88), peers)
    assert [peer.url[-1] for peer, _ in pairs] == ["1", "2", "1"]


def test_a_server_without_cluster_mode_takes_the_one_snapshot_that_holds_everything(connect: Connect) -> None:
    pairs = assigned([part(30, 2), part(10, 0, 1, 2)], range(3), nodes(None), [connect("http://127.0.0.1:1")])
    assert [one.peer_id for _, one in pairs] == [10]


def test_a_server_without_cluster_mode_takes_no_snapshot_with_holes(connect: Connect) -> None:
    with pytest.raises(RefusedError) as refused:
        assigned([part(30, 2), part(10, 0, 1)], range(3), nodes(None), [connect("http://127.0.0.1:1")])
    assert refused.value.specific_code == "needs_cluster"
