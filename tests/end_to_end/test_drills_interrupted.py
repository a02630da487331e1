"""Drills that die, on whatever server: what they made is removed, and what lives is never touched."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyodbc
import pytest

from local import processes
from local.octopus import truth
from local.sqlserver.client import connection_string
from shared.composition import for_drill
from shared.errors import InvalidSettingsError
from shared.model.points import RecoveryPoint
from shared.model.runs import Run, RunKind
from shared.settings import load
from shared.workflows import drill_activities, starts
from shared.workflows.drills import drill_findings
from shared.workflows.registry import activities
from shared.workflows.runs import Start
from tests.end_to_end.drilling import begin, drilled, live, on_live, point, scratch, step_of, whole
from tests.servers import ROOT, SA_PASSWORD, allow
from tests.world import World

__all__ = ["on_live", "point"]

CLI = Path(sys.executable).with_name("octopus-backup")
STEPS = 9
"""Two backups, recover, proof, migrations, two collections, orphans, sample."""


def test_a_drill_killed_after_any_step_is_cleaned_up_after_and_touched_nothing_live(
    on_live: World, point: RecoveryPoint
) -> None:
    before, databases = on_live.truth(), set(on_live.databases())
    for nth in range(1, STEPS + 1):
        start = begin(on_live)
        left = on_live.crash(start, "drill_step", nth=nth)
        assert left.state == "running"
        assert truth.differences(before, live(on_live)) == []
        on_live.die(start)
        assert "drill_left_copies" in {finding.code for finding in drill_findings(on_live.system)}

        assert drill_activities.clear(on_live.system) == [start.run_id]

        run = on_live.look(start)
        assert (run.state, run.error and run.error.code) == ("failed", "interrupted")
        assert scratch(on_live) == []
        assert set(on_live.databases()) == databases
    assert truth.differences(before, on_live.truth()) == []
    assert drill_activities.clear(on_live.system) == []


@pytest.mark.parametrize(("last", "before"), [("plan_drill", False), ("clean_up_drill", True)])
def test_the_next_drill_removes_what_the_one_before_left_behind(
    on_live: World, point: RecoveryPoint, last: str, before: bool
) -> None:
    start = begin(on_live)
    on_live.crash(start, last, before=before)
    on_live.die(start)
    run = drilled(on_live)
    assert run.id != start.run_id
    assert on_live.look(start).state == "failed"
    assert scratch(on_live) == []


def test_a_second_attempt_begins_anew_under_other_names(on_live: World, point: RecoveryPoint) -> None:
    start = begin(on_live)
    left = on_live.crash(start, "drill_step", nth=7)
    copies = set(scratch(on_live))
    assert copies
    on_live.die(start)
    on_live.clock.sleep(1.0)  # names tell seconds

    run = whole(on_live, on_live.run(on_live.again(start)))

    assert run.state == "succeeded", run.error
    assert run.attempt == 2
    assert run.request["plan_id"] != left.request["plan_id"]
    assert not copies & {name.partition(":")[2] for name in step_of(run, "clean_up").evidence["removed"]}
    assert run.result["report"]["figures"]["rto_seconds"] is not None
    assert scratch(on_live) == []


def killed(world: World, arguments: list[str], progress: Any) -> Run:
    """Run the command line until ``progress`` sees what it waits for, then kill it with SIGKILL."""
    child = subprocess.Popen(
        [str(CLI), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            runs = world.system.catalogue.runs.recent(RunKind.DRILL, 1)
            if runs and progress(runs[0]):
                return runs[0]
            assert child.poll() is None, f"it ended with {child.returncode} before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        child.kill()
        child.wait(10)


def test_a_command_killed_while_a_collection_is_recovered_leaves_nothing_after_a_clean_up(
    on_live: World, point: RecoveryPoint
) -> None:
    before = on_live.truth()
    on_live.fault(recover_delay=2.0)  # the server goes on without its client
    begun = on_live.system.catalogue.runs.parts
    left = killed(on_live, ["drill"], lambda run: any(key.startswith("begun/") for key in begun(run.id)))
    start = Start("perform_drill", {"kind": "drill", "run_id": left.id, "attempt": 1}, "x", left.id)
    on_live.die(start)

    cleaned = subprocess.run(
        [str(CLI), "drill", "--clean-up", "--json"], capture_output=True, check=True, text=True
    )

    assert json.loads(cleaned.stdout) == {"cleaned_up": [left.id]}
    on_live.settle()
    assert scratch(on_live) == []
    assert truth.differences(before, on_live.truth()) == []


# By the timer.


def test_the_timer_drills_once_a_slot_and_takes_a_dead_one_over(
    world: World, point: RecoveryPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRILL_ENABLED", "true")
    with world.aside() as timed:
        due = starts.tick(timed.system, "drill")
        assert [(one.workflow, one.payload["timer"]) for one in due] == [("perform_drill", "drill")]
        timed.crash(due[0], "drill_step", nth=3)
        assert starts.tick(timed.system, "drill") == []  # as long as it may be alive
        timed.die(due[0])
        taken_over = [one for one in starts.tick(timed.system, "sql_log") if one.payload["timer"] == "drill"]
        assert [one.payload["attempt"] for one in taken_over] == [2]
        timed.clock.sleep(1.0)  # names tell seconds
        run = timed.run(taken_over[0])
        assert run.state == "succeeded", run.error
        assert run.slot is not None
        assert starts.tick(timed.system, "drill") == []
        assert scratch(timed) == []


# Whatever a plan says.


def test_a_plan_that_somebody_changed_writes_nothing(on_live: World, point: RecoveryPoint) -> None:
    before, databases = on_live.truth(), on_live.databases()
    for code, consistent in (("digest_mismatch", False), ("drill_not_scratch", True)):
        plan_drill = activities(lambda: on_live.system)["plan_drill"]

        def tampering(payload: dict[str, Any], plan_drill: Any = plan_drill, lies: bool = consistent) -> Any:
            groups = plan_drill(payload)
            aim_at_what_lives(on_live, payload["run_id"], lies)
            return groups

        run = on_live.run(begin(on_live), plan_drill=tampering)
        assert run.state == "failed"
        assert run.error is not None
        assert run.error.code == code
        assert on_live.databases() == databases
        assert truth.differences(before, on_live.truth()) == []


def aim_at_what_lives(world: World, run_id: str, lies: bool) -> None:
    """Give the steps of a drill's stored plan live names; ``lies``: with a digest to match."""
    runs = world.system.catalogue.runs
    run = runs.get(RunKind.DRILL, run_id)
    plan = world.system.catalogue.plans.get(run.request["plan_id"])
    steps = tuple(
        step.model_copy(update={"target": getattr(step, "database", None) or getattr(step, "collection", "")})
        if hasattr(step, "target")
        else step
        for step in plan.execution.steps
    )
    execution = plan.execution.model_copy(update={"steps": steps})
    changed = plan.model_copy(update={"execution": execution, "digest": execution.digest()})
    blob = world.storage.get_blob_client("state", f"plans/{plan.id}.json")
    blob.upload_blob(json.dumps(changed.as_json()), overwrite=True)
    if lies:
        runs.update(
            RunKind.DRILL,
            run_id,
            run.attempt,
            lambda old: old.model_copy(update={"request": {**old.request, "digest": changed.digest}}),
        )


