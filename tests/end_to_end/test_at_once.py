"""Two operators, two hosts, one target: one restore works on it, and everybody else hears which."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.octopus import truth
from shared.clock import new_ulid
from shared.errors import BackupSystemError, LockedError, NotPermittedError, PlanChangedError
from shared.model.backups import Kind
from shared.model.plans import Plan
from shared.model.requests import BackupRequest
from shared.model.runs import RunKind, State
from shared.workflows import runs, starts
from shared.workflows.registry import WORKFLOWS, activities
from shared.workflows.runner import DirectRunner
from shared.workflows.runs import Start
from tests.world import World, kinds


def prepared(world: World) -> truth.Truth:
    world.back_up(Kind.FULL)
    world.make_point("whole")
    expected = world.truth()
    world.work("since then")
    return expected


def in_place(world: World) -> Plan:
    return world.plan({"recovery_point": "whole"}, in_place=True)


def begun_at_once(world: World, *plans: Plan) -> tuple[list[Start], list[BackupSystemError]]:
    together = threading.Barrier(len(plans))

    def begin(plan: Plan) -> Start | BackupSystemError:
        together.wait(30)
        try:
            return world.begin(plan)
        except BackupSystemError as error:
            return error

    with ThreadPoolExecutor(len(plans)) as pool:
        outcomes = list(pool.map(begin, plans))
    return (
        [one for one in outcomes if isinstance(one, Start)],
        [one for one in outcomes if isinstance(one, BackupSystemError)],
    )


def test_of_two_operators_who_start_at_once_one_is_refused_with_the_run_of_the_other(world: World) -> None:
    expected = prepared(world)
    first, second = in_place(world), in_place(world)
    (start,), (refused,) = begun_at_once(world, first, second)
    assert isinstance(refused, LockedError)
    # Either the other one was just starting, and the second try names it; or it is named at once.
    with pytest.raises(LockedError, match=start.run_id) as named:
        world.begin(first if start.payload["run_id"] != _run_of(world, first) else second)
    assert named.value.as_dict()["run_id"] == start.run_id
    assert world.run(start).state == "succeeded"
    assert truth.differences(expected, world.truth()) == []


def _run_of(world: World, plan: Plan) -> str:
    return world.system.catalogue.claims.run_for_key(f"plan/{plan.id}", "none")


def test_the_same_plan_started_twice_at_once_has_one_run(world: World) -> None:
    prepared(world)
    plan = in_place(world)
    (start,), (refused,) = begun_at_once(world, plan, plan)
    assert isinstance(refused, LockedError)
    assert [run.id for run in world.system.catalogue.runs.recent(RunKind.RESTORE, 10)] == [start.run_id]


def test_a_restore_beside_another_target_is_nobodys_hindrance(world: World) -> None:
    prepared(world)
    world.begin(in_place(world))
    other = {world.database: f"{world.database}_copy"}
    plan = world.plan({"recovery_point": "whole"}, names=other, stores=["sqlserver"])
    assert world.restore(plan).state == "succeeded"


def test_a_restore_is_found_however_many_runs_came_after_it(world: World) -> None:
    prepared(world)
    plan = in_place(world)
    start = world.begin(plan)
    run = world.look(start)
    for _ in range(30):
        later = {"id": new_ulid(), "state": State.FAILED, "request": {"plan_id": "another"}}
        world.system.catalogue.runs.create(run.model_copy(update=later))
    with pytest.raises(LockedError, match=start.run_id):
        world.begin(plan)
    with pytest.raises(LockedError, match=start.run_id):
        world.begin(in_place(world))
    backup = world.run(starts.start_backup(world.system, BackupRequest(kind=Kind.LOG)))
    assert (backup.state, start.run_id in str(backup.error)) == ("skipped", True)
    world.die(start)
    assert world.begin(plan).run_id == start.run_id, "resumed, not begun anew"


def test_a_dead_restore_gives_way_to_another_plan_and_can_no_longer_write(world: World) -> None:
    expected = prepared(world)
    first = world.begin(in_place(world))
    world.activity("begin_restore")(first.payload)
    world.die(first)
    world.restore(in_place(world))
    assert world.look(first).state == "failed"
    with pytest.raises(BackupSystemError, match="must stop"):
        world.activity("restore_step")({**first.payload, "index": 0})
    with pytest.raises(PlanChangedError) as refused:
        world.begin(world.system.catalogue.plans.get(world.look(first).request["plan_id"]))
    assert refused.value.specific_code == "targets_taken"
    assert truth.differences(expected, world.truth()) == []


def test_a_restore_is_not_resumed_when_another_one_has_worked_on_its_targets_since(world: World) -> None:
    expected = prepared(world)
    plan = in_place(world)
    start = world.begin(plan)

    def fails(_: dict[str, Any]) -> Any:
        raise NotPermittedError("somebody took a right away")

    assert world.run(start, restore_step=fails).state == "failed"
    world.restore(in_place(world))
    with pytest.raises(PlanChangedError) as refused:
        world.begin(plan)
    assert refused.value.specific_code == "targets_taken"
    assert truth.differences(expected, world.truth()) == []


def test_a_step_that_is_delivered_twice_at_once_is_done_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "BEAT_SECONDS", 0.2)
    expected = prepared(world)
    plan = in_place(world)
    start = world.begin(plan)
    index = next(n for n, step in enumerate(plan.execution.steps) if step.kind == "collection")
    honest = world.activity("restore_step")
    outcomes: list[str] = []

    def twice(payload: dict[str, Any]) -> Any:
        if payload["index"] != index or outcomes:
            return honest(payload)
        outcomes.append("begun")
        world.fault(recover_delay=3.0)

        def other() -> None:
            world.await_recovery()
            try:
                honest(dict(payload))
            except LockedError as error:
                outcomes.append(error.specific_code)

        beside = threading.Thread(target=other)
        beside.start()
        try:
            return honest(payload)
        finally:
            beside.join()

    run = world.run(start, restore_step=twice)
    assert run.state == "succeeded", run.error
    assert outcomes == ["begun", "locked"]
    assert truth.differences(expected, world.truth()) == []


def test_two_hosts_that_run_the_same_restore_end_it_once(world: World) -> None:
    expected = prepared(world)
    start = world.begin(in_place(world))
    failures: list[BaseException] = []

    def host() -> None:
        try:
            known = activities(lambda: world.system)
            DirectRunner(known, world.clock).run(WORKFLOWS[start.workflow], start.payload)
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            failures.append(error)

    hosts = [threading.Thread(target=host) for _ in range(2)]
    for one in hosts:
        one.start()
    for one in hosts:
        one.join()
    run = world.look(start)
    assert (run.state, failures) == ("succeeded", []), run.error
    assert kinds(world) == ["full", "log", "log", "full"]
    assert truth.differences(expected, world.truth()) == []
