"""Checks, reports and manual verdicts over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.app.served import App, refused
from tests.servers import Servers
from tests.world import World, world_on

VERDICT = {"item": 1, "verdict": "passed", "by": "Grace", "reason": "I counted them <b>myself</b>."}


@pytest.fixture(scope="module")
def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_on(servers, "url", tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="module")
def app(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with App(world.environ, tmp_path_factory.mktemp("host") / "host.log") as served:
        yield served


@pytest.fixture(scope="module")
def point(app: App) -> str:
    app.run("/api/backups", {"kind": "full"})
    run = app.run("/api/recovery-points", {"name": "before v7"})
    made = next(step for step in run["steps"] if step["id"] == "point")
    return str(made["evidence"]["point_id"])


@pytest.fixture(scope="module")
def checked(app: App, point: str) -> dict[str, Any]:
    """A look at the environment that succeeded."""
    return app.run("/api/checks", {"recovery_point": "before v7", "checkdb": True})


def test_a_check_is_started_watched_listed_and_reported(
    app: App, checked: dict[str, Any], point: str
) -> None:
    report = checked["result"]["report"]
    assert report["verdict"] == "passed"
    assert report["recovery_point"]["id"] == point
    assert [item["verdict"] for item in report["checklist"]] == ["passed"] * 3 + ["skipped"] * 2
    assert report["evidence"]["consistency_checks"][0]["clean"] is True
    assert checked["id"] in [one["id"] for one in app.get("/api/checks")["runs"]]


def test_the_report_is_a_page_or_json_as_the_caller_wants_it(app: App, checked: dict[str, Any]) -> None:
    path = f"/api/checks/{checked['id']}/report"
    assert app.get(path)["verdict"] == "passed"
    page = app.ask("GET", path, headers={"Accept": "text/html,application/xhtml+xml"})
    assert page.status_code == 200
    assert page.headers["content-type"].lower().replace(" ", "") == "text/html;charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.text.startswith("<!doctype html>")
    assert checked["id"] in page.text


def test_the_report_of_a_restore_is_found_by_its_run(app: App, world: World, point: str) -> None:
    plan = app.plan(
        {"recovery_point": point}, stores=["sqlserver"], names={world.database: f"{world.database}_page"}
    )
    run = app.run("/api/restores", {"plan_id": plan["id"], "digest": plan["digest"]})
    report = app.get(f"/api/restores/{run['id']}/report")
    assert report["digest"] == plan["digest"]
    refused(app.ask("GET", f"/api/checks/{run['id']}/report"), 404, "not_found")
    said = app.ask("POST", f"/api/restores/{run['id']}/verdicts", json={**VERDICT, "item": 5})
    assert said.status_code == 201
    assert app.get(f"/api/restores/{run['id']}")["manual_verdicts"] == [said.json()]


def test_a_manual_verdict_is_kept_and_shown_and_changes_no_other(app: App, checked: dict[str, Any]) -> None:
    path = f"/api/checks/{checked['id']}"
    answer = app.ask("POST", f"{path}/verdicts", json={**VERDICT, "verdict": "failed"})
    assert answer.status_code == 201, answer.text
    kept = answer.json()
    assert (kept["by"], kept["via"], kept["item"]) == ("Grace", "http", 1)
    assert app.get(path)["manual_verdicts"] == [kept]
    report = app.get(f"{path}/report")
    assert report["verdict"] == "passed"
    assert report["checklist"][0]["manual"] == [kept]
    page = app.ask("GET", f"{path}/report", headers={"Accept": "text/html"}).text
    assert "I counted them &lt;b&gt;myself&lt;/b&gt;." in page


@pytest.mark.parametrize(
    "wrong",
    [
        {"item": 6},
        {"item": 0},
        {"verdict": "maybe"},
        {"by": ""},
        {"by": "a\nb"},
        {"reason": "  "},
        {"reason": "x" * 1001},
        {"extra": 1},
    ],
)
def test_a_verdict_that_says_nothing_is_refused(
    app: App, checked: dict[str, Any], wrong: dict[str, Any]
) -> None:
    path = f"/api/checks/{checked['id']}/verdicts"
    refused(app.ask("POST", path, json={**VERDICT, **wrong}), 400, "invalid_request")


@pytest.mark.parametrize("wrong", [{"from_step": 0}, {"from_step": 6}, {"from_step": "x"}, {"steps": 1}])
def test_a_check_that_cannot_be_is_refused(app: App, wrong: dict[str, Any]) -> None:
    refused(app.ask("POST", "/api/checks", json=wrong), 400, "invalid_request")


def test_a_check_against_an_unknown_point_is_refused(app: App) -> None:
    refused(app.ask("POST", "/api/checks", json={"recovery_point": "nowhere"}), 404, "not_found")


@pytest.mark.parametrize("wanted", ["..%2F..%2Fx", "x" * 300, "01M84N94BSGHGA65R94DR5T0EQ"])
def test_what_is_not_there_is_said_so(app: App, wanted: str) -> None:
    for path in (f"/api/checks/{wanted}", f"/api/checks/{wanted}/report", f"/api/restores/{wanted}/report"):
        refused(app.ask("GET", path), 404, "not_found")
    refused(app.ask("POST", f"/api/checks/{wanted}/verdicts", json=VERDICT), 404, "not_found")


@pytest.mark.parametrize(
    "path", ["/api/checks", "/api/checks/x", "/api/checks/x/report", "/api/restores/x/report"]
)
def test_no_door_is_open_without_a_key(app: App, path: str) -> None:
    assert app.ask("GET", path, key="").status_code == 401
