"""The read side: what is there, how old it is, and what is going on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from shared.composition import System
from shared.errors import NotFoundError
from shared.model.hints import SetHint, SqlHint
from shared.model.points import RecoveryPoint
from shared.model.runs import Run, RunKind, State
from shared.planning.due import latest_slot, next_slot
from shared.planning.windows import restorable_windows
from shared.workflows.plans import known
from shared.workflows.starts import claim_of, schedules, slot_status

LISTED = 200
"""How many backups or runs a listing shows, newest first."""


def backups(system: System) -> dict[str, Any]:
    """The newest backups of every store, and the newest runs."""
    found: list[SqlHint | SetHint] = [*system.catalogue.backups.all_sql_hints()]
    found += system.catalogue.backups.set_hints()
    # SQL Server tells whole seconds: of the same second, the ids say which came later.
    newest = sorted(found, key=lambda hint: (hint.finished_at, hint.id), reverse=True)[:LISTED]
    return {
        "backups": [_line(hint) for hint in newest],
        "runs": [_run_line(run) for run in system.catalogue.runs.recent(RunKind.BACKUP, 20)],
    }


def _line(hint: SqlHint | SetHint) -> dict[str, Any]:
    shown = hint.as_json()
    common = {"id": hint.id, "finished_at": shown["finished_at"], "size": hint.size}
    if isinstance(hint, SqlHint):
        return {"store": "sqlserver", "kind": hint.kind.value, "database": hint.database, **common}
    return {
        "store": "qdrant",
        "kind": "snapshot_set",
        "collections": hint.collections,
        "complete": hint.complete,
        **common,
    }


def _run_line(run: Run) -> dict[str, Any]:
    shown = run.as_json()
    wanted = ("id", "kind", "title", "state", "attempt", "slot", "started_at", "finished_at", "error")
    return {name: shown[name] for name in wanted}


def backup_or_run(system: System, wanted: str) -> dict[str, Any]:
    """A backup's run, or else a committed backup with its verifications.

    Raises:
        NotFoundError: neither has that id.
    """
    try:
        return system.catalogue.runs.get(RunKind.BACKUP, wanted).as_json()
    except NotFoundError:
        manifest = system.catalogue.backups.get(wanted)
    looks = [v.as_json() for v in system.catalogue.backups.verifications(wanted)]
    return {**manifest.as_json(), "verifications": looks}


def points(system: System) -> dict[str, Any]:
    """The recovery points, newest first, and the newest runs that made or make one."""
    return {
        "recovery_points": [_point_line(point) for point in system.catalogue.points.all()[:LISTED]],
        "runs": [_run_line(run) for run in system.catalogue.runs.recent(RunKind.RECOVERY_POINT, 20)],
    }


def _point_line(point: RecoveryPoint) -> dict[str, Any]:
    shown = point.as_json()
    wanted = ("id", "name", "made_at", "slot", "complete", "reasons", "skew_seconds")
    return {
        **{name: shown[name] for name in wanted},
        "databases": [side.database for side in point.sql],
        "collections": len(point.vectors.collections),
        "points": sum(count.value for count in point.vectors.collections.values()),
    }


def runs(system: System, kind: RunKind) -> dict[str, Any]:
    """The newest runs of a kind."""
    return {"runs": [_run_line(run) for run in system.catalogue.runs.recent(kind, 50)]}


def status(system: System) -> dict[str, Any]:
    """How old the newest restorable moments are, in seconds, and what became of each timer's last slot.

    SQL Server is as old as the database whose newest restorable moment is the oldest; what a verification
    found damaged does not count.
    """
    now = system.clock.now()
    what = known(system)
    complete = [point for point in what.points if point.complete]
    databases = {
        name: _age(now, [window.end for window in restorable_windows(what.backups.get(name, ()))])
        for name in sorted(what.current)
    }
    ages = [age for age in databases.values() if age is not None]
    running = [
        _run_line(run)
        for kind in RunKind
        for run in system.catalogue.runs.recent(kind, 10)
        if run.state is State.RUNNING
    ]
    return {
        "at": now.isoformat().replace("+00:00", "Z"),
        "newest_recovery_point": _point_line(complete[0]) if complete else None,
        "ages_seconds": {
            "pair": _age(now, [p.sql[0].at for p in complete[:1] if p.sql]),
            "sqlserver": max(ages) if ages and len(ages) == len(databases) else None,
            "qdrant": _age(now, [hint.finished_at for hint in what.sets if hint.complete]),
        },
        "databases": databases,
        "timers": {timer: _timer(system, timer, expr, now) for timer, expr in schedules(system).items()},
        "running": running,
    }


def _age(now: datetime, moments: Sequence[datetime]) -> float | None:
    return round((now - max(moments)).total_seconds(), 1) if moments else None


def _timer(system: System, timer: str, schedule: str, now: datetime) -> dict[str, Any]:
    last = latest_slot(schedule, now)
    claim = claim_of(system, timer, last)
    return {
        "schedule": schedule,
        "last_slot": last.isoformat().replace("+00:00", "Z"),
        "last_state": slot_status(system, claim, now).state.value if claim else "not started",
        "next_slot": next_slot(schedule, now).isoformat().replace("+00:00", "Z"),
    }
