"""What starts a run: a timer's tick, or a person's request. Says which workflow to start with what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from shared.composition import System
from shared.errors import InvalidRequestError, NotFoundError, RefusedError
from shared.model.backups import Kind
from shared.model.requests import BackupRequest, PointRequest
from shared.model.runs import DEAD_AFTER, Claim, Run, RunKind, State, StepState
from shared.planning.due import DueSlot, SlotStatus, due, latest_slot
from shared.workflows.backups import backup_steps
from shared.workflows.points import point_steps
from shared.workflows.runs import Start, Ticket, claim_slot, end_run, error_in, open_run
from shared.workflows.suspending import demand_none_half_restored, skip_suspended, suspended

SQL_KINDS = {"sql_full": Kind.FULL, "sql_differential": Kind.DIFFERENTIAL, "sql_log": Kind.LOG}
"""The timers that back SQL Server up."""

DRILL = "drill"
"""The timer of drills. No other timer makes up for one that was missed, for it would come at any hour. One
that failed is not repeated, because it has told what there is to know; one whose host died is taken over."""

CATCHING_UP = "sql_log"
"""The timer that fires most often: its ticks also start what other timers missed or failed at."""


type NewRun = Callable[[System, Ticket, dict[str, Any], datetime | None], Run]
"""Makes a run as it is before its first step: of the system, the ticket, the request and the slot."""


def tick(system: System, timer: str) -> list[Start]:
    """What is to be started now that a timer has fired.

    Decided from the schedules in force and the claims of their slots, never from the timer's own word: a
    timer can fire late, twice, or not at all.

    Args:
        system: the system.
        timer: the timer that fired.
    """
    now = system.clock.now()
    watched = schedules(system)
    if timer != CATCHING_UP:
        watched = {name: expression for name, expression in watched.items() if name == timer}
    held, databases = suspended(system), system.settings.sqlserver.databases
    # Not claimed, so that a slot that is the latest when the suspension is lifted is made up for then.
    watched = {name: expr for name, expr in watched.items() if not held.stops(name, databases)}
    claims = {
        name: claim
        for name, expression in watched.items()
        if (claim := claim_of(system, name, latest_slot(expression, now)))
    }
    statuses = {name: slot_status(system, claim, now) for name, claim in claims.items()}
    drill = statuses.get(DRILL)
    if (drill is None and timer != DRILL) or (drill is not None and not drill.dead):
        watched.pop(DRILL, None)
    slots = due(watched, statuses, now).slots
    if any(
        slot.timer == "sql_full" for slot in slots
    ):  # a differential beside it could only build on an older
        slots = tuple(slot for slot in slots if slot.timer != "sql_differential")
    return [_slot_start(system, slot, claims.get(slot.timer)) for slot in slots]


def schedules(system: System) -> dict[str, str]:
    """The schedule of every timer that has something to do with these settings."""
    given = system.settings.schedules
    wanted: dict[str, str] = {}
    if system.has_sqlserver:
        wanted |= {
            "sql_full": given.sql_full,
            "sql_differential": given.sql_differential,
            "sql_log": given.sql_log,
        }
    if system.has_qdrant and system.has_sqlserver:
        wanted["recovery_point"] = given.recovery_point
    if system.settings.drill.enabled:
        wanted[DRILL] = given.drill
    return wanted


def claim_of(system: System, timer: str, slot: datetime) -> Claim | None:
    """The claim of a slot, if somebody took it."""
    found = system.catalogue.claims.get(timer, slot)
    return found[0] if found else None


def slot_status(system: System, claim: Claim, now: datetime) -> SlotStatus:
    """What became of a claimed slot. Without a run, its owner died before it wrote one, or is about to."""
    try:
        run = system.catalogue.runs.get(claim.run_kind, claim.run_id)
    except NotFoundError:
        dead = now - claim.claimed_at > DEAD_AFTER
        return SlotStatus(slot=claim.slot, attempt=claim.attempt, state=State.PENDING, dead=dead)
    return SlotStatus(slot=claim.slot, attempt=claim.attempt, state=run.state, dead=run.dead(now))


def _slot_start(system: System, slot: DueSlot, claim: Claim | None) -> Start:
    """The start of a slot's run: a new run, or the next attempt at the claim's."""
    kind = SQL_KINDS.get(slot.timer)
    run_id = claim.run_id if claim and slot.attempt > 1 else system.new_id()
    ticket = Ticket(_kind_of(slot.timer), run_id, slot.attempt)
    stamp = slot.slot.isoformat().replace("+00:00", "Z")
    request = {"backup_kind": kind.value} if kind else {}
    payload = ticket.as_payload(timer=slot.timer, slot=stamp, request=request)
    digits = "".join(filter(str.isdigit, stamp))
    return Start(
        workflow=_WORKFLOWS[ticket.kind],
        payload=payload,
        instance_id=f"{slot.timer}-{digits}-{slot.attempt}",
        run_id=ticket.run_id,
    )


def _kind_of(timer: str) -> RunKind:
    if timer in SQL_KINDS:
        return RunKind.BACKUP
    return RunKind.DRILL if timer == DRILL else RunKind.RECOVERY_POINT


_WORKFLOWS = {
    RunKind.BACKUP: "sql_backup",
    RunKind.RECOVERY_POINT: "make_recovery_point",
    RunKind.DRILL: "perform_drill",
}


def start_backup(system: System, request: BackupRequest, key: str | None = None) -> Start:
    """A backup that a person asked for.

    Args:
        system: the system.
        request: what to back up.
        key: the caller's idempotency key; the same key gives the same run.

    Raises:
        InvalidRequestError: a database is not one of ours.
    """
    strangers = set(request.databases) - set(system.settings.sqlserver.databases)
    if strangers:
        raise InvalidRequestError(
            f"Not in SQLSERVER_DATABASES: {', '.join(sorted(strangers))[:200]}.",
            "Ask for databases that the settings name: " + ", ".join(system.settings.sqlserver.databases),
            code="unknown_database",
        )
    what = {"backup_kind": request.kind.value, "databases": list(request.databases)}
    return person_start(system, RunKind.BACKUP, what, key)


def start_point(system: System, request: PointRequest, key: str | None = None) -> Start:
    """A recovery point that a person asked for; ``key`` as in ``start_backup``.

    Raises:
        RefusedError: a restore has left half restored what the point would be made of.
    """
    demand_none_half_restored(system)
    what = {"name": request.name} | ({"pinned": True} if request.pinned else {})
    return person_start(system, RunKind.RECOVERY_POINT, what, key)


def person_start(
    system: System,
    kind: RunKind,
    request: dict[str, Any],
    key: str | None,
    make: NewRun | None = None,
) -> Start:
    """The start of a run that a person asked for, which is written down at once.

    Args:
        system: the system.
        kind: what is executed.
        request: what was asked for, as the run keeps it.
        key: the caller's idempotency key; the same key gives the same run.
        make: makes the run; ``new_run`` if None.

    Raises:
        RefusedError: the key was used for another request.
    """
    run_id = system.new_id()
    if key:
        run_id = system.catalogue.claims.run_for_key(f"{kind.value}/{key}", run_id)
    ticket = Ticket(kind, run_id, 1)
    try:
        known = system.catalogue.runs.get(kind, run_id)
    except NotFoundError:
        open_run(system, (make or new_run)(system, ticket, request, None))
    else:
        if known.request != request:
            raise RefusedError(
                f"The idempotency key belongs to run {run_id}, which was asked for something else.",
                "Use a new key for a new request.",
                code="idempotency_key_reused",
            )
    return Start(
        workflow=_WORKFLOWS[kind],
        payload=ticket.as_payload(request=request),
        instance_id=f"{kind.value}-{run_id}",
        run_id=run_id,
    )


def new_run(system: System, ticket: Ticket, request: Mapping[str, Any], slot: datetime | None) -> Run:
    """A run as it is before its first step.

    Raises:
        InvalidSettingsError: a store that it needs is not set.
    """
    databases = tuple(request.get("databases") or system.settings.sqlserver.databases)
    steps: tuple[StepState, ...]
    if ticket.kind is RunKind.BACKUP:
        kind = Kind(request["backup_kind"])
        title = f"{kind.value.capitalize()} backup of {', '.join(databases)}"
        steps = backup_steps(system, kind, databases)
    else:
        name = request.get("name")
        title = f"Recovery point “{name}”" if name else "Recovery point"
        steps = point_steps(system, databases)
    now = system.clock.now()
    return Run(
        id=ticket.run_id,
        kind=ticket.kind,
        title=title,
        state=State.RUNNING,
        attempt=ticket.attempt,
        slot=slot,
        started_at=now,
        heartbeat_at=now,
        request=dict(request),
        steps=steps,
    )


def slot_of(payload: Mapping[str, Any]) -> datetime | None:
    """The slot (UTC) that a run was started for; None where a person started it."""
    return datetime.fromisoformat(payload["slot"]) if "slot" in payload else None


def claim_for(system: System, ticket: Ticket, payload: Mapping[str, Any]) -> str | None:
    """Take the slot that a run was started for, if it was started for one.

    Returns:
        None if the run may go on; otherwise a sentence that says whose the slot is.
    """
    slot = slot_of(payload)
    if slot is None:
        return None
    claim = Claim(
        timer=payload["timer"],
        slot=slot,
        run_kind=ticket.kind,
        run_id=ticket.run_id,
        attempt=ticket.attempt,
        claimed_at=system.clock.now(),
    )
    return claim_slot(system, claim)


def begin_run(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: claim the slot, if the run is for one, and open the run or take its earlier attempt over.

    Returns:
        ``go``: whether to go on; ``steps``: ids of what is to be done; ``why`` where it is not to go on.
    """
    ticket = Ticket.of(payload)
    slot = slot_of(payload)
    taken = claim_for(system, ticket, payload)
    if taken:
        return {"go": False, "why": taken}
    run = open_run(system, new_run(system, ticket, payload["request"], slot))
    if run.ended:
        return {"go": False, "why": f"Run {run.id} has ended already: {run.state}."}
    if slot is not None:
        run = skip_suspended(system, ticket, run)
        if run.ended:
            return {"go": False, "why": f"Run {run.id} was skipped: {run.steps[0].note}"}
    done = (State.SUCCEEDED, State.SKIPPED)
    return {"go": True, "steps": [step.id for step in run.steps if step.state not in done]}


def close_run(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: write down how the run ended."""
    run = end_run(system, Ticket.of(payload), error=error_in(payload))
    return {"state": run.state.value, "error": run.error.as_json() if run.error else None}
