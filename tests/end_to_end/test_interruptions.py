"""Hosts die, activities are delivered twice: the next attempt goes on where the last one was."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from local.octopus import truth
from shared.errors import ConflictError, PlanChangedError
from shared.model.backups import Kind, QdrantFacts
from shared.model.requests import BackupRequest, PointRequest
from shared.model.runs import Run, RunKind, State
from shared.workflows import points, starts
from shared.workflows.outcomes import Activity
from shared.workflows.registry import activities
from shared.workflows.runs import Start, Ticket
from tests.world import World, kinds

CLI = Path(sys.executable).with_name("octopus-backup")


def finished(run: Run) -> dict[str, Any]:
    """The steps that succeeded, as they were left."""
    return {step.id: step for step in run.steps if step.state is State.SUCCEEDED}


def due(world: World, timer: str) -> Start:
    (start,) = [one for one in starts.tick(world.system, timer) if one.payload.get("timer") == timer]
    return start


def test_a_slot_whose_host_died_is_taken_over_and_its_backup_is_not_repeated(world: World) -> None:
    first = due(world, "sql_full")
    left = world.crash(first, "back_up_database")
    assert left.state == "running"
    assert starts.tick(world.system, "sql_full") == []  # as long as it may be alive
    world.die(first)

    second = due(world, "sql_full")
    assert (second.run_id, second.payload["attempt"]) == (first.run_id, 2)
    run = world.run(second)

    assert run.state == "succeeded"
    assert run.attempt == 2
    step = f"back-up:{world.database}"
    assert finished(run)[step] == finished(left)[step]
    assert kinds(world) == ["full"]
    assert starts.tick(world.system, "sql_full") == []


def test_the_log_timer_takes_over_what_other_timers_left_behind(world: World) -> None:
    first = due(world, "sql_full")
    world.crash(first, "back_up_database", before=True)
    world.die(first)
    started = {one.payload["timer"]: one for one in starts.tick(world.system, "sql_log")}
    assert started["sql_full"].run_id == first.run_id
    assert started["sql_full"].payload["attempt"] == 2
    assert "sql_differential" not in started  # it could only build on an older full
    assert {"sql_log", "recovery_point"} <= set(started)


def test_a_slot_is_given_up_after_three_attempts(world: World) -> None:
    for attempt in (1, 2, 3):
        start = due(world, "sql_full")
        assert start.payload["attempt"] == attempt
        world.crash(start, "back_up_database", before=True)
        world.die(start)
    assert starts.tick(world.system, "sql_full") == []


def test_an_attempt_that_wakes_up_late_can_no_longer_write(world: World) -> None:
    first = due(world, "sql_full")
    world.crash(first, "begin_run")
    world.die(first)
    run = world.run(due(world, "sql_full"))
    payload = Ticket.of(first.payload).as_payload(step=f"back-up:{world.database}")
    with pytest.raises(ConflictError) as late:
        world.activity("back_up_database")(payload)
    assert late.value.specific_code == "taken_over"
    assert not late.value.retryable
    assert world.look(first) == run
    assert kinds(world) == ["full"]


def test_finished_snapshots_are_kept_by_the_next_attempt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points, "WINDOW", 1)
    world.back_up(Kind.FULL)
    first = starts.start_point(world.system, PointRequest())
    world.crash(first, "take_snapshot")

    run = world.run(world.again(first))

    assert run.state == "succeeded"
    point = world.system.catalogue.points.get(run.step("point").evidence["point_id"])
    assert point.complete
    facts = world.system.catalogue.backups.get(point.vectors.snapshot_set_id).facts
    assert isinstance(facts, QdrantFacts)
    assert [part.blob.name.split("/")[-2] for part in facts.parts] == ["a1", "a2"]


@pytest.mark.parametrize("last", ["commit_snapshot_set", "set_mark", "back_up_database", "commit_point"])
def test_a_point_interrupted_between_two_steps_is_finished_once(world: World, last: str) -> None:
    world.back_up(Kind.FULL)
    first = starts.start_point(world.system, PointRequest())
    left = world.crash(first, last)
    run = world.run(world.again(first))
    assert run.state == "succeeded"
    kept = {step: done for step, done in finished(run).items() if step in finished(left)}
    assert kept == finished(left)
    assert [point.complete for point in world.system.catalogue.points.all()] == [True]
    assert kinds(world) == ["full", "log"]
    expected = world.truth()
    world.lose_everything()
    world.restore(world.plan("latest", policy="paired"))
    assert truth.differences(expected, world.truth()) == []


def delivered_twice(world: World) -> dict[str, Activity]:
    def twice(activity: Activity) -> Activity:
        def perform(payload: dict[str, Any]) -> Any:
            activity(dict(payload))
            return activity(dict(payload))

        return perform

    return {name: twice(activity) for name, activity in activities(lambda: world.system).items()}


def test_activities_that_are_delivered_twice_do_no_harm(world: World) -> None:
    for kind in (BackupRequest(kind=Kind.FULL), BackupRequest(kind=Kind.LOG)):
        run = world.run(starts.start_backup(world.system, kind), **delivered_twice(world))
        assert run.state == "succeeded", run.error
    assert kinds(world) == ["full", "log"]
    run = world.run(starts.start_point(world.system, PointRequest()), **delivered_twice(world))
    assert run.state == "succeeded", run.error
    (point,) = world.system.catalogue.points.all()
    assert point.complete
    assert kinds(world) == ["full", "log", "log"]
    expected = world.truth()
    world.work("lost")
    plan = world.plan({"recovery_point": point.id}, in_place=True)
    run = world.run(world.begin(plan), **delivered_twice(world))
    assert run.state == "succeeded", run.error
    assert truth.differences(expected, world.truth()) == []
    assert kinds(world) == ["full", "log", "log", "log", "full"]
    with pytest.raises(PlanChangedError) as executed:
        world.begin(plan)
    assert executed.value.specific_code == "plan_executed"


@pytest.mark.parametrize(("after", "attempt"), [(1, 1), (2, 2), (3, 1), (4, 2), (8, 1), (10, 2)])
def test_a_restore_interrupted_after_any_step_goes_on_from_its_state(
    world: World, after: int, attempt: int
) -> None:
    """Tail, full, log, recover, proof, migrations, gap, safety, two collections, orphans, aftermath."""
    world.back_up(Kind.FULL)
    point = world.make_point()
    expected = world.truth()
    world.work("lost")
    plan = world.plan({"recovery_point": point.id}, in_place=True)
    start = world.begin(plan)
    left = world.crash(start, "restore_step", nth=after)
    if attempt == 2:  # by a person, who starts the plan again; attempt 1 goes on where the engine itself does
        world.die(start)
        start = world.begin(plan)
        assert start.run_id == left.id

    run = world.run(start)

    assert run.state == "succeeded", run.error
    assert run.attempt == attempt
    assert len(finished(left)) >= after
    kept = {step: done for step, done in finished(run).items() if step in finished(left)}
    assert kept == finished(left)
    assert truth.differences(expected, world.truth()) == []
    assert kinds(world) == ["full", "log", "log", "full"]


def killed(world: World, arguments: list[str], kind: RunKind, progress: Any) -> Run:
    """Run the command line until ``progress`` sees what it waits for, then kill it with SIGKILL."""
    child = subprocess.Popen(
        [str(CLI), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            runs = world.system.catalogue.runs.recent(kind, 1)
            if runs and progress(runs[0]):
                return runs[0]
            assert child.poll() is None, f"it ended with {child.returncode} before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        child.kill()
        child.wait(10)


def as_start(run: Run, workflow: str) -> Start:
    ticket = Ticket(run.kind, run.id, run.attempt)
    request = {name: value for name, value in run.request.items() if name in ("name",)}
    return Start(workflow, ticket.as_payload(request=request), f"test-{run.id}", run.id)


def test_a_command_killed_while_it_takes_snapshots_is_taken_over(world: World) -> None:
    world.back_up(Kind.FULL)
    world.fault(create_delay=3.0)  # one of the two is still under way when the other has ended
    parts = world.system.catalogue.runs.parts

    left = killed(
        world,
        ["recovery-point"],
        RunKind.RECOVERY_POINT,
        lambda run: any("blob" in p for p in parts(run.id).values()),
    )

    assert left.state == "running"
    run = world.run(world.again(as_start(left, "make_recovery_point")))
    assert run.state == "succeeded", run.error
    (point,) = world.system.catalogue.points.all()
    assert point.complete


def test_a_command_killed_while_it_recovers_a_collection_is_taken_over(world: World) -> None:
    world.back_up(Kind.FULL)
    point = world.make_point()
    expected = world.truth()
    world.lose_everything()
    plan = world.plan({"recovery_point": point.id})
    world.fault(recover_delay=2.0)
    begun = world.system.catalogue.runs.parts

    left = killed(
        world,
        ["restore", plan.id, "--digest", plan.digest],
        RunKind.RESTORE,
        lambda run: any(key.startswith("begun/") for key in begun(run.id)),
    )

    assert left.state == "running"
    run = world.run(world.again(as_start(left, "restore")))
    assert run.state == "succeeded", run.error
    assert truth.differences(expected, world.truth()) == []
