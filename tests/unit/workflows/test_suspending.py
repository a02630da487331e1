"""Timers leave alone what a restore works on: skipped with a note, made up for, reported when forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from shared.catalogue.suspensions import Suspension
from shared.composition import System
from shared.errors import NotFoundError, RefusedError
from shared.model.findings import Severity
from shared.model.requests import PointRequest
from shared.model.runs import Run, RunKind, State, StepState
from shared.workflows import starts, suspending
from shared.workflows.left_behind import Condition, Left
from shared.workflows.starts import begin_run, tick
from tests.stores.blob.support import SetClock

RUN_ID = "01J0000000000000000000000C"
SCOPE = "sql-1/OctopusDB"


def restore(system: System, *undone: str, state: State = State.RUNNING) -> Run:
    """A restore of OctopusDB and the collections, with so many steps still to be done."""
    now = system.clock.now()
    run = Run(
        id=RUN_ID,
        kind=RunKind.RESTORE,
        title="Restore",
        state=state,
        started_at=now,
        heartbeat_at=now,
        request={suspending.SUSPENDED: {SCOPE: "OctopusDB", "qdrant": None}},
        steps=tuple(StepState(id=step, title=step) for step in undone),
    )
    system.catalogue.runs.create(run)
    suspending.suspend(system, run)
    return run


def due(system: System, timer: str) -> list[Any]:
    return [one.payload["timer"] for one in tick(system, timer)]


def scopes(system: System) -> list[str]:
    return [one.scope for one in system.catalogue.suspensions.all()]


def test_a_timer_whose_work_is_suspended_starts_nothing_and_makes_up_for_it_later(system: System) -> None:
    run = restore(system, "001-sql_restore")
    assert due(system, "sql_log") == []
    assert due(system, "recovery_point") == []
    done = run.model_copy(update={"steps": ()})
    suspending.lift_when_done(system, run)
    assert scopes(system) == ["qdrant", SCOPE], "not before its work on the stores is done"
    suspending.lift_when_done(system, done)
    assert scopes(system) == []
    assert {"sql_log", "recovery_point", "sql_full"} <= set(due(system, "sql_log"))


def test_a_backup_of_two_databases_goes_on_with_the_other(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = system.settings.sqlserver.model_copy(update={"databases": ("Archive", "octopusdb")})
    monkeypatch.setattr(system.settings, "__dict__", {**system.settings.__dict__, "sqlserver": settings})
    restore(system, "001-sql_restore")
    (start,) = [one for one in tick(system, "sql_log") if one.payload["timer"] == "sql_log"]
    begun = begin_run(system, start.payload)
    assert begun == {"go": True, "steps": ["back-up:Archive", "verify:Archive"]}
    run = system.catalogue.runs.get(RunKind.BACKUP, start.run_id)
    skipped = run.step("back-up:octopusdb")
    assert skipped.state is State.SKIPPED
    assert RUN_ID in skipped.note


def test_a_point_that_was_about_to_begin_is_skipped_as_a_whole(system: System) -> None:
    (start,) = tick(system, "recovery_point")
    restore(system, "001-sql_restore")
    begun = begin_run(system, start.payload)
    assert begun["go"] is False
    assert RUN_ID in begun["why"]
    run = system.catalogue.runs.get(RunKind.RECOVERY_POINT, start.run_id)
    assert run.state is State.SKIPPED


def test_nobody_makes_a_point_of_what_a_failed_restore_left(system: System) -> None:
    restore(system, "001-sql_restore", state=State.FAILED)
    with pytest.raises(RefusedError, match="resume-timers qdrant") as refused:
        starts.start_point(system, PointRequest())
    assert refused.value.specific_code == "timers_suspended"


# The end of a restore.

HALF = [
    Left("collection", "agent_1", Condition.RESTORED, ""),
    Left("collection", "agent_2", Condition.UNTOUCHED, ""),
]


@pytest.mark.parametrize(
    ("left", "state", "remains"),
    [
        ([], State.SUCCEEDED, []),
        ([HALF[1]], State.FAILED, [SCOPE]),
        ([HALF[0]], State.FAILED, [SCOPE]),
        (HALF, State.FAILED, ["qdrant", SCOPE]),
        ([Left("database", "OctopusDB", Condition.CLOSED, "")], State.FAILED, ["qdrant", SCOPE]),
    ],
    ids=["succeeded", "nothing was touched", "the vectors are whole", "half restored", "closed"],
)
def test_only_what_is_in_service_is_let_on(
    system: System, left: list[Left], state: State, remains: list[str]
) -> None:
    """There is no SQL Server here, so that its database is certainly not seen to be in service."""
    run = restore(system, "001-sql_restore").model_copy(update={"state": state})
    suspending.lift_at_end(system, run, left)
    assert scopes(system) == remains


def test_a_suspension_that_is_a_later_restores_is_left_alone(system: System) -> None:
    run = restore(system)
    later = Suspension(scope="qdrant", run_id="LATER", since=system.clock.now(), what="x")
    system.catalogue.suspensions.set(later)
    suspending.lift_when_done(system, run)
    assert system.catalogue.suspensions.all() == [later]


# What a person sees and does.


def test_while_a_restore_works_it_is_noteworthy_only(system: System) -> None:
    restore(system, "001-sql_restore")
    found = suspending.suspensions(system)
    assert {(one.code, one.severity) for one in found} == {("timers_suspended", Severity.INFO)}
    assert any("OctopusDB" in one.message for one in found)


def test_a_forgotten_one_is_an_error_with_the_command_that_lifts_it(system: System, clock: SetClock) -> None:
    restore(system, "001-sql_restore")
    clock.pass_by(minutes=11)  # its host is dead
    found = suspending.suspensions(system)
    assert {one.severity for one in found} == {Severity.ERROR}
    assert any("octopus-backup resume-timers OctopusDB" in one.hint for one in found)


def test_a_restore_that_takes_longer_than_a_day_is_an_error_too(system: System, clock: SetClock) -> None:
    run = restore(system, "001-sql_restore")
    clock.pass_by(hours=25)
    system.catalogue.runs.update(
        run.kind, run.id, 1, lambda old: old.model_copy(update={"heartbeat_at": clock.now()})
    )
    assert {one.severity for one in suspending.suspensions(system)} == {Severity.ERROR}


@pytest.mark.parametrize("words", ["octopusDB", SCOPE])
def test_it_is_lifted_by_hand_once_its_restore_no_longer_works(
    system: System, clock: SetClock, words: str
) -> None:
    restore(system, "001-sql_restore")
    with pytest.raises(RefusedError) as refused:
        suspending.resume_timers(system, words)
    assert refused.value.specific_code == "restore_under_way"
    clock.pass_by(minutes=11)
    assert [one.database for one in suspending.resume_timers(system, words)] == ["OctopusDB"]
    assert scopes(system) == ["qdrant"]
    with pytest.raises(NotFoundError, match="Suspended: qdrant"):
        suspending.resume_timers(system, words)
    with pytest.raises(NotFoundError):
        suspending.resume_timers(system, "")
