"""Restores from a terminal: planned in every way, resumed, cancelled, listed and shown."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.app.cli.conftest import Cli

OPERATOR = "Margaret Hamilton"
UNKNOWN = "01M84N94BSGHGA65R94DR5T0EQ"


@pytest.fixture(scope="module")
def point(cli: Cli) -> str:
    assert cli("backup", "full").code == 0
    assert cli("recovery-point", "--name", "whole").code == 0
    return "whole"


def plan_of(cli: Cli, *words: str) -> dict[str, Any]:
    ended = cli("plan", *words, "--json")
    assert ended.code == 0, ended
    (plan,) = ended.json["plans"]
    return dict(plan)


def kinds(plan: dict[str, Any]) -> set[str]:
    return {step["kind"] for step in plan["execution"]["steps"]}


def test_one_store_or_one_agent_is_planned_alone(cli: Cli, point: str) -> None:
    sql = plan_of(cli, point, "--store", "sqlserver", "--checkdb")
    assert "sql_restore" in kinds(sql)
    assert "collection" not in kinds(sql)
    assert any(step.get("checkdb") for step in sql["execution"]["steps"])
    (collection,) = [
        step["collection"]
        for step in plan_of(cli, point, "--store", "qdrant")["execution"]["steps"]
        if step["kind"] == "collection"
    ]
    agent = plan_of(cli, point, "--agent", collection.removeprefix("agent_"))
    assert "collection" in kinds(agent)
    assert "sql_restore" not in kinds(agent)


def test_a_script_and_a_list_of_erased_users_are_read_from_files(
    cli: Cli, point: str, tmp_path: Path
) -> None:
    script, users = tmp_path / "octopus.sql", tmp_path / "erased.txt"
    script.write_text("SELECT 1;\nGO\n", encoding="utf-16")
    users.write_text("\ufeffuser-1\n\n  user-2  \n", encoding="utf-8")
    plan = plan_of(cli, point, "--migration-script", str(script), "--erase-users", str(users))
    (migrations,) = [step for step in plan["execution"]["steps"] if step["kind"] == "migrations"]
    assert migrations["how"] == "script"
    (erasures,) = [step for step in plan["execution"]["steps"] if step["kind"] == "erasures"]
    assert erasures["users"] == 2
    assert "user-1" not in json.dumps(plan)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--migration-script", "{binary}"), "no text in UTF-8"),
        (("--agent", "nobody"), "Not understood: agents.0: "),
        (("--store", "mysql"), "Invalid value for '--store'"),
        (("--erase-users", "{missing}"), "does not exist"),
    ],
)
def test_what_is_not_understood_is_told(
    cli: Cli, point: str, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    (tmp_path / "binary").write_bytes(b"\x80\x81\x82")
    places = {"binary": str(tmp_path / "binary"), "missing": str(tmp_path / "missing")}
    ended = cli("plan", point, *(word.format(**places) for word in words))
    assert ended.code == 2
    assert told in " ".join(ended.err.split())


def test_a_restore_is_put_in_service_and_every_run_is_listed_and_shown(cli: Cli, point: str) -> None:
    beside = plan_of(cli, point, "--store", "sqlserver")
    done = cli("restore", beside["id"], "--digest", beside["digest"], "--json")
    assert done.code == 0, done
    run_id = done.json["id"]
    service = plan_of(cli, f"restore:{run_id}")
    assert "swap" in kinds(service)
    needs = cli("restore", service["id"], "--digest", service["digest"])
    assert needs.code == 3
    assert "code: fence_needed" in needs.err

    cli.stack.stop_octopus()
    begun = cli.begin("restore", service["id"], "--digest", service["digest"], "--fenced-by", OPERATOR)
    try:
        waiting(cli)
        cli.stack.start_octopus()
        ended = cli.end(begun)
    finally:
        begun.kill()
    assert ended.code == 0, ended
    assert OPERATOR in ended.out
    assert "Undo: ALTER DATABASE" in " ".join(ended.out.split())

    listed = cli("runs", "--json").json["runs"]
    assert {run["kind"] for run in listed} >= {"backup", "recovery_point", "restore"}
    assert run_id in cli("runs").out
    assert cli("show", run_id).out.startswith("RESTORE REPORT ")
    assert "done" in cli("show", run_id, "--steps").out
    assert cli("show", run_id, "--json").json["result"]["report"]["verdict"] == "passed"
    assert cli("show", UNKNOWN).code == 2


def waiting(cli: Cli) -> dict[str, Any]:
    """The run of the restore that waits for the API."""
    for _ in range(120):
        for one in cli("status", "--json").json["running"]:
            run = cli("show", one["id"], "--json").json
            steps = [step for step in run["steps"] if step["id"].endswith("-health")]
            if steps and steps[0]["state"] == "running":
                return dict(run)
        time.sleep(0.5)
    pytest.fail("no restore waits for the API")


def test_ctrl_c_tells_what_was_left_and_the_same_command_goes_on(cli: Cli, point: str) -> None:
    plan = plan_of(cli, point, "--in-place")
    words = ("restore", plan["id"], "--digest", plan["digest"], "--fenced-by", OPERATOR)
    cli.stack.stop_octopus()
    begun = cli.begin(*words)
    try:
        run = waiting(cli)
        begun.send_signal(signal.SIGINT)
        ended = cli.end(begun)
    finally:
        begun.kill()
    assert ended.code == 130
    assert f"Run {run['id']} is written down as failed" in ended.err
    assert "OctopusDB: restored, and open for use" in " ".join(ended.err.split())
    again = cli.begin(*words)
    try:
        waiting(cli)
        cli.stack.start_octopus()
        assert cli.end(again).code == 0
    finally:
        again.kill()


def test_a_restore_is_cancelled_from_another_terminal(cli: Cli, point: str) -> None:
    plan = plan_of(cli, point, "--in-place")
    cli.stack.stop_octopus()
    begun = cli.begin("restore", plan["id"], "--digest", plan["digest"], "--fenced-by", OPERATOR)
    try:
        run = waiting(cli)
        other = cli("restore", plan["id"], "--digest", plan["digest"], "--fenced-by", OPERATOR, "--json")
        assert (other.code, other.json["error"]["run_id"]) == (3, run["id"])
        cancelled = cli("cancel", run["id"], "--by", OPERATOR)
        assert cancelled.code == 0, cancelled
        assert f"cancelled by {OPERATOR}" in " ".join(cancelled.out.split())
        ended = cli.end(begun)
    finally:
        begun.kill()
        cli.stack.start_octopus()
    assert ended.code == 1
    assert "restored, and open for use" in " ".join(ended.out.split())
    assert cli("cancel", run["id"], "--by", OPERATOR).code == 3
    assert cli("cancel", UNKNOWN, "--by", OPERATOR).code == 2
    assert cli("cancel", run["id"], "--by", " ").code == 2
    nothing = cli("resume-timers", "OctopusDB")
    assert nothing.code == 2
    assert "are not suspended" in nothing.err
