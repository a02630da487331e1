"""Every recorded exchange with a real server of version 1.19.0 is repeated with the stand-in and compared."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.local.qdrant.blob_host import blob_host
from tests.local.qdrant.fixture_points import named_point, points
from tests.local.qdrant.recordings import Recording, Replay, plain, read_recordings
from tests.local.qdrant.stand_in import Launch, StandIn, make

MAIN = "agent_7f3a8b2c4d5e6f7a8b9c0d1e2f3a4b5c"
TWO_SHARDS = "agent_0a1b2c3d4e5f60718293a4b5c6d7e8f9"
NAMED = "kb_shared_named"
MANAGE, READ_ONLY = "manage-key-for-the-fixtures", "read-only-key-for-the-fixtures"

NOT_REPLAYED = {
    "124-download-accept-gzip": "the server chose Brotli; the stand-in has gzip only",
    "022-telemetry-level-1": "compared as an excerpt, by test_telemetry_is_an_excerpt_of_the_real_one",
    "023-telemetry-level-3": "compared as an excerpt, by test_telemetry_is_an_excerpt_of_the_real_one",
    "420-access-matrix": "a table, compared by test_keys_open_what_they_open_on_a_real_server",
}
OBSERVED = {
    "200-before-recover": MAIN,
    "202-after-recover": MAIN,
    "204-after-recover-missing-collection": "agent_x__rp1",
    "209-after-wrong-checksum-existing": MAIN,
    "221-after-cut-at-end": "ghost3",
    "225-after-truncated-existing": MAIN,
    "242-after-file-inside": MAIN,
    "251-after-nowait-ok": "w_ok",
    "253-after-nowait-wrong-checksum": "w1",
    "255-after-nowait-unreachable": "w2",
    "257-after-nowait-404-blob": "w3",
    "259-after-nowait-truncated": "w4",
    "261-after-nowait-not-a-tar": "w5",
    "263-after-nowait-other-dimension": "dim32",
    "265-after-nowait-malformed-checksum": "w6",
    "302-after-upload": "agent_x__up1",
    "312-after-upload-nowait": "u7",
}
SNAPSHOTS_MADE = (
    "044-snapshot-through-alias",
    "102-snapshot-create",
    "107-snapshot-create-same-second-a",
    "408-key-snapshot-create",
)


def fill(server: StandIn, collection: str, made: list[dict[str, Any]]) -> None:
    answer = server.http.put(
        f"/collections/{collection}/points", params={"wait": "true"}, json={"points": made}
    )
    assert answer.is_success, answer.text


def next_second() -> None:
    time.sleep(1.02 - time.time() % 1)


def nothing(_replay: Replay) -> None:
    pass


def make_basics(replay: Replay) -> None:
    server = replay.servers["s1"]
    make(server, MAIN, optimizers_config={"indexing_threshold": 20000})
    fill(server, MAIN, points(MAIN, range(300)))
    fill(server, TWO_SHARDS, points(TWO_SHARDS, range(400)))
    fill(server, NAMED, [named_point(NAMED, number) for number in range(500)])
    schema = {"type": "keyword", "is_tenant": True}
    server.http.put(f"/collections/{NAMED}/index", json={"field_name": "tenantId", "field_schema": schema})


def make_blobs(replay: Replay) -> None:
    server = replay.servers["s1"]

    def snapshot(collection: str) -> bytes:
        made = server.http.post(f"/collections/{collection}/snapshots").json()["result"]
        return server.http.get(f"/collections/{collection}/snapshots/{made['name']}").content

    whole = replay.upload
    replay.host.files = {
        "small.snapshot": whole,
        "ok": whole,
        "truncated.snapshot": whole[: len(whole) // 2],
        "cut-in-last-block.snapshot": whole[:-700],
        "text.snapshot": b"this is no tar archive, " * 1083,
        "empty.snapshot": b"",
        "named.snapshot": snapshot(NAMED),
    }
    snapshot(TWO_SHARDS)
    gone = [one["id"] for one in points(MAIN, range(0, 300, 5))]
    server.http.post(f"/collections/{MAIN}/points/delete", params={"wait": "true"}, json={"points": gone})
    fill(server, MAIN, points(MAIN, range(1000, 1010)))


def make_soft_config(replay: Replay) -> None:
    make(
        replay.servers["s1"],
        "cfg",
        hnsw_config={"m": 4},
        optimizers_config={"indexing_threshold": 7000},
        quantization_config={"binary": {}},
        on_disk_payload=False,
    )


def make_without_indexes(replay: Replay) -> None:
    vectors = {
        "text": {"size": 64, "distance": "Cosine", "on_disk": True},
        "title": {"size": 32, "distance": "Dot"},
    }
    make(replay.servers["s1"], "noindex", vectors=vectors, sparse_vectors={"bm25": {}})


def make_alias(replay: Replay) -> None:
    action = {"create_alias": {"alias_name": "via_alias", "collection_name": MAIN}}
    replay.servers["s1"].http.post("/collections/aliases", json={"actions": [action]})


def make_outside_file(replay: Replay) -> None:
    (replay.servers["s1"].data / "elsewhere.snapshot").write_bytes(replay.upload)


def make_file_inside(replay: Replay) -> None:
    folder = replay.servers["s2d"].data / "snapshots" / MAIN
    folder.mkdir(exist_ok=True)
    (folder / "a.snapshot").write_bytes(replay.upload)


# What a recording needs that no recording before it made: done right before it.
BEFORE: dict[str, Callable[[Replay], None]] = {
    "012": make_basics,
    "102": lambda _replay: next_second(),
    "104": lambda _replay: next_second(),
    "107": lambda _replay: next_second(),
    "200": make_blobs,
    "226": lambda replay: make(replay.servers["s1"], "dim32", vectors={"size": 32, "distance": "Cosine"}),
    "227": lambda replay: make(replay.servers["s1"], "dot64", vectors={"size": 64, "distance": "Dot"}),
    "230": make_soft_config,
    "243": make_outside_file,
    "247": make_without_indexes,
    "248": lambda _replay: time.sleep(0.3),  # optimisations after the recovery before it
    "249": make_alias,
    "431": make_file_inside,
}


@pytest.fixture
def replay(launch: Launch) -> Any:
    with blob_host() as host:
        servers = {
            "s1": launch(),
            "s2k": launch(QDRANT__SERVICE__API_KEY=MANAGE, QDRANT__SERVICE__READ_ONLY_API_KEY=READ_ONLY),
            "s2d": launch("--no-url-recovery"),
        }
        servers["s2k"].http.headers.pop("api-key", None)
        make(servers["s2d"], MAIN)
        key = {"api-key": MANAGE}
        servers["s2k"].http.put(
            f"/collections/{MAIN}", json={"vectors": {"size": 64, "distance": "Cosine"}}, headers=key
        )
        yield Replay(servers, host)


def steps(recordings: list[Recording]) -> list[list[Recording]]:
    """Recordings in order; those of the same second were sent at the same time."""
    ordered = sorted(
        recordings, key=lambda one: (one.name[:3], "info" in one.name or "collections-" in one.name, one.name)
    )
    grouped: list[list[Recording]] = []
    for one in ordered:
        together = grouped and "same-second-" in one.name and "same-second-" in grouped[-1][0].name
        if together and "create" in one.name:
            grouped[-1].append(one)
        else:
            grouped.append([one])
    return grouped


def test_every_recording_is_answered_as_the_real_server_did(replay: Replay, fixtures: Path) -> None:
    recordings = [
        one for one in read_recordings(fixtures / "http" / "1.19.0") if one.name not in NOT_REPLAYED
    ]
    assert {one.name for one in recordings} >= OBSERVED.keys() | set(SNAPSHOTS_MADE)
    differences: dict[str, list[str]] = {}
    prepared: set[str] = set()
    for group in steps(recordings):
        number = group[0].name[:3]
        if number not in prepared:
            prepared.add(number)
            BEFORE.get(number, nothing)(replay)
        for one, found in zip(group, run(replay, group), strict=True):
            if found:
                differences[one.name] = found
    report = "\n".join(f"{name}\n    " + "\n    ".join(found) for name, found in differences.items())
    assert not differences, f"{len(differences)} of {len(recordings)} recordings differ:\n{report}"


def test_the_list_of_what_is_not_replayed_names_recordings_that_exist(fixtures: Path) -> None:
    assert {one.name for one in read_recordings(fixtures / "http" / "1.19.0")} >= NOT_REPLAYED.keys()


def run(replay: Replay, group: list[Recording]) -> list[list[str]]:
    if group[0].request is None:
        return [observation(replay, one) for one in group]
    with ThreadPoolExecutor(len(group)) as together:
        answers = list(together.map(replay.send, group))
    for one, answer in zip(group, answers, strict=True):
        if one.name in SNAPSHOTS_MADE and answer.is_success:
            replay.learn(one, answer)
        if answer.status_code == 202:
            replay.servers[one.node].http.post("/_standin/settle").raise_for_status()
        after(replay, one, answer)
    return [replay.differences(one, answer) for one, answer in zip(group, answers, strict=True)]


def after(replay: Replay, recording: Recording, answer: Any) -> None:
    """Learn from an answer what later requests need."""
    server = replay.servers[recording.node]
    if recording.name in ("102-snapshot-create", "408-key-snapshot-create"):
        made = answer.json()["result"]
        replay.our_size = made["size"]
        collection = made["name"].partition("-")[0]
        headers = {"api-key": MANAGE}
        file = server.http.get(f"/collections/{collection}/snapshots/{made['name']}", headers=headers)
        replay.upload = file.content
    elif recording.name == "106-snapshots-later":
        replay.learn_listed(recording, answer)
    elif recording.name == "110-download":
        replay.names[recording.content["response"]["headers"]["etag"]] = answer.headers["etag"]
    elif recording.name == "139-snapshot-create-timeout-parameter":
        name = answer.json()["result"]["name"]
        if name not in replay.names.values():  # theirs fell in the same second as 107 and replaced its file
            server.http.delete(f"/collections/{MAIN}/snapshots/{name}").raise_for_status()


def observation(replay: Replay, recording: Recording) -> list[str]:
    """What is wrong with the state that a recording observed."""
    server = replay.servers["s1"]
    seen: Any
    expected: Any
    if recording.name in OBSERVED:
        seen = replay.observe("s1", OBSERVED[recording.name])
        expected = dict(recording.observed)
        if "collection" in expected:  # an operator's view: with the log, which is not ours
            expected = {"collection_status": expected["collection"], "count_exact": expected["count_exact"]}
        seen = {key: seen[key] for key in expected}
    elif recording.name == "024-metrics-excerpt":
        seen = sorted(server.http.get("/metrics").text.splitlines())
        expected = sorted(recording.observed["lines"])
    elif recording.name == "271-request-seen-by-location-host":
        seen, expected = dict(replay.host.seen, host=""), dict(recording.observed["headers"], host="")
    elif recording.name == "319-leftovers":
        seen = {"snapshots": files(server), "collections": collections(server)}
        expected = {
            "snapshots": sorted(name for name, size in recording.observed["snapshots"] if size is not None),
            "collections": recording.observed["collections"],
        }
    elif recording.name == "323-files-after-collection-delete":
        seen = [name for name in files(server) if name.startswith("agent_x__up1/")]
        expected = [name for name, _ in recording.observed["snapshots"]]
    else:
        return ["nothing compares this observation"]
    folder = str(server.data)
    if plain(expected, folder) == plain(seen, folder):
        return []
    return [f"expected {plain(expected, folder)!r}, observed {plain(seen, folder)!r}"]


def files(server: StandIn) -> list[str]:
    """The files in the snapshots folder. A real server leaves empty folders there, too; nobody sees them."""
    folder = server.data / "snapshots"
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def collections(server: StandIn) -> list[str]:
    return [one["name"] for one in server.http.get("/collections").json()["result"]["collections"]]
