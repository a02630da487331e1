"""A restore beside the live data is checked, then takes its place; an interruption changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from local.octopus import truth
from shared.model.backups import Kind
from shared.model.plans import Plan, SwapStep
from shared.model.runs import Run
from shared.stores.sqlserver import SqlServerStore
from tests.world import HostGoneError, World, quote_name


def beside(world: World) -> tuple[truth.Truth, Run]:
    """What was at the point, and a restore of it beside what is live since."""
    world.back_up(Kind.FULL)
    world.make_point("whole")
    expected = world.truth()
    world.work("only in what was live")
    return expected, world.restore(world.plan({"recovery_point": "whole"}))


def swap_of(plan: Plan) -> SwapStep:
    return next(step for step in plan.execution.steps if isinstance(step, SwapStep))


def lives_on(world: World, expected: truth.Truth) -> list[str]:
    """What is not as expected under the live names; the copies beside them stay where they are."""
    found = world.truth()
    live = {name: points for name, points in found.collections.items() if not name.startswith("rp_")}
    return truth.differences(expected, truth.Truth(found.tables, live))


def test_names_are_exchanged_what_was_live_is_kept_and_the_statements_undo_it(world: World) -> None:
    expected, restored = beside(world)
    live = world.truth()
    plan = world.plan({"restore": restored.id})
    swap = swap_of(plan)
    run = world.restore(plan)
    assert lives_on(world, expected) == []
    assert world.databases()[str(swap.aside)] == "ONLINE"
    step = run.step(swap.id)
    assert step.evidence["renamed_now"] == [f"{swap.live} to {swap.aside}", f"{swap.restored} to {swap.live}"]
    assert step.evidence["before"][swap.live] == step.evidence["after"][str(swap.aside)]
    told = " ".join(run.result["report_text"].split())
    assert all(statement in told for statement in step.evidence["undo"])
    with world.admin() as master:
        for statement in step.evidence["undo"]:
            master.execute(statement)
    assert truth.differences(truth.Truth(live.tables, {}), truth.Truth(world.truth().tables, {})) == []


@pytest.mark.parametrize("done", ["nothing", "aside", "both", "both, and closed"])
def test_an_exchange_that_was_cut_off_is_ended_by_the_next_attempt(
    world: World, monkeypatch: pytest.MonkeyPatch, done: str
) -> None:
    expected, restored = beside(world)
    plan = world.plan({"restore": restored.id})
    swap = swap_of(plan)
    honest, calls = SqlServerStore.rename, {"nothing": 0, "aside": 1}.get(done, 2)
    renamed: list[str] = []

    def dies(store: SqlServerStore, old: str, new: str) -> Any:
        if len(renamed) == calls:
            raise HostGoneError
        evidence = honest(store, old, new)
        renamed.append(old)
        if len(renamed) == calls == 2:
            if done.endswith("closed"):
                with world.admin() as master:
                    master.execute(
                        f"ALTER DATABASE {quote_name(new)} SET SINGLE_USER WITH ROLLBACK IMMEDIATE"
                    )
            raise HostGoneError
        return evidence

    with monkeypatch.context() as broken:
        broken.setattr(SqlServerStore, "rename", dies)
        left = world.run(world.begin(plan))
    assert left.state == "failed"
    assert len(renamed) == calls
    run = world.run(world.begin(plan))
    assert run.state == "succeeded", run.error
    assert len(run.step(swap.id).evidence["renamed_now"]) == 2 - calls
    assert lives_on(world, expected) == []
    assert world.system.sqlserver.inspect(world.database).user_access == "MULTI_USER"


def test_a_name_that_somebody_took_in_between_is_not_overwritten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, restored = beside(world)
    live = world.truth()
    plan = world.plan({"restore": restored.id})
    swap = swap_of(plan)
    honest = SqlServerStore.rename

    def beaten(store: SqlServerStore, old: str, new: str) -> Any:
        if old == swap.live:
            with world.admin() as master:
                master.execute(f"CREATE DATABASE {quote_name(new)}")
        return honest(store, old, new)

    monkeypatch.setattr(SqlServerStore, "rename", beaten)
    run = world.run(world.begin(plan))
    assert (run.state, run.error.code if run.error else "") == ("failed", "name_taken")
    assert truth.differences(truth.Truth(live.tables, {}), truth.Truth(world.truth().tables, {})) == []
