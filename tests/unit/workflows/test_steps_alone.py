"""A step that only one delivery may work on, that can be cancelled, and whose evidence is kept apart."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.composition import System
from shared.errors import CancelledError, IntegrityError, LockedError
from shared.model.runs import STEP_DEAD_AFTER, Cancellation, Run, RunKind, State, StepState
from shared.workflows import runs
from shared.workflows.runs import Ticket, Work, end_run, open_run, working
from tests.stores.blob.support import SetClock
from tests.unit.workflows.test_runs import until

RUN_ID = "01J0000000000000000000000B"
TICKET = Ticket(RunKind.RESTORE, RUN_ID, 1)


@pytest.fixture
def run(system: System) -> Run:
    now = system.clock.now()
    steps = (StepState(id="only", title="only"), StepState(id="next", title="next"))
    begun = Run(
        id=RUN_ID,
        kind=RunKind.RESTORE,
        title="Restore",
        state=State.RUNNING,
        started_at=now,
        heartbeat_at=now,
        steps=steps,
    )
    return open_run(system, begun)


def stored(system: System) -> Run:
    return system.catalogue.runs.get(RunKind.RESTORE, RUN_ID)


def cancel(system: System) -> None:
    asked = Cancellation(by="Ada", at=system.clock.now())
    system.catalogue.runs.update(
        RunKind.RESTORE, RUN_ID, 1, lambda old: old.model_copy(update={"cancel": asked})
    )


# Delivered twice at once.


def test_a_second_delivery_is_turned_away_and_the_first_one_ends_its_step(system: System, run: Run) -> None:
    with working(system, TICKET, "only", alone=True) as work:
        with (
            pytest.raises(LockedError, match="Another process works on the step only") as refused,
            working(system, TICKET, "only", alone=True),
        ):
            pytest.fail("two would work on one step")
        assert refused.value.retryable
        assert stored(system).step("only").state is State.RUNNING
        work.evidence["by"] = "the first"
    step = stored(system).step("only")
    assert (step.state, step.evidence, step.holder) == (State.SUCCEEDED, {"by": "the first"}, None)


def test_other_steps_are_not_held(system: System, run: Run) -> None:
    with working(system, TICKET, "only", alone=True), working(system, TICKET, "next", alone=True):
        pass
    assert {step.state for step in stored(system).steps} == {State.SUCCEEDED}


def test_a_delivery_that_fell_silent_is_taken_over_and_can_no_longer_end_the_step(
    system: System, run: Run, clock: SetClock
) -> None:
    def sleeper() -> None:
        with working(system, TICKET, "only", alone=True) as asleep:
            asleep.evidence["by"] = "the first"
            clock.pass_by(seconds=STEP_DEAD_AFTER.seconds + 1)
            with working(system, TICKET, "only", alone=True) as work:
                work.evidence["by"] = "the second"

    with pytest.raises(LockedError):  # its workflow asks again, and finds the step done
        sleeper()
    step = stored(system).step("only")
    assert (step.state, step.evidence) == (State.SUCCEEDED, {"by": "the second"})


def test_a_delivery_that_was_taken_over_notices_it_while_it_works(
    system: System, run: Run, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "BEAT_SECONDS", 0.01)
    work: Work

    def noticed() -> bool:
        try:
            work.check()
        except LockedError:
            return True
        return False

    usurper = {"holder": "somebody else", "beat_at": clock.now()}

    def taken(old: Run) -> Run:
        return old.model_copy(update={"steps": (old.steps[0].model_copy(update=usurper), old.steps[1])})

    def overslept() -> None:
        nonlocal work
        with working(system, TICKET, "only", alone=True) as work:
            system.catalogue.runs.update(RunKind.RESTORE, RUN_ID, 1, taken)
            until(noticed)
            raise IntegrityError("and now it fails as well")

    with pytest.raises(LockedError):
        overslept()
    step = stored(system).step("only")
    assert (step.state, step.holder, step.error) == (State.RUNNING, "somebody else", None)


def test_the_next_attempt_goes_on_at_once(system: System, run: Run) -> None:
    def outlived() -> None:
        with working(system, TICKET, "only", alone=True):
            open_run(system, run.model_copy(update={"attempt": 2}))
            with working(system, Ticket(RunKind.RESTORE, RUN_ID, 2), "only", alone=True) as work:
                work.note = "attempt 2"
            raise IntegrityError("attempt 1 fails later")

    with pytest.raises(IntegrityError):
        outlived()
    assert stored(system).step("only").note == "attempt 2"


# Cancelled.


def test_what_is_cancelled_begins_no_further_step(system: System, run: Run) -> None:
    cancel(system)
    with pytest.raises(CancelledError, match="cancelled by Ada"), working(system, TICKET, "only"):
        pytest.fail("the work must not begin")
    assert stored(system).step("only").state is State.PENDING


def test_a_step_under_way_notices_it_with_its_next_sign_of_progress(
    system: System, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "BEAT_SECONDS", 0.01)

    def work_on() -> None:
        with working(system, TICKET, "only", alone=True) as work:
            cancel(system)
            until(lambda: work.progress(50))

    with pytest.raises(CancelledError):
        work_on()
    step = stored(system).step("only")
    assert (step.state, step.error.code if step.error else "") == (State.FAILED, "cancelled")


def test_started_again_it_is_no_longer_cancelled(system: System, run: Run) -> None:
    cancel(system)
    ended = end_run(system, TICKET)
    assert ended.state is State.FAILED
    again = open_run(system, run.model_copy(update={"attempt": 2, "request": {"fenced_by": "Ada"}}))
    assert (again.cancel, again.state, again.request) == (None, State.RUNNING, {"fenced_by": "Ada"})


# Kept apart.


def test_evidence_is_kept_apart_and_joined_again(system: System, run: Run) -> None:
    rows = {f"Octopus_{number}": number for number in range(2_000)}
    with working(system, TICKET, "only", keep=True) as work:
        work.evidence |= {"points": 7, "counted": {"peer": 7}, "long": "x" * 1_000}
    with working(system, TICKET, "next") as work:
        work.evidence |= {"tables": rows, "rows": sum(rows.values())}
    state = stored(system)
    assert [step.evidence for step in state.steps] == [{"points": 7}, {"rows": sum(rows.values())}]
    assert len(state.model_dump_json()) < 3_000
    whole = system.catalogue.runs.whole(state)
    assert whole.step("only").evidence == {"points": 7, "counted": {"peer": 7}, "long": "x" * 1_000}
    assert whole.step("next").evidence["tables"] == rows


def test_a_thousand_collections_make_a_state_of_bounded_size(system: System, run: Run) -> None:
    proof = {"counted": {f"https://peer-{n}": 1_000 for n in range(3)}, "recovered": [{"seconds": 1.0}] * 5}
    with working(system, TICKET, "only", keep=True) as work:
        work.evidence |= {"collection": "agent_1", "status": {"peer": "green"}, **proof}
    kept = stored(system).step("only")
    assert len(kept.model_dump_json()) < 700


def test_a_step_that_was_under_way_when_its_run_ended_has_failed(system: System, run: Run) -> None:
    with pytest.raises(LockedError), working(system, TICKET, "only", alone=True):
        end_run(system, TICKET)
    assert stored(system).step("only").state is State.FAILED


def test_step_patience_is_many_beats() -> None:
    assert timedelta(seconds=runs.BEAT_SECONDS) * 20 < STEP_DEAD_AFTER
