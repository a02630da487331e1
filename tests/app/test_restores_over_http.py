"""A restore over HTTP: watched, cancelled, gone on with; and refused beside another, with that one's id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.octopus import truth
from shared.model.runs import RunKind
from shared.workflows.runs import Start, Ticket
from tests.app.served import App, refused
from tests.servers import Servers
from tests.world import World, world_on

OPERATOR = "Katherine Johnson"
UNKNOWN = "01M84N94BSGHGA65R94DR5T0EQ"


@pytest.fixture(scope="module")
def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_on(servers, "url", tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="module")
def app(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with App(world.environ, tmp_path_factory.mktemp("host") / "host.log") as served:
        yield served


@pytest.fixture(scope="module")
def expected(app: App) -> None:
    app.run("/api/backups", {"kind": "full"})
    app.run("/api/recovery-points", {"name": "whole"})


def recovering(run: dict[str, Any]) -> bool:
    return any(s["id"].endswith("-collection") and s["state"] == "running" for s in run["steps"])


def started(plan: dict[str, Any]) -> dict[str, str]:
    return {"plan_id": plan["id"], "digest": plan["digest"]}


@pytest.mark.usefixtures("expected")
def test_a_restore_is_cancelled_tells_what_it_left_and_is_gone_on_with(app: App, world: World) -> None:
    whole = world.truth()
    world.work("since then")
    world.fault(recover_delay=6.0)
    plan = app.plan({"recovery_point": "whole"}, in_place=True)
    other = app.plan({"recovery_point": "whole"}, in_place=True)
    status_url = app.begin("/api/restores", started(plan))
    run_id = status_url.rsplit("/", 1)[1]

    app.until(lambda: app.get(status_url), recovering)
    beside = refused(app.ask("POST", "/api/restores", json=started(other)), 409, "locked")
    assert beside["run_id"] == run_id
    assert run_id in beside["message"]

    answers = [app.ask("POST", f"{status_url}/cancel", json={"by": OPERATOR}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["cancel"]["by"] == OPERATOR
    assert answers[0].headers["Location"] == status_url

    run = app.end(status_url)
    assert (run["state"], run["error"]["code"]) == ("failed", "cancelled")
    assert OPERATOR in run["error"]["message"]
    left = {one["name"]: one["state"] for one in run["result"]["left"]}
    assert left[world.database] == "restored"
    assert {"left_restored"} <= {finding["code"] for finding in run["findings"]}
    refused(app.ask("POST", f"{status_url}/cancel", json={"by": OPERATOR}), 409, "run_ended")
    world.qdrant.delete("/_standin/faults")

    again = app.end(app.begin("/api/restores", started(plan)))
    assert (again["id"], again["attempt"], again["state"]) == (run_id, 2, "succeeded"), again["error"]
    collection = next(step for step in again["steps"] if step["id"].endswith("-collection"))
    assert collection["evidence"]["recovered"], "kept apart, and joined again for who asks"
    stored = world.system.catalogue.runs.get(RunKind.RESTORE, run_id).model_dump_json()
    assert "recovered" not in stored
    assert again["result"]["report"]["verdict"] == "passed"
    assert truth.differences(whole, world.truth()) == []


@pytest.mark.usefixtures("expected")
def test_what_cannot_be_cancelled_is_refused(app: App) -> None:
    refused(app.ask("POST", f"/api/restores/{UNKNOWN}/cancel", json={"by": OPERATOR}), 404, "not_found")
    backup = app.get("/api/backups")["runs"][0]["id"]
    refused(app.ask("POST", f"/api/restores/{backup}/cancel", json={"by": OPERATOR}), 404, "not_found")
    for body in ({}, {"by": " "}, {"by": "x" * 101}, {"by": "a\nb"}, {"by": OPERATOR, "force": True}):
        refused(app.ask("POST", f"/api/restores/{UNKNOWN}/cancel", json=body), 400, "invalid_request")


@pytest.mark.usefixtures("expected")
def test_a_restore_whose_host_was_killed_goes_on_under_another_host_that_knows_nothing_of_it(
    app: App, world: World, tmp_path: Path
) -> None:
    """The second host's engine has no history of the first one's: all that is known is in Blob Storage."""
    world.fault(recover_delay=3.0)
    with App(world.environ, tmp_path / "first.log") as first:
        first.run("/api/recovery-points", {"name": "of the host"})
        whole = world.truth()
        plan = first.plan({"recovery_point": "of the host"}, in_place=True)
        status_url = first.begin("/api/restores", started(plan))
        first.until(lambda: first.get(status_url), recovering)
        first.child.kill()
    world.qdrant.delete("/_standin/faults")
    world.settle()
    early = refused(app.ask("POST", "/api/restores", json=started(plan)), 409, "locked")
    run_id = status_url.rsplit("/", 1)[1]
    assert early["run_id"] == run_id, "it may be alive, for ten minutes"
    world.die(Start("restore", Ticket(RunKind.RESTORE, run_id, 1).as_payload(), "", run_id))

    again = app.end(app.begin("/api/restores", started(plan)))
    assert (again["id"], again["attempt"], again["state"]) == (run_id, 2, "succeeded"), again["error"]
    assert truth.differences(whole, world.truth()) == []
