"""Drills by the real app: over HTTP, and by their timer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.octopus import truth
from shared.model.backups import Kind
from tests.app.served import MASTER_KEY, App, refused
from tests.servers import SA_PASSWORD, Servers
from tests.world import World, world_on


@pytest.fixture(scope="module")
def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_on(servers, "url", tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="module")
def app(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    settings = {"DRILL_ENABLED": "true", "DRILL_ON_LIVE_SERVERS": "true"}
    with App({**world.environ, **settings}, tmp_path_factory.mktemp("host") / "host.log") as served:
        yield served


def test_before_there_is_a_point_there_is_nothing_to_drill(app: App) -> None:
    refused(app.ask("POST", "/api/drills", json={}), 400, "no_recovery_point")
    refused(app.ask("POST", "/api/drills", json={"recovery_point": "none"}), 404, "not_found")
    refused(app.ask("POST", "/api/drills", json={"point": "x"}), 400, "invalid_request")
    refused(app.ask("GET", "/api/drills/01M84N94BSGHGA65R94DR5T0EQ"), 404, "not_found")
    listed = app.get("/api/drills")
    assert listed["drills"] == []
    assert [finding["code"] for finding in listed["findings"]] == ["no_recent_drill"]


def test_a_drill_is_started_watched_listed_and_read(app: App, world: World) -> None:
    world.back_up(Kind.FULL)
    point = world.make_point("before v7")
    before, databases = world.truth(), world.databases()

    watched = app.begin("/api/drills", {"recovery_point": "before v7"}, **{"Idempotency-Key": b"one"})
    again = app.ask("POST", "/api/drills", json={}, headers={"Idempotency-Key": "two"})
    if again.status_code != 202:  # the first is still under way
        refused(again, 409, "locked")
    run = app.end(watched)

    assert run["state"] == "succeeded", run["error"]
    assert run["result"]["report"]["recovery_point"] == point.id
    assert run["result"]["report_text"].startswith("DRILL REPORT")
    newest = app.until(lambda: app.get("/api/drills"), lambda found: found["drills"][-1]["verdict"])
    assert (newest["drills"][-1]["id"], newest["drills"][-1]["verdict"]) == (run["id"], "passed")
    assert newest["findings"] == []
    app.until(lambda: app.get("/api/drills")["drills"], lambda found: all(one["verdict"] for one in found))
    assert world.databases() == databases
    assert truth.differences(before, world.truth()) == []
    assert not [reply for reply in app.replies if SA_PASSWORD in reply]


def test_the_timer_makes_one_drill_per_slot_whoever_fires(app: App, world: World) -> None:
    already = {one["id"] for one in app.get("/api/drills")["drills"]}

    def fire(_: int) -> int:
        return app.ask("POST", "/admin/functions/drill", key=MASTER_KEY).status_code

    def new() -> list[dict[str, object]]:
        return [one for one in app.get("/api/drills")["drills"] if one["id"] not in already]

    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(fire, range(3))) == {202}
    app.until(new, lambda found: found and all(one["verdict"] for one in found))
    assert fire(0) == 202  # once more, when it has ended
    app.until(lambda: app.get("/api/drills")["drills"], lambda found: all(one["verdict"] for one in found))
    assert [one["verdict"] for one in new()] == ["passed"]
