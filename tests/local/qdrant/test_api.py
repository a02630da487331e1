"""Collections, points and keys: what the recordings do not hold, and what the stand-in refuses to nod at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.local.qdrant.fixture_points import points
from tests.local.qdrant.recordings import Recording, alike, plain
from tests.local.qdrant.stand_in import Launch, StandIn, make

COLLECTION = "agent_7f3a8b2c4d5e6f7a8b9c0d1e2f3a4b5c"
UNKNOWN: list[tuple[str, str, dict[str, Any]]] = [
    ("PUT", "/collections/x", {"vectors": {"size": 4, "distance": "Dot"}, "sharding_method": "custom"}),
    ("PUT", "/collections/x", {"vectors": {"size": 4, "distance": "Hamming"}}),
    ("PUT", "/collections/x", {"vectors": {"size": 4, "distance": "Dot", "datatype": "uint8"}}),
    ("PUT", "/collections/x", {"vectors": {"size": 4, "distance": "Dot"}, "hnsw_config": {"mm": 4}}),
    ("PATCH", "/collections/a", {"strict_mode_config": {"enabled": True}}),
    ("PUT", "/collections/a/points", {"points": [{"id": "no id", "vector": [0.5] * 64}]}),
    ("PUT", "/collections/a/points", {"points": [{"id": 1, "vector": [0.5] * 3}]}),
    ("PUT", "/collections/a/points", {"points": [{"id": 1, "vector": "near"}]}),
    ("PUT", "/collections/a/points", {"points": [{"id": 1, "vector": [0.5] * 64, "weight": 2}]}),
    ("PUT", "/collections/a/points", {"points": [1]}),
    ("PUT", "/collections/a/points", {"batch": {"ids": [1]}}),
    ("POST", "/collections/a/points/count", {"filter": {"must": [{"key": "n", "match": {"text": "x"}}]}}),
    ("POST", "/collections/a/points/count", {"filter": {"must": [{"key": "n", "geo_radius": {}}]}}),
    ("POST", "/collections/a/points/count", {"filter": {"min_should": {}}}),
    ("POST", "/collections/a/points/count", {"filter": {"must": [{"key": "n", "match": {"value": True}}]}}),
    ("POST", "/collections/a/points/count", {"shard_key": "x"}),
    ("POST", "/collections/a/points/scroll", {"limit": "ten"}),
    ("POST", "/collections/a/points/query", {"query": {"recommend": {"positive": [1]}}}),
    ("PUT", "/collections/a/index", {"field_name": "where", "field_schema": "geo"}),
    ("POST", "/collections/aliases", {"actions": [{"swap_alias": {}}]}),
    ("PUT", "/collections/a/snapshots/recover", {"location": "http://127.0.0.1:9/x", "wait": True}),
    ("POST", "/collections/a/shards/0/snapshots", {}),
    ("POST", "/snapshots", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), UNKNOWN)
def test_what_the_stand_in_does_not_know_it_refuses(
    server: StandIn, method: str, path: str, body: dict[str, Any]
) -> None:
    make(server, "a", 3)
    answer = server.http.request(method, path, json=body)
    assert answer.status_code in (400, 501), answer.text
    assert answer.json()["status"]["error"]
    assert server.count("a") == 3


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"must": [{"key": "chunkIndex", "range": {"gte": 5, "lt": 8}}]}, {5, 6, 7}),
        ({"must": [{"key": "chunkIndex", "match": {"any": [1, 39]}}]}, {1, 39}),
        (
            {"must_not": [{"key": "category", "match": {"any": ["policy", "manual", "faq", "contract"]}}]},
            set(range(4, 40, 5)),
        ),
        (
            {
                "should": [
                    {"key": "chunkIndex", "match": {"value": 2}},
                    {"key": "chunkIndex", "match": {"value": 3}},
                ]
            },
            {2, 3},
        ),
        ({"must": [{"has_id": [one["id"] for one in points("a", range(3))]}]}, {0, 1, 2}),
        ({"must": [{"key": "indexedAt", "range": {"gte": "2026-11-01T08:38:00Z"}}]}, {38, 39}),
        ({"must": {"key": "chunkIndex", "match": {"value": 4}}}, {4}),
    ],
)
def test_filters_choose_the_same_points_for_count_scroll_and_query(
    server: StandIn, condition: dict[str, Any], expected: set[int]
) -> None:
    make(server, "a", 40, shard_number=2)
    body = {"filter": condition, "limit": 100, "with_payload": ["chunkIndex"]}
    scrolled = server.http.post("/collections/a/points/scroll", json=body).json()["result"]["points"]
    queried = server.http.post("/collections/a/points/query", json={**body, "query": [0.1] * 64}).json()[
        "result"
    ]["points"]
    counted = server.http.post("/collections/a/points/count", json={"filter": condition}).json()["result"][
        "count"
    ]
    assert {one["payload"]["chunkIndex"] for one in scrolled} == expected
    assert {one["payload"]["chunkIndex"] for one in queried} == expected
    assert counted == len(expected)


def test_a_field_is_empty_where_it_is_missing_null_or_an_empty_list(server: StandIn) -> None:
    make(server, "a")
    payloads: list[dict[str, Any]] = [{}, {"x": None}, {"x": []}, {"x": 0}, {"x": [1]}, {"x": ""}]
    made = [{"id": n, "vector": [0.1] * 64, "payload": one} for n, one in enumerate(payloads)]
    server.http.put("/collections/a/points?wait=true", json={"points": made}).raise_for_status()
    body = {"filter": {"must": [{"is_empty": {"key": "x"}}]}, "limit": 10}
    found = server.http.post("/collections/a/points/scroll", json=body).json()["result"]["points"]
    assert [one["id"] for one in found] == [0, 1, 2]
    wrong = {"filter": {"must": [{"is_empty": {"key": "x", "and": "more"}}]}}
    assert server.http.post("/collections/a/points/count", json=wrong).status_code == 400


def test_scrolling_page_by_page_over_several_shards_meets_every_point_once(server: StandIn) -> None:
    make(server, "a", 90, shard_number=3)
    seen: list[str] = []
    offset = None
    while True:
        page = server.http.post("/collections/a/points/scroll", json={"limit": 17, "offset": offset}).json()[
            "result"
        ]
        seen += [one["id"] for one in page["points"]]
        offset = page["next_page_offset"]
        if offset is None:
            break
    assert seen == sorted(one["id"] for one in points("a", range(90)))


def test_an_upsert_replaces_a_point_in_whatever_shard_it_is(server: StandIn) -> None:
    make(server, "a", 50, shard_number=3)
    body = {"points": [{**one, "payload": {"again": "yes"}} for one in points("a", range(50))]}
    server.http.put("/collections/a/points?wait=true", json=body).raise_for_status()
    condition = {"must": [{"key": "again", "match": {"value": "yes"}}]}
    again = server.http.post("/collections/a/points/count", json={"filter": condition}).json()["result"]
    assert (server.count("a"), again) == (50, {"count": 50})


def test_a_changed_configuration_is_kept_and_an_empty_change_changes_nothing(server: StandIn) -> None:
    make(server, "a")
    before = server.http.get("/collections/a").json()["result"]["config"]
    server.http.patch("/collections/a", json={"optimizers_config": {}}).raise_for_status()
    assert server.http.get("/collections/a").json()["result"]["config"] == before
    server.http.patch(
        "/collections/a", json={"optimizers_config": {"indexing_threshold": 77}}
    ).raise_for_status()
    after = server.http.get("/collections/a").json()["result"]["config"]
    assert after["optimizer_config"] == {**before["optimizer_config"], "indexing_threshold": 77}
    assert (
        json.loads((server.data / "storage" / "collections" / "a" / "config.json").read_text())["uuid"]
        is None
    )


def test_one_point_is_read_by_its_id_or_is_missing(server: StandIn) -> None:
    make(server, "a", 3)
    wanted = points("a", range(3))[1]
    found = server.http.get(f"/collections/a/points/{wanted['id']}").json()["result"]
    assert found["payload"] == wanted["payload"]
    assert server.http.get("/collections/a/points/77").status_code == 404


def test_an_unknown_path_or_method_is_404_with_an_empty_body(server: StandIn) -> None:
    for method, path in (
        ("GET", "/nope"),
        ("POST", "/collections"),
        ("HEAD", "/collections"),
        ("GET", "/collections/"),
    ):
        answer = server.http.request(method, path)
        assert (answer.status_code, answer.content) == (404, b""), path


def recording(fixtures: Path, name: str) -> Recording:
    return Recording(name, json.loads((fixtures / "http" / "1.19.0" / f"{name}.json").read_text()))


@pytest.mark.parametrize("level", [1, 3])
def test_telemetry_is_an_excerpt_of_the_real_one(server: StandIn, fixtures: Path, level: int) -> None:
    make(server, "agent_0a1b2c3d4e5f60718293a4b5c6d7e8f9", shard_number=2)
    theirs = recording(fixtures, f"02{2 if level == 1 else 3}-telemetry-level-{level}").result
    ours = server.http.get(f"/telemetry?details_level={level}").json()["result"]
    assert_excerpt(ours, theirs, "telemetry")
    if level == 3:
        assert ours["collections"]["snapshots"][0].keys() == theirs["collections"]["snapshots"][0].keys()


def assert_excerpt(ours: Any, theirs: Any, where: str) -> None:
    """Everything that we say has the name and the kind that it has on a real server."""
    if isinstance(ours, dict) and isinstance(theirs, dict) and not where.endswith("replicate_states"):
        assert ours.keys() <= theirs.keys(), where
        for key in ours:
            assert_excerpt(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(ours, list) and ours and theirs:
        assert_excerpt(ours[0], theirs[0], f"{where}[0]")
    elif theirs is not None:
        assert type(ours) is type(theirs), where


# Rows of the recorded table, as requests that change nothing for a key that is let in.
OPERATIONS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "GET /": ("GET", "/", None),
    "GET /healthz": ("GET", "/healthz", None),
    "GET /readyz": ("GET", "/readyz", None),
    "GET /metrics": ("GET", "/metrics", None),
    "GET /telemetry": ("GET", "/telemetry", None),
    "GET /collections": ("GET", "/collections", None),
    "GET /cluster": ("GET", "/cluster", None),
    "GET /aliases": ("GET", "/aliases", None),
    "GET /collections/{c}/aliases": ("GET", f"/collections/{COLLECTION}/aliases", None),
    "GET /collections/{c}": ("GET", f"/collections/{COLLECTION}", None),
    "GET /collections/{c}/cluster": ("GET", f"/collections/{COLLECTION}/cluster", None),
    "count": ("POST", f"/collections/{COLLECTION}/points/count", {"exact": True}),
    "change aliases": ("POST", "/collections/aliases", {"actions": []}),
    "list snapshots": ("GET", f"/collections/{COLLECTION}/snapshots", None),
    "create": ("POST", f"/collections/{COLLECTION}/snapshots", None),
    "delete snapshot": ("DELETE", f"/collections/{COLLECTION}/snapshots/nope", None),
    "create collection": ("PUT", f"/collections/{COLLECTION}", {"vectors": {"size": 4, "distance": "Dot"}}),
    "delete collection": ("DELETE", "/collections/nope", None),
}
NOT_COMPARED = {
    "download",  # 410 and 411 are replayed
    "recover by URL",  # 413 and 414 are replayed
    "upload",  # 415 is replayed; the stand-in refuses the read-only key as it does for a recovery
    "shard stream",  # not part of the stand-in, like the next ones
    "shard create",
    "shard recover",
    "partial manifest",
}


def test_keys_open_what_they_open_on_a_real_server(launch: Launch, fixtures: Path) -> None:
    table = recording(fixtures, "420-access-matrix").observed
    assert table.keys() == OPERATIONS.keys() | NOT_COMPARED
    keys = {
        "read-only key": "reader-for-a-test",
        "api key": "manager-for-a-test",
        "wrong key": "nope",
        "none": "",
    }
    server = launch(
        QDRANT__SERVICE__API_KEY=keys["api key"], QDRANT__SERVICE__READ_ONLY_API_KEY=keys["read-only key"]
    )
    manage = {"api-key": keys["api key"]}
    body = {"vectors": {"size": 64, "distance": "Cosine"}}
    server.http.put(f"/collections/{COLLECTION}", json=body, headers=manage).raise_for_status()
    for operation, (method, path, sent) in OPERATIONS.items():
        for who, key in keys.items():
            status, text = table[operation][who]
            answer = server.http.request(method, path, json=sent, headers={"api-key": key} if key else {})
            assert answer.status_code == status, (operation, who, answer.text)
            if status in (401, 403, 404, 409):
                said = answer.text if status == 401 else answer.json()["status"]["error"]
                assert said == text, (operation, who)


def test_a_different_answer_would_be_noticed() -> None:
    theirs = {"result": [{"name": "a", "score": 0.25}], "time": 0.1}
    assert alike(plain(theirs, "/data"), plain({**theirs, "time": 0.7}, "/data"))
    for other in (
        {"result": [], "time": 0.1},
        {"result": [{"name": "a", "score": 0.2501}], "time": 0.1},
        {"time": 0.1},
    ):
        assert not alike(plain(theirs, "/data"), plain(other, "/data"))
