"""What a tick starts: judged by schedules and claims, not by the timer that fired."""

from __future__ import annotations

import pytest

from shared.composition import System
from shared.errors import InvalidRequestError
from shared.model.backups import Kind
from shared.model.findings import ErrorInfo
from shared.model.requests import BackupRequest, PointRequest
from shared.model.runs import RunKind, State
from shared.workflows.runs import Start, Ticket, end_run
from shared.workflows.starts import begin_run, start_backup, start_point, tick
from tests.stores.blob.support import SetClock


def started(starts: list[Start]) -> dict[str, tuple[str, int]]:
    """Slot and attempt by timer."""
    return {one.payload["timer"]: (one.payload["slot"], one.payload["attempt"]) for one in starts}


def begun(system: System, start: Start) -> bool:
    return bool(begin_run(system, start.payload)["go"])


def test_a_timer_starts_the_slot_of_its_schedule_however_late_it_fires(
    system: System, clock: SetClock
) -> None:
    clock.pass_by(minutes=14, seconds=59)
    (start,) = tick(system, "sql_full")
    assert started([start]) == {"sql_full": ("2026-10-06T01:00:00Z", 1)}
    assert start.workflow == "sql_backup"
    assert start.instance_id == "sql_full-20261006010000-1"


def test_two_ticks_for_one_slot_lead_to_one_run(system: System) -> None:
    (first,), (second,) = tick(system, "sql_full"), tick(system, "sql_full")
    assert first.run_id != second.run_id
    assert [begun(system, first), begun(system, second)] == [True, False]
    assert tick(system, "sql_full") == []
    assert begun(system, first)  # delivered twice: it is still its own


def test_the_log_timer_makes_up_for_every_other_but_starts_no_differential_beside_a_full(
    system: System,
) -> None:
    found = started(tick(system, "sql_log"))
    assert found == {
        "sql_full": ("2026-10-06T01:00:00Z", 1),
        "sql_log": ("2026-10-06T12:00:00Z", 1),
        "recovery_point": ("2026-10-06T02:30:00Z", 1),
    }
    for start in tick(system, "sql_log"):
        begun(system, start)
    assert started(tick(system, "sql_log")) == {"sql_differential": ("2026-10-06T12:00:00Z", 1)}


def test_a_failed_slot_is_repeated_by_the_next_tick_at_most_three_times(
    system: System, clock: SetClock
) -> None:
    run_ids = set()
    for attempt in (1, 2, 3):
        (start,) = tick(system, "sql_full")
        assert start.payload["attempt"] == attempt
        assert begun(system, start)
        assert end_run(system, Ticket.of(start.payload)).state is State.FAILED
        run_ids.add(start.run_id)
        clock.pass_by(minutes=15)
    assert len(run_ids) == 1
    assert tick(system, "sql_full") == []
    clock.pass_by(days=1)
    assert started(tick(system, "sql_full")) == {"sql_full": ("2026-10-07T01:00:00Z", 1)}


def test_a_slot_whose_owner_died_is_taken_over_and_one_whose_owner_lives_is_not(
    system: System, clock: SetClock
) -> None:
    (start,) = tick(system, "sql_full")
    assert begun(system, start)
    clock.pass_by(minutes=10)
    assert tick(system, "sql_full") == []
    clock.pass_by(seconds=1)
    (again,) = tick(system, "sql_full")
    assert (again.run_id, again.payload["attempt"]) == (start.run_id, 2)


def test_a_claim_whose_run_was_never_written_counts_as_dead_after_a_while(
    system: System, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (start,) = tick(system, "sql_full")
    with monkeypatch.context() as patch:
        patch.setattr(system.catalogue.runs, "create", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            begin_run(system, start.payload)
    assert tick(system, "sql_full") == []
    clock.pass_by(minutes=11)
    (again,) = tick(system, "sql_full")
    assert (again.run_id, again.payload["attempt"]) == (start.run_id, 2)
    assert begun(system, again)


def test_a_run_that_was_skipped_is_not_repeated(system: System) -> None:
    start = next(one for one in tick(system, "sql_log") if one.payload["timer"] == "sql_log")
    begun(system, start)
    locked = ErrorInfo(code="locked", message="another one works on it")
    assert end_run(system, Ticket.of(start.payload), error=locked).state is State.SKIPPED
    assert "sql_log" not in {one.payload["timer"] for one in tick(system, "sql_log")}


def test_a_persons_key_stands_for_one_run_of_its_kind(system: System) -> None:
    request = BackupRequest(kind=Kind.FULL)
    first, again = (start_backup(system, request, "nightly") for _ in range(2))
    assert first == again
    assert start_backup(system, request).run_id != first.run_id
    assert start_backup(system, request, "other").run_id != first.run_id
    point = start_point(system, PointRequest(name="before v7"), "nightly")
    assert point.run_id != first.run_id
    run = system.catalogue.runs.get(RunKind.RECOVERY_POINT, point.run_id)
    assert run.title == "Recovery point “before v7”"


def test_a_database_that_is_not_ours_starts_nothing(system: System) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        start_backup(system, BackupRequest(kind=Kind.FULL, databases=("msdb",)))
    assert refused.value.specific_code == "unknown_database"
    assert system.catalogue.runs.recent(RunKind.BACKUP, 10) == []
