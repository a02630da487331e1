"""A restore that a person stops: it says in which state it left things, and the way back works."""

from __future__ import annotations

from typing import Any

import pytest

from local.octopus import truth
from shared.errors import NotFoundError, RefusedError
from shared.model.backups import Kind
from shared.model.plans import Plan
from shared.model.requests import PointRequest
from shared.model.runs import Run
from shared.stores.sqlserver import SqlServerStore
from shared.workflows import runs, starts, suspending
from shared.workflows.cancelling import cancel
from shared.workflows.runs import Start
from tests.world import World

OPERATOR = "Grace Hopper"


def prepared(world: World) -> tuple[truth.Truth, Plan]:
    world.back_up(Kind.FULL)
    world.make_point("whole")
    expected = world.truth()
    world.work("since then")
    return expected, world.plan({"recovery_point": "whole"}, in_place=True)


def index_of(plan: Plan, kind: str) -> int:
    return next(index for index, step in enumerate(plan.execution.steps) if step.kind == kind)


def stopped_before(world: World, start: Start, plan: Plan, kind: str) -> Run:
    """The run, cancelled when its first step of a kind was about to begin."""
    honest, wanted = world.activity("restore_step"), index_of(plan, kind)

    def perform(payload: dict[str, Any]) -> Any:
        if payload["index"] == wanted:
            cancel(world.system, start.run_id, OPERATOR)
        return honest(payload)

    run = world.run(start, restore_step=perform)
    assert (run.state, run.error.code if run.error else "") == ("failed", "cancelled")
    return run


def conditions(run: Run) -> dict[str, str]:
    return {one["name"]: one["state"] for one in run.result["left"]}


def suspended(world: World) -> list[str]:
    return sorted(one.database or one.scope for one in world.system.catalogue.suspensions.all())


def test_before_anything_was_touched_all_is_as_it_was_and_the_timers_go_on(world: World) -> None:
    _, plan = prepared(world)
    live = world.truth()
    start = world.begin(plan)
    assert suspended(world) == [world.database, "qdrant"]
    run = stopped_before(world, start, plan, "sql_tail")
    assert set(conditions(run).values()) == {"untouched"}
    assert suspended(world) == []
    assert truth.differences(live, world.truth()) == []


def test_behind_the_tail_the_statement_that_it_names_brings_the_database_back(world: World) -> None:
    _, plan = prepared(world)
    live = world.truth()
    run = stopped_before(world, world.begin(plan), plan, "sql_restore")
    assert conditions(run)[world.database] == "closed"
    assert world.databases()[world.database] == "RESTORING"
    assert suspended(world) == [world.database, "qdrant"]
    with pytest.raises(RefusedError, match="half restored"):
        starts.start_point(world.system, PointRequest())

    (told,) = [finding for finding in run.findings if finding.code == "left_closed"]
    assert OPERATOR in str(run.error)
    assert "SET MULTI_USER;" in run.result["report_text"]
    statements = told.hint[told.hint.index("RESTORE DATABASE") :].split(";")
    with world.admin() as master:
        for statement in filter(str.strip, statements):
            cursor = master.execute(statement)
            while cursor.nextset():
                pass
    assert truth.differences(live, world.truth()) == []
    suspending.resume_timers(world.system, world.database)
    suspending.resume_timers(world.system, "qdrant")
    assert world.make_point("after it").complete


@pytest.mark.parametrize("kind", ["sql_recover", "collection", "orphans"])
def test_started_again_it_goes_on_where_it_was(world: World, kind: str) -> None:
    expected, plan = prepared(world)
    first = stopped_before(world, world.begin(plan), plan, kind)
    if kind == "sql_recover":
        assert conditions(first)[world.database] == "half_restored"
    run = world.run(world.begin(plan))
    assert (run.id, run.attempt, run.state) == (first.id, 2, "succeeded"), run.error
    assert (run.cancel, run.findings) == (None, ())
    assert truth.differences(expected, world.truth()) == []
    assert suspended(world) == []


def test_a_statement_under_way_is_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "BEAT_SECONDS", 0.05)
    expected, plan = prepared(world)
    start = world.begin(plan)
    honest = SqlServerStore.restore

    def slow(store: SqlServerStore, step: Any, **more: Any) -> Any:
        """A restore of hours, as far as its caller sees: it tells how far it is, until it is stopped."""
        cancel(world.system, start.run_id, OPERATOR)
        for _ in range(200):
            world.clock.sleep(0.05)
            more["progress"](10)
        return honest(store, step, **more)

    with monkeypatch.context() as slowed:
        slowed.setattr(SqlServerStore, "restore", slow)
        run = world.run(start)
    assert (run.state, run.error.code if run.error else "") == ("failed", "cancelled")
    assert world.run(world.begin(plan)).state == "succeeded"
    assert truth.differences(expected, world.truth()) == []


def test_asking_twice_changes_nothing_and_what_has_ended_or_is_unknown_is_refused(world: World) -> None:
    _, plan = prepared(world)
    start = world.begin(plan)
    first = cancel(world.system, start.run_id, OPERATOR)
    assert cancel(world.system, start.run_id, "Somebody Else").cancel == first.cancel
    run = world.run(start)
    assert run.state == "failed"
    with pytest.raises(RefusedError) as ended:
        cancel(world.system, start.run_id, OPERATOR)
    assert ended.value.specific_code == "run_ended"
    with pytest.raises(NotFoundError):
        cancel(world.system, "01M84N94BSGHGA65R94DR5T0EQ", OPERATOR)


def test_a_restore_whose_host_is_dead_is_ended_at_once(world: World) -> None:
    expected, plan = prepared(world)
    start = world.begin(plan)
    world.crash(start, "restore_step", nth=index_of(plan, "sql_recover"))
    world.die(start)
    run = cancel(world.system, start.run_id, OPERATOR)
    assert (run.state, run.attempt, run.error.code if run.error else "") == ("failed", 2, "cancelled")
    assert conditions(run)[world.database] == "half_restored"
    assert world.run(world.begin(plan)).state == "succeeded"
    assert truth.differences(expected, world.truth()) == []
