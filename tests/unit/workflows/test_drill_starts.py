"""When the timer of drills starts one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from shared.composition import System, compose
from shared.errors import LockedError
from shared.model.findings import ErrorInfo
from shared.model.runs import DEAD_AFTER, Run, RunKind, State, StepState
from shared.settings import load
from shared.workflows.drill_activities import begin_drill, left_over
from shared.workflows.drills import drill_findings, last_drill
from shared.workflows.runs import Start, Ticket, end_run
from shared.workflows.starts import schedules, tick
from tests.stores.blob.support import SetClock


@pytest.fixture
def drilling(system: System, clock: SetClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    """The system with a timer for drills; its last slot was at five o'clock."""
    for name, value in (
        ("DRILL_ENABLED", "true"),
        ("DRILL_ON_LIVE_SERVERS", "true"),
        ("DRILL_SCHEDULE", "0 0 5 * * *"),
    ):
        monkeypatch.setenv(name, value)
    composed = compose(load(), clock)
    yield composed
    composed.storage.close()
    composed.qdrant.close()


def drills(starts: list[Start]) -> list[tuple[str, int]]:
    return [
        (one.payload["slot"], one.payload["attempt"]) for one in starts if one.payload["timer"] == "drill"
    ]


def test_no_drill_is_started_unless_the_timer_is_enabled(system: System) -> None:
    assert "drill" not in schedules(system)
    assert tick(system, "drill") == []
    assert drills(tick(system, "sql_log")) == []


def test_a_slot_starts_one_drill_and_no_other_timer_makes_up_for_it(drilling: System) -> None:
    (start,) = tick(drilling, "drill")
    assert drills([start]) == [("2026-10-06T05:00:00Z", 1)]
    assert (start.workflow, start.payload["kind"]) == ("perform_drill", "drill")
    assert drills(tick(drilling, "sql_log")) == []
    assert begin_drill(drilling, start.payload) == {"go": True}
    assert tick(drilling, "drill") == []
    assert begin_drill(drilling, start.payload) == {"go": True}, "delivered twice"
    again = tick(drilling, "drill")
    assert again == []


def test_a_drill_whose_host_died_is_taken_over_by_any_tick(drilling: System, clock: SetClock) -> None:
    (start,) = tick(drilling, "drill")
    begin_drill(drilling, start.payload)
    assert drills(tick(drilling, "sql_log")) == []
    clock.pass_by(minutes=DEAD_AFTER.seconds // 60 + 1)
    found = [one for one in tick(drilling, "sql_log") if one.payload["timer"] == "drill"]
    assert drills(found) == [("2026-10-06T05:00:00Z", 2)]
    assert found[0].run_id == start.run_id
    assert begin_drill(drilling, found[0].payload) == {"go": True}
    run = drilling.catalogue.runs.get(RunKind.DRILL, start.run_id)
    assert (run.attempt, [step.state for step in run.steps]) == (2, [State.PENDING])


def test_a_drill_that_failed_is_not_repeated(drilling: System) -> None:
    (start,) = tick(drilling, "drill")
    begin_drill(drilling, start.payload)
    error = ErrorInfo(code="proof_failed", message="Rows are missing.")
    end_run(drilling, Ticket.of(start.payload), error=error)
    assert tick(drilling, "drill") == []
    assert drills(tick(drilling, "sql_log")) == []
    told = last_drill(drilling)
    assert told is not None
    assert (told["verdict"], told["error"]["code"], told["rto_seconds"]) == ("failed", "proof_failed", None)


def test_a_drill_for_a_slot_waits_while_a_restore_is_under_way(drilling: System, clock: SetClock) -> None:
    now = clock.now()
    restore = Run(
        id=drilling.new_id(),
        kind=RunKind.RESTORE,
        title="Restore",
        state=State.RUNNING,
        started_at=now,
        heartbeat_at=now,
    )
    drilling.catalogue.runs.create(restore)
    (start,) = tick(drilling, "drill")
    with pytest.raises(LockedError, match=restore.id):
        begin_drill(drilling, start.payload)
    clock.pass_by(minutes=DEAD_AFTER.seconds // 60 + 1)
    found = [one for one in tick(drilling, "sql_log") if one.payload["timer"] == "drill"]
    assert drills(found) == [("2026-10-06T05:00:00Z", 2)]
    assert begin_drill(drilling, found[0].payload) == {"go": True}


def drill(system: System, state: State, ended: timedelta, *steps: StepState) -> Run:
    now = system.clock.now()
    run = Run(
        id=system.new_id(),
        kind=RunKind.DRILL,
        title="Drill",
        state=state,
        started_at=now - ended,
        heartbeat_at=now - ended,
        finished_at=now - ended,
        steps=steps,
    )
    system.catalogue.runs.create(run)
    return run


def test_the_status_tells_when_no_drill_has_succeeded_for_long(system: System) -> None:
    drill(system, State.SUCCEEDED, timedelta(days=40))
    drill(system, State.FAILED, timedelta(days=1))
    (finding,) = drill_findings(system)
    assert finding.code == "no_recent_drill"
    assert "40 d ago" in finding.message
    drill(system, State.SUCCEEDED, timedelta(days=2))
    assert drill_findings(system) == []


def test_the_status_tells_of_copies_that_were_left_behind(system: System) -> None:
    def step(state: State) -> StepState:
        return StepState(id="010-clean_up", title="Remove", state=state)

    drill(system, State.SUCCEEDED, timedelta(days=1), step(State.SUCCEEDED))
    assert left_over(system) == []
    left = drill(system, State.FAILED, timedelta(days=1), step(State.PENDING))
    assert [run.id for run in left_over(system)] == [left.id]
    assert left_over(system, besides=left.id) == []
    assert [finding.code for finding in drill_findings(system)] == ["drill_left_copies"]
