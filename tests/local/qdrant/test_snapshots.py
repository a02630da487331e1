"""Snapshot files of the stand-in: laid out as a real server's, readable by the engine, and recoverable."""

from __future__ import annotations

import io
import json
import lzma
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import qdrant_edge as edge
from azure.storage.blob import BlobSasPermissions, BlobServiceClient, generate_blob_sas

from local.azurite import ACCOUNT, Azurite
from local.certificates import make_certificate
from tests.local.qdrant.blob_host import blob_host
from tests.local.qdrant.fixture_points import named_point, point, points
from tests.local.qdrant.stand_in import SINGLE, Launch, StandIn, make, read, recover, snapshot


def real_snapshot(fixtures: Path, version: str, name: str) -> bytes:
    return lzma.decompress((fixtures / "snapshots" / version / f"{name}.snapshot.xz").read_bytes())


def layout(content: bytes) -> set[str]:
    """The names in a snapshot and in the tars of its segments, without the segments' ids."""
    names: set[str] = set()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar:
            shard, _, rest = member.name.partition("/segments/")
            names.add(f"{shard}/segments/*.tar" if rest else member.name)
            if rest:
                with tarfile.open(fileobj=tar.extractfile(member)) as segment:
                    names |= {one.name for one in segment if one.isfile()}
    return names


def test_a_snapshot_has_the_layout_of_a_real_one_and_sparse_entries(server: StandIn, fixtures: Path) -> None:
    make(server, "a", 50, shard_number=2)
    real = real_snapshot(fixtures, "1.19.0", "two-shards")
    _, ours = snapshot(server, "a")

    assert layout(real) - layout(ours) == set()
    with tarfile.open(fileobj=io.BytesIO(ours)) as tar:
        wal = tar.getmember("0/wal/open-1")
    assert wal.issparse()
    assert len(ours) < 1_000_000 < wal.size


def test_the_engine_reads_our_snapshot(server: StandIn, tmp_path: Path) -> None:
    make(server, "a", 300)
    _, content = snapshot(server, "a")
    shard = tmp_path / "shard.tar"
    with tarfile.open(fileobj=io.BytesIO(content)) as tar, tarfile.open(shard, "w") as cut:
        for member in tar:
            if member.name.startswith("0/") and member.isfile():
                file = tar.extractfile(member)
                assert file
                plain = tarfile.TarInfo(member.name.removeprefix("0/"))
                plain.size = member.size
                cut.addfile(plain, file)
    edge.EdgeShard.unpack_snapshot(str(shard), str(tmp_path / "shard"))
    opened = edge.EdgeShard.load(str(tmp_path / "shard"))
    assert opened.count(edge.CountRequest(exact=True)) == 300
    opened.close()


@pytest.mark.parametrize("version", ["1.16.3", "1.19.0"])
@pytest.mark.parametrize(
    "name", ["small", "segments", "two-shards", "named-quantized-indexed", "empty", "octopus-1536"]
)
def test_a_real_servers_snapshot_is_recovered(
    server: StandIn, fixtures: Path, version: str, name: str
) -> None:
    folder = fixtures / "snapshots" / version
    facts = json.loads((folder / f"{name}.snapshot.json").read_text())
    with blob_host() as host:
        recover(server, "restored", host, real_snapshot(fixtures, version, name)).raise_for_status()
    info = server.http.get("/collections/restored").json()["result"]
    assert server.count("restored") == facts["points_exact"]
    assert info["config"] == facts["config"]
    assert info["payload_schema"] == facts["payload_schema"]
    assert info["indexed_vectors_count"] == facts["indexed_vectors_count"]
    placement = server.http.get("/collections/restored/cluster").json()["result"]
    assert placement["local_shards"] == facts["local_shards"]
    for sample in facts.get("samples", []):
        (found,) = read(server, "restored", [sample["id"]])
        assert found["payload"] == sample["payload"]
        if isinstance(sample["vector_head"], list):
            assert found["vector"][:4] == sample["vector_head"]
        else:
            assert {key: value[:4] for key, value in found["vector"].items() if key != "bm25"} == {
                key: value for key, value in sample["vector_head"].items() if key != "bm25"
            }
            assert found["vector"]["bm25"] == sample["vector_head"]["bm25"]


def test_a_snapshot_of_another_cluster_node_is_refused_for_its_missing_shards(
    server: StandIn, fixtures: Path
) -> None:
    content = real_snapshot(fixtures, "1.19.0", "cluster-r1-n1")
    with blob_host() as host:
        answer = recover(server, "restored", host, content)
    assert answer.status_code == 500
    assert (
        "Can't restore snapshot in local mode with missing data at shard" in answer.json()["status"]["error"]
    )
    assert server.http.get("/collections/restored/exists").json()["result"] == {"exists": False}


def test_what_was_not_in_the_snapshot_is_not_there_afterwards(server: StandIn) -> None:
    make(server, "a", 100)
    _, content = snapshot(server, "a")
    late = point("a", 500)
    gone = point("a", 7)
    server.http.put("/collections/a/points?wait=true", json={"points": [late]}).raise_for_status()
    server.http.post(
        "/collections/a/points/delete?wait=true", json={"points": [gone["id"]]}
    ).raise_for_status()
    with blob_host() as host:
        recover(server, "a", host, content).raise_for_status()
    assert server.count("a") == 100
    assert read(server, "a", [late["id"]]) == []
    assert read(server, "a", [gone["id"]])[0]["payload"] == gone["payload"]


