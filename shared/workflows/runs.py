"""The life of a run: its slot is claimed, its steps are worked on, its end is written down.

All of it is kept in Blob Storage, whatever the engine remembers; so a run that was cut off goes on where it
was, in another process or on another machine.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.composition import System
from shared.errors import AlreadyExistsError, BackupSystemError, ConflictError, LockedError
from shared.model.backups import Kind
from shared.model.findings import ErrorInfo
from shared.model.runs import Claim, Run, RunKind, State, StepState
from shared.workflows.outcomes import unforeseen

BEAT_SECONDS = 5.0
"""How often a step under way writes its progress and shows that it lives; DEAD_AFTER is 120 times as long."""


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
            run.kind, run.id, run.attempt, lambda old: _reopened(old, run.attempt, system.clock.now())
        )
    return run


def _reopened(old: Run, attempt: int, now: datetime) -> Run:
    if old.attempt == attempt:  # delivered twice
        return old if old.ended else old.model_copy(update={"heartbeat_at": now})
    steps = tuple(
        step
        if step.state is State.SUCCEEDED
        else step.model_copy(update={"state": State.PENDING, "error": None, "percent": None, "note": ""})
        for step in old.steps
    )
    fresh = {"state": State.RUNNING, "attempt": attempt, "heartbeat_at": now, "finished_at": None}
    return old.model_copy(update={**fresh, "steps": steps, "error": None})


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
        """
        self.percent = percent
        self.check()


@contextlib.contextmanager
def working(system: System, ticket: Ticket, step_id: str) -> Iterator[Work]:
    """Mark a step as running, beat while it is, and write down how it ended.

    Args:
        system: the system.
        ticket: the run and the attempt.
        step_id: the step.

    Yields:
        The work; its ``evidence`` is kept when the block ends well.

    Raises:
        ConflictError: a later attempt works on the run.
        Exception: what the block raised, after it was written down.
    """
    started = system.clock.now()

    def change(step: StepState) -> dict[str, Any]:
        return {"state": State.RUNNING, "started_at": step.started_at or started, "error": None}

    run = _update_step(system, ticket, step_id, change)
    step = run.step(step_id)
    work = Work(step, run, dict(step.evidence), step.percent)
    with beating(system, ticket, work, step_id) as work.check:
        try:
            yield work
        except Exception as error:
            known = error.as_dict() if isinstance(error, BackupSystemError) else unforeseen(error)
            failure = {"state": State.FAILED, "error": ErrorInfo.model_validate(known)}
            _end_step(system, ticket, step_id, {**failure, "evidence": work.evidence, "note": work.note})
            raise
    done = {"state": State.SUCCEEDED, "percent": 100, "evidence": work.evidence, "note": work.note}
    _update_step(system, ticket, step_id, lambda _: {**done, "finished_at": system.clock.now()})


def mark_waiting(system: System, ticket: Ticket, step_id: str, note: str) -> None:
    """Mark a step as running without working on it: it waits for somebody, and the note says for what."""
    now = system.clock.now()

    def change(step: StepState) -> dict[str, Any]:
        return {"state": State.RUNNING, "started_at": step.started_at or now, "note": note}

    _update_step(system, ticket, step_id, change)


def _end_step(system: System, ticket: Ticket, step_id: str, update: dict[str, Any]) -> None:
    with contextlib.suppress(BackupSystemError):  # the step's own error matters more than a failed note of it
        _update_step(system, ticket, step_id, lambda _: {**update, "finished_at": system.clock.now()})


def _update_step(
    system: System, ticket: Ticket, step_id: str, change: Callable[[StepState], dict[str, Any]]
) -> Run:
    def apply(run: Run) -> Run:
        steps = tuple(s.model_copy(update=change(s)) if s.id == step_id else s for s in run.steps)
        return run.model_copy(update={"steps": steps, "heartbeat_at": system.clock.now()})

    return system.catalogue.runs.update(ticket.kind, ticket.run_id, ticket.attempt, apply)


@contextlib.contextmanager
def beating(
    system: System, ticket: Ticket, work: Work | None = None, step_id: str = ""
) -> Iterator[Callable[[], None]]:
    """Show that a run lives while the block works, and write the progress of its step down.

    Args:
        system: the system.
        ticket: the run and the attempt.
        work: where the progress is read from, if any is to be written.
        step_id: the step that the progress belongs to; none has the empty id.

    Yields:
        A function that raises ConflictError once a later attempt has taken the run over.
    """
    ended = threading.Event()
    lost: list[ConflictError] = []

    def progress(_: StepState) -> dict[str, Any]:
        return {"percent": work.percent, "note": work.note} if work else {}

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            try:
                _update_step(system, ticket, step_id, progress)
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
    result: Callable[[Run], dict[str, Any]] = lambda run: run.result,
) -> Run:
    """Write down how a run ended: succeeded when every step did.

    Args:
        system: the system.
        ticket: the run and the attempt.
        error: why it failed, where no step of its own says so.
        result: what came of it, made of the run as it ended, for who asks later.
    """

    def apply(run: Run) -> Run:
        now = system.clock.now()
        errors = [step.error for step in run.steps if step.state is State.FAILED and step.error]
        grave = [one for one in errors if one.code != LockedError.code]
        why = next(iter([*grave, *errors]), error)
        if why and why.code == LockedError.code and run.request.get("backup_kind") == Kind.LOG:
            state = State.SKIPPED  # the next log backup comes soon, and holds what this one would have
        elif why or any(s.state not in (State.SUCCEEDED, State.SKIPPED) for s in run.steps):
            state = State.FAILED
        else:
            state = State.SUCCEEDED
        ended = run.model_copy(update={"state": state, "finished_at": now, "heartbeat_at": now, "error": why})
        return ended.model_copy(update={"result": result(ended)})

    return system.catalogue.runs.update(ticket.kind, ticket.run_id, ticket.attempt, apply)
