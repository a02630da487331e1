"""Damaged snapshots whose checksum is right: what a real 1.19.0 server answers, and what it is left with."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.local.qdrant.blob_host import blob_host
from tests.local.qdrant.stand_in import StandIn, make, recover, snapshot

Damage = Callable[[Path], None]
LOST = "Failed to restore local replica"
FLIPPED = 5000  # somewhere among the payloads
NO_FILE = "No such file or directory (os error 2)"


def without(name: str) -> Damage:
    def damage(folder: Path) -> None:
        victim = folder / name
        if victim.is_dir():
            shutil.rmtree(victim)
        else:
            victim.unlink()

    return damage


def with_flipped_wal(folder: Path) -> None:
    with (folder / "0" / "wal" / "open-1").open("r+b") as file:
        file.write(bytes(64))


def in_segment(change: Damage) -> Damage:
    """Damage to the files of the one segment, which are in a tar of their own."""

    def damage(folder: Path) -> None:
        (archive,) = (folder / "0" / "segments").glob("*.tar")
        scratch = _fresh(folder.parent / "segment")
        subprocess.run(["tar", "-xSf", archive, "-C", scratch], check=True)
        change(scratch / "snapshot" / "files")
        subprocess.run(["tar", "-cSf", archive, "-C", scratch, "snapshot"], check=True)

    return damage


def with_garbage_for_segment_json(files: Path) -> None:
    (files / "segment.json").write_bytes(b"{ no json")


def with_flipped_payloads(files: Path) -> None:
    with (files / "payload_storage" / "page_0.dat").open("r+b") as file:
        file.seek(FLIPPED)
        content = file.read(64)
        file.seek(FLIPPED)
        file.write(bytes(255 - byte for byte in content))


def _fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder


def damaged(content: bytes, damage: Damage, folder: Path) -> bytes:
    whole = _fresh(folder / "whole")
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        tar.extractall(whole, filter="data")
    damage(whole)
    subprocess.run(
        ["tar", "-cSf", folder / "damaged.tar", "-C", whole, *sorted(one.name for one in whole.iterdir())],
        check=True,
    )
    return (folder / "damaged.tar").read_bytes()


# what is damaged; status; text; count of a collection that had 10 points before (None: its data is lost);
# count of a collection that was missing before (None: its data is lost, "missing": it still is)
CASES = [
    pytest.param(without("version.info"), 200, "", 300, 300, id="version.info missing"),
    pytest.param(
        without("config.json"), 500, f"config.json`: {NO_FILE}", 10, "missing", id="config.json missing"
    ),
    pytest.param(without("0"), 500, "Can't read shard config at ", 10, "missing", id="shard missing"),
    pytest.param(
        without("0/shard_config.json"),
        500,
        "Can't read shard config at ",
        10,
        "missing",
        id="shard_config missing",
    ),
    pytest.param(
        without("0/replica_state.json"),
        500,
        "Can't restore snapshot in local mode with missing data at shard: ",
        10,
        "missing",
        id="replica_state missing",
    ),
    pytest.param(
        without("0/segments"),
        500,
        "IO Error: failed to read directory `",
        10,
        "missing",
        id="segments missing",
    ),
    pytest.param(
        without("0/wal"),
        400,
        "has state Some(Active), but expected Some(ManualRecovery)",
        10,
        0,
        id="wal missing",
    ),
    pytest.param(with_flipped_wal, 500, "Illegal segment header", None, None, id="wal flipped"),
    pytest.param(
        in_segment(with_garbage_for_segment_json),
        500,
        "segment.json: key must be a string",
        None,
        None,
        id="segment.json garbage",
    ),
    pytest.param(
        in_segment(without("segment.json")),
        500,
        f"segment.json`: {NO_FILE}",
        None,
        None,
        id="segment.json missing",
    ),
]


@pytest.mark.parametrize(("damage", "status", "text", "existing", "missing"), CASES)
def test_a_damaged_snapshot_does_what_it_does_to_a_real_server(
    server: StandIn,
    tmp_path: Path,
    damage: Damage,
    status: int,
    text: str,
    existing: int | None,
    missing: int | str | None,
) -> None:
    make(server, "source", 300)
    make(server, "existing", 10)
    _, good = snapshot(server, "source")
    bad = damaged(good, damage, tmp_path)
    with blob_host() as host:
        for name, left in (("existing", existing), ("missing", missing)):
            answer = recover(server, name, host, bad)
            assert answer.status_code == status, answer.text
            if status != 200:
                assert text in answer.json()["status"]["error"]
            assert state(server, name) == left
            if left is None:
                assert_lost_until_a_good_recovery(server, name)
                recover(server, name, host, good).raise_for_status()
                assert server.count(name) == 300


def state(server: StandIn, name: str) -> int | str | None:
    answer = server.http.post(f"/collections/{name}/points/count", json={"exact": True})
    if answer.status_code == 404:
        return "missing"
    return None if answer.status_code == 500 else int(answer.json()["result"]["count"])


def assert_lost_until_a_good_recovery(server: StandIn, name: str) -> None:
    lost = f"Failed to Get Info,  {LOST}"
    text = f"Service internal error: 1 of 1 read operations failed:\n  Service internal error: {lost}"
    info = server.http.get(f"/collections/{name}")
    assert (info.status_code, info.json()["status"]["error"]) == (500, text)
    placement = server.http.get(f"/collections/{name}/cluster").json()["result"]
    assert placement["local_shards"] == [{"shard_id": 0, "points_count": 0, "state": "Active"}]
    points = {"points": [{"id": 1, "vector": [0.5] * 64}]}
    write = server.http.put(f"/collections/{name}/points?wait=true", json=points)
    text = f"Service internal error: Failed to Update Points,  {LOST}"
    assert (write.status_code, write.json()["status"]["error"]) == (500, text)


def test_damaged_payloads_show_only_when_they_are_read(server: StandIn, tmp_path: Path) -> None:
    make(server, "source", 300)
    _, good = snapshot(server, "source")
    with blob_host() as host:
        recover(
            server, "a", host, damaged(good, in_segment(with_flipped_payloads), tmp_path)
        ).raise_for_status()
    assert server.count("a") == 300
    assert server.http.get("/collections/a").json()["result"]["status"] == "green"
    body = {"limit": 300, "with_payload": True}
    answer = server.http.post("/collections/a/points/scroll", json=body)
    assert answer.status_code == 500, answer.text
    assert answer.json()["status"]["error"].startswith("Service internal error: ")
    assert server.count("source") == 300
