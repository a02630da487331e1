"""The status of a small real world, and what a plan knows of it: durations, windows, other ways."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from shared.model.backups import Kind
from shared.model.findings import ErrorInfo
from shared.model.plans import Plan
from shared.model.requests import BackupRequest
from shared.model.runs import Claim, RunKind, State
from shared.planning.due import MOST_ATTEMPTS, latest_slot
from shared.reporting import plans_html, plans_text, status_text
from shared.workflows import standing, starts
from tests.servers import NEVER, SA_PASSWORD
from tests.world import World


def status(world: World) -> dict[str, Any]:
    found = standing.status(world.system)
    assert status_text(found)
    return found


def codes(found: dict[str, Any]) -> list[str]:
    return [one["code"] for one in found["findings"]]


def test_without_any_backup_everything_would_be_lost(world: World) -> None:
    found = status(world)
    assert found["ages_seconds"] == {"pair": None, "sqlserver": None, "qdrant": None}
    assert found["windows"] == {world.database: []}
    assert found["targets"]["rpo"] == {"target_seconds": 1800, "seconds": None, "met": None}
    assert "rpo_missed" in codes(found)
    assert "a disaster now would cost everything" in status_text(found).lower()


def test_with_backups_it_tells_ages_windows_and_that_the_target_is_met(world: World) -> None:
    world.back_up(Kind.FULL)
    point = world.make_point("before v7")
    world.work()
    world.back_up(Kind.LOG)
    found = status(world)
    assert found["newest_recovery_point"]["id"] == point.id
    assert found["newest_recovery_point"]["points"] > 0
    (window,) = found["windows"][world.database]
    assert datetime.fromisoformat(window["start"]) <= point.sql[0].at <= datetime.fromisoformat(window["end"])
    assert window["why"] == "it is the newest log backup so far"
    assert found["targets"]["rpo"]["met"] is True
    assert found["targets"]["rto"]["met"] is None
    assert "rpo_missed" not in codes(found)


def test_a_foreign_log_backup_is_told_with_the_window_that_it_cut(world: World) -> None:
    world.back_up(Kind.FULL)
    world.work()
    world.back_up(Kind.LOG)
    world.work()
    with world.admin() as master:
        cursor = master.execute(
            f"BACKUP LOG [{world.database}] TO DISK = N'{world.servers.folder}/foreign.trn'"
        )
        while cursor.nextset():
            pass
    world.work()
    world.back_up(Kind.LOG)
    found = status(world)
    assert codes(found)[0] == "log_chain_gap"
    assert "is in no backup of ours" in found["windows"][world.database][0]["why"]
    assert "The newest log backup of" in found["findings"][0]["message"]


def failed_slot(world: World, attempt: int) -> None:
    """The latest slot of the log timer, claimed by a run that failed in that attempt."""
    start = starts.start_backup(world.system, BackupRequest(kind=Kind.LOG))
    error = ErrorInfo(code="odd", message="It failed.")
    world.system.catalogue.runs.update(
        RunKind.BACKUP,
        start.run_id,
        1,
        lambda run: run.model_copy(update={"state": State.FAILED, "error": error}),
    )
    now = world.clock.now()
    claim = Claim(
        timer="sql_log",
        slot=latest_slot(NEVER, now),
        run_kind=RunKind.BACKUP,
        run_id=start.run_id,
        attempt=attempt,
        claimed_at=now,
    )
    assert world.system.catalogue.claims.take(claim, None)


@pytest.mark.parametrize("attempt", [1, MOST_ATTEMPTS])
def test_a_slot_that_was_given_up_is_an_error_and_one_that_is_tried_again_is_not(
    world: World, attempt: int
) -> None:
    world.back_up(Kind.FULL)
    failed_slot(world, attempt)
    found = status(world)
    assert found["timers"]["sql_log"]["last_state"] == "failed"
    assert ("slot_given_up" in codes(found)) is (attempt == MOST_ATTEMPTS)


def test_an_incomplete_point_deserves_a_look(world: World) -> None:
    world.back_up(Kind.FULL)
    good = world.make_point()
    bad = world.collections()[0]
    world.fault(status=500, match=f"POST /collections/{bad}/snapshots", times=50)
    world.make_point(complete=False)
    found = status(world)
    assert "recovery_point_incomplete" in codes(found)
    assert found["newest_recovery_point"]["id"] == good.id


def known_steps(plan: Plan) -> set[str]:
    expected = {detail.step_id for detail in plan.details if detail.expected_seconds is not None}
    return {step.kind for step in plan.execution.steps if step.id in expected}


def test_a_restore_teaches_the_next_plan_how_long_its_steps_take(world: World) -> None:
    world.back_up(Kind.FULL)
    point = world.make_point()
    plan = world.plan({"recovery_point": point.id})
    assert known_steps(plan) == set()
    assert "cannot be known: no history" in plans_text([plan])
    world.restore(plan)
    again = world.plan({"recovery_point": point.id})
    assert known_steps(again) == {step.kind for step in plan.execution.steps}
    assert again.expected_seconds is not None
    assert again.expected_seconds > 0
    assert {detail.basis.split(",")[0].split(" (")[0] for detail in again.details} <= {
        "one like step",
        "median of 2 like steps",
    }


def test_a_plan_explains_itself_without_a_secret_and_its_other_ways_can_be_planned(world: World) -> None:
    world.back_up(Kind.FULL)
    point = world.make_point()
    world.work()
    world.back_up(Kind.LOG)
    late = world.plan("latest", policy="latest_sql")
    assert late.alternatives[0].target == point.id
    assert world.plan({"recovery_point": point.id}).execution.target.recovery_point_id == point.id
    (windows,) = late.windows.values()
    assert len(windows) == 1
    statements = " ".join(detail.statement for detail in late.details)
    assert f"{world.system.storage.url}/data/" in statements
    both = world.plans("latest")
    for text in (plans_text(both), plans_html(both), str([one.as_json() for one in both])):
        assert "sig=" not in text
        assert SA_PASSWORD not in text
        assert world.account_key not in text


def test_a_plan_is_kept_with_all_that_is_known_of_it(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point()
    for plan in world.plans("latest"):
        kept = world.system.catalogue.plans.get(plan.id)
        assert kept == plan
        assert kept.details
        assert kept.execution.digest() == kept.digest
