"""Backed up, and restored to one recovery point: rows and points are exactly what they were."""

from __future__ import annotations

import pytest

from local.octopus import truth
from shared.model.backups import Kind
from shared.model.plans import CollectionStep, Plan
from tests.world import LATER, THEMES, World, kinds


@pytest.fixture(params=["disk", "url"])
def medium(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def restored_names(plan: Plan) -> tuple[str, dict[str, str]]:
    """The database and the collections that a plan restores to, the latter by their originals."""
    (database,) = plan.execution.target_state.databases
    steps = [step for step in plan.execution.steps if isinstance(step, CollectionStep)]
    return database, {step.collection: step.target for step in steps}


def test_everything_lost_after_a_point_comes_back_as_it_was_at_the_point(world: World) -> None:
    world.back_up(Kind.FULL)
    world.work()
    world.back_up(Kind.DIFFERENTIAL)
    world.work()
    world.back_up(Kind.LOG)
    world.work()
    point = world.make_point("before the loss")
    expected = world.truth()
    world.work("lost for ever")
    world.add_agent(LATER)
    world.lose_everything()

    plan = world.plan({"recovery_point": "before the loss"})
    run = world.restore(plan)

    assert point.complete
    assert kinds(world) == ["full", "differential", "log", "log", "full"]  # … and the new fork's first full
    assert truth.differences(expected, world.truth()) == []
    assert run.result["report"]["verdict"] == "passed"
    assert not [choice for choice in plan.chosen if not choice.reason]


def test_restored_side_by_side_it_leaves_what_is_live_alone(world: World) -> None:
    world.back_up(Kind.FULL)
    point = world.make_point()
    expected = world.truth()
    world.work("after the point")
    world.add_agent(LATER)
    live = world.truth()

    plan = world.plan({"recovery_point": point.id})
    world.restore(plan)

    database, collections = restored_names(plan)
    assert database != world.database
    assert not set(collections.values()) & set(collections)
    assert truth.differences(expected, world.copy(database, collections)) == []
    names = live.collections.keys()
    now = world.truth()
    untouched = truth.Truth(now.tables, {name: now.collections[name] for name in names})
    assert truth.differences(live, untouched) == []
    assert kinds(world) == ["full", "log"]


def test_a_restore_in_place_saves_the_tail_and_begins_a_new_fork(world: World) -> None:
    world.back_up(Kind.FULL)
    first = world.make_point()
    expected = world.truth()
    agent = world.add_agent(LATER)
    world.memory.index(world.memory.agents()[1], THEMES[0].sources())
    dismissed = world.truth()
    before_the_restore = world.moment()

    plan = world.plan({"recovery_point": first.id}, in_place=True)
    world.restore(plan)

    found = world.truth()
    strange = f"agent_{agent.id.hex}"  # came after the point: reported by the plan's steps, never deleted
    assert found.collections.pop(strange) == dismissed.collections[strange]
    assert truth.differences(expected, found) == []
    assert kinds(world) == ["full", "log", "log", "full"]  # … the tail, and the new fork's first full

    world.qdrant.delete(f"/collections/{strange}")
    world.work("on the new fork")
    world.back_up(Kind.LOG)
    world.work()
    world.back_up(Kind.DIFFERENTIAL)
    second = world.make_point()
    expected = world.truth()
    world.work("lost as well")

    world.restore(world.plan({"recovery_point": second.id}, in_place=True))
    assert truth.differences(expected, world.truth()) == []

    _, undo = world.plans({"time": before_the_restore.isoformat()})
    assert undo.execution.policy == "latest_sql"
    world.restore(undo)
    database, collections = restored_names(undo)
    assert truth.differences(truth.Truth(dismissed.tables, {}), world.copy(database, {})) == []
    assert set(collections) <= set(dismissed.collections)
