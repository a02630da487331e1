"""What becomes of a run's state when something happens to it: plain functions from one state to the next."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.errors import CancelledError, LockedError
from shared.model.backups import Kind
from shared.model.findings import ErrorInfo
from shared.model.runs import STEP_DEAD_AFTER, Cancellation, Run, State, StepState

LET_GO: dict[str, Any] = {"holder": None, "beat_at": None}
"""A step that nobody works on."""


def reopened(old: Run, new: Run, now: datetime) -> Run:
    """A run that is opened again: by the same attempt nothing changes, a later one does what is not done."""
    if old.attempt == new.attempt:  # delivered twice
        return old if old.ended else old.model_copy(update={"heartbeat_at": now})
    again = {"state": State.PENDING, "error": None, "percent": None, "note": "", "started_at": None}
    again |= {**LET_GO, "finished_at": None}
    steps = tuple(
        step if step.state is State.SUCCEEDED else step.model_copy(update=again) for step in old.steps
    )
    fresh = {"state": State.RUNNING, "attempt": new.attempt, "heartbeat_at": now, "finished_at": None}
    fresh |= {"error": None, "cancel": None, "findings": (), "result": {}}
    return old.model_copy(update={**fresh, "steps": steps, "request": {**old.request, **new.request}})


def begun(run: Run, step_id: str, holder: str | None, now: datetime) -> Run:
    """The run with a step of it begun by ``holder``.

    Raises:
        CancelledError, LockedError: as ``working``.
    """
    demand_not_cancelled(run)
    step = run.step(step_id)
    held = holder and step.holder and step.state is State.RUNNING and step.beat_at
    if held and now - held <= STEP_DEAD_AFTER:
        raise delivered_twice(run, step_id)
    begun = {"state": State.RUNNING, "started_at": step.started_at or now, "finished_at": None, "error": None}
    return with_step(run, step_id, {**begun, "holder": holder, "beat_at": now if holder else None}, now)


def delivered_twice(run: Run, step_id: str) -> LockedError:
    """The refusal of a delivery of a step whose other delivery lives."""
    return LockedError(
        f"Another process works on the step {step_id} of run {run.id}.",
        "Its end is waited for.",
        run_id=run.id,
    )


def demand_not_cancelled(run: Run) -> None:
    """Make sure that nobody has cancelled a run.

    Raises:
        CancelledError: somebody has; says who and when.
    """
    if run.cancel:
        raise cancelled_error(run, run.cancel)


def cancelled_error(run: Run, cancel: Cancellation) -> CancelledError:
    """The failure of a run that somebody has cancelled."""
    return CancelledError(
        f"Run {run.id} was cancelled by {cancel.by} at {cancel.at:%Y-%m-%d %H:%M:%S} UTC.",
        "The findings say in which state it left what it worked on, and the way back.",
    )


def brief(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers and the yes and no of some evidence: what a watcher sees at a glance."""
    return {name: value for name, value in evidence.items() if isinstance(value, bool | int | float)}


def with_step(run: Run, step_id: str, changed: dict[str, Any], now: datetime) -> Run:
    """The run with one step changed, none if there is no step of that id; either way a sign of life."""
    steps = tuple(s.model_copy(update=changed) if s.id == step_id else s for s in run.steps)
    return run.model_copy(update={"steps": steps, "heartbeat_at": now})


def cut_off(step: StepState, why: ErrorInfo | None, now: datetime) -> StepState:
    """A step that was under way when its run ended will not come to an end of its own."""
    if step.state is not State.RUNNING:
        return step
    return step.model_copy(update={**LET_GO, "state": State.FAILED, "error": why, "finished_at": now})


def outcome(run: Run, error: ErrorInfo | None) -> dict[str, Any]:
    """State and error of a run that ends as its steps are now."""
    errors = [step.error for step in run.steps if step.state is State.FAILED and step.error]
    grave = [one for one in errors if one.code != LockedError.code]
    why = next(iter([*grave, *errors]), error)
    states = {step.state for step in run.steps}
    if why and why.code == LockedError.code and run.request.get("backup_kind") == Kind.LOG:
        state = State.SKIPPED  # the next log backup comes soon, and holds what this one would have
    elif why or not states <= {State.SUCCEEDED, State.SKIPPED}:
        state = State.FAILED
    else:
        state = State.SKIPPED if states == {State.SKIPPED} else State.SUCCEEDED
    return {"state": state, "error": why}
