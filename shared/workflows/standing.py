"""How things stand: what could be restored and how old it is, what the timers did, what deserves a look."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from shared.composition import System
from shared.errors import IntegrityError, NotFoundError
from shared.model.findings import Finding, Severity
from shared.model.hints import SqlHint
from shared.model.points import RecoveryPoint
from shared.model.runs import Claim, RunKind, State
from shared.planning.consistency import sql_time
from shared.planning.due import SlotStatus, due, latest_slot, next_slot
from shared.planning.resolving import Known
from shared.planning.windows import Window, restorable_windows
from shared.planning.words import lasted, said
from shared.workflows.drills import drill_findings, last_drill
from shared.workflows.looking import point_line, run_line
from shared.workflows.plans import known
from shared.workflows.starts import claim_of, schedules, slot_status
from shared.workflows.suspending import suspensions

MOST_WINDOWS = 20
"""So many windows of a database are listed, the newest."""

READERS = 8
"""Requests in flight to the storage."""

_GRAVITY = (Severity.ERROR, Severity.WARNING, Severity.INFO)


def status(system: System) -> dict[str, Any]:
    """How things stand. Asks the catalogue only, no server.

    SQL Server is as old as the database whose newest restorable moment is the oldest; what a verification
    found damaged does not count.

    Returns:
        Plain JSON: ``at``, ``newest_recovery_point`` (None: there is none), ``ages_seconds`` of ``pair``,
        ``sqlserver`` and ``qdrant`` (None: never), ``databases`` (name → age), ``windows`` (database → list
        of ``start``, ``end``, ``why``, the oldest first), ``targets`` (``rpo``, ``rto``: ``target_seconds``,
        ``seconds`` and ``met``, the last two None where not known), ``drill`` (the last one, see
        ``drills.last_drill``), ``timers``, ``running``, ``findings`` (the gravest first).

    Raises:
        UnreachableError, NotPermittedError, StorageError: the storage does not answer.
    """
    now = system.clock.now()
    what = known(system)
    windows = {name: restorable_windows(what.backups.get(name, ())) for name in sorted(what.current)}
    complete = [point for point in what.points if point.complete]
    databases = {name: _age(now, [one.end for one in found]) for name, found in windows.items()}
    ages = _ages(now, what, complete, databases)
    slots = _slots(system, now)
    drill = last_drill(system)
    targets = _targets(system, ages, drill)
    newest = system.catalogue.points.behind(complete[0]) if complete else None
    findings = [
        *suspensions(system),
        *_given_up(schedules(system), slots, now),
        *_about_targets(targets),
        *drill_findings(system),
        *_about_points(what.points, newest),
        *_about_backups(system, what),
    ]
    return {
        "at": _iso(now),
        "newest_recovery_point": point_line(newest) if newest else None,
        "ages_seconds": ages,
        "databases": databases,
        "windows": {name: [_window(one) for one in found[-MOST_WINDOWS:]] for name, found in windows.items()},
        "targets": targets,
        "drill": drill,
        "timers": {timer: _timer(timer, expr, slots, now) for timer, expr in schedules(system).items()},
        "running": [
            run_line(run)
            for kind in RunKind
            for run in system.catalogue.runs.recent(kind, 10)
            if run.state is State.RUNNING
        ],
        "findings": [one.as_json() for one in sorted(findings, key=lambda one: _GRAVITY.index(one.severity))],
    }


def _age(now: datetime, moments: Iterable[datetime]) -> float | None:
    newest = max(moments, default=None)
    return None if newest is None else round((now - newest).total_seconds(), 1)


def _iso(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def _ages(
    now: datetime, what: Known, complete: Sequence[RecoveryPoint], databases: Mapping[str, float | None]
) -> dict[str, float | None]:
    known_ages = [age for age in databases.values() if age is not None]
    return {
        "pair": _age(now, [sql_time(point) for point in complete[:1] if point.sql]),
        "sqlserver": max(known_ages) if known_ages and len(known_ages) == len(databases) else None,
        "qdrant": _age(now, [hint.finished_at for hint in what.sets if hint.complete]),
    }


def _window(window: Window) -> dict[str, str]:
    return {"start": _iso(window.start), "end": _iso(window.end), "why": window.why}


def _targets(
    system: System, ages: Mapping[str, float | None], drill: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """What may be lost and how long a restore may take, beside what is so.

    What may be lost is measured at SQL Server, whose episodes are in no other place; documents can be indexed
    again.
    """
    settings = system.settings.drill
    lost = ages["sqlserver"] if system.has_sqlserver else ages["qdrant"]
    took = drill["rto_seconds"] if drill else None
    return {
        "rpo": _target(settings.rpo_minutes, lost),
        "rto": _target(settings.rto_minutes, took),
    }


def _target(minutes: int, seconds: float | None) -> dict[str, Any]:
    met = None if seconds is None else seconds <= minutes * 60
    return {"target_seconds": minutes * 60, "seconds": seconds, "met": met}


def _about_targets(targets: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    rpo = targets["rpo"]
    if rpo["met"] is not True:
        lost, allowed = rpo["seconds"], lasted(timedelta(seconds=rpo["target_seconds"]))
        cost = "everything" if lost is None else f"the last {lasted(timedelta(seconds=lost))}"
        yield Finding(
            code="rpo_missed",
            severity=Severity.WARNING,
            message=f"A disaster now would cost {cost}; {allowed} are allowed (TARGET_RPO_MINUTES).",
            hint="See which timer is late, and whether its runs fail.",
        )


Slots = Mapping[str, tuple[Claim, SlotStatus]]


def _slots(system: System, now: datetime) -> Slots:
    """The claim of each timer's latest slot, and what became of it; a timer whose slot is free is absent."""
    found = {}
    for timer, schedule in schedules(system).items():
        claim = claim_of(system, timer, latest_slot(schedule, now))
        if claim:
            found[timer] = (claim, slot_status(system, claim, now))
    return found