# On servers of its own.


@pytest.fixture
def apart(
    world: World, point: RecoveryPoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[World, dict[str, Any]]]:
    """The world with other servers for drills, and those."""
    children: list[processes.Child] = []

    def launch(name: str, **env: str) -> processes.Child:
        command = [sys.executable, "-m", f"local.{name}", "--data-dir", str(tmp_path / name)]
        log = tmp_path / f"{name}.log"
        environ = {**world.servers.azurite.env(), **env}
        children.append(processes.start(name, command, log=log, env=environ, cwd=ROOT))
        return children[-1]

    with processes.stopping(children):
        sql, qdrant = launch("sqlserver", STANDIN_SA_PASSWORD=SA_PASSWORD), launch("qdrant")
        master = connection_string(int(sql.ready["port"]), SA_PASSWORD)
        with contextlib.closing(pyodbc.connect(master, autocommit=True)) as connection:
            for container in ("data", "landing"):
                allow(world.servers, connection, world.account, container)
        pairs = [pair for pair in master.split(";") if not pair.startswith(("DATABASE=", "APP="))]
        monkeypatch.setenv("DRILL_SQLSERVER_CONNECTION", ";".join(pairs))
        monkeypatch.setenv("DRILL_QDRANT_URLS", str(qdrant.ready["url"]))
        monkeypatch.delenv("DRILL_ON_LIVE_SERVERS")
        with world.aside() as other:
            yield other, {"sql": master, "qdrant": str(qdrant.ready["url"])}
            for_drill(other.system).qdrant.close()


def copies_on(servers: dict[str, Any]) -> list[str]:
    with contextlib.closing(pyodbc.connect(servers["sql"], autocommit=True)) as connection:
        names = [str(row[0]) for row in connection.execute("SELECT name FROM sys.databases").fetchall()]
    listed = httpx.get(f"{servers['qdrant']}/collections", trust_env=False).json()["result"]["collections"]
    return [name for name in [*names, *(one["name"] for one in listed)] if name.startswith("drill_")]


def test_a_drill_on_other_servers_leaves_the_live_ones_alone(apart: tuple[World, dict[str, Any]]) -> None:
    world, servers = apart
    before, databases = world.truth(), world.databases()
    clean_up = activities(lambda: world.system)["clean_up_drill"]
    seen: list[tuple[int, int]] = []

    def looking(payload: dict[str, Any]) -> Any:
        seen.append((len(copies_on(servers)), len(scratch(world))))
        return clean_up(payload)

    run = world.run(begin(world), clean_up_drill=looking)

    assert run.state == "succeeded", run.error
    assert seen == [(3, 0)]
    assert copies_on(servers) == []
    assert world.databases() == databases
    assert truth.differences(before, world.truth()) == []


def test_the_live_servers_are_not_taken_for_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRILL_SQLSERVER_CONNECTION", world.environ["SQLSERVER_CONNECTION"])
    monkeypatch.setenv("DRILL_QDRANT_URLS", world.environ["QDRANT_URLS"])
    with pytest.raises(InvalidSettingsError) as same:
        load()
    assert "DRILL_SQLSERVER_CONNECTION: names the live server" in same.value.message
    assert "DRILL_QDRANT_URLS: names a live peer" in same.value.message