def test_sparse_and_named_vectors_survive_the_round_trip(server: StandIn) -> None:
    vectors = {"text": SINGLE, "title": {"size": 32, "distance": "Dot"}}
    make(server, "n", vectors=vectors, sparse_vectors={"bm25": {}}, shard_number=3)
    made = [named_point("n", number) for number in range(60)]
    server.http.put("/collections/n/points?wait=true", json={"points": made}).raise_for_status()
    _, content = snapshot(server, "n")
    with blob_host() as host:
        recover(server, "copy", host, content).raise_for_status()
    ids = [one["id"] for one in made]
    assert read(server, "copy", ids) == read(server, "n", ids)
    assert [one["payload"] for one in read(server, "copy", ids)] == [one["payload"] for one in made]


def test_everything_survives_a_restart_and_a_kill(launch: Launch) -> None:
    server = launch()
    make(server, "a", 200, shard_number=2)
    make(server, "b")
    server.http.put("/collections/a/index", json={"field_name": "agentId", "field_schema": "keyword"})
    alias = {"create_alias": {"alias_name": "current", "collection_name": "a"}}
    server.http.post("/collections/aliases", json={"actions": [alias]}).raise_for_status()
    made, content = snapshot(server, "a")
    before = server.http.get("/collections/a").json()["result"]
    server.child.kill()

    again = launch(data=server.data)
    assert again.count("current") == 200
    assert again.http.get("/collections/a").json()["result"] == before
    assert again.http.get("/collections/a/snapshots").json()["result"] == [made]
    started = time.monotonic()
    again.stop()
    assert time.monotonic() - started < 2

    third = launch(data=server.data)
    assert third.http.get(f"/collections/a/snapshots/{made['name']}").content == content
    assert third.count("b") == 0


def test_a_snapshot_is_fetched_over_tls_from_a_host_that_ssl_cert_file_vouches_for(
    launch: Launch, tmp_path: Path
) -> None:
    made = make_certificate(tmp_path / "tls")
    trusting, other = launch(SSL_CERT_FILE=str(made.certificate)), launch()
    make(trusting, "a", 10)
    _, content = snapshot(trusting, "a")
    with blob_host(made.certificate, made.key) as host:
        recover(trusting, "b", host, content).raise_for_status()
        refused = recover(other, "b", host, content)
    assert trusting.count("b") == 10
    assert refused.status_code == 500
    assert refused.json()["status"]["error"].startswith(
        "Service internal error: Http request error: error sending"
    )


def test_a_snapshot_in_blob_storage_is_recovered_by_its_sas(launch: Launch, tmp_path: Path) -> None:
    azurite = Azurite(tmp_path / "azurite").start()
    try:
        server = launch(**azurite.env())
        make(server, "a", 30)
        _, content = snapshot(server, "a")
        service = BlobServiceClient(
            azurite.url, credential=azurite.account_key, connection_verify=str(azurite.certificate)
        )
        with service, service.create_container("backups") as container:
            container.upload_blob("a.snapshot", content)
        location = f"{azurite.url}/backups/a.snapshot?{sas(azurite, timedelta(hours=1))}"
        expired = f"{azurite.url}/backups/a.snapshot?{sas(azurite, timedelta(hours=-1))}"
        path = "/collections/b/snapshots/recover"
        refused = server.http.put(path, json={"location": expired})
        server.http.put(path, json={"location": location}).raise_for_status()
    finally:
        azurite.stop()
    assert server.count("b") == 30
    assert refused.status_code == 400
    text = f"Wrong input: Failed to download tar from {expired}: status - 403 "
    assert refused.json()["status"]["error"].startswith(
        text
    )  # the signature is in it, as it is on a real server


def sas(azurite: Azurite, valid: timedelta) -> str:
    now = datetime.now(UTC)
    return generate_blob_sas(
        ACCOUNT,
        "backups",
        "a.snapshot",
        account_key=azurite.account_key,
        permission=BlobSasPermissions(read=True),
        start=now - timedelta(hours=2),
        expiry=now + valid,
    )


def test_snapshots_recoveries_and_writes_at_the_same_time_do_not_hurt_each_other(server: StandIn) -> None:
    for number in range(4):
        make(server, f"c{number}", 40, shard_number=2)
    _, content = snapshot(server, "c0")

    def work(number: int) -> list[int]:
        name = f"c{number % 4}"
        if number < 4:
            made = {"points": points(name, range(40, 80))}
            return [server.http.put(f"/collections/{name}/points?wait=true", json=made).status_code]
        if number < 8:
            return [server.http.post(f"/collections/{name}/snapshots").status_code for _ in range(2)]
        if number < 12:
            return [recover(server, f"r{number}", host, content).status_code]
        return [server.http.get(f"/collections/{name}").status_code for _ in range(5)]

    with blob_host() as host, ThreadPoolExecutor(8) as together:
        statuses = [status for done in together.map(work, range(16)) for status in done]
    assert set(statuses) == {200}
    assert [server.count(f"c{number}") for number in range(4)] == [80] * 4
    assert [server.count(f"r{number}") for number in range(8, 12)] == [40] * 4


def test_a_collections_aliases_go_with_it_and_its_snapshots_stay(server: StandIn) -> None:
    make(server, "a", 5)
    made, content = snapshot(server, "a")
    alias = {"create_alias": {"alias_name": "current", "collection_name": "a"}}
    server.http.post("/collections/aliases", json={"actions": [alias]}).raise_for_status()
    assert server.http.delete("/collections/a").json()["result"] is True
    assert server.http.get("/aliases").json()["result"] == {"aliases": []}
    assert server.http.get("/collections/a/snapshots").status_code == 404
    with blob_host() as host:
        recover(server, "a", host, content).raise_for_status()
    assert server.http.get("/collections/a/snapshots").json()["result"] == [made]
    assert server.http.get("/aliases").json()["result"] == {"aliases": []}