def _given_up(expressions: Mapping[str, str], slots: Slots, now: datetime) -> Iterator[Finding]:
    statuses = {timer: found for timer, (_, found) in slots.items()}
    for slot in due(expressions, statuses, now).given_up:
        claim, following = slots[slot.timer][0], next_slot(expressions[slot.timer], now)
        yield Finding(
            code="slot_given_up",
            severity=Severity.ERROR,
            message=f"{slot.timer} has failed {slot.attempt} times for its slot of {said(slot.slot)} and "
            f"gives it up; its next one is at {said(following)}.",
            hint=f"Run {claim.run_id} says why. Settle that, then start it by hand.",
        )


def _timer(timer: str, schedule: str, slots: Slots, now: datetime) -> dict[str, Any]:
    claimed = slots.get(timer)
    return {
        "schedule": schedule,
        "last_slot": _iso(latest_slot(schedule, now)),
        "last_state": claimed[1].state.value if claimed else "not started",
        "attempt": claimed[1].attempt if claimed else 0,
        "next_slot": _iso(next_slot(schedule, now)),
    }


def _about_points(points: Sequence[RecoveryPoint], newest: RecoveryPoint | None) -> Iterator[Finding]:
    """What the newest recovery point says of itself, and that a newer one is incomplete."""
    if points and not points[0].complete:
        yield Finding(
            code="recovery_point_incomplete",
            severity=Severity.WARNING,
            message=f"The newest recovery point, {points[0].id}, is incomplete: "
            f"{'; '.join(points[0].reasons[:3]) or 'no reason recorded'}.",
            hint="Settle that, then make another one: octopus-backup recovery-point.",
        )
    for finding in newest.findings if newest else ():
        yield finding.model_copy(
            update={"message": f"Recovery point {newest.id if newest else ''}: {finding.message}"}
        )


def _about_backups(system: System, what: Known) -> list[Finding]:
    """What the newest backup of each kind of each database says of itself."""
    newest = [
        max(found, key=lambda hint: (hint.finished_at, hint.id))
        for name in sorted(what.current)
        for found in _by_kind(what.backups.get(name, ())).values()
    ]
    with ThreadPoolExecutor(READERS, thread_name_prefix="status") as pool:
        read = list(pool.map(lambda hint: _findings_of(system, hint), newest))
    return [finding for found in read for finding in found]


def _by_kind(hints: Iterable[SqlHint]) -> dict[str, list[SqlHint]]:
    found: dict[str, list[SqlHint]] = {}
    for hint in hints:
        found.setdefault(hint.kind.value, []).append(hint)
    return found


def _findings_of(system: System, hint: SqlHint) -> list[Finding]:
    try:
        manifest = system.catalogue.backups.chosen(hint)
    except (NotFoundError, IntegrityError) as error:
        return [
            Finding(code=error.specific_code, severity=Severity.ERROR, message=error.message, hint=error.hint)
        ]
    name = f"The newest {hint.kind} backup of {hint.database}"
    return [one.model_copy(update={"message": f"{name}: {one.message}"}) for one in manifest.findings]
