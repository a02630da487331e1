"""The life of a run: its slot is claimed, its steps are worked on, its end is written down.

All of it is kept in Blob Storage, whatever the engine remembers; so a run that was cut off goes on where it
was, in another process or on another machine.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.composition import System
from shared.errors import AlreadyExistsError, BackupSystemError, CancelledError, ConflictError, LockedError
from shared.model.findings import ErrorInfo, Finding
from shared.model.runs import Claim, Run, RunKind, State, StepState
from shared.workflows.outcomes import unforeseen
from shared.workflows.transitions import (
    LET_GO,
    begun,
    brief,
    cut_off,
    delivered_twice,
    demand_not_cancelled,
    outcome,
    reopened,
    with_step,
)

log = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
"""How often a step under way writes its progress and shows that it lives; DEAD_AFTER is 120 times as long."""

MOST_EVIDENCE = 8_000
"""Bytes of a step's evidence in the state of its run; more of it is kept apart. The state is written anew for
every beat of every step."""


@dataclass(frozen=True)
class Ticket:
    """What an activity must know to work on a run: which, and which attempt at it."""

    kind: RunKind
    run_id: str
    attempt: int

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Ticket:
        """The ticket that a payload carries."""
        return cls(RunKind(payload["kind"]), payload["run_id"], payload["attempt"])

    def as_payload(self, **more: Any) -> dict[str, Any]:
        """The ticket as plain JSON, with what else an activity needs."""
        return {"kind": self.kind.value, "run_id": self.run_id, "attempt": self.attempt, **more}


@dataclass(frozen=True)
class Start:
    """A workflow to be started by whoever holds the engine."""

    workflow: str
    payload: dict[str, Any]
    instance_id: str
    run_id: str


def open_run(system: System, run: Run) -> Run:
    """Write a new run down, or take its earlier attempt over: what succeeded stays, the rest is to be done.

    Raises:
        ConflictError: a later attempt works on it.
    """
    try:
        system.catalogue.runs.create(run)
    except AlreadyExistsError:
        return system.catalogue.runs.update(
            run.kind, run.id, run.attempt, lambda old: reopened(old, run, system.clock.now())
        )
    return run


def claim_slot(system: System, claim: Claim) -> str | None:
    """Take a slot for a run, once, whoever else fires.

    Returns:
        None if the slot is ours; otherwise a sentence that says whose it is.
    """
    taken = system.catalogue.claims.get(claim.timer, claim.slot)
    if taken is None:
        if system.catalogue.claims.take(claim, None):
            return None
        taken = system.catalogue.claims.get(claim.timer, claim.slot)
    if taken is None:
        return f"The slot {claim.slot:%Y-%m-%d %H:%M:%S} of {claim.timer} was claimed by another just now."
    theirs, etag = taken
    if (theirs.run_id, theirs.attempt) == (claim.run_id, claim.attempt):
        return None  # delivered twice
    if theirs.run_id == claim.run_id and theirs.attempt == claim.attempt - 1:
        if system.catalogue.claims.take(claim, etag):
            return None
        return f"Attempt {claim.attempt} at run {claim.run_id} is made by somebody else."
    return f"The slot {claim.slot:%Y-%m-%d %H:%M:%S} of {claim.timer} belongs to run {theirs.run_id}."


@dataclass
class Work:
    """A step under way, as the activity that does it sees it."""

    step: StepState
    run: Run
    evidence: dict[str, Any] = field(default_factory=dict)
    percent: int | None = None
    note: str = ""
    check: Callable[[], None] = lambda: None

    def progress(self, percent: int) -> None:
        """Tell how far the step is, 0 to 100; written down with the next beat.

        Raises:
            ConflictError: the run was taken over by a later attempt.
            CancelledError: somebody has cancelled it.
            LockedError: another delivery of the step has taken it over.
        """
        self.percent = percent
        self.check()


@contextlib.contextmanager
def working(
    system: System, ticket: Ticket, step_id: str, *, alone: bool = False, keep: bool = False
) -> Iterator[Work]:
    """Mark a step as running, beat while it is, and write down how it ended.

    Args:
        system: the system.
        ticket: the run and the attempt.
        step_id: the step.
        alone: whether a second delivery of the step is turned away while this one works on it.
        keep: whether the evidence goes into a part of the run (``Runs.whole`` joins them again); what is
            large in a restore always does.

    Yields:
        The work; its ``evidence`` is kept when the block ends well.

    Raises:
        ConflictError: a later attempt works on the run.
        CancelledError: the run was cancelled before the step had begun.
        LockedError: another delivery of this step is under way, or took it over from this one.
        Exception: what the block raised, after it was written down.
    """
    holder = system.new_id() if alone else None
    run = system.catalogue.runs.update(
        ticket.kind,
        ticket.run_id,
        ticket.attempt,
        lambda run: begun(run, step_id, holder, system.clock.now()),
    )
    step = run.step(step_id)
    work = Work(step, run, dict(step.evidence), step.percent)
    with beating(system, ticket, work, step_id, holder) as work.check:
        try:
            yield work
        except Exception as error:
            known = error.as_dict() if isinstance(error, BackupSystemError) else unforeseen(error)
            failure = {**LET_GO, "state": State.FAILED, "error": ErrorInfo.model_validate(known)}
            _end_step(
                system, ticket, step_id, {**failure, "evidence": work.evidence, "note": work.note}, holder
            )
            raise
    evidence: dict[str, Any] = {"evidence": work.evidence}
    large = ticket.kind is RunKind.RESTORE and len(json.dumps(work.evidence)) > MOST_EVIDENCE
    if keep or large:
        key = f"evidence/{step_id}"
        system.catalogue.runs.save_part(ticket.run_id, key, work.evidence)
        evidence = {"evidence": brief(work.evidence), "kept": key}
    done = {**LET_GO, "state": State.SUCCEEDED, "percent": 100, "note": work.note, **evidence}
    _update_step(system, ticket, step_id, lambda _: {**done, "finished_at": system.clock.now()}, holder)


def mark_waiting(system: System, ticket: Ticket, step_id: str, note: str, percent: int | None = None) -> None:
    """Mark a step as running without working on it: it waits for somebody, and the note says for what.

    Raises:
        ConflictError: a later attempt works on the run.
    """
    now = system.clock.now()

    def change(step: StepState) -> dict[str, Any]:
        waiting = {"state": State.RUNNING, "started_at": step.started_at or now, "error": None}
        return {**waiting, "note": note, "percent": percent}

    _update_step(system, ticket, step_id, change)


def _end_step(
    system: System, ticket: Ticket, step_id: str, update: dict[str, Any], holder: str | None
) -> None:
    try:
        _update_step(system, ticket, step_id, lambda _: {**update, "finished_at": system.clock.now()}, holder)
    except LockedError:
        raise  # the step is another's now, who will tell how it ended
    except BackupSystemError as error:  # the step's own error matters more than a failed note of it
        log.warning("How step %s of run %s ended was not written down: %s", step_id, ticket.run_id, error)


def _update_step(
    system: System,
    ticket: Ticket,
    step_id: str,
    change: Callable[[StepState], dict[str, Any]],
    holder: str | None = None,
) -> Run:
    def apply(run: Run) -> Run:
        changed: dict[str, Any] = {}
        if step_id:
            step = run.step(step_id)
            if holder and step.holder != holder:
                raise delivered_twice(run, step_id)
            changed = change(step)
        return with_step(run, step_id, changed, system.clock.now())

    return system.catalogue.runs.update(ticket.kind, ticket.run_id, ticket.attempt, apply)


@contextlib.contextmanager
def beating(
    system: System,
    ticket: Ticket,
    work: Work | None = None,
    step_id: str = "",
    holder: str | None = None,
) -> Iterator[Callable[[], None]]:
    """Show that a run lives while the block works, and write the progress of its step down.

    Args:
        system: the system.
        ticket: the run and the attempt.
        work: where the progress is read from, if any is to be written.
        step_id: the step that the progress belongs to; none has the empty id.
        holder: the delivery of the step, where it is alone.

    Yields:
        A function that raises what the last beat found: ConflictError once a later attempt has taken the run
        over, LockedError once another delivery has taken the step over, CancelledError once somebody has
        cancelled the run.
    """
    ended = threading.Event()
    lost: list[BackupSystemError] = []

    def progress(_: StepState) -> dict[str, Any]:
        told = {"percent": work.percent, "note": work.note} if work else {}
        return told | ({"beat_at": system.clock.now()} if holder else {})

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            try:
                demand_not_cancelled(_update_step(system, ticket, step_id, progress, holder))
            except (LockedError, CancelledError) as error:
                lost.append(error)
                return
            except BackupSystemError as error:
                if isinstance(error, ConflictError) and not error.retryable:
                    lost.append(error)
                    return
                continue  # too busy, or storage is briefly gone; ten minutes of it are allowed

    def check() -> None:
        if lost:
            raise lost[0]

    thread = threading.Thread(target=beat, name="beat", daemon=True)
    thread.start()
    try:
        yield check
    finally:
        ended.set()
        thread.join()


def error_in(payload: Mapping[str, Any]) -> ErrorInfo | None:
    """The failure that a workflow hands over when it ends a run, if there was one."""
    return ErrorInfo(**payload["error"]) if "error" in payload else None


def end_run(
    system: System,
    ticket: Ticket,
    *,
    error: ErrorInfo | None = None,
    findings: tuple[Finding, ...] = (),
    result: Callable[[Run], dict[str, Any]] = lambda run: run.result,
) -> Run:
    """Write down how a run ended: succeeded when every step did.

    Args:
        system: the system.
        ticket: the run and the attempt.
        error: why it failed, where no step of its own says so.
        findings: what is noteworthy about its end.
        result: what came of it, made of the run as it ended, for who asks later.
    """

    def apply(run: Run) -> Run:
        now = system.clock.now()
        ended = run.model_copy(update={"finished_at": now, "heartbeat_at": now, "findings": findings})
        ended = ended.model_copy(update=outcome(run, error))
        steps = tuple(cut_off(step, ended.error, now) for step in run.steps)
        ended = ended.model_copy(update={"steps": steps})
        return ended.model_copy(update={"result": result(ended)})

    return system.catalogue.runs.update(ticket.kind, ticket.run_id, ticket.attempt, apply)
