"""Runs: one execution of a backup, a recovery point, a verification or a restore, step by step."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from shared.model.base import Document, UtcTime
from shared.model.findings import ErrorInfo, Finding

DEAD_AFTER = timedelta(minutes=10)
"""A run whose heartbeat is older than this is dead: its owner beats every few seconds while it works, and the
platform gives a host that it stops at most ten minutes (Azure Functions documentation, platform updates)."""

STEP_DEAD_AFTER = timedelta(minutes=2)
"""A delivery of a step that was silent for longer is dead, and another one of the same attempt may go on in
its place: 24 times the pause between two beats, so that storage may be gone for a while in between."""


class RunKind(StrEnum):
    """What is executed."""

    BACKUP = "backup"
    RECOVERY_POINT = "recovery_point"
    RESTORE = "restore"
    CHECK = "check"
    DRILL = "drill"
    QUARANTINE = "quarantine"


class State(StrEnum):
    """Where a run or a step stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


class StepState(Document):
    """A unit of a run that can be repeated safely, and what it proved."""

    id: str
    title: str
    checklist: int | None = Field(None, description="number in the product's recovery checklist, 1 to 5")
    state: State = State.PENDING
    started_at: UtcTime | None = None
    finished_at: UtcTime | None = None
    percent: int | None = None
    note: str = ""
    evidence: dict[str, Any] = Field(default_factory=dict)
    kept: str | None = Field(None, description="part of the run that holds the whole of the evidence")
    error: ErrorInfo | None = None
    holder: str | None = Field(None, description="the one delivery of the step that works on it")
    beat_at: UtcTime | None = Field(None, description="last sign of life of that delivery")


class Cancellation(Document):
    """Somebody wants the run to stop."""

    by: str
    at: UtcTime


class Run(Document):
    """The state of a run; the only truth about it, whatever the engine remembers."""

    schema_: Literal[1] = Field(1, alias="schema")
    id: str
    kind: RunKind
    title: str
    state: State
    attempt: int = Field(1, description="counts the takeovers; an older attempt can no longer write")
    slot: UtcTime | None = None
    started_at: UtcTime
    heartbeat_at: UtcTime
    finished_at: UtcTime | None = None
    request: dict[str, Any] = Field(default_factory=dict)
    steps: tuple[StepState, ...] = ()
    result: dict[str, Any] = Field(default_factory=dict)
    error: ErrorInfo | None = None
    findings: tuple[Finding, ...] = ()
    cancel: Cancellation | None = Field(None, description="asked for in this attempt")

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen in this attempt."""
        return self.state in (State.SUCCEEDED, State.FAILED, State.SKIPPED)

    def dead(self, now: datetime) -> bool:
        """Whether it claims to run, but its owner has stopped to beat."""
        return not self.ended and now - self.heartbeat_at > DEAD_AFTER

    def step(self, step_id: str) -> StepState:
        """The step of that id; KeyError if there is none."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)


class Claim(Document):
    """A slot that is taken, and the run that it was taken for."""

    schema_: Literal[1] = Field(1, alias="schema")
    timer: str
    slot: UtcTime
    run_kind: RunKind
    run_id: str
    attempt: int = 1
    claimed_at: UtcTime


class Lock(Document):
    """Who works on a thing. Changed only by If-Match; a higher fencing number beats a lower one."""

    schema_: Literal[1] = Field(1, alias="schema")
    name: str
    run_id: str
    fencing: int
    heartbeat_at: UtcTime
    released: bool = False
