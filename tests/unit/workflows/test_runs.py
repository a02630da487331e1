"""The life of a run: one owner at a time, finished steps kept, its end written down."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.composition import System
from shared.errors import ConflictError, IntegrityError, LockedError, StoreError
from shared.model.findings import ErrorInfo
from shared.model.runs import Claim, Run, RunKind, State, StepState
from shared.workflows import runs
from shared.workflows.runs import Ticket, beating, claim_slot, end_run, open_run, working
from tests.stores.blob.support import SetClock

SLOT = datetime(2026, 10, 6, 1, 0, tzinfo=UTC)
RUN_ID = "01J0000000000000000000000A"


def ticket(attempt: int = 1) -> Ticket:
    return Ticket(RunKind.BACKUP, RUN_ID, attempt)


def run_of(system: System, attempt: int = 1, **steps: State) -> Run:
    now = system.clock.now()
    return Run(
        id=RUN_ID,
        kind=RunKind.BACKUP,
        title="Full backup of OctopusDB",
        state=State.RUNNING,
        attempt=attempt,
        started_at=now,
        heartbeat_at=now,
        steps=tuple(StepState(id=name, title=name, state=state) for name, state in steps.items()),
    )


def claim(attempt: int = 1, run_id: str = RUN_ID) -> Claim:
    return Claim(
        timer="sql_full",
        slot=SLOT,
        run_kind=RunKind.BACKUP,
        run_id=run_id,
        attempt=attempt,
        claimed_at=SLOT,
    )


def stored(system: System) -> Run:
    return system.catalogue.runs.get(RunKind.BACKUP, RUN_ID)


def until(judge: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not judge():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# Claims.


def test_a_slot_that_nobody_has_is_ours_and_stays_ours_when_the_claim_is_delivered_twice(
    system: System,
) -> None:
    assert claim_slot(system, claim()) is None
    assert claim_slot(system, claim()) is None


def test_a_slot_of_another_run_is_left_to_it(system: System) -> None:
    claim_slot(system, claim())
    why = claim_slot(system, claim(run_id="01J0000000000000000000000B"))
    assert why is not None
    assert RUN_ID in why


def test_only_the_next_attempt_at_the_same_run_takes_a_slot_over(system: System) -> None:
    claim_slot(system, claim())
    assert claim_slot(system, claim(attempt=3)) is not None
    assert claim_slot(system, claim(attempt=2)) is None
    assert claim_slot(system, claim(attempt=1)) is not None


def test_who_loses_the_race_for_a_slot_is_told(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = system.catalogue.claims
    honest = claims.take

    def beaten(wanted: Claim, etag: str | None) -> bool:
        other = "01J0000000000000000000000B"
        honest(wanted.model_copy(update={"run_id": other, "attempt": wanted.attempt}), etag)
        return honest(wanted, etag)

    monkeypatch.setattr(claims, "take", beaten)
    first = claim_slot(system, claim())
    assert first is not None
    assert "01J0000000000000000000000B" in first

    monkeypatch.setattr(claims, "take", honest)
    later = SLOT.replace(hour=2)
    claims.take(claim().model_copy(update={"slot": later}), None)
    monkeypatch.setattr(claims, "take", beaten)
    second = claim_slot(system, claim(attempt=2).model_copy(update={"slot": later}))
    assert second is not None
    assert "somebody else" in second


# Taking over.


def test_a_takeover_keeps_what_succeeded_and_clears_the_rest(system: System, clock: SetClock) -> None:
    first = run_of(system, done=State.SUCCEEDED, broken=State.PENDING, under_way=State.PENDING)
    open_run(system, first)
    with pytest.raises(IntegrityError), working(system, ticket(), "broken"):
        raise IntegrityError("damaged")
    clock.pass_by(minutes=11)

    taken = open_run(system, run_of(system, attempt=2))

    assert (taken.attempt, taken.state, taken.error) == (2, State.RUNNING, None)
    assert taken.heartbeat_at == clock.now()
    assert taken.started_at == first.started_at
    assert taken.step("done") == first.step("done")
    assert taken.step("broken").state is State.PENDING
    assert taken.step("broken").error is None


def test_a_run_that_is_opened_twice_is_opened_once(system: System, clock: SetClock) -> None:
    open_run(system, run_of(system, only=State.PENDING))
    with working(system, ticket(), "only") as work:
        work.evidence["kept"] = True
    clock.pass_by(seconds=30)
    again = open_run(system, run_of(system, only=State.PENDING))
    assert again.step("only").evidence == {"kept": True}
    assert again.heartbeat_at == clock.now()


def test_a_run_that_has_ended_is_not_opened_again_by_the_same_attempt(system: System) -> None:
    open_run(system, run_of(system, only=State.SUCCEEDED))
    ended = end_run(system, ticket())
    assert open_run(system, run_of(system, only=State.PENDING)) == ended


def test_an_earlier_attempt_can_change_nothing_any_more(system: System) -> None:
    open_run(system, run_of(system, only=State.PENDING))
    open_run(system, run_of(system, attempt=2))
    before = stored(system)
    with pytest.raises(ConflictError), working(system, ticket(1), "only"):
        pytest.fail("the work must not begin")
    with pytest.raises(ConflictError):
        end_run(system, ticket(1))
    with pytest.raises(ConflictError):
        open_run(system, run_of(system, attempt=1))
    assert stored(system) == before


# Working.


def test_progress_and_evidence_of_a_step_are_written_down(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "BEAT_SECONDS", 0.01)
    open_run(system, run_of(system, only=State.PENDING))
    with working(system, ticket(), "only") as work:
        assert stored(system).step("only").state is State.RUNNING
        work.progress(40)
        work.note = "half of it"
        until(
            lambda: (
                (stored(system).step("only").percent, stored(system).step("only").note) == (40, "half of it")
            )
        )
        work.evidence["rows"] = 7
    step = stored(system).step("only")
    assert (step.state, step.percent, step.evidence) == (State.SUCCEEDED, 100, {"rows": 7})
    assert step.finished_at is not None


@pytest.mark.parametrize(
    ("error", "code"), [(IntegrityError("damaged"), "integrity"), (KeyError("a fault of ours"), "unexpected")]
)
def test_what_a_step_failed_with_is_written_down_and_raised(
    system: System, error: Exception, code: str
) -> None:
    open_run(system, run_of(system, only=State.PENDING))

    def work() -> None:
        with working(system, ticket(), "only") as work:
            work.evidence["seen"] = 1
            raise error

    with pytest.raises(type(error)):
        work()
    step = stored(system).step("only")
    assert step.state is State.FAILED
    assert step.evidence == {"seen": 1}
    assert step.error is not None
    assert step.error.code == code


def test_a_secret_in_a_failure_that_nobody_foresaw_is_cut_out(system: System) -> None:
    open_run(system, run_of(system, only=State.PENDING))
    with pytest.raises(ValueError, match="sig="), working(system, ticket(), "only"):
        raise ValueError("https://x/y?se=2026&sig=canary&password=canary")
    assert "canary" not in stored(system).model_dump_json()


def test_work_notices_that_its_run_was_taken_over(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "BEAT_SECONDS", 0.01)
    open_run(system, run_of(system, only=State.PENDING))

    def lost(check: Callable[[], None]) -> bool:
        try:
            check()
        except ConflictError:
            return True
        return False

    with beating(system, ticket()) as check:
        check()
        open_run(system, run_of(system, attempt=2))
        until(lambda: lost(check))


def test_a_run_under_way_shows_that_it_lives(
    system: System, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "BEAT_SECONDS", 0.01)
    open_run(system, run_of(system, only=State.PENDING))
    with beating(system, ticket()):
        clock.pass_by(minutes=9)
        until(lambda: stored(system).heartbeat_at == clock.now())
    clock.pass_by(minutes=10)
    assert not stored(system).dead(clock.now())
    clock.pass_by(seconds=1)
    assert stored(system).dead(clock.now())


# Its end.


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ({"a": State.SUCCEEDED, "b": State.SUCCEEDED}, State.SUCCEEDED),
        ({"a": State.SUCCEEDED, "b": State.SKIPPED}, State.SUCCEEDED),
        ({"a": State.SUCCEEDED, "b": State.PENDING}, State.FAILED),
        ({"a": State.RUNNING}, State.FAILED),
        ({}, State.SUCCEEDED),
    ],
)
def test_a_run_succeeded_when_every_step_did(system: System, steps: dict[str, State], state: State) -> None:
    open_run(system, run_of(system, 1, **steps))
    ended = end_run(system, ticket(), result=lambda run: {"state": run.state.value})
    assert ended.state is state
    assert ended.finished_at == system.clock.now()
    assert ended.result == {"state": state.value}
    assert stored(system) == ended


def test_a_failed_steps_own_error_is_the_runs(system: System) -> None:
    open_run(system, run_of(system, first=State.PENDING, second=State.PENDING))
    with pytest.raises(IntegrityError), working(system, ticket(), "second"):
        raise IntegrityError("the second is damaged")
    handed_over = ErrorInfo(code="other", message="something else")
    assert end_run(system, ticket(), error=handed_over).error == stored(system).step("second").error


def test_what_no_step_says_is_told_by_the_workflow(system: System) -> None:
    open_run(system, run_of(system, first=State.PENDING))
    handed_over = ErrorInfo(code="unreachable", message="nobody is there")
    ended = end_run(system, ticket(), error=handed_over)
    assert (ended.state, ended.error) == (State.FAILED, handed_over)


@pytest.mark.parametrize(("kind", "state"), [("log", State.SKIPPED), ("full", State.FAILED)])
def test_only_a_log_backup_that_was_locked_out_is_skipped_for_the_next_one_makes_up_for_it(
    system: System, kind: str, state: State
) -> None:
    run = run_of(system, only=State.PENDING)
    open_run(system, run.model_copy(update={"request": {"backup_kind": kind}}))
    with pytest.raises(LockedError), working(system, ticket(), "only"):
        raise LockedError("another one works on it")
    assert end_run(system, ticket()).state is state


def test_a_grave_error_is_not_hidden_behind_a_lock(system: System) -> None:
    run = run_of(system, first=State.PENDING, second=State.PENDING)
    open_run(system, run.model_copy(update={"request": {"backup_kind": "log"}}))
    for step, error in (("first", LockedError("locked")), ("second", StoreError("broken"))):
        with pytest.raises(type(error)), working(system, ticket(), step):
            raise error
    ended = end_run(system, ticket())
    assert ended.state is State.FAILED
    assert ended.error is not None
    assert ended.error.message == "broken"
