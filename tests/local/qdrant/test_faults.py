"""The faults that a test may order, and what an interrupted client sees."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.local.qdrant.stand_in import StandIn, make, snapshot


def order(server: StandIn, **fault: object) -> None:
    server.http.post("/_standin/faults", json=fault).raise_for_status()


def test_a_download_breaks_off_once_and_is_resumed_by_range_and_if_match(server: StandIn) -> None:
    make(server, "a", 100)
    made, _ = snapshot(server, "a")
    path = f"/collections/a/snapshots/{made['name']}"
    order(server, download_cut_after=100_000)
    received = bytearray()
    with server.http.stream("GET", path) as answer, pytest.raises(httpx.RemoteProtocolError):
        take(answer, received)
    assert len(received) == 100_000
    headers = {"range": f"bytes={len(received)}-", "if-match": answer.headers["etag"]}
    rest = server.http.get(path, headers=headers)
    assert rest.status_code == 206
    assert hashlib.sha256(received + rest.content).hexdigest() == made["checksum"]


def take(answer: httpx.Response, into: bytearray) -> None:
    for piece in answer.iter_raw():
        into += piece


def test_a_download_that_accepts_gzip_is_compressed_and_has_no_length(server: StandIn) -> None:
    make(server, "a", 100)
    made, content = snapshot(server, "a")
    path = f"/collections/a/snapshots/{made['name']}"
    answer = server.http.get(path, headers={"accept-encoding": "gzip, deflate"})
    assert (answer.headers["content-encoding"], answer.headers.get("content-length")) == ("gzip", None)
    assert answer.content == content


def test_a_create_goes_on_when_its_client_gives_up_and_telemetry_shows_it(server: StandIn) -> None:
    make(server, "a", 10)
    order(server, create_delay=0.6)
    with pytest.raises(httpx.ReadTimeout):
        server.http.post("/collections/a/snapshots", timeout=0.15)
    assert counters(server, "a")["running_snapshots"] == 1
    assert server.http.get("/collections/a/snapshots").json()["result"] == []
    deadline = time.monotonic() + 10
    while counters(server, "a")["running_snapshots"] and time.monotonic() < deadline:
        time.sleep(0.02)
    (listed,) = server.http.get("/collections/a/snapshots").json()["result"]
    assert listed["checksum"]


def test_a_running_recovery_is_counted(server: StandIn) -> None:
    make(server, "a", 10)
    made, _ = snapshot(server, "a")
    order(server, recover_delay=0.6)
    body = {"location": f"file://{server.data}/snapshots/a/{made['name']}", "priority": "snapshot"}
    path = "/collections/a/snapshots/recover"
    assert server.http.put(path, params={"wait": "false"}, json=body).status_code == 202
    deadline = time.monotonic() + 5
    while not counters(server, "a")["running_snapshot_recovery"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert counters(server, "a")["running_snapshot_recovery"] == 1
    server.http.post("/_standin/settle").raise_for_status()
    assert counters(server, "a")["running_snapshot_recovery"] == 0
    assert server.count("a") == 10


def counters(server: StandIn, name: str) -> dict[str, int]:
    listed = server.http.get("/telemetry?details_level=3").json()["result"]["collections"]["snapshots"]
    return next(one for one in listed if one["id"] == name)


def test_two_snapshots_in_one_second_share_a_name_and_a_file(server: StandIn) -> None:
    make(server, "a", 10)
    time.sleep(1.02 - time.time() % 1)
    with ThreadPoolExecutor(2) as together:
        made = list(
            together.map(lambda _: server.http.post("/collections/a/snapshots").json()["result"], range(2))
        )
    assert made[0]["name"] == made[1]["name"]
    assert len(server.http.get("/collections/a/snapshots").json()["result"]) == 1


def test_a_request_fails_as_often_as_it_was_told_to(server: StandIn) -> None:
    make(server, "a", 10)
    order(server, status=503, match="POST /collections/a/snapshots", times=2)
    statuses = [server.http.post("/collections/a/snapshots").status_code for _ in range(3)]
    assert statuses == [503, 503, 200]
    assert server.http.get("/collections/a/snapshots").status_code == 200


def test_a_checksum_can_be_wrong_once(server: StandIn) -> None:
    make(server, "a", 10)
    order(server, checksum_wrong=True)
    made, content = snapshot(server, "a")
    assert made["checksum"] != hashlib.sha256(content).hexdigest()
    (listed,) = server.http.get("/collections/a/snapshots").json()["result"]
    assert listed["checksum"] == hashlib.sha256(content).hexdigest()


def test_an_unknown_fault_is_refused(server: StandIn) -> None:
    assert server.http.post("/_standin/faults", json={"explode": True}).status_code == 400
    assert server.http.post("/_standin/faults", json={"times": 2}).status_code == 400
