"""The app over HTTP: what each route answers, and how it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest

from local.octopus import truth
from tests.app.served import FUNCTION_KEY, MASTER_KEY, App, refused
from tests.servers import SA_PASSWORD, Servers
from tests.world import World, world_on

HOSTILE_IDS = {
    "a way out": "..%2F..%2Fx",
    "dots": "%2e%2e",
    "unicode": "%E2%98%83%C3%BC",
    "long": "x" * 300,
    "quotes": "%27%22%5D%3B--",
    "percent": "%2500%250a",
    "no such": "01M84N94BSGHGA65R94DR5T0EQ",
}
CANCEL = "/api/restores/01M84N94BSGHGA65R94DR5T0EQ/cancel"
POSTS = ("/api/backups", "/api/recovery-points", "/api/restores/plan", "/api/restores", CANCEL)


@pytest.fixture(scope="module")
def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_on(servers, "url", tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="module")
def app(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with App(world.environ, tmp_path_factory.mktemp("host") / "host.log") as served:
        yield served


@pytest.fixture(scope="module")
def point(app: App) -> dict[str, Any]:
    """A full backup and a recovery point, made over HTTP."""
    app.run("/api/backups", {"kind": "full"})
    run = app.run("/api/recovery-points", {"name": "before v7"})
    made = next(step for step in run["steps"] if step["id"] == "point")
    return app.get(f"/api/recovery-points/{made['evidence']['point_id']}")


# What each route is for.


def test_a_backup_is_started_watched_listed_and_read(app: App, world: World, point: dict[str, Any]) -> None:
    run = app.run("/api/backups", {"kind": "log", "databases": [world.database]})
    assert [step["state"] for step in run["steps"]] == ["succeeded", "succeeded"]
    backup_id = run["steps"][0]["evidence"]["backup_id"]
    listed = app.get("/api/backups")
    newest = next(one for one in listed["backups"] if one["store"] == "sqlserver")
    assert (newest["id"], newest["kind"]) == (backup_id, "log")
    assert listed["runs"][0]["id"] == run["id"]
    manifest = app.get(f"/api/backups/{backup_id}")
    assert manifest["facts"]["database"] == world.database
    assert [look["passed"] for look in manifest["verifications"]] == [True]


def test_a_recovery_point_is_found_by_id_by_name_and_by_its_run(app: App, point: dict[str, Any]) -> None:
    assert point["complete"] is True
    assert app.get("/api/recovery-points/before%20v7") == point
    assert app.get(f"/api/recovery-points/{point['run_id']}")["state"] == "succeeded"
    listed = app.get("/api/recovery-points")
    assert point["id"] in [one["id"] for one in listed["recovery_points"]]


def test_a_recovery_point_is_pinned_from_the_start_or_later_and_let_go(
    app: App, point: dict[str, Any]
) -> None:
    run = app.run("/api/recovery-points", {"name": "kept", "pinned": True})
    made = next(step for step in run["steps"] if step["id"] == "point")["evidence"]["point_id"]
    assert app.get(f"/api/recovery-points/{made}")["pinned"] is True
    for pinned in (True, False):
        answer = app.ask("POST", f"/api/recovery-points/{point['id']}/pin", json={"pinned": pinned})
        assert (answer.status_code, answer.json()["pinned"]) == (200, pinned)
        listed = app.get("/api/recovery-points")["recovery_points"]
        assert {one["id"]: one["pinned"] for one in listed} == {made: True, point["id"]: pinned}
    by_name = app.ask("POST", "/api/recovery-points/kept/pin", json={"pinned": False})
    assert (by_name.status_code, by_name.json()["id"]) == (200, made)


def test_a_pin_that_cannot_be_is_refused(app: App, point: dict[str, Any]) -> None:
    for body in ({}, {"pinned": "perhaps"}, {"pinned": True, "by": "me"}):
        answer = app.ask("POST", f"/api/recovery-points/{point['id']}/pin", json=body)
        refused(answer, 400, "invalid_request")
    for wanted in HOSTILE_IDS.values():
        answer = app.ask("POST", f"/api/recovery-points/{wanted}/pin", json={"pinned": True})
        refused(answer, 404, "not_found")
    assert app.ask("POST", f"/api/recovery-points/{point['id']}/pin", key="").status_code == 401


def test_a_restore_is_planned_started_by_its_digest_and_proves_itself(
    app: App, world: World, point: dict[str, Any]
) -> None:
    live = world.truth()
    copy = f"{world.database}_proof"
    plan = app.plan({"recovery_point": point["id"]}, names={world.database: copy})
    assert plan["digest"] in plan["text"] or plan["id"] in plan["text"]
    run = app.run("/api/restores", {"plan_id": plan["id"], "digest": plan["digest"]})
    assert run["result"]["report"]["verdict"] == "passed"
    assert run["id"] in [one["id"] for one in app.get("/api/restores")["runs"]]
    restored = world.copy(copy, {})
    assert truth.differences(truth.Truth(live.tables, {}), restored) == []


def test_latest_is_answered_with_a_plan_per_policy(app: App, world: World, point: dict[str, Any]) -> None:
    world.moment()  # times of backups are whole seconds: only now is a log surely later than the point,
    world.work()  # … and only with something in it does it count as later
    app.run("/api/backups", {"kind": "log"})
    plans = app.ask("POST", "/api/restores/plan", json={"target": "latest"}).json()["plans"]
    assert [plan["execution"]["policy"] for plan in plans] == ["paired", "latest_sql"]
    assert all(plan["losses"] for plan in plans)


def test_plans_are_shown_to_a_browser_as_a_page(app: App, point: dict[str, Any]) -> None:
    accepted = "text/html,application/xhtml+xml,*/*;q=0.8"
    answer = app.ask(
        "POST",
        "/api/restores/plan",
        json={"target": {"recovery_point": point["id"]}},
        headers={"Accept": accepted},
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<h2>Plan " in answer.text
    assert point["id"] in answer.text
    both = app.ask(
        "POST",
        "/api/restores/plan",
        json={"target": {"recovery_point": point["id"]}},
        headers={"Accept": "application/json, text/html"},
    )
    assert both.json()["plans"]


def test_status_tells_ages_and_timers(app: App, point: dict[str, Any]) -> None:
    status = app.get("/api/status")
    assert 0 <= status["ages_seconds"]["pair"] < 600
    assert set(status["timers"]) == {"sql_full", "sql_differential", "sql_log", "recovery_point"}
    assert status["newest_recovery_point"]["complete"] is True


def test_health_is_open_and_tells_a_stranger_nothing(app: App) -> None:
    answer = app.ask("GET", "/api/health", key="")
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


# How it refuses.


@pytest.mark.parametrize("key", ["", "wrong"])
def test_without_its_key_nothing_opens(app: App, key: str) -> None:
    before = app.get("/api/backups")["runs"]
    paths = [
        "backups",
        "backups/x",
        "recovery-points",
        "recovery-points/x",
        "restores",
        "restores/x",
        "status",
    ]
    answers = [app.ask("GET", f"/api/{path}", key=key) for path in paths]
    answers += [app.ask("POST", path, key=key, json={"kind": "full"}) for path in POSTS]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.text for answer in answers} == {""}
    assert app.get("/api/backups")["runs"] == before


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"kind": ', "malformed_json"),
        (b"\xff\xfe\x00", "malformed_json"),
        (b"[]", "invalid_request"),
        (b'"latest"', "invalid_request"),
        (b'{"unknown": 1}', "invalid_request"),
        (
            b'{"kind": {"$ne": 1}, "target": {"time": "yesterday"}, "plan_id": 7, "name": "", "by": ""}',
            "invalid_request",
        ),
        (b"[" * 17_000_000, "body_too_large"),
    ],
)
def test_a_body_that_cannot_be_understood_is_told_where_it_is_wrong(
    app: App, path: str, body: bytes, code: str
) -> None:
    problem = refused(app.ask("POST", path, content=body), 400, code)
    assert problem["hint"] or code == "body_too_large"


@pytest.mark.parametrize("wanted", HOSTILE_IDS.values(), ids=HOSTILE_IDS.keys())
@pytest.mark.parametrize("route", ["backups", "recovery-points", "restores"])
def test_an_id_that_nothing_has_is_not_found_whatever_is_in_it(app: App, route: str, wanted: str) -> None:
    problem = refused(app.ask("GET", f"/api/{route}/{wanted}"), 404, "not_found")
    assert problem["hint"]


@pytest.mark.parametrize("wanted", ["../../x", "☃ü", "x" * 300, "'\"];--", "..", "\u0000", ""])
def test_a_plan_id_or_point_that_nothing_has_is_not_found(
    app: App, point: dict[str, Any], wanted: str
) -> None:
    start = app.ask("POST", "/api/restores", json={"plan_id": wanted, "digest": "0" * 64})
    refused(start, 404, "not_found")
    plan = app.ask("POST", "/api/restores/plan", json={"target": {"recovery_point": wanted}})
    refused(plan, 404, "recovery_point_unknown")


def test_databases_that_are_not_ours_are_not_backed_up(app: App) -> None:
    answer = app.ask("POST", "/api/backups", json={"kind": "full", "databases": ["master"]})
    assert "SQLSERVER_DATABASES" in refused(answer, 400, "unknown_database")["message"]


def test_targets_in_the_future_or_before_the_first_backup_are_refused(
    app: App, world: World, point: dict[str, Any]
) -> None:
    def planned(**distance: float) -> httpx.Response:
        time = (world.clock.now() + timedelta(**distance)).isoformat()
        return app.ask("POST", "/api/restores/plan", json={"target": {"time": time}})

    refused(planned(hours=1), 400, "target_in_the_future")
    refused(planned(days=-30), 400, "target_before_first_backup")
    naive = app.ask("POST", "/api/restores/plan", json={"target": {"time": "2026-01-31T04:00:00"}})
    refused(naive, 400, "invalid_request")


@pytest.mark.parametrize("name", ["master", "MSDB", "", " x", "x" * 200, "a\u0000b", "a\u202eb"])
def test_new_names_that_cannot_be_are_refused(
    app: App, world: World, point: dict[str, Any], name: str
) -> None:
    body = {"target": {"recovery_point": point["id"]}, "names": {world.database: name}}
    refused(app.ask("POST", "/api/restores/plan", json=body), 400, "invalid_name")


def test_new_names_for_what_is_not_restored_or_onto_what_exists_are_refused(
    app: App, world: World, point: dict[str, Any]
) -> None:
    target = {"recovery_point": point["id"]}
    unknown = {"target": target, "names": {"../../x'\"]": "y"}}
    refused(app.ask("POST", "/api/restores/plan", json=unknown), 400, "unknown_name")
    taken = {"target": target, "names": {world.database: world.database}}
    refused(app.ask("POST", "/api/restores/plan", json=taken), 400, "name_taken")


def test_a_hostile_but_possible_name_is_taken_literally(
    app: App, world: World, point: dict[str, Any]
) -> None:
    name = f"{world.database}];DROP DATABASE x;--'"
    plan = app.plan({"recovery_point": point["id"]}, names={world.database: name})
    app.run("/api/restores", {"plan_id": plan["id"], "digest": plan["digest"]})
    assert world.databases()[name] == "ONLINE"


def test_a_start_with_another_digest_is_refused(app: App, point: dict[str, Any]) -> None:
    plan = app.plan({"recovery_point": point["id"]})
    digest = "0" * 64
    problem = refused(
        app.ask("POST", "/api/restores", json={"plan_id": plan["id"], "digest": digest}),
        409,
        "digest_mismatch",
    )
    assert plan["id"] in problem["message"]


def test_a_plan_whose_target_changed_meanwhile_is_refused_with_the_difference(
    app: App, world: World, point: dict[str, Any]
) -> None:
    copy = f"{world.database}_taken"
    plan = app.plan({"recovery_point": point["id"]}, names={world.database: copy})
    with world.admin() as master:
        master.execute(f"CREATE DATABASE [{copy}]")
    answer = app.ask("POST", "/api/restores", json={"plan_id": plan["id"], "digest": plan["digest"]})
    assert f"{copy} was absent and is ONLINE now" in refused(answer, 409, "plan_changed")["message"]


def test_a_plan_whose_files_were_altered_or_deleted_is_refused(
    app: App, world: World, point: dict[str, Any]
) -> None:
    run = app.run("/api/recovery-points", {})
    made = next(step for step in run["steps"] if step["id"] == "point")["evidence"]
    plan = app.plan({"recovery_point": made["point_id"]})
    body = {"plan_id": plan["id"], "digest": plan["digest"]}
    name = next(name for name in world.blobs("data", "qdrant/") if made["snapshot_set_id"] in name)
    blob = world.storage.get_blob_client("data", name)
    content = blob.download_blob().readall()
    blob.upload_blob(content, overwrite=True)
    assert (
        "written anew" in refused(app.ask("POST", "/api/restores", json=body), 409, "plan_changed")["message"]
    )
    blob.upload_blob(content + b"x", overwrite=True)
    assert name in refused(app.ask("POST", "/api/restores", json=body), 409, "plan_changed")["message"]
    blob.delete_blob()
    assert "gone" in refused(app.ask("POST", "/api/restores", json=body), 409, "plan_changed")["message"]


def test_two_restores_onto_one_target_do_not_run_at_once(
    app: App, world: World, point: dict[str, Any]
) -> None:
    copy = f"{world.database}_contested"
    plans = [app.plan({"recovery_point": point["id"]}, names={world.database: copy}) for _ in range(2)]
    bodies = [{"plan_id": plan["id"], "digest": plan["digest"]} for plan in plans]
    world.fault(recover_delay=2.0)
    status_url = app.begin("/api/restores", bodies[0])
    problem = refused(app.ask("POST", "/api/restores", json=bodies[1]), 409, "locked")
    assert status_url.rsplit("/", 1)[1] in problem["message"] + problem["hint"]
    assert app.end(status_url)["state"] == "succeeded"


def test_a_plan_is_executed_once_however_often_it_is_started(
    app: App, world: World, point: dict[str, Any]
) -> None:
    plan = app.plan({"recovery_point": point["id"]}, names={world.database: f"{world.database}_once"})
    body = {"plan_id": plan["id"], "digest": plan["digest"]}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: app.ask("POST", "/api/restores", json=body), range(4)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]
    (begun,) = [answer.json()["status_url"] for answer in answers if answer.status_code == 202]
    assert app.end(begun)["state"] == "succeeded"


def test_one_idempotency_key_stands_for_one_run(app: App, point: dict[str, Any]) -> None:
    for key in ("nightly ☃".encode(), b"../../x", b"k" * 300):
        before = len(app.get("/api/backups")["backups"])
        urls = {app.begin("/api/backups", {"kind": "log"}, **{"Idempotency-Key": key}) for _ in range(3)}
        assert len(urls) == 1
        assert app.end(urls.pop())["state"] == "succeeded"
        assert len(app.get("/api/backups")["backups"]) == before + 1


def test_an_unknown_route_or_method_opens_nothing(app: App) -> None:
    assert app.ask("GET", "/api/nothing").status_code == 404
    assert app.ask("DELETE", "/api/backups").status_code in (404, 405)
    assert app.ask("GET", "/api/backups/x/y").status_code == 404


def test_no_secret_is_in_any_reply_log_or_document(app: App, world: World, point: dict[str, Any]) -> None:
    """Comes last: everything above has left its traces."""
    secrets = [SA_PASSWORD, world.account_key, FUNCTION_KEY, MASTER_KEY, "sig=", "sig%3D"]
    texts = {f"reply {number}": reply for number, reply in enumerate(app.replies)}
    texts["the host's log"] = app.log.read_text("utf-8")
    for container in ("state", "catalogue"):
        for name in world.blobs(container):
            content = world.storage.get_blob_client(container, name).download_blob().readall()
            texts[f"{container}/{name}"] = content.decode()
            if name.endswith(".json"):
                json.loads(content)
    assert len(texts) > 100
    found = [(where, secret) for where, text in texts.items() for secret in secrets if secret in text]
    assert found == []
